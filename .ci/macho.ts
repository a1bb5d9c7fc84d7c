import { createHash } from "node:crypto";

// Bun signs what it makes for Apple silicon and leaves the signature of its own runtime, which no longer fits, in what
// it makes for Intel. macOS kills a program whose signature is broken, so that one is replaced here by an ad-hoc
// signature as Apple's linker makes it: hashes of every page, and nobody's name. The formats are those of
// <mach-o/loader.h> and <kern/cs_blobs.h>; the first is little-endian, the second big-endian.

const MACH_O_64 = 0xfeedfacf;
const SEGMENT_64 = 0x19;
const CODE_SIGNATURE = 0x1d;

const EMBEDDED_SIGNATURE = 0xfade0cc0;
const CODE_DIRECTORY = 0xfade0c02;
const DIRECTORY_BYTES = 88;
const DIRECTORY_VERSION = 0x20400;
const ADHOC_LINKER_SIGNED = 0x20002;
const SHA256 = 2;
const MAIN_BINARY = 1n;
const PAGE_BITS = 12;
const HASH_BYTES = 32;

/** The Mach-O executable with an ad-hoc signature in place of the one that it has. Throws when it is none of ours. */
export function signAdHoc(executable: Uint8Array, identifier: string): Uint8Array {
  const { signature, linkedit, text } = findParts(executable);
  const code_bytes = signature.offset;
  if (signature.offset + signature.bytes !== executable.length) {
    throw new Error("the signature is not at the end of the executable");
  }
  const pages = Math.ceil(code_bytes / 2 ** PAGE_BITS);
  const directory_bytes = DIRECTORY_BYTES + identifier.length + 1 + pages * HASH_BYTES;
  const signature_bytes = roundUp(20 + directory_bytes, 16);

  const signed = new Uint8Array(code_bytes + signature_bytes);
  signed.set(executable.subarray(0, code_bytes));
  const view = new DataView(signed.buffer);
  const linkedit_bytes = signed.length - linkedit.file_offset;
  view.setUint32(signature.command + 12, signature_bytes, true);
  view.setBigUint64(linkedit.command + 48, BigInt(linkedit_bytes), true);
  view.setBigUint64(linkedit.command + 32, BigInt(roundUp(linkedit_bytes, 0x4000)), true);

  // The commands above are on hashed pages, so they are written first.
  writeSignature(view, code_bytes, { identifier, pages, directory_bytes, text_bytes: text.file_bytes });
  return signed;
}

type Segment = { command: number; file_offset: number; file_bytes: number };

function findParts(executable: Uint8Array) {
  const view = new DataView(executable.buffer, executable.byteOffset, executable.byteLength);
  if (view.getUint32(0, true) !== MACH_O_64) throw new Error("this is no 64-bit Mach-O executable");
  const segments: Record<string, Segment> = {};
  let signature: { command: number; offset: number; bytes: number } | undefined;
  let command = 32;
  for (let left = view.getUint32(16, true); left > 0; left--) {
    const kind = view.getUint32(command, true);
    if (kind === SEGMENT_64) {
      const name = Buffer.from(executable.subarray(command + 8, command + 24)).toString("latin1");
      const file_offset = Number(view.getBigUint64(command + 40, true));
      const file_bytes = Number(view.getBigUint64(command + 48, true));
      segments[name.replace(/\0+$/, "")] = { command, file_offset, file_bytes };
    }
    if (kind === CODE_SIGNATURE) {
      const offset = view.getUint32(command + 8, true);
      signature = { command, offset, bytes: view.getUint32(command + 12, true) };
    }
    command += view.getUint32(command + 4, true);
  }
  const { __LINKEDIT: linkedit, __TEXT: text } = segments;
  if (!signature || !linkedit || !text) throw new Error("the executable has no signature to replace");
  return { signature, linkedit, text };
}

type Signature = { identifier: string; pages: number; directory_bytes: number; text_bytes: number };

function writeSignature(view: DataView, code_bytes: number, signature: Signature): void {
  const { identifier, pages, directory_bytes, text_bytes } = signature;
  const put = (at: number, ...words: number[]) => {
    for (const [index, word] of words.entries()) view.setUint32(at + 4 * index, word);
  };
  put(code_bytes, EMBEDDED_SIGNATURE, 20 + directory_bytes, 1, 0, 20);
  const directory = code_bytes + 20;
  const identifier_offset = DIRECTORY_BYTES;
  const hash_offset = identifier_offset + identifier.length + 1;
  put(directory, CODE_DIRECTORY, directory_bytes, DIRECTORY_VERSION, ADHOC_LINKER_SIGNED);
  put(directory + 16, hash_offset, identifier_offset, 0, pages, code_bytes);
  put(directory + 36, (HASH_BYTES << 24) | (SHA256 << 16) | PAGE_BITS);
  view.setBigUint64(directory + 72, BigInt(text_bytes));
  view.setBigUint64(directory + 80, MAIN_BINARY);

  const bytes = new Uint8Array(view.buffer);
  bytes.set(Buffer.from(identifier, "latin1"), directory + identifier_offset);
  for (let page = 0; page < pages; page++) {
    const start = page * 2 ** PAGE_BITS;
    const content = bytes.subarray(start, Math.min(start + 2 ** PAGE_BITS, code_bytes));
    const hash = createHash("sha256").update(content).digest();
    bytes.set(hash, directory + hash_offset + page * HASH_BYTES);
  }
}

function roundUp(bytes: number, multiple: number): number {
  return Math.ceil(bytes / multiple) * multiple;
}
