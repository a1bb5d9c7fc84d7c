import { type Entry, searchEntries, type Vault } from "../../client/index.ts";
import { openVault } from "../account.ts";
import { assertArchivePassword, readArchive } from "../archive.ts";
import type { Context } from "../command.ts";
import { CLI_EXIT, commandFault } from "../exit.ts";
import { readEntries } from "../find.ts";
import type { PasswordOptions } from "../secret-input.ts";
import { printTable } from "../table.ts";
import { oneLine } from "../terminal.ts";

export type ListOptions = PasswordOptions & {
  tag?: string;
  type?: string;
  reveal?: boolean;
  acceptMissing?: string[];
  archive?: string;
};

/** `blindvault list [QUERY]`: a line an entry, by name; with a query the best first. Secrets only with --json --reveal. */
export async function list(
  context: Context,
  query: string | undefined,
  options: ListOptions,
): Promise<undefined> {
  const { terminal } = context;
  assertArchivePassword(options);
  const all =
    options.archive === undefined ? await fromVault(context, options) : await fromArchive(context, options);
  const chosen = all.filter(({ content }) => {
    const { tag, type } = options;
    return (
      (tag === undefined || content.tags?.includes(tag)) && (type === undefined || content.type === type)
    );
  });
  const entries = query === undefined ? chosen.toSorted(byName) : searchEntries(chosen, query);
  terminal.give(
    entries.map((entry) => (options.reveal ? whole(entry) : open(entry))),
    () => printTable(terminal, entries.map(toRow)),
  );
}

async function fromVault(context: Context, { acceptMissing }: ListOptions): Promise<Entry[]> {
  const vault = await openVault(context);
  if (acceptMissing !== undefined) await acceptThese(context, vault, acceptMissing);
  return readEntries(context.terminal, vault);
}

/** Those that were named, and no others: what the server withholds at this moment nobody has agreed to. */
async function acceptThese({ terminal }: Context, vault: Vault, named: readonly string[]): Promise<void> {
  const { problems } = await vault.scan();
  const missing = problems
    .filter(({ code }) => code === "entries-missing")
    .flatMap(({ details }) => details.ids ?? []);
  const ids = named.map((id) => id.toLowerCase());
  const other = ids.find((id) => !missing.includes(id));
  if (other !== undefined) {
    throw commandFault(CLI_EXIT.not_found, "entry-not-missing", `no entry ${oneLine(other)} is missing`);
  }
  await vault.acceptMissing(ids);
  terminal.say(`Taken as deleted elsewhere: ${ids.join(", ")}`);
}

async function fromArchive(context: Context, options: ListOptions): Promise<Entry[]> {
  return (await readArchive(context, options.archive ?? "", options)).entries;
}

function byName(a: Entry, b: Entry): number {
  return a.content.name.localeCompare(b.content.name);
}

function toRow({ content }: Entry): string[] {
  return [content.name, content.username ?? "", content.uris?.[0] ?? "", (content.tags ?? []).join(", ")];
}

/** What of an entry can be shown to who looks over a shoulder. */
function open({ id, version, created_at, updated_at, content }: Entry) {
  const { type, name, username, uris, tags, favorite } = content;
  return { id, version, created_at, updated_at, type, name, username, uris, tags, favorite };
}

/** An entry for a program: its content beside what the server knows of it. */
export function whole({ content, ...rest }: Entry) {
  return { ...rest, ...content };
}
