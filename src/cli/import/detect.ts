import type { IMPORT_FORMATS } from "../formats.ts";
import { BLINDVAULT_COLUMNS } from "./blindvault-csv.ts";
import { headerOf } from "./csv.ts";
import { PROTON_DATA, PROTON_ENCRYPTED } from "./protonpass-json.ts";
import { guardFileSize, importError } from "./result.ts";
import { isRecord } from "./take.ts";
import { decodeText, parseJson } from "./text.ts";
import { isZip, openZip } from "./zip.ts";

/** What a file can be found to be. Our own archive is opened with the master password elsewhere. */
export type DetectedFormat = (typeof IMPORT_FORMATS)[number];
/** What `readImport` reads. */
export type ImportFormat = Exclude<DetectedFormat, "blindvault-archive">;

/**
 * Which format a file is of, by what is in it; its name only helps to say what is wrong. Throws
 * `import-unknown-format`, `import-encrypted`, or what makes the file unreadable.
 */
export function detectFormat(bytes: Uint8Array, file_name: string): DetectedFormat {
  guardFileSize(bytes);
  if (bytes.length === 0) throw importError("import-unknown-format", "The file is empty");
  const found = bySignature(bytes) ?? byText(bytes);
  if (found !== undefined) return found;
  const hint = HINTS.find(([ending]) => file_name.toLowerCase().endsWith(ending))?.[1];
  throw importError(
    "import-unknown-format",
    hint ?? "The file is of no format that can be imported: say which one it is if it should be",
  );
}

const HINTS: readonly (readonly [string, string])[] = [
  [".1pif", "1Password's .1pif is of old versions: export as .1pux or .csv"],
  [".kdb", "KeePass 1's .kdb is not read: open it in KeePass 2 or KeePassXC and save it as .kdbx"],
  [".xml", "An XML export is not read: import the .kdbx file itself"],
  [".html", "An HTML export is not read: export as CSV or JSON"],
];

function bySignature(bytes: Uint8Array): DetectedFormat | undefined {
  const start = bytes.subarray(0, 8).toHex();
  if (start === "03d9a29a67fb4bb5") return "keepass-kdbx";
  if (start === "03d9a29a65fb4bb5") throw importError("import-unknown-format", HINTS[1]?.[1] ?? "");
  if (!isZip(bytes)) return undefined;
  const { names } = openZip(bytes);
  if (names.includes("export.data")) return "1password-1pux";
  if (names.includes(PROTON_DATA) || names.includes(PROTON_ENCRYPTED)) return "protonpass-json";
  if (names.includes("data.json")) return "bitwarden-json";
  throw importError("import-unknown-format", "The archive is no export that can be imported");
}

function byText(bytes: Uint8Array): DetectedFormat | undefined {
  const text = decodeText(bytes);
  if (text.startsWith("-----BEGIN PGP MESSAGE-----")) {
    throw importError(
      "import-encrypted",
      "The file is encrypted with PGP: decrypt it, or export again without",
    );
  }
  if (!/^\s*[{[]/.test(text.slice(0, 4096))) return byHeader(headerOf(text));
  return isArchive(text) ? "blindvault-archive" : byJson(parseJson(bytes));
}

const FIRST_LINE_CHARACTERS_MAX = 65_536;

function isArchive(text: string): boolean {
  const end = text.indexOf("\n");
  if (end < 0 || end > FIRST_LINE_CHARACTERS_MAX) return false;
  try {
    const first: unknown = JSON.parse(text.slice(0, end));
    return isRecord(first) && first.format === "blindvault-archive";
  } catch {
    return false;
  }
}

function byJson(root: unknown): ImportFormat | undefined {
  if (!isRecord(root)) return undefined;
  if (isRecord(root.vaults) || ("userId" in root && "encrypted" in root)) return "protonpass-json";
  if (Array.isArray(root.items) || "encrypted" in root) return "bitwarden-json";
  return undefined;
}

/** Columns that a format has, the most telling first: each header below fits none above it. */
const HEADERS: readonly (readonly [ImportFormat, readonly string[]])[] = [
  ["blindvault-csv", BLINDVAULT_COLUMNS],
  ["bitwarden-csv", ["login_uri", "login_username", "login_password"]],
  ["lastpass-csv", ["url", "username", "password", "extra", "name", "grouping"]],
  ["firefox-csv", ["url", "username", "password", "httprealm", "formactionorigin"]],
  ["1password-csv", ["title", "username", "password"]],
  ["1password-csv", ["title", "notes"]],
  ["chrome-csv", ["name", "url", "username", "password"]],
];

function byHeader(header: string[]): ImportFormat | undefined {
  return HEADERS.find(([, columns]) => columns.every((column) => header.includes(column)))?.[0];
}
