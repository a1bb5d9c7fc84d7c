/**
 * What holds an archive together. Each of its entries is sealed by itself; this says that none is missing, added, changed
 * or in another place, and that it was made by who holds the vault key.
 */
import { concatPrefixed, constantTimeEqual, cryptoError, encodeUtf8 } from "./bytes.ts";
import { deriveArchiveKey, type VaultKey } from "./keys.ts";

const MAC = { name: "HMAC", hash: "SHA-256" };

/** HMAC-SHA256 (RFC 2104) over the SHA-256 of each line, in order: 32 bytes. Lines are taken without their line end. */
export async function macLines(
  vault_key: VaultKey,
  lines: readonly Uint8Array[],
): Promise<Uint8Array<ArrayBuffer>> {
  // The digests are begun before anything is waited for: a caller may wipe or change its lines at once.
  const [digest, bytes] = await Promise.all([digestOf(lines), deriveArchiveKey(vault_key)]);
  const key = await crypto.subtle.importKey("raw", bytes, MAC, false, ["sign"]);
  bytes.fill(0);
  return new Uint8Array(await crypto.subtle.sign(MAC, key, digest));
}

/** Throws "mac-mismatch" unless `mac` is that of the lines. */
export async function verifyLines(
  vault_key: VaultKey,
  lines: readonly Uint8Array[],
  mac: Uint8Array,
): Promise<void> {
  if (!constantTimeEqual(await macLines(vault_key, lines), mac)) {
    throw cryptoError("mac-mismatch", "The archive is not as it was made");
  }
}

async function digestOf(lines: readonly Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  const digests = await Promise.all(
    lines.map((line) => crypto.subtle.digest("SHA-256", line as Uint8Array<ArrayBuffer>)),
  );
  const parts = digests.map((digest) => new Uint8Array(digest));
  return concatPrefixed([encodeUtf8("blindvault/1"), encodeUtf8("archive"), ...parts]);
}
