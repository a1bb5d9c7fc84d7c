import { basename } from "node:path";
import { openArchive } from "../client/index.ts";
import { readAll } from "./descriptors.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";
import { readFile } from "./files.ts";
import { type DetectedFormat, detectFormat } from "./import/detect.ts";
import { IMPORT_LIMITS } from "./import/limits.ts";
import { readImport } from "./import/read.ts";
import type { Imported } from "./import/result.ts";
import { givesPassword, type PasswordOptions, passwordSource, readSecret } from "./secret-input.ts";
import type { Terminal } from "./terminal.ts";

/** How a person says what a file is and what opens it. */
export type Source = PasswordOptions & {
  format?: DetectedFormat;
  keyFile?: string;
};

export type ImportFile = { name: string; bytes: Uint8Array; format: DetectedFormat };

/**
 * A file to be imported, or standard input for "-", and what format it is of. Exit code 66 where it cannot be read, 65 where it is of no format
 * that is known, 64 where what is given beside it cannot be used.
 */
export function openFile(path: string, source: Source): ImportFile {
  const stdin = path === "-";
  if (stdin && source.passwordStdin) {
    const message = "standard input is the file: give the password with --password-fd";
    throw commandFault(CLI_EXIT.usage, "stdin-twice", message);
  }
  const bytes = stdin ? readAll(0, IMPORT_LIMITS.file_bytes_max + 1) : readFile(path);
  const name = stdin ? "standard input" : basename(path);
  const format = source.format ?? orFault(() => detectFormat(bytes, name));
  assertUsed(format, source);
  return { name, bytes, format };
}

const PASSWORDS = ["keepass-kdbx", "blindvault-archive"];

/** Whoever gives what no file of this format is opened with expects something that does not happen. */
function assertUsed(format: DetectedFormat, source: Source): void {
  if (source.keyFile !== undefined && format !== "keepass-kdbx") {
    throw commandFault(CLI_EXIT.usage, "key-file-unused", `${format} takes no --key-file`);
  }
  if (givesPassword(source) && !PASSWORDS.includes(format)) {
    throw commandFault(CLI_EXIT.usage, "password-unused", `${format} has no password`);
  }
}

/** All that is in a file, asking for its password where it has one. Exit code 77 where that does not open it, 65 where it is damaged. */
export async function readContents(terminal: Terminal, file: ImportFile, source: Source): Promise<Imported> {
  const { format, bytes, name } = file;
  if (format === "blindvault-archive") {
    return readOurs(bytes, await askPassword(terminal, source, `Master password of ${name}`));
  }
  if (format !== "keepass-kdbx") return orFaultLater(readImport(format, bytes));
  const key_file = source.keyFile === undefined ? undefined : readFile(source.keyFile);
  const passphrase = await passphraseOf(terminal, source, name);
  return orFaultLater(readImport(format, bytes, { passphrase, key_file }));
}

async function askPassword(terminal: Terminal, source: Source, message: string): Promise<string> {
  return readSecret(terminal, passwordSource(source), { message, name: "password" });
}

/** A KeePass file may open with its key file alone: undefined is no password, which is not the empty one. */
async function passphraseOf(terminal: Terminal, source: Source, name: string): Promise<string | undefined> {
  if (source.keyFile === undefined) return askPassword(terminal, source, `Password of ${name}`);
  if (!givesPassword(source) && !terminal.interactive) return undefined;
  return (await askPassword(terminal, source, `Password of ${name} (empty: none)`)) || undefined;
}

async function readOurs(bytes: Uint8Array, master_password: string): Promise<Imported> {
  const { entries } = await openArchive(bytes, master_password);
  return {
    format: "blindvault-archive",
    entries: entries.map(({ content }, index) => ({ content, source: `${index + 1} (${content.name})` })),
    unmapped: [],
    refused: [],
  };
}

const EXITS: Record<string, number> = {
  "import-damaged": CLI_EXIT.data,
  "import-encrypted": CLI_EXIT.data,
  "import-unknown-format": CLI_EXIT.data,
  "import-too-large": CLI_EXIT.data,
  "import-password-wrong": CLI_EXIT.password,
};

function orFault<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw faultOf(error);
  }
}

async function orFaultLater<Value>(reading: Promise<Value>): Promise<Value> {
  return reading.catch((error) => {
    throw faultOf(error);
  });
}

function faultOf(error: unknown): unknown {
  const { code = "", message } = error as Error & { code?: string };
  const exit_code = EXITS[code];
  return exit_code === undefined ? error : commandFault(exit_code, code, message);
}
