/**
 * Padding, so that the length of a ciphertext says little of what is in it. ISO/IEC 7816-4: a byte 0x80, then zeros, which
 * can be told from content of any kind.
 */
import { cryptoError } from "./bytes.ts";

const BLOCK_BYTES = 256;
const BLOCKS_UP_TO_BYTES = 4096;
const MARK = 0x80;

/** How long `length` bytes are once padded. */
export function paddedLength(length: number): number {
  const with_mark = length + 1;
  if (with_mark <= BLOCKS_UP_TO_BYTES) return Math.ceil(with_mark / BLOCK_BYTES) * BLOCK_BYTES;
  return padme(with_mark);
}

/**
 * Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", PoPETs 2019, section
 * 4): only the leading bits of a length remain, so that O(log log n) bits leak, for at most 12% more bytes.
 */
function padme(length: number): number {
  const exponent = floorLog2(length);
  const kept_bits = floorLog2(exponent) + 1;
  const step = 2 ** (exponent - kept_bits);
  return Math.ceil(length / step) * step;
}

/** Exact, which no language promises of Math.log2, and beyond the 32 bits of Math.clz32 too. */
function floorLog2(value: number): number {
  return value < 2 ** 32 ? 31 - Math.clz32(value) : 32 + floorLog2(value / 2 ** 32);
}

/** A copy of `bytes`, padded to a multiple of 256 up to 4 KiB and by Padmé beyond. */
export function pad(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const padded = new Uint8Array(paddedLength(bytes.length));
  padded.set(bytes);
  padded[bytes.length] = MARK;
  return padded;
}

/**
 * The inverse of `pad`, and of nothing else: without the mark, or with more or less padding than `pad` gives, it throws
 * "padding-invalid". Only ever called on what was authentic: there is no padding oracle to fear.
 */
export function unpad(padded: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = padded.findLastIndex((byte) => byte !== 0);
  if (length < 0 || padded[length] !== MARK || paddedLength(length) !== padded.length) {
    throw cryptoError("padding-invalid", "The padding is none of this format");
  }
  return new Uint8Array(padded.subarray(0, length));
}
