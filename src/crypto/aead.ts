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

/** 32 bytes, or a key of WebCrypto's: of AES-GCM, with 256 bits, for the operation that it is to serve. */
export type AeadKey = Uint8Array | CryptoKey;

/**
 * Encrypts `plaintext`, which may be empty, and binds it to `associated_data`, which may not and which has to
 * be unambiguous: `concatPrefixed` makes it so. The inputs are copied before the call returns its promise; a
 * caller may wipe them at once. Throws "key-length", "key-usage", "associated-data-empty".
 */
export async function seal(input: {
  key: AeadKey;
  plaintext: Uint8Array;
  associated_data: Uint8Array;
}): Promise<Sealed> {
  const { key, plaintext: bytes, associated_data } = input;
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const sealed = new Uint8Array(await apply("encrypt", key, { iv, associated_data, bytes }));
  // WebCrypto appends the tag. Copies, not views: who sends the buffer of one must not send the other with it.
  return { ciphertext: sealed.slice(0, -TAG_BYTES), iv, tag: sealed.slice(-TAG_BYTES) };
}

/**
 * Gives the plaintext, or throws "does-not-open" for a wrong key, other associated data or any change of a
 * part: RFC 5116, section 2.2, knows one FAIL, and whoever tampers is to learn no more. Copies as `seal`
 * does. Parts of the wrong size throw "key-length", "iv-length", "tag-length", "associated-data-empty", and a
 * key that is not for opening "key-usage".
 */
export async function open(input: {
  key: AeadKey;
  sealed: Sealed;
  associated_data: Uint8Array;
}): Promise<Uint8Array<ArrayBuffer>> {
  const { ciphertext, iv, tag } = input.sealed;
  // SP 800-38D, section 5.2.1.2, allows shorter tags, and each bit less makes a forgery twice as likely.
  if (tag.length !== TAG_BYTES) throw cryptoError("tag-length", `A tag has ${TAG_BYTES} bytes`);
  const bytes = new Uint8Array(ciphertext.length + TAG_BYTES);
  bytes.set(ciphertext);
  bytes.set(tag, ciphertext.length);
  const { key, associated_data } = input;
  return new Uint8Array(await apply("decrypt", key, { iv, associated_data, bytes }));
}

type Usage = "encrypt" | "decrypt";

/** What WebCrypto's operation takes beside the key. */
type Message = { iv: Uint8Array; associated_data: Uint8Array; bytes: Uint8Array };

/**
 * WebCrypto copies what it is given before it returns its promise. So copies of ours are needed only where the
 * key has to be imported first, which takes a turn of the event loop.
 */
async function apply(usage: Usage, key: AeadKey, message: Message): Promise<ArrayBuffer> {
  const { iv, associated_data, bytes } = message;
  // Any other length goes through GHASH, where different ivs can meet (SP 800-38D, sections 5.2.1.1 and 7.1).
  if (iv.length !== IV_BYTES) throw cryptoError("iv-length", `An iv has ${IV_BYTES} bytes`);
  if (associated_data.length === 0) {
    throw cryptoError(
      "associated-data-empty",
      "Associated data says what the message is, and cannot be empty",
    );
  }
  if (!(key instanceof Uint8Array)) return await operate(usage, requireKey(usage, key), message);
  // Not by `slice`, which gives a view where the bytes are a Buffer of Node's.
  const copies = {
    iv: new Uint8Array(iv),
    associated_data: new Uint8Array(associated_data),
    bytes: new Uint8Array(bytes),
  };
  return await operate(usage, await importKey(usage, key), copies);
}

/** The one call of WebCrypto's, with no parameter left to a default. */
function operate(usage: Usage, key: CryptoKey, message: Message): Promise<ArrayBuffer> {
  const { iv, associated_data, bytes } = message as { [part in keyof Message]: Uint8Array<ArrayBuffer> };
  const algorithm = { name: "AES-GCM", iv, additionalData: associated_data, tagLength: TAG_BYTES * 8 };
  if (usage === "encrypt") return crypto.subtle.encrypt(algorithm, key, bytes);
  return crypto.subtle.decrypt(algorithm, key, bytes).catch(() => {
    throw cryptoError("does-not-open", "The message does not open: it, its key or its context is another");
  });
}

/**
 * WebCrypto would take keys of other sizes too, and be AES-128 or AES-192. A key for the other operation it
 * refuses, which would look as if the message had been tampered with.
 */
function requireKey(usage: Usage, key: CryptoKey): CryptoKey {
  const { name, length } = key.algorithm as AesKeyAlgorithm;
  if (name !== "AES-GCM" || length !== KEY_BYTES * 8) throw keyLength();
  if (!key.usages.includes(usage)) throw cryptoError("key-usage", "The key serves another operation");
  return key;
}

/** What WebCrypto makes of the bytes cannot be read back and serves one operation. */
async function importKey(usage: Usage, bytes: Uint8Array): Promise<CryptoKey> {
  if (bytes.length !== KEY_BYTES) throw keyLength();
  return await crypto.subtle.importKey("raw", bytes as Uint8Array<ArrayBuffer>, "AES-GCM", false, [usage]);
}

function keyLength() {
  return cryptoError("key-length", `A key has ${KEY_BYTES} bytes`);
}
