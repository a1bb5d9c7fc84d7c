import type { Entry, EntryContent } from "../../client/index.ts";
import { openVault } from "../account.ts";
import { assertArchivePassword, readArchive } from "../archive.ts";
import { CLIPBOARD_MS, copySecret } from "../clipboard.ts";
import type { Context } from "../command.ts";
import { CLI_EXIT, commandFault } from "../exit.ts";
import { fieldOf } from "../fields.ts";
import { findEntry, readEntries } from "../find.ts";
import type { PasswordOptions } from "../secret-input.ts";
import { printTable } from "../table.ts";
import { oneLine, printable, type Terminal } from "../terminal.ts";
import { totpCode } from "../totp.ts";
import { whole } from "./list.ts";

export type GetOptions = PasswordOptions & {
  field?: string;
  copy?: boolean;
  totp?: boolean;
  reveal?: boolean;
  archive?: string;
};

/** `blindvault get NAME`: the whole entry with its secrets masked, or one field as it is, for a pipe or the clipboard. */
export async function get(context: Context, name: string, options: GetOptions): Promise<undefined> {
  const { terminal } = context;
  const entry = findEntry(terminal, await entriesOf(context, options), name);
  if (options.totp) return giveCode(terminal, entry, options.copy ?? false);
  if (options.copy) return copyField(terminal, entry, options.field ?? "password");
  if (options.field !== undefined) return giveField(terminal, entry, options.field);
  terminal.give(whole(entry), () => printEntry(terminal, entry.content, options.reveal ?? false));
}

async function entriesOf(context: Context, options: GetOptions): Promise<Entry[]> {
  assertArchivePassword(options);
  if (options.archive !== undefined) return (await readArchive(context, options.archive, options)).entries;
  return readEntries(context.terminal, await openVault(context));
}

async function giveCode(terminal: Terminal, { content }: Entry, copy: boolean): Promise<undefined> {
  if (content.totp === undefined) {
    throw commandFault(
      CLI_EXIT.not_found,
      "field-not-found",
      oneLine(`"${content.name}" has no TOTP secret`),
    );
  }
  const { code, valid_s } = await totpCode(content.totp, Date.now());
  if (copy) {
    await copySecret(code);
    terminal.give({ copied: "code", valid_s }, () => undefined);
  } else {
    terminal.give({ code, valid_s }, () => terminal.print(code));
  }
  terminal.say(copy ? `The code is in the clipboard, and good for ${valid_s} s.` : `Good for ${valid_s} s.`);
}

async function copyField(terminal: Terminal, entry: Entry, field: string): Promise<undefined> {
  await copySecret(fieldOf(entry, field));
  terminal.say(`The ${field} of ${entry.content.name} is in the clipboard for ${CLIPBOARD_MS / 1000} s.`);
  terminal.give({ copied: field, clears_s: CLIPBOARD_MS / 1000 }, () => undefined);
}

/** To a pipe goes the field to the byte and a line end; a terminal is not to obey what is in it. */
function giveField(terminal: Terminal, entry: Entry, field: string): undefined {
  const value = fieldOf(entry, field);
  terminal.give({ field, value }, () => terminal.print(terminal.printsToTerminal ? printable(value) : value));
}

const MASK = "••••••••";

function printEntry(terminal: Terminal, content: EntryContent, reveal: boolean): void {
  const secret = (value: string | undefined) => (value === undefined || reveal ? value : MASK);
  const rows: [string, string | undefined][] = [
    ["name", content.name],
    ["type", content.type],
    ["username", content.username],
    ["password", secret(content.password)],
    ...(content.uris ?? []).map((uri): [string, string] => ["uri", uri]),
    ["totp", secret(content.totp)],
    ...(content.fields ?? []).map(({ name, value, hidden }): [string, string | undefined] => [
      name,
      hidden ? secret(value) : value,
    ]),
    ["tags", content.tags?.join(", ")],
  ];
  printTable(
    terminal,
    rows.filter((row): row is [string, string] => row[1] !== undefined),
  );
  if (content.notes !== undefined) terminal.print(`\n${printable(content.notes)}`);
}
