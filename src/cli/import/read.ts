import type { ImportFormat } from "./detect.ts";
import type { KdbxKey } from "./kdbx-open.ts";
import { asImportError, guardFileSize, type Imported } from "./result.ts";

/**
 * Reads a file of a known format. Each reader, and the libraries behind it, is loaded when its format is read. Throws
 * errors of `importError` and no others; `options` are for KeePass files.
 */
export async function readImport(
  format: ImportFormat,
  bytes: Uint8Array,
  options: KdbxKey = {},
): Promise<Imported> {
  guardFileSize(bytes);
  try {
    return await READERS[format](bytes, options);
  } catch (error) {
    throw asImportError(error, "The file is damaged: it is not what the format allows");
  }
}

type Reader = (bytes: Uint8Array, options: KdbxKey) => Promise<Imported>;

const READERS: Record<ImportFormat, Reader> = {
  "bitwarden-json": async (bytes) => (await import("./bitwarden-json.ts")).readBitwardenJson(bytes),
  "bitwarden-csv": async (bytes) => (await import("./bitwarden-csv.ts")).readBitwardenCsv(bytes),
  "1password-1pux": async (bytes) => (await import("./onepux.ts")).readOnePux(bytes),
  "1password-csv": async (bytes) => (await import("./onepassword-csv.ts")).readOnePasswordCsv(bytes),
  "keepass-kdbx": async (bytes, key) => (await import("./kdbx.ts")).readKdbx(bytes, key),
  "chrome-csv": async (bytes) => (await import("./chrome-csv.ts")).readChromeCsv(bytes),
  "firefox-csv": async (bytes) => (await import("./firefox-csv.ts")).readFirefoxCsv(bytes),
  "lastpass-csv": async (bytes) => (await import("./lastpass-csv.ts")).readLastPassCsv(bytes),
  "protonpass-json": async (bytes) => (await import("./protonpass-json.ts")).readProtonPass(bytes),
  "blindvault-csv": async (bytes) => (await import("./blindvault-csv.ts")).readBlindvaultCsv(bytes),
};
