import { type EntryContent, type Vault, VaultError } from "../../client/index.ts";
import { openVault } from "../account.ts";
import type { Context } from "../command.ts";
import { CLI_EXIT, commandFault } from "../exit.ts";
import type { Imported } from "../import/result.ts";
import { openFile, readContents, type Source } from "../import-file.ts";
import { makeProgress, type Progress } from "../progress.ts";
import { printTable } from "../table.ts";
import type { Terminal } from "../terminal.ts";

export type ImportOptions = Source & { dryRun?: boolean };

/**
 * `blindvault import FILE`: takes over what another password manager has exported, in batches. What is in the vault already is left out,
 * so the same command goes on where one that was cut short has ended. Exit code 1 where an entry could not come.
 */
export async function importFile(context: Context, path: string, options: ImportOptions): Promise<number> {
  const { terminal } = context;
  const file = openFile(path, options);
  const progress = makeProgress(terminal, "Storing");
  // Before any question: nobody is to give the file's password and then hear that the vault is locked.
  const vault = await openVault({ ...context, terminal: progress.terminal });
  // All of it before anything is stored: a damaged file changes nothing.
  const imported = await readContents(terminal, file, options);
  const contents = imported.entries.map(({ content }) => content);
  const dry_run = options.dryRun ?? false;
  const report = dry_run
    ? { added: 0, duplicates: await vault.duplicates(contents) }
    : await store(vault, contents, progress);
  give(terminal, imported, report, dry_run);
  return imported.refused.length === 0 ? CLI_EXIT.ok : CLI_EXIT.failure;
}

type Report = { added: number; duplicates: readonly number[] };

/** Ctrl-C and errors end it alike: whoever is cut short is told how much is there, and how to go on. */
async function store(vault: Vault, contents: readonly EntryContent[], progress: Progress): Promise<Report> {
  let stored = { done: 0, total: contents.length };
  const interrupted = Promise.withResolvers<never>();
  const interrupt = () => interrupted.reject(commandFault(CLI_EXIT.cancelled, "cancelled", "cancelled"));
  process.once("SIGINT", interrupt);
  try {
    const report = vault.importEntries(contents, (step) => {
      stored = step;
      progress.show(step.done, step.total);
    });
    return await Promise.race([report, interrupted.promise]);
  } catch (error) {
    throw stored.done === 0 ? error : withStored(error, stored);
  } finally {
    process.off("SIGINT", interrupt);
    progress.end();
  }
}

/** What became of a batch whose answer was lost is not known: it may be there as well. */
function withStored(error: unknown, { done, total }: { done: number; total: number }): unknown {
  if (!(error instanceof Error)) return error;
  const message = `${error.message}: ${done} of ${total} are stored for certain, and the same command goes on from there`;
  if (error instanceof VaultError) return new VaultError(error.code, message, error.details);
  error.message = message;
  return error;
}

/** Data is what a program would ask for; on a terminal a dry run is a table, and all else is told beside it. */
function give(terminal: Terminal, imported: Imported, { added, duplicates }: Report, dry_run: boolean): void {
  const { format, entries, unmapped, refused } = imported;
  const there = new Set(duplicates);
  const plan = entries.map(({ source, content }, index) => {
    const { type, name, username, uris } = content;
    return { source, state: there.has(index) ? "there-already" : "new", type, name, username, uris };
  });
  const report = {
    ...{ format, dry_run, found: entries.length, added },
    duplicates: duplicates.map((index) => entries[index]?.source ?? ""),
    ...{ unmapped, refused },
  };
  terminal.give(dry_run ? { ...report, entries: plan } : report, () => {
    const rows = plan.map(({ state, type, name, username = "", uris = [] }) => {
      return [state === "new" ? state : "there already", type, name, username, uris[0] ?? ""];
    });
    if (dry_run) printTable(terminal, rows);
    tell(terminal, imported, dry_run ? entries.length - there.size : added, there.size, dry_run);
  });
}

function tell(
  terminal: Terminal,
  { format, entries, unmapped, refused }: Imported,
  fresh: number,
  there: number,
  dry_run: boolean,
): void {
  for (const { source, what } of unmapped) terminal.warn(`not kept as it was: ${source}: ${what}`);
  for (const { source, reason } of refused) terminal.warn(`not imported: ${source}: ${reason}`);
  const done = dry_run ? `${fresh} would come in` : `${fresh} stored`;
  terminal.say(
    `${format}: ${entries.length} found, ${there} there already, ${done}, ${refused.length} refused.`,
  );
}
