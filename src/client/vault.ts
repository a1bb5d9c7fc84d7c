import type { AuditEvent } from "../contract/audit.ts";
import type { Kdf } from "../contract/auth.ts";
import { LIMITS } from "../contract/limits.ts";
import type { SessionInfo } from "../contract/sessions.ts";
import {
  type Credentials,
  changePassword,
  type Derived,
  logIn,
  type PasswordChange,
  register,
} from "./account.ts";
import { endSessions, listEvents, listSessions } from "./activity.ts";
import { makeArchive } from "./archive.ts";
import { addEntry, getEntry, pinSeen, type Resolve, readPins, removeEntry, updateEntry } from "./changes.ts";
import type { EntryContent } from "./content.ts";
import { openDeviceKey, sealDeviceKey } from "./device-key.ts";
import type { Entry } from "./entries.ts";
import { failure } from "./errors.ts";
import { findDuplicates, type ImportProgress, type ImportReport, importContents } from "./importing.ts";
import { type Listing, readListing } from "./listing.ts";
import type { EntryPatch } from "./merge.ts";
import { type Open, openAccess } from "./opening.ts";
import { openPinBook, type PinBook, withDeleted } from "./pins.ts";
import { searchEntries } from "./search.ts";
import { forgetTokens, logOut } from "./session.ts";
import type { Store } from "./store.ts";
import { type Fetch, makeTransport, type Transport } from "./transport.ts";

export type VaultOptions = {
  /** The server's address, with a path when it is behind one. HTTPS, unless the server is on this machine. */
  url: string;
  /** Where the client remembers what it has seen: see `Store`. */
  store: Store;
  fetch?: Fetch;
  /** Allows plain HTTP beyond this machine: tokens and ciphertext can then be read and changed on the way. */
  insecure_http?: boolean;
  /** Told before the client waits to try again. */
  on_wait?: (wait: { wait_ms: number; code: string }) => void;
};

export type UnlockOptions = Credentials & {
  /** What the list of sessions calls this device. */
  device_name?: string;
  /** Accepts that the salt is another than this device knows, because the master password was changed on another device. */
  password_changed?: boolean;
};

/**
 * An account's vault, end-to-end encrypted: the master password, the keys and all that is in an entry stay in this process. The server is
 * taken for hostile: whatever it gives is held to the keys and to what this device has seen, and refused with a `VaultError`
 * whose `hostile` is true. Everything here may throw what a request throws: `server-unreachable`, `server-timeout`,
 * `certificate-refused`, `signed-out`, `rate-limited`, and `vault-locked` where the vault has to be open.
 */
export class Vault {
  readonly #transport: Transport;
  readonly #store: Store;
  #open: Open | undefined;

