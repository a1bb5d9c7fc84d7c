/**
 * The wire formats of version 1, sealed and opened: what the server stores, and what a device keeps. Each is bound by its
 * associated data to what it is, whose it is and where it belongs. RFC 5116, section 3.3.
 */
import { open, type Sealed, seal } from "./aead.ts";
import {
  concatPrefixed,
  constantTimeEqual,
  cryptoError,
  decodeBase64,
  decodeHex,
  encodeBase64,
  encodeUtf8,
} from "./bytes.ts";
import {
  type AccountKeys,
  canonicalUsername,
  deriveEntryKey,
  type KdfParameters,
  type VaultKey,
} from "./keys.ts";
import { pad, unpad } from "./padding.ts";

const FORMAT = "blindvault/1";

/** A sealed message as JSON has it: canonical base64. */
export type SealedText = { ciphertext: string; iv: string; tag: string };
/** A wrapped vault key, with the commitment to the root key that wraps it. */
export type ProtectedKeyText = SealedText & { commitment: string };

/** Where a wrapped vault key belongs. A change of any part makes it one that does not open. */
export type KeyContext = {
  account_id: string;
  username: string;
  encryption_salt: string;
  kdf: KdfParameters;
};

/**
 * Wraps the 32 bytes of a vault key for its account. Has read its inputs when it returns: a caller may wipe them.
 * Throws "key-length", "id-invalid", "username-invalid", "hex-invalid", "number-invalid".
 */
export async function wrapVaultKey(
  keys: Pick<AccountKeys, "wrap_key" | "commitment">,
  vault_key: Uint8Array,
  context: KeyContext,
): Promise<ProtectedKeyText> {
  if (vault_key.length !== 32) throw cryptoError("key-length", "A vault key has 32 bytes");
  const associated_data = vaultKeyContext(context);
  const commitment = encodeBase64(keys.commitment);
  const sealed = await seal({ key: keys.wrap_key, plaintext: vault_key, associated_data });
  return { ...toText(sealed), commitment };
}

/**
 * Gives the 32 bytes. GCM commits to no key, so the commitment is compared before anything is opened: "commitment-mismatch"
 * means another password, or another account's key. What fails behind it throws "does-not-open": it was tampered with.
 */
export async function unwrapVaultKey(
  keys: Pick<AccountKeys, "wrap_key" | "commitment">,
  protected_key: ProtectedKeyText,
  context: KeyContext,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!constantTimeEqual(decodeBase64(protected_key.commitment), keys.commitment)) {
    throw cryptoError("commitment-mismatch", "The vault key was wrapped with another key");
  }
  const sealed = fromText(protected_key);
  const bytes = await open({ key: keys.wrap_key, sealed, associated_data: vaultKeyContext(context) });
  if (bytes.length !== 32) throw cryptoError("key-length", "A vault key has 32 bytes");
  return bytes;
}

function vaultKeyContext({ account_id, username, encryption_salt, kdf }: KeyContext): Uint8Array {
  const { memory_kib, iterations, parallelism } = kdf;
  return concatPrefixed([
    ...[FORMAT, "vault-key", canonicalId(account_id), canonicalUsername(username)].map(encodeUtf8),
    decodeHex(encryption_salt),
    ...["argon2id", decimal(memory_kib), decimal(iterations), decimal(parallelism)].map(encodeUtf8),
  ]);
}

/** Where an entry belongs: ids are UUIDs in lower case, versions count from 1. */
export type EntryContext = { account_id: string; entry_id: string; version: number };

/**
 * Pads and seals an entry with a key of its own. Has copied the plaintext when it returns: a caller may wipe it.
 * Throws "id-invalid", "number-invalid".
 */
export async function sealEntry(
  vault_key: VaultKey,
  plaintext: Uint8Array,
  context: EntryContext,
): Promise<SealedText> {
  const associated_data = entryContext(context);
  const padded = pad(plaintext);
  const key = await deriveEntryKey(vault_key, context.entry_id, "encrypt");
  return toText(await seal({ key, plaintext: padded, associated_data }));
}

/**
 * The inverse. Throws "does-not-open" for any other context or a change of any part, "padding-invalid" as `unpad` does, and
 * "base64-invalid", "iv-length", "tag-length", "id-invalid", "number-invalid" for what is no part of an entry at all.
 */
export async function openEntry(
  vault_key: VaultKey,
  sealed: SealedText,
  context: EntryContext,
): Promise<Uint8Array<ArrayBuffer>> {
  const associated_data = entryContext(context);
  const message = fromText(sealed);
  const key = await deriveEntryKey(vault_key, context.entry_id, "decrypt");
  return unpad(await open({ key, sealed: message, associated_data }));
}

function entryContext({ account_id, entry_id, version }: EntryContext): Uint8Array {
  const place = [canonicalId(account_id), canonicalId(entry_id), decimal(version)].map(encodeUtf8);
  return concatPrefixed([...ENTRY_LABEL, ...place]);
}

const ENTRY_LABEL = [FORMAT, "entry"].map(encodeUtf8);

/** What a device keeps: the tokens of its session, or the vault key under a session key. */
export type DevicePurpose = "tokens" | "device-key";

/** What is kept, of whom, and of which server by its address: tokens are not to be carried from one to another. */
export type DeviceContext = { purpose: DevicePurpose; server: string; account_id: string };

/** Seals what a device keeps about one account. Throws "key-length", "id-invalid", "utf8-invalid". */
export async function sealForDevice(
  key: Uint8Array,
  plaintext: Uint8Array,
  context: DeviceContext,
): Promise<SealedText> {
  return toText(await seal({ key, plaintext, associated_data: deviceContext(context) }));
}

/** The inverse. Throws "does-not-open", what `sealForDevice` throws, and for parts that are none what `openEntry` throws. */
export async function openForDevice(
  key: Uint8Array,
  sealed: SealedText,
  context: DeviceContext,
): Promise<Uint8Array<ArrayBuffer>> {
  return await open({ key, sealed: fromText(sealed), associated_data: deviceContext(context) });
}

function deviceContext({ purpose, server, account_id }: DeviceContext): Uint8Array {
  return concatPrefixed([FORMAT, "device", purpose, server, canonicalId(account_id)].map(encodeUtf8));
}

function toText({ ciphertext, iv, tag }: Sealed): SealedText {
  return { ciphertext: encodeBase64(ciphertext), iv: encodeBase64(iv), tag: encodeBase64(tag) };
}

function fromText({ ciphertext, iv, tag }: SealedText): Sealed {
  return { ciphertext: decodeBase64(ciphertext), iv: decodeBase64(iv), tag: decodeBase64(tag) };
}

/** One spelling an id (RFC 9562, section 4): two would be two contexts for one entry. */
function canonicalId(id: string): string {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(id)) {
    throw cryptoError("id-invalid", "An id is a UUID in lower case");
  }
  return id;
}

function decimal(value: number): string {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw cryptoError("number-invalid", "A number in a context is a whole one from 1 on");
  }
  return String(value);
}
