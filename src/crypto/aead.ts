/**
 * AES-256-GCM as NIST SP 800-38D and RFC 5116, section 5.2 (AEAD_AES_256_GCM) have it, and nothing beside it:
 * 256-bit keys, 96-bit nonces, 128-bit tags, associated data always.
 *
 * One nonce used twice with one key gives away both plaintexts' difference and the power to forge (RFC 5116,
 * section 5.1.1). So nobody can pass one: `seal` draws 96 random bits (SP 800-38D, section 8.2.2), which is
 * good for 2^32 messages a key (section 8.3): then two nonces are the same with a chance of 2^-33. A key here
 * belongs to one entry, or wraps one vault key, and seals once a change: with a change every second that
 * takes 136 years.
 *
 * GCM commits to no key: whoever knows two keys can make one message that opens under both. Who must know
 * that no other key was meant compares a commitment before opening.
 */
import { cryptoError } from "./bytes.ts";

const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** What the server stores: as many bytes of ciphertext as there were of plaintext, 12 of iv, 16 of tag. */
export type Sealed = { ciphertext: Uint8Array; iv: Uint8Array; tag: Uint8Array };

/**
 * Encrypts `plaintext`, which may be empty, and binds it to `associated_data`, which may not and which has to
 * be unambiguous: `concatPrefixed` makes it so. The inputs are copied before the call returns its promise; a
 * caller may wipe them at once. Throws "key-length", "associated-data-empty".
 */
export async function seal(input: {
  key: Uint8Array;
  plaintext: Uint8Array;
  associated_data: Uint8Array;
}): Promise<Sealed> {
  const plaintext = new Uint8Array(input.plaintext);
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const algorithm = gcm(iv, input.associated_data);
  const key = await importKey(input.key, "encrypt");
  const sealed = new Uint8Array(await crypto.subtle.encrypt(algorithm, key, plaintext));
  // WebCrypto appends the tag. Copies, not views: who sends one's buffer must not send the other's with it.
  const ciphertext = sealed.slice(0, -TAG_BYTES);
  const tag = sealed.slice(-TAG_BYTES);
  return { ciphertext, iv, tag };
}

/**
 * Gives the plaintext, or throws "does-not-open" for a wrong key, other associated data or any change of a
 * part: RFC 5116, section 2.2, knows one FAIL, and whoever tampers is to learn no more. Copies as `seal`
 * does. Parts of the wrong size throw "key-length", "iv-length", "tag-length", "associated-data-empty".
 */
export async function open(input: {
  key: Uint8Array;
  sealed: Sealed;
  associated_data: Uint8Array;
}): Promise<Uint8Array<ArrayBuffer>> {
  const { ciphertext, iv, tag } = input.sealed;
  // SP 800-38D, section 5.2.1.2, allows shorter tags, and each bit less makes a forgery twice as likely.
  if (tag.length !== TAG_BYTES) throw cryptoError("tag-length", `A tag has ${TAG_BYTES} bytes`);
  const message = new Uint8Array(ciphertext.length + TAG_BYTES);
  message.set(ciphertext);
  message.set(tag, ciphertext.length);
  const algorithm = gcm(iv, input.associated_data);
  const key = await importKey(input.key, "decrypt");
  try {
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, message));
  } catch {
    throw cryptoError("does-not-open", "The message does not open: it, its key or its context is another");
  }
}

/** The parameters, none left to a default, with copies of what they hold. */
function gcm(iv: Uint8Array, associated_data: Uint8Array) {
  // Any other length goes through GHASH, where different ivs can meet (SP 800-38D, sections 5.2.1.1 and 7.1).
  if (iv.length !== IV_BYTES) throw cryptoError("iv-length", `An iv has ${IV_BYTES} bytes`);
  if (associated_data.length === 0) {
    throw cryptoError(
      "associated-data-empty",
      "Associated data says what the message is, and cannot be empty",
    );
  }
  return {
    name: "AES-GCM",
    iv: new Uint8Array(iv),
    additionalData: new Uint8Array(associated_data),
    tagLength: TAG_BYTES * 8,
  };
}

/**
 * WebCrypto would take keys of 16 and 24 bytes too, and be AES-128 or AES-192. What it makes of the bytes
 * cannot be read back and serves one operation.
 */
async function importKey(bytes: Uint8Array, usage: "encrypt" | "decrypt"): Promise<CryptoKey> {
  if (bytes.length !== KEY_BYTES) throw cryptoError("key-length", `A key has ${KEY_BYTES} bytes`);
  return await crypto.subtle.importKey("raw", new Uint8Array(bytes), "AES-GCM", false, [usage]);
}
