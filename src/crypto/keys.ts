/**
 * The key hierarchy. `deriveX` is deterministic, `makeX` random. Every key but the auth_key stays on the client:
 *
 *     master password ── Argon2id ──> root_key ── HKDF ──> auth_key, wrap_key, commitment
 *     vault_key (random, wrapped by wrap_key) ── HKDF ──> entry_key (one an entry), archive_key, state_key
 */
import { argon2id } from "hash-wasm";
import { concatPrefixed, cryptoError, decodeHex, encodeHex, encodeUtf8 } from "./bytes.ts";

const KEY_BYTES = 32;
const SALT_BYTES = 32;

/** Parameters of Argon2id (RFC 9106, section 3.1): memory in KiB, passes, lanes. */
export type KdfParameters = { memory_kib: number; iterations: number; parallelism: number };

/** What a root key is derived from. `encryption_salt` is 32 bytes in lower-case hexadecimal, as the server stores it. */
export type RootKeyInput = {
  master_password: string;
  username: string;
  encryption_salt: string;
  kdf: KdfParameters;
};

/**
 * Argon2id, version 1.3 (RFC 9106), of the master password in Unicode's form NFC, so that a keyboard that composes
 * its accents differently types the same password. 32 bytes. Blocks its thread for the time it takes.
 *
 * The salt is hashed with the username first: a hostile server chooses what it gives as the salt, and one salt for
 * everybody would let one dictionary serve for all of them. Throws "password-empty", "utf8-invalid", "kdf-invalid",
 * "username-invalid", "hex-invalid", "salt-length".
 */
export async function deriveRootKey(input: RootKeyInput): Promise<Uint8Array<ArrayBuffer>> {
  const { master_password, username, encryption_salt } = input;
  const { memory_kib: memorySize, iterations, parallelism } = input.kdf;
  if (master_password === "") throw cryptoError("password-empty", "The master password is empty");
  const password = encodeUtf8(master_password.normalize("NFC"));
  try {
    requireKdf(input.kdf);
    const salt = await bindSalt(username, encryption_salt);
    const cost = { memorySize, iterations, parallelism, hashLength: KEY_BYTES };
    const root_key = await argon2id({ password, salt, ...cost, outputType: "binary" });
    return root_key as Uint8Array<ArrayBuffer>;
  } finally {
    password.fill(0);
  }
}

/** What the protocol allows; what is enough is for the client to say. Beyond 2^32 the library would count modulo that. */
function requireKdf({ memory_kib, iterations, parallelism }: KdfParameters): void {
  const within = (value: number, min: number, max: number) =>
    Number.isSafeInteger(value) && value >= min && value <= max;
  // RFC 9106, section 3.1: at least 8 KiB a lane.
  const allowed =
    within(parallelism, 1, PARALLELISM_MAX) &&
    within(memory_kib, 8 * parallelism, MEMORY_KIB_MAX) &&
    within(iterations, 1, ITERATIONS_MAX);
  if (!allowed) throw cryptoError("kdf-invalid", "The parameters of Argon2id are out of bounds");
}

const MEMORY_KIB_MAX = 1_048_576;
const ITERATIONS_MAX = 10;
const PARALLELISM_MAX = 16;

async function bindSalt(username: string, encryption_salt: string): Promise<Uint8Array<ArrayBuffer>> {
  const name = canonicalUsername(username);
  const salt = decodeHex(encryption_salt);
  if (salt.length !== SALT_BYTES) throw cryptoError("salt-length", `A salt has ${SALT_BYTES} bytes`);
  const bound = concatPrefixed([encodeUtf8("blindvault/1"), encodeUtf8("salt"), encodeUtf8(name), salt]);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bound));
}

/** One spelling a username, in lower case. Throws "username-invalid" for other letters than the contract knows. */
export function canonicalUsername(username: string): string {
  // Unicode's lower case of another letter may be one of these, the Kelvin sign's is k: two names would be one.
  if (!/^[A-Za-z0-9_]+$/.test(username)) throw cryptoError("username-invalid", "The username is none");
  return username.toLowerCase();
}

/** `auth_key` proves to the server that the password is known; `wrap_key` seals the vault key; `commitment` names both. */
export type AccountKeys = {
  auth_key: Uint8Array<ArrayBuffer>;
  wrap_key: Uint8Array<ArrayBuffer>;
  commitment: Uint8Array<ArrayBuffer>;
};

/** The three of one root key, by HKDF-SHA256: none of them tells anything of another. 32 bytes each. */
export async function deriveAccountKeys(root_key: Uint8Array): Promise<AccountKeys> {
  const base = await importBase(root_key);
  return {
    auth_key: await expand(base, "auth"),
    wrap_key: await expand(base, "wrap"),
    commitment: await expand(base, "commit"),
  };
}

/** A vault key ready for derivations: WebCrypto holds it and gives it back to nobody. */
export type VaultKey = CryptoKey;

/** Makes a `VaultKey` of the 32 bytes of one. Throws "key-length". */
export async function importVaultKey(bytes: Uint8Array): Promise<VaultKey> {
  return await importBase(bytes);
}

/** The key of one entry, by its id: two entries never share one. For AES-256-GCM, and given back to nobody. */
export async function deriveEntryKey(
  vault_key: VaultKey,
  entry_id: string,
  usage: "encrypt" | "decrypt",
): Promise<CryptoKey> {
  const cipher = { name: "AES-GCM", length: KEY_BYTES * 8 };
  return await crypto.subtle.deriveKey(hkdf("entry", entry_id), vault_key, cipher, false, [usage]);
}

/** The key that says of an archive that nothing of it is missing, added or changed. */
export async function deriveArchiveKey(vault_key: VaultKey): Promise<Uint8Array<ArrayBuffer>> {
  return await expand(vault_key, "archive");
}

/** The key that seals what a client keeps on its own disk. */
export async function deriveStateKey(vault_key: VaultKey): Promise<Uint8Array<ArrayBuffer>> {
  return await expand(vault_key, "state");
}

/** 32 random bytes: a vault key, or a key that seals one on a device. */
export function makeKey(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(KEY_BYTES));
}

/** 32 random bytes in lower-case hexadecimal. */
export function makeSalt(): string {
  return encodeHex(crypto.getRandomValues(new Uint8Array(SALT_BYTES)));
}

async function importBase(bytes: Uint8Array): Promise<CryptoKey> {
  if (bytes.length !== KEY_BYTES) throw cryptoError("key-length", `A key has ${KEY_BYTES} bytes`);
  const usages = ["deriveBits", "deriveKey"] as const;
  return await crypto.subtle.importKey("raw", bytes as Uint8Array<ArrayBuffer>, "HKDF", false, usages);
}

async function expand(base: CryptoKey, purpose: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.deriveBits(hkdf(purpose), base, KEY_BYTES * 8));
}

/**
 * HKDF-SHA256 (RFC 5869). Without a salt, which section 3.1 allows: what goes in is uniformly random already. `info` is
 * "blindvault/1/" with the purpose, and what the key is for, each behind its length: no two purposes meet.
 */
function hkdf(purpose: string, subject?: string): HkdfParams {
  const label = encodeUtf8(`blindvault/1/${purpose}`);
  const info = concatPrefixed(subject === undefined ? [label] : [label, encodeUtf8(subject)]);
  return { name: "HKDF", hash: "SHA-256", salt: NO_SALT, info };
}

const NO_SALT = new Uint8Array(0);
