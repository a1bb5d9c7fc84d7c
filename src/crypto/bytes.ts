/**
 * Bytes and how they are spelled. Each value has one spelling and every other is an error: a parser that
 * reads several would let a hostile server change what is stored and still have it accepted. Uint8Array's own
 * base64 is of ES2026: Bun, Chrome 140, Firefox 133, Safari 18.2 and later have it; Node 22 and 24 do not, and
 * btoa and atob stand in for it.
 */

/** Base64 with the standard alphabet and padding (RFC 4648, section 4). */
export function encodeBase64(bytes: Uint8Array): string {
  return hasBase64() ? bytes.toBase64({ alphabet: "base64", omitPadding: false }) : btoa(binaryOf(bytes));
}

/**
 * The inverse of `encodeBase64`, and of nothing else: missing or surplus padding, white space, the URL
 * alphabet and padding bits that are not zero (RFC 4648, section 3.5) throw "base64-invalid".
 */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const bytes = attempt(() =>
    hasBase64()
      ? Uint8Array.fromBase64(text, { alphabet: "base64", lastChunkHandling: "strict" })
      : bytesOf(atob(text)),
  );
  // Neither is strict: both skip white space. To encode again leaves no second spelling at all.
  if (bytes === undefined || encodeBase64(bytes) !== text) {
    throw cryptoError("base64-invalid", "The text is not canonical padded base64");
  }
  return bytes;
}

function hasBase64(): boolean {
  return "fromBase64" in Uint8Array;
}

/** As many bytes as any engine takes for arguments of one call. */
const CHUNK_BYTES = 8192;

/** A character of U+0000 to U+00FF for each byte, which is how btoa takes bytes. */
function binaryOf(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK_BYTES));
  }
  return text;
}

function bytesOf(binary: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/** Two lower-case hexadecimal digits a byte (RFC 4648, section 8, whose own alphabet is upper-case). */
export function encodeHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The inverse of `encodeHex`: upper-case, a prefix, white space and half a byte throw "hex-invalid". */
export function decodeHex(text: string): Uint8Array<ArrayBuffer> {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) {
    throw cryptoError("hex-invalid", "The text is not lower-case hexadecimal");
  }
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** UTF-8 (RFC 3629). A lone surrogate throws "utf8-invalid": TextEncoder would silently make U+FFFD of it. */
export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  if (!text.isWellFormed()) throw cryptoError("utf8-invalid", "The text has a lone surrogate");
  return ENCODER.encode(text);
}

const ENCODER = new TextEncoder();

/** The inverse of `encodeUtf8`: keeps a byte order mark; ill-formed bytes throw "utf8-invalid". */
export function decodeUtf8(bytes: Uint8Array): string {
  const text = attempt(() => UTF8.decode(bytes));
  if (text === undefined) throw cryptoError("utf8-invalid", "The bytes are not well-formed UTF-8");
  return text;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const PREFIX_BYTES = 4;
const PART_BYTES_MAX = 2 ** 32 - 1;

/**
 * Each part behind its length in 4 big-endian bytes. No two lists of parts give the same bytes, which RFC
 * 5116, section 3.3, asks of associated data. A part of 4 GiB or more throws "part-too-long": its length
 * would wrap.
 */
export function concatPrefixed(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size_bytes = 0;
  for (const { length } of parts) {
    if (length > PART_BYTES_MAX) {
      throw cryptoError("part-too-long", `A part has more than ${PART_BYTES_MAX} bytes`);
    }
    size_bytes += PREFIX_BYTES + length;
  }
  const joined = new Uint8Array(size_bytes);
  let offset = 0;
  for (const part of parts) {
    // A DataView would be one more object for each of ten thousand entries.
    for (let shift = 24; shift >= 0; shift -= 8) joined[offset++] = part.length >>> shift;
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/**
 * Whether both hold the same bytes, without stopping at the first difference, so that the time tells nothing
 * of where it is. Lengths are no secret: different ones answer false at once.
 */
export function constantTimeEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= (a[index] ?? 0) ^ (b[index] ?? 0);
  return difference === 0;
}

/**
 * Makes every error that crypto/ throws. Codes are lower-kebab and stable for ever, messages may change;
 * neither has any of the input in it.
 */
export function cryptoError<Code extends string>(code: Code, message: string): Error & { code: Code } {
  return Object.assign(new Error(message), { code });
}

/** The built-in decoders throw what quotes the input in some engines; their errors end here. */
function attempt<Value>(decode: () => Value): Value | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
