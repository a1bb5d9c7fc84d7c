import { crc32, gunzipSync, inflateRawSync } from "node:zlib";
import { IMPORT_LIMITS } from "./limits.ts";
import { importError, orDamaged } from "./result.ts";

/** The part of APPNOTE.TXT that exports need: one disk, stored or deflated, below 4 GiB. */
export type Archive = { names: string[]; read(name: string): Uint8Array };

type Member = {
  name: string;
  encrypted: boolean;
  method: number;
  crc: number;
  packed: number;
  size: number;
  offset: number;
};

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const COMMENT_BYTES_MAX = 65_535;

export function isZip(bytes: Uint8Array): boolean {
  return bytes.length >= 22 && viewOf(bytes).getUint32(0, true) === LOCAL;
}

/**
 * What an archive holds, by its central directory. Only what is read is inflated, and never beyond the size that the
 * directory states and the limits allow: a bomb ends in `import-too-large` or `import-damaged`.
 */
export function openZip(bytes: Uint8Array): Archive {
  const members = orDamaged("The archive is damaged, or was cut off", () => directoryOf(bytes));
  return {
    names: [...members.keys()],
    read(name) {
      const member = members.get(name);
      if (member === undefined) throw importError("import-damaged", `The archive has no file ${name}`);
      guardSize(member);
      return orDamaged("The archive is damaged, or was cut off", () => extract(bytes, member));
    },
  };
}

/** Undoes gzip (RFC 1952) within the limits, and checks its checksum. */
export function gunzip(bytes: Uint8Array): Uint8Array {
  return inflate(() => gunzipSync(bytes, { maxOutputLength: IMPORT_LIMITS.inflated_bytes_max }));
}

function directoryOf(bytes: Uint8Array): Map<string, Member> {
  const view = viewOf(bytes);
  const end = findEnd(view);
  const count = view.getUint16(end + 10, true);
  if (count > IMPORT_LIMITS.archive_files_max) {
    throw importError("import-too-large", "The archive has too many files");
  }
  const members = new Map<string, Member>();
  let at = view.getUint32(end + 16, true);
  for (let index = 0; index < count; index++) {
    if (view.getUint32(at, true) !== CENTRAL) throw importError("import-damaged", "The archive is damaged");
    const length = view.getUint16(at + 28, true);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + length));
    members.set(name, {
      name,
      encrypted: (view.getUint16(at + 8, true) & 1) === 1,
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    });
    at += 46 + length + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return members;
}

function findEnd(view: DataView): number {
  const last = view.byteLength - 22;
  for (let at = last; at >= 0 && at >= last - COMMENT_BYTES_MAX; at--) {
    if (view.getUint32(at, true) === END) return at;
  }
  throw importError("import-damaged", "The archive has no directory: it was cut off");
}

function guardSize({ encrypted, packed, size }: Member): void {
  if (encrypted) throw importError("import-encrypted", "The archive is encrypted: unpack it first");
  const { inflated_bytes_max, inflation_ratio_max } = IMPORT_LIMITS;
  if (size > inflated_bytes_max || size > packed * inflation_ratio_max + 65_536) {
    throw importError("import-too-large", "The archive unpacks to more than any export has");
  }
}

function extract(bytes: Uint8Array, { method, crc, packed, size, offset }: Member): Uint8Array {
  const view = viewOf(bytes);
  if (view.getUint32(offset, true) !== LOCAL) throw importError("import-damaged", "The archive is damaged");
  const start = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  const data = bytes.subarray(start, start + packed);
  const content = unpack(method, data, size);
  if (content.length !== size || crc32(content) !== crc) {
    throw importError("import-damaged", "The archive is damaged: a checksum is wrong");
  }
  return content;
}

function unpack(method: number, data: Uint8Array, size: number): Uint8Array {
  if (method === 0) return data;
  if (method !== 8) throw importError("import-damaged", "The archive is packed in a way that no export is");
  return inflate(() => inflateRawSync(data, { maxOutputLength: Math.max(size, 1) }));
}

function inflate(run: () => Uint8Array): Uint8Array {
  try {
    return run();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "ERR_BUFFER_TOO_LARGE") {
      throw importError("import-too-large", "The file unpacks to more than any export has");
    }
    throw importError("import-damaged", "The packed part of the file is damaged");
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
