import { type Entry, isNamed, searchEntries, type Vault, type VaultError } from "../client/index.ts";
import { CLI_EXIT, commandFault, ERRORS } from "./exit.ts";
import { askYes } from "./prompts.ts";
import { oneLine, type Terminal } from "./terminal.ts";

const CANDIDATES_MAX = 10;

/** The entries of a vault; what is wrong with others is told, and does not stand in the way. */
export async function readEntries(terminal: Terminal, vault: Vault): Promise<Entry[]> {
  const { entries, problems } = await vault.scan();
  warnOf(terminal, problems);
  return entries;
}

/** Tells what is wrong with entries or with the list, and what can be done about it. */
export function warnOf(terminal: Terminal, problems: readonly VaultError[]): void {
  for (const { code, message, details } of problems) {
    const hint = ERRORS[code]?.[1];
    terminal.warn(hint === undefined ? message : `${message} (${hint})`, { code, ids: details.ids ?? [] });
  }
}

/**
 * The one entry that `name` means: its id, its exact name, or the only one that resembles it. Where it could be several, they are
 * listed and none is taken: a guess could hand out the wrong secret.
 */
export function findEntry(terminal: Terminal, entries: readonly Entry[], name: string): Entry {
  const entry = findNearest(entries, name);
  if (!isMeant(entry, name)) terminal.say(`"${name}" is taken for "${entry.content.name}".`);
  return entry;
}

/** The same for what cannot be undone: a name that only resembles the entry's has to be confirmed by somebody. */
export async function findToChange(
  terminal: Terminal,
  entries: readonly Entry[],
  name: string,
): Promise<Entry> {
  const entry = findNearest(entries, name);
  if (isMeant(entry, name)) return entry;
  if (!terminal.interactive) throw noneCalled(entry, name);
  if (await askYes(terminal, `Do you mean "${oneLine(entry.content.name)}"?`, "give its whole name"))
    return entry;
  throw commandFault(CLI_EXIT.cancelled, "cancelled", "nothing was changed");
}

/** The same without anybody to ask: the id, or the exact name. */
export function findExactly(entries: readonly Entry[], name: string): Entry {
  const entry = findNearest(entries, name);
  if (isMeant(entry, name)) return entry;
  throw noneCalled(entry, name);
}

/** Whether a name is the entry's own, and no guess. */
export function isMeant(entry: Entry, name: string): boolean {
  return isNamed(entry, name) || entry.id === name.toLowerCase();
}

function noneCalled({ content }: Entry, name: string): Error {
  const message = `no entry is called "${oneLine(name)}"; the nearest is "${oneLine(content.name)}"`;
  return commandFault(CLI_EXIT.not_found, "entry-not-found", message);
}

function findNearest(entries: readonly Entry[], name: string): Entry {
  const by_id = entries.find(({ id }) => id === name.toLowerCase());
  if (by_id !== undefined) return by_id;
  const exact = entries.filter((entry) => isNamed(entry, name));
  const part = name.toLowerCase();
  const named =
    exact.length > 0 ? exact : entries.filter(({ content }) => content.name.toLowerCase().includes(part));
  // What has the words in its name is meant, and not what is nearly so written.
  const found = named.length > 0 ? named : searchEntries(entries, name);
  if (found.length === 1 && found[0] !== undefined) return found[0];
  if (found.length === 0)
    throw commandFault(CLI_EXIT.not_found, "entry-not-found", `no entry is like "${oneLine(name)}"`);
  const shown = found.slice(0, CANDIDATES_MAX).map((entry) => `  ${describe(entry)}`);
  const more = found.length > CANDIDATES_MAX ? [`  and ${found.length - CANDIDATES_MAX} more`] : [];
  const message = [
    `"${oneLine(name)}" could be any of these; say which by its name or id:`,
    ...shown,
    ...more,
  ].join("\n");
  throw commandFault(CLI_EXIT.ambiguous, "entry-ambiguous", message);
}

function describe({ id, content }: Entry): string {
  const username = content.username === undefined ? "" : ` (${content.username})`;
  return `${oneLine(content.name + username)}  ${id}`;
}
