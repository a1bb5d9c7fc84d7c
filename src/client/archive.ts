/**
 * The encrypted archive, version 1: UTF-8 text, a JSON value a line, each line ended by U+000A. First a header with the account's
 * key material as the server has it, then the entries as the server has them, then a MAC over all of it. So it opens
 * with the master password of its time alone, and nothing in it says more than the server's own table.
 */
import { z } from "zod";
import { encryptionSalt, kdf, protectedKey, username } from "../contract/auth.ts";
import { base64, time, uuid } from "../contract/encoding.ts";
import type { EntryResponse } from "../contract/entries.ts";
import { LIMITS } from "../contract/limits.ts";
import { macLines, verifyLines } from "../crypto/archive.ts";
import { decodeBase64, decodeUtf8, encodeBase64, encodeUtf8 } from "../crypto/bytes.ts";
import { unwrapVaultKey } from "../crypto/envelope.ts";
import { importVaultKey, type VaultKey } from "../crypto/keys.ts";
import { deriveKeys } from "./account.ts";
import { type Entry, inParallel, openResponse } from "./entries.ts";
import { failure, VaultError } from "./errors.ts";
import type { Account } from "./pins.ts";

const header = z.strictObject({
  format: z.literal("blindvault-archive"),
  v: z.literal(1),
  created_at: time,
  account_id: uuid,
  username,
  encryption_salt: encryptionSalt,
  kdf,
  protected_key: protectedKey,
  entries: z.int().min(0).max(LIMITS.client_entries_max),
});

const line = z.strictObject({
  id: uuid,
  version: z.int().min(1),
  ciphertext: base64(LIMITS.ciphertext_bytes_min, LIMITS.ciphertext_bytes_max),
  iv: base64(LIMITS.iv_bytes),
  tag: base64(LIMITS.tag_bytes),
  created_at: time,
  updated_at: time,
});

const trailer = z.strictObject({ mac: base64(32) });

/** Makes an archive of entries that have opened, under the key material that the vault key came from. */
export async function makeArchive(
  vault_key: VaultKey,
  account: Account,
  entries: readonly EntryResponse[],
  now_ms: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const { account_id, username, encryption_salt, kdf, protected_key } = account;
  const first = {
    format: "blindvault-archive",
    v: 1,
    created_at: new Date(now_ms).toISOString(),
    ...{ account_id, username, encryption_salt, kdf, protected_key },
    entries: entries.length,
  } satisfies z.infer<typeof header>;
  const rest = entries.map(({ id, version, ciphertext, iv, tag, created_at, updated_at }) => ({
    ...{ id, version, ciphertext, iv, tag, created_at, updated_at },
  }));
  const lines = [first, ...rest].map((value) => encodeUtf8(JSON.stringify(value)));
  const mac = { mac: encodeBase64(await macLines(vault_key, lines)) };
  return joinLines([...lines, encodeUtf8(JSON.stringify(mac))]);
}

function joinLines(lines: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(lines.reduce((total, { length }) => total + length + 1, 0));
  let offset = 0;
  for (const bytes of lines) {
    joined.set(bytes, offset);
    joined[offset + bytes.length] = LINE_END;
    offset += bytes.length + 1;
  }
  return joined;
}

const LINE_END = 0x0a;

export type OpenedArchive = { username: string; created_at: string; entries: Entry[] };

/**
 * Opens an archive with the master password that the account had when it was made. Needs no server. Throws
 * `archive-damaged` for whatever is not as it was made, `archive-password-wrong`, `content-unreadable` of a newer version.
 */
export async function openArchive(bytes: Uint8Array, master_password: string): Promise<OpenedArchive> {
  // All of it is read before the password is put to it: what is cut short or no archive is told at once.
  const lines = damagedUnless(() => splitLines(bytes));
  const account = damagedUnless(() => parseHeader(lines[0]));
  const stored = damagedUnless(() => lines.slice(1, -1).map((text) => line.parse(parseLine(text))));
  const { mac } = damagedUnless(() => trailer.parse(parseLine(lines.at(-1))));
  if (stored.length !== account.entries) throw failure("archive-damaged");
  const vault_key = await openVaultKey(account, master_password);
  await verifyLines(vault_key, lines.slice(0, -1), decodeBase64(mac)).catch(throwDamaged);
  const { account_id, username, created_at } = account;
  const entries = await inParallel(stored, (entry) =>
    openResponse({ vault_key, account_id }, { ...entry, name: null, meta: null }),
  ).catch(throwDamaged);
  return { username, created_at, entries };
}

function parseHeader(bytes: Uint8Array | undefined): z.infer<typeof header> {
  const value = parseLine(bytes);
  if (newer.safeParse(value).success) {
    throw new VaultError("content-unreadable", "The archive was made by a newer version");
  }
  return header.parse(value);
}

const newer = z.object({ format: z.literal("blindvault-archive"), v: z.int().min(2) });

async function openVaultKey(account: z.infer<typeof header>, master_password: string): Promise<VaultKey> {
  const keys = await deriveKeys({ ...account, master_password });
  try {
    return await importVaultKey(await unwrapVaultKey(keys, account.protected_key, account));
  } catch (error) {
    const mismatch = (error as { code?: unknown }).code === "commitment-mismatch";
    throw failure(mismatch ? "archive-password-wrong" : "archive-damaged");
  }
}

/** Every line has to be ended, so that a file cut off in its middle is told from a whole one. */
function splitLines(bytes: Uint8Array): Uint8Array[] {
  if (bytes.at(-1) !== LINE_END) throw failure("archive-damaged");
  const lines: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(LINE_END, start);
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  if (lines.length < 2) throw failure("archive-damaged");
  return lines;
}

function parseLine(bytes: Uint8Array | undefined): unknown {
  return JSON.parse(decodeUtf8(bytes ?? new Uint8Array()));
}

function damagedUnless<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    return throwDamaged(error);
  }
}

/** An archive of a newer version can be whole and still hold what this version cannot read: that keeps its own name. */
function throwDamaged(error: unknown): never {
  if (error instanceof VaultError && error.code === "content-unreadable") throw error;
  throw failure("archive-damaged");
}
