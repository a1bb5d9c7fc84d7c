import type { EntryContent } from "../../client/index.ts";
import { openVault } from "../account.ts";
import { readArchive } from "../archive.ts";
import type { Context } from "../command.ts";
import { writeAll } from "../descriptors.ts";
import { CLI_EXIT, commandFault } from "../exit.ts";
import { assertPlace, writeNewFile } from "../files.ts";
import type { ExportFormat } from "../formats.ts";
import { askYes } from "../prompts.ts";
import { givesPassword, type PasswordOptions, readNewSecret } from "../secret-input.ts";
import type { Terminal } from "../terminal.ts";

export type ExportOptions = PasswordOptions & {
  format: ExportFormat;
  from?: string;
  yes?: boolean;
  force?: boolean;
  filePasswordStdin?: boolean;
  filePasswordFd?: string;
};

/** Standard output, for a pipe into another program. */
const STDOUT = "-";

/**
 * `blindvault export FILE`: everything in one file, which is there whole or not at all. With --from an archive is turned into
 * another format, without a server.
 */
export async function exportFile(context: Context, path: string, options: ExportOptions): Promise<undefined> {
  const { terminal } = context;
  const { format, force = false } = options;
  assertUsed(options);
  if (path === STDOUT) assertPiped(terminal);
  else assertPlace(path, force);
  await confirm(terminal, options);
  const { bytes, entries } = await make(context, options);
  const told =
    entries === undefined ? "The vault is" : entries === 1 ? "1 entry is" : `${entries} entries are`;
  if (path === STDOUT) {
    writeOut(bytes);
    terminal.say(`${told} written.`);
    return;
  }
  writeNewFile(path, bytes, force);
  terminal.say(`${told} in ${path}.`);
  terminal.give({ file: path, format, bytes: bytes.length }, () => undefined);
}

/**
 * A password that nothing is done with is a mistake, and not a harmless one: of two on standard input the first would lock the
 * file that the second was meant for.
 */
function assertUsed(options: ExportOptions): void {
  const { format, from, filePasswordStdin, filePasswordFd } = options;
  if (format === "archive" && from !== undefined) {
    throw usage("format-same", "an archive is one already: choose another --format");
  }
  if (givesPassword(options) && from === undefined) {
    throw usage("password-unused", "the master password goes with --from; blindvault unlock opens the vault");
  }
  if ((filePasswordStdin || filePasswordFd !== undefined) && format !== "kdbx") {
    throw usage("password-unused", "a password for the file goes with --format kdbx");
  }
}

/** What is in an entry would be obeyed by a terminal, and stay in its history. */
function assertPiped(terminal: Terminal): void {
  if (!terminal.printsToTerminal) return;
  throw usage("output-terminal", "an export is not shown on a terminal: name a file, or a pipe");
}

function usage(code: string, message: string): Error {
  return commandFault(CLI_EXIT.usage, code, message);
}

function writeOut(bytes: Uint8Array): void {
  if (writeAll(1, bytes)) return;
  const message = "whoever was to read the export has gone before its end";
  throw commandFault(CLI_EXIT.cannot_create, "output-closed", message);
}

async function confirm(terminal: Terminal, { format, yes }: ExportOptions): Promise<void> {
  if (yes || format === "archive" || format === "kdbx") return;
  const message = "Whoever gets this file reads every password in it. Write it?";
  if (await askYes(terminal, message, "say so with --yes")) return;
  throw commandFault(CLI_EXIT.cancelled, "cancelled", "nothing was written");
}

async function make(
  context: Context,
  options: ExportOptions,
): Promise<{ bytes: Uint8Array; entries?: number }> {
  if (options.format === "archive") {
    return { bytes: await (await openVault(context)).exportEncrypted() };
  }
  const contents = await contentsOf(context, options);
  return { bytes: await encode(context.terminal, options, contents), entries: contents.length };
}

/** A plaintext export lacks nothing in silence: one entry that is not to be trusted ends it. */
async function contentsOf(context: Context, options: ExportOptions): Promise<EntryContent[]> {
  const entries =
    options.from === undefined
      ? await (await openVault(context)).list()
      : (await readArchive(context, options.from, options)).entries;
  return entries.map(({ content }) => content);
}

async function encode(
  terminal: Terminal,
  options: ExportOptions,
  contents: readonly EntryContent[],
): Promise<Uint8Array> {
  switch (options.format) {
    case "bitwarden-json":
      return (await import("../export/bitwarden-json.ts")).exportBitwardenJson(contents);
    case "csv":
      return (await import("../export/csv.ts")).exportCsv(contents);
    default: {
      const source = { stdin: options.filePasswordStdin, fd: options.filePasswordFd };
      const prompt = { message: "A password for the KDBX file", name: "file-password" };
      const password = await readNewSecret(terminal, source, prompt);
      if (password === "") throw usage("password-empty", "a KDBX file without a password is no secret");
      return (await import("../export/kdbx.ts")).exportKdbx(contents, password);
    }
  }
}
