/**
 * Encryption for trying the API in a browser with real ciphertext. It is not the vault protocol: WebCrypto has no
 * Argon2, and one key seals every entry. What is sealed here opens only here.
 */
import { open, seal } from "../../crypto/aead.ts";
import {
  concatPrefixed,
  decodeBase64,
  decodeHex,
  decodeUtf8,
  encodeBase64,
  encodeUtf8,
} from "../../crypto/bytes.ts";

/** What OWASP's Password Storage Cheat Sheet asks of PBKDF2 with SHA-256. */
const ITERATIONS = 600_000;
const KEY_BITS = 256;

/** The three fields of an entry that hold what was sealed, in base64. */
export type SealedEntry = { ciphertext: string; iv: string; tag: string };

/** PBKDF2 with HMAC-SHA-256 (RFC 8018, section 5.2). Throws "hex-invalid" for a salt that is not lower-case hex. */
export async function deriveKey(passphrase: string, salt_hex: string): Promise<Uint8Array> {
  const secret = await crypto.subtle.importKey(
    "raw",
    encodeUtf8(passphrase.normalize("NFC")),
    "PBKDF2",
    false,
    ["deriveBits"],
  );
  const algorithm = { name: "PBKDF2", hash: "SHA-256", iterations: ITERATIONS, salt: decodeHex(salt_hex) };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, secret, KEY_BITS));
}

/** Seals a text for the entry of this id: in another one it does not open. */
export async function sealEntry(key: Uint8Array, id: string, text: string): Promise<SealedEntry> {
  const sealed = await seal({ key, plaintext: encodeUtf8(text), associated_data: contextOf(id) });
  return {
    ciphertext: encodeBase64(sealed.ciphertext),
    iv: encodeBase64(sealed.iv),
    tag: encodeBase64(sealed.tag),
  };
}

/** The text of an entry. Throws "does-not-open" for another key, another id or a change of any part. */
export async function openEntry(key: Uint8Array, id: string, entry: SealedEntry): Promise<string> {
  const sealed = {
    ciphertext: decodeBase64(entry.ciphertext),
    iv: decodeBase64(entry.iv),
    tag: decodeBase64(entry.tag),
  };
  return decodeUtf8(await open({ key, sealed, associated_data: contextOf(id) }));
}

/** Starts unlike anything of the protocol's own, so that neither ever opens what the other has sealed. */
function contextOf(id: string): Uint8Array {
  return concatPrefixed(["blindvault-docs/1", "entry", id.toLowerCase()].map(encodeUtf8));
}
