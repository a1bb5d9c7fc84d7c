import { z } from "zod";
import { encryptionSalt, kdf, protectedKey, username } from "../contract/auth.ts";
import { uuid } from "../contract/encoding.ts";
import type { EntryResponse } from "../contract/entries.ts";
import type { KdfParameters } from "../crypto/keys.ts";
import { failure, hostile } from "./errors.ts";
import type { Store } from "./store.ts";

/** An entry as it was last seen: its version, and its tag, by which two contents of one version are told apart. */
const seen = z.tuple([z.int().min(1), z.string()]);

const NEXT_SALTS_MAX = 8;

const pins = z.strictObject({
  v: z.literal(1),
  account_id: uuid,
  username,
  encryption_salt: encryptionSalt,
  kdf,
  protected_key: protectedKey,
  /** The salts of changes of the master password whose answers have not come: any may be the account's. */
  next_salts: z.array(encryptionSalt).max(NEXT_SALTS_MAX).optional(),
  entries: z.record(uuid, seen),
  /** Entries that are gone for good, with the last version that was seen. */
  deleted: z.record(uuid, z.int().min(0)),
});

/** What a device remembers of an account, and holds the server to. */
export type Pins = z.infer<typeof pins>;
export type Account = Pick<Pins, "account_id" | "username" | "encryption_salt" | "kdf" | "protected_key">;

/** The pins of one account on one server, in the caller's store. */
export type PinBook = {
  read(): Promise<Pins | undefined>;
  /** Changes what is pinned, with nobody between. */
  change(change: (current: Pins) => Pins): Promise<void>;
  /** Remembers an account as it has proved to be; what was seen of its entries stays, unless it is another account. */
  remember(account: Account): Promise<void>;
};

export function openPinBook(store: Store, base: string, name: string): PinBook {
  const key = `pins ${base} ${name.toLowerCase()}`;
  let last: { text: string; pins: Pins } | undefined;

  /** Thousands of entries take their time to be held to the schema, and most often nothing has changed. */
  function parse(text: string | undefined): Pins | undefined {
    if (text === undefined) return undefined;
    if (last?.text !== text) last = { text, pins: parsePins(text) };
    return last.pins;
  }

  return {
    read: async () => parse(await store.read(key)),
    change: (change) =>
      store.update(key, async (text) => {
        const current = parse(text);
        if (current === undefined) throw failure("store-damaged");
        return JSON.stringify(change(current));
      }),
    remember: (account) =>
      store.update(key, async (text) => {
        const former = parse(text);
        const same = former?.account_id === account.account_id;
        const { entries, deleted } = same ? former : { entries: {}, deleted: {} };
        return JSON.stringify({ v: 1, ...account, entries, deleted } satisfies Pins);
      }),
  };
}

/** Damaged pins are an error: to begin anew by itself is what an attacker would want. */
function parsePins(text: string): Pins {
  try {
    return pins.parse(JSON.parse(text));
  } catch {
    throw failure("store-damaged");
  }
}

/** What the server says a root key is derived from. */
export type KeyParameters = { encryption_salt: string; kdf: KdfParameters };

/**
 * Holds the server to the key derivation that this device knows, before the password is put to it. `salt_may_change`: the
 * person says that the master password was changed elsewhere. Throws `kdf-downgraded`, `kdf-refused`, `salt-changed`.
 */
export function checkKeyParameters(
  known: Pins | undefined,
  given: KeyParameters,
  salt_may_change: boolean,
): void {
  if (known === undefined) return;
  if (isWeaker(given.kdf, known.kdf)) throw hostile("kdf-downgraded");
  const salts = [known.encryption_salt, ...(known.next_salts ?? [])];
  if (salts.includes(given.encryption_salt)) {
    // Nothing changes the derivation but a new password, which has a new salt.
    const same_salt = given.encryption_salt === known.encryption_salt;
    if (same_salt && !isSameKdf(given.kdf, known.kdf)) throw hostile("kdf-refused");
    return;
  }
  if (!salt_may_change) throw hostile("salt-changed");
}

/** Whether an attacker who tries passwords would have less to do. */
export function isWeaker(given: KdfParameters, known: KdfParameters): boolean {
  return given.memory_kib < known.memory_kib || given.iterations < known.iterations;
}

/** Whether two derivations cost and give the same. */
export function isSameKdf(a: KdfParameters, b: KdfParameters): boolean {
  return a.memory_kib === b.memory_kib && a.iterations === b.iterations && a.parallelism === b.parallelism;
}

/** Holds the server to what was seen of an entry. Throws `entry-resurrected`, `entry-rolled-back`, `entry-forked`. */
export function checkEntry(known: Pins, entry: EntryResponse): void {
  const details = { ids: [entry.id] };
  if (Object.hasOwn(known.deleted, entry.id)) throw hostile("entry-resurrected", details);
  const [version, tag] = known.entries[entry.id] ?? [0, ""];
  if (entry.version < version) throw hostile("entry-rolled-back", details);
  if (entry.version === version && entry.tag !== tag) throw hostile("entry-forked", details);
}

type Seen = Pick<EntryResponse, "id" | "version" | "tag">;

/** The pins with entries that opened. What another process of this device has seen meanwhile may be newer, and stays. */
export function withSeen(known: Pins, entries: readonly Seen[]): Pins {
  const next = { ...known.entries };
  for (const { id, version, tag } of entries) {
    const [newest] = next[id] ?? [0];
    if (version > newest && !Object.hasOwn(known.deleted, id)) next[id] = [version, tag];
  }
  return { ...known, entries: next };
}

/** Whether `withSeen` would change anything: most reads see nothing new, and nothing need be written for them. */
export function isNews(known: Pins, entries: readonly Seen[]): boolean {
  return entries.some(({ id, version }) => version > (known.entries[id]?.[0] ?? 0));
}

/** The pins with the salt that a change of the master password is about to give the account. */
export function withNextSalt(known: Pins, salt: string): Pins {
  return { ...known, next_salts: [...(known.next_salts ?? []), salt].slice(-NEXT_SALTS_MAX) };
}

/** The pins with entries that are gone for good. */
export function withDeleted(known: Pins, ids: readonly string[]): Pins {
  const entries = { ...known.entries };
  const deleted = { ...known.deleted };
  for (const id of ids) {
    deleted[id] = entries[id]?.[0] ?? 0;
    delete entries[id];
  }
  return { ...known, entries, deleted };
}