  /** Throws `url-invalid`, `url-insecure`. */
  constructor(options: VaultOptions) {
    this.#store = options.store;
    this.#transport = makeTransport({
      url: options.url,
      fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init)),
      insecure_http: options.insecure_http ?? false,
      on_wait: options.on_wait ?? (() => undefined),
      sleep: (wait_ms) => new Promise((resolve) => setTimeout(resolve, wait_ms)),
    });
  }

  get locked(): boolean {
    return this.#open === undefined;
  }

  /** Makes an account and opens its vault. There is no way to it without the master password: nobody can reset that. */
  async register(options: UnlockOptions & { kdf?: Kdf }): Promise<void> {
    await this.#logIn(
      options,
      await register(this.#transport, this.#pins(options.username), options, options.kdf),
    );
  }

  /** Logs in and opens the vault. Throws `password-wrong`, `login-locked`, `salt-changed`, `kdf-downgraded`, … */
  async unlock(options: UnlockOptions): Promise<void> {
    await this.#logIn(options);
  }

  async #logIn(options: UnlockOptions, derived?: Derived): Promise<void> {
    const pins = this.#pins(options.username);
    const { account, vault_key, tokens } = await logIn(this.#transport, await pins.read(), options, {
      salt_may_change: options.password_changed ?? false,
      device_name: options.device_name,
      derived,
    });
    await pins.remember(account);
    const open = await openAccess(this.#transport, this.#store, pins, account, vault_key);
    const former = await open.session.begin(tokens);
    this.lock();
    this.#open = open;
    // The session that this one takes the place of is of no more use: where it cannot be ended now, its time ends it.
    if (former !== undefined) await logOut(this.#transport, former).catch(() => undefined);
  }

  /**
   * Opens the vault of this device without the master password, by what `sealKey` gave. The session is the one that was, as the store has
   * it. Throws `session-key-wrong`, `store-damaged`.
   */
  async resume(device: { username: string; sealed_key: string; session_key: Uint8Array }): Promise<void> {
    const pins = this.#pins(device.username);
    const known = await pins.read();
    if (known === undefined) throw failure("store-damaged");
    const { account_id } = known;
    const vault_key = await openDeviceKey(device, { server: this.#transport.base, account_id });
    const open = await openAccess(this.#transport, this.#store, pins, known, vault_key);
    this.lock();
    this.#open = open;
  }

  /** The vault key, sealed with 32 bytes that the caller keeps elsewhere: for `resume`. */
  async sealKey(session_key: Uint8Array): Promise<string> {
    const { vault_key, keys } = this.#opened();
    return sealDeviceKey(vault_key, session_key, { server: this.#transport.base, ...keys });
  }

  /** Forgets the keys and all that was opened with them. The session goes on: `resume` or `unlock` finds it. */
  lock(): void {
    this.#open?.vault_key.fill(0);
    this.#open = undefined;
  }

  /** Ends the session, here and on the server, and locks. */
  async logout(): Promise<void> {
    await this.#opened().session.end();
    this.lock();
  }

  /** Forgets the session of a vault that is locked; on the server it ends when its time is over. */
  async forgetSession(username: string): Promise<void> {
    await forgetTokens(this.#store, this.#transport.base, username);
    this.lock();
  }

  /** Stores a new entry. Throws `content-invalid`, `content-too-large`, `entry-quota-reached`. */
  async add(content: EntryContent): Promise<Entry> {
    const open = this.#opened();
    return remember(open, await addEntry(open, content));
  }

  /** One entry by its id. Throws `entry-not-found`. */
  async get(id: string): Promise<Entry> {
    const open = this.#opened();
    return remember(open, await getEntry(open, id));
  }

  /** All entries, newest first. Throws the first of the problems that `scan` would tell of. */
  async list(): Promise<Entry[]> {
    const { entries, problems } = await this.scan();
    if (problems[0] !== undefined) throw problems[0];
    return entries;
  }

  /**
   * All entries that are to be trusted, and what is wrong with the others: for a program that lets a person go on with what is
   * left. A list that is wrong as a whole is an error still.
   */
  async scan(): Promise<Pick<Listing, "entries" | "problems">> {
    return this.#list();
  }

  /** The entries that resemble `query`, best first. */
  async search(query: string): Promise<Entry[]> {
    return searchEntries(await this.list(), query);
  }

  /**
   * Changes the fields that `patch` names; null takes one away. What others have changed since this client saw the entry is kept, and where
   * both changed the same field `resolve` decides. Throws `merge-conflict` where nobody does, `entry-not-found`.
   */
  async update(id: string, patch: EntryPatch, resolve?: Resolve): Promise<Entry> {
    const open = this.#opened();
    const base = open.seen.get(id) ?? (await this.get(id));
    return remember(open, await updateEntry(open, base, patch, resolve));
  }

  /** Deletes an entry for good, unless it has changed since this client saw it. Throws `entry-conflict`, `entry-not-found`. */
  async remove(id: string): Promise<void> {
    const open = this.#opened();
    await removeEntry(open, open.seen.get(id) ?? (await this.get(id)));
    open.seen.delete(id);
  }

  /**
   * Accepts that entries are gone which this device has seen, after somebody said that they were deleted elsewhere. Should the server give them
   * again, it is refused.
   */
  async acceptMissing(ids: readonly string[]): Promise<void> {
    await this.#opened().pins.change((pins) => withDeleted(pins, ids));
  }

  /**
   * Forgets which versions were seen and what was deleted: after the server was restored from a backup, which only its operator
   * can tell from a server that lies.
   */
  async acceptRestore(): Promise<void> {
    await this.#opened().pins.change((pins) => ({ ...pins, entries: {}, deleted: {} }));
  }

  /**
   * Changes the master password: the same vault key under new keys, no entry touched, every other session ended. Throws
   * `password-wrong` before anything is sent.
   */
  async changePassword(change: PasswordChange): Promise<void> {
    const { pins, session } = this.#opened();
    await changePassword(this.#transport, pins, session, change);
  }

  /** Where the account is logged in. Names and addresses are the server's word. */
  async sessions(): Promise<SessionInfo[]> {
    return listSessions(this.#opened().session);
  }

  /** Ends one session. Throws `session-not-found`. */
  async endSession(id: string): Promise<void> {
    await endSessions(this.#opened().session, id);
  }

  /** Ends every session but this one. */
  async endOtherSessions(): Promise<void> {
    await endSessions(this.#opened().session);
  }

  /** What happened to the account, newest first: the newest `limit` events, as the server tells them. */
  async events(limit: number = LIMITS.page_events_max): Promise<AuditEvent[]> {
    return listEvents(this.#opened().session, limit);
  }

  /** Everything in one encrypted archive, which opens with the present master password: see `openArchive`. */
  async exportEncrypted(): Promise<Uint8Array<ArrayBuffer>> {
    const open = this.#opened();
    const { responses, problems } = await this.#list();
    if (problems[0] !== undefined) throw problems[0];
    return makeArchive(open.keys.vault_key, await readPins(open), responses, Date.now());
  }

  /** Stores many contents, in batches, without those that are there already. To be called again after whatever cut it short. */
  async importEntries(
    contents: readonly EntryContent[],
    onProgress: (progress: ImportProgress) => void = () => undefined,
  ): Promise<ImportReport> {
    return importContents(this.#opened(), await this.list(), contents, onProgress);
  }

  /** Which contents `importEntries` would leave out, by their place: they are there already, or come a second time. */
  async duplicates(contents: readonly EntryContent[]): Promise<number[]> {
    return findDuplicates(await this.list(), contents);
  }

  async #list(): Promise<Listing> {
    const open = this.#opened();
    const before = await readPins(open);
    const listing = await readListing(open.session, open.keys, before, () => readPins(open));
    await pinSeen(open, before, listing.responses);
    for (const entry of listing.entries) remember(open, entry);
    return listing;
  }

  #pins(username: string): PinBook {
    return openPinBook(this.#store, this.#transport.base, username);
  }

  #opened(): Open {
    if (this.#open === undefined) throw failure("vault-locked");
    return this.#open;
  }
}

function remember(open: Open, entry: Entry): Entry {
  open.seen.set(entry.id, entry);
  return entry;
}
