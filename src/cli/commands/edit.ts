import type { Conflict, Entry, EntryContent, EntryPatch } from "../../client/index.ts";
import { openVault } from "../account.ts";
import type { Context } from "../command.ts";
import { type ContentOptions, contentFromOptions, contentFromStdin, REMOVABLE } from "../content-input.ts";
import { CLI_EXIT, commandFault } from "../exit.ts";
import { findEntry, findExactly, findToChange, isMeant, readEntries } from "../find.ts";
import { askChoice, askSecret, askText, askYes } from "../prompts.ts";
import { oneLine, type Terminal } from "../terminal.ts";
import { whole } from "./list.ts";

export type AddOptions = ContentOptions & { fromStdin?: boolean };

/** `blindvault add [NAME]`: stores a new entry, told by flags, by JSON on standard input, or by answers. */
export async function add(
  context: Context,
  name: string | undefined,
  options: AddOptions,
): Promise<undefined> {
  const { terminal } = context;
  // Before any question: nobody is to answer them all and then hear that the vault is locked.
  const vault = await openVault(context);
  const entry = await vault.add(await newContent(terminal, name, options));
  giveStored(terminal, entry, "Stored");
}

async function newContent(
  terminal: Terminal,
  name: string | undefined,
  options: AddOptions,
): Promise<EntryContent> {
  const told = await contentFromOptions(terminal, options);
  if (options.fromStdin) {
    const given = contentFromStdin();
    return { type: "login", ...given, ...told, ...(name !== undefined && { name }) } as EntryContent;
  }
  const content = { type: "login", ...told, name: name ?? (await askName(terminal)) } as const;
  const bare = Object.keys(told).length === 0 && terminal.interactive;
  return bare ? { ...content, ...(await askLogin(terminal)) } : content;
}

async function askName(terminal: Terminal): Promise<string> {
  return askText(terminal, "Name", "give the name as the first argument");
}

/** The questions for a login that no flag tells anything of; an empty answer leaves a field out. */
async function askLogin(terminal: Terminal): Promise<Partial<EntryContent>> {
  const username = await askText(terminal, "Username", "give it with --username");
  const password = await askSecret(terminal, "Password (empty: none)", "give it with --password-stdin");
  const uri = await askText(terminal, "Address", "give it with --uri");
  return {
    ...(username !== "" && { username }),
    ...(password !== "" && { password }),
    ...(uri !== "" && { uris: [uri] }),
  };
}

export type EditOptions = AddOptions & { name?: string; remove?: string[] };

/** `blindvault edit NAME`: changes what the flags name, and leaves the rest as it is. */
export async function edit(context: Context, name: string, options: EditOptions): Promise<undefined> {
  const { terminal } = context;
  const vault = await openVault(context);
  const patch = await patchFrom(terminal, options);
  const entry = await findToChange(terminal, await readEntries(terminal, vault), name);
  const asked = Object.keys(patch).length === 0 ? await askPatch(terminal, entry.content) : patch;
  const changed = await vault.update(entry.id, withFields(entry.content, asked), (conflict) =>
    decide(terminal, conflict),
  );
  giveStored(terminal, changed, "Changed");
}

/** Custom fields are named one by one: those that no flag names stay. */
function withFields(content: EntryContent, patch: EntryPatch): EntryPatch {
  if (patch.fields == null) return patch;
  const named = new Set(patch.fields.map(({ name }) => name));
  const kept = (content.fields ?? []).filter(({ name }) => !named.has(name));
  return { ...patch, fields: [...kept, ...patch.fields] };
}

async function patchFrom(terminal: Terminal, options: EditOptions): Promise<EntryPatch> {
  const removed = (options.remove ?? []).map((field) => {
    const known = REMOVABLE.find((each) => each === field);
    if (known === undefined) {
      throw commandFault(CLI_EXIT.usage, "field-unknown", `--remove takes one of ${REMOVABLE.join(", ")}`);
    }
    return [known, null];
  });
  return {
    ...(options.fromStdin ? contentFromStdin() : {}),
    ...(await contentFromOptions(terminal, options)),
    ...(options.name !== undefined && { name: options.name }),
    ...Object.fromEntries(removed),
  };
}

async function askPatch(terminal: Terminal, content: EntryContent): Promise<EntryPatch> {
  const instead = "say what is to change with --name, --username, --password-stdin, …";
  const name = await askText(terminal, "Name", instead, content.name);
  const username = await askText(terminal, "Username", instead, content.username ?? "");
  const password = await askSecret(terminal, "Password (empty: as it is)", instead);
  const uri = await askText(terminal, "Address", instead, content.uris?.[0] ?? "");
  const uris = [uri, ...(content.uris ?? []).slice(1)].filter((each) => each !== "");
  return {
    name,
    username: username === "" ? null : username,
    uris: uris.length === 0 ? null : uris,
    ...(password !== "" && { password }),
  };
}

/** The same field was changed here and elsewhere: only a person can say which is meant. */
async function decide(terminal: Terminal, conflict: Conflict): Promise<EntryContent | undefined> {
  if (!terminal.interactive) return undefined;
  const choice = await askChoice(
    terminal,
    `"${oneLine(conflict.theirs.name)}" was changed elsewhere too: ${conflict.fields.join(", ")}`,
    [
      { value: "ours", label: "keep what I have just entered" },
      { value: "theirs", label: "keep what was entered elsewhere" },
    ],
    "run it again",
  );
  const { merged, theirs, fields } = conflict;
  return choice === "ours"
    ? merged
    : { ...merged, ...Object.fromEntries(fields.map((field) => [field, theirs[field]])) };
}

/** `blindvault rm NAME`: deletes for good, after a word of confirmation or --yes. */
export async function remove(context: Context, name: string, options: { yes?: boolean }): Promise<undefined> {
  const { terminal } = context;
  const vault = await openVault(context);
  const entries = await readEntries(terminal, vault);
  const entry = options.yes ? findExactly(entries, name) : findEntry(terminal, entries, name);
  const certain = options.yes || (await askYes(terminal, sentence(entry, name), "say so with --yes"));
  if (!certain) throw commandFault(CLI_EXIT.cancelled, "cancelled", "nothing was deleted");
  await vault.remove(entry.id);
  terminal.say(`Deleted: ${entry.content.name}`);
  terminal.give({ id: entry.id, deleted: true }, () => undefined);
}

function sentence(entry: Entry, name: string): string {
  const guess = isMeant(entry, name) ? "" : ` (for "${name}")`;
  return oneLine(`Delete "${entry.content.name}"${guess} for good?`);
}

function giveStored(terminal: Terminal, entry: Entry, done: string): void {
  terminal.say(`${done}: ${entry.content.name}`);
  // The secrets are known to whoever gave them; they need not go into a log of the output.
  const { password: _, totp: __, fields: ___, ...rest } = whole(entry);
  terminal.give(rest, () => undefined);
}
