import { existsSync } from "node:fs";
import type { Command } from "commander";
import { resumeVault } from "../account.ts";
import type { Context } from "../command.ts";
import { complete, type Shell, type Suggestion } from "../completion.ts";
import { readAll } from "../descriptors.ts";
import { readDevice } from "../device.ts";
import { fieldNames } from "../fields.ts";
import { opensWithoutAsking } from "../keychain.ts";
import { quoteForBash, unquote } from "../shell-words.ts";
import bash from "../shells/blindvault.bash" with { type: "text" };
import fish from "../shells/blindvault.fish" with { type: "text" };
import zsh from "../shells/blindvault.zsh" with { type: "text" };
import { makeTerminal } from "../terminal.ts";

const LINE_BYTES_MAX = 1024 ** 2;
/** Whoever presses a key waits no longer. */
const NAMES_MS = 1000;

/**
 * What makes a shell ask this program, at each press of the tabulator, what could come. The words go to it on standard input, so that none is seen
 * in a list of processes, and nothing that was typed is ever evaluated: @bomb.sh/tab, which would have been the library for it, has
 * bash run what stands in `$(…)` on the line. The answer is a line that says of which kind it is, then a line for each suggestion: text,
 * tab, description.
 */
const SCRIPTS: Record<Shell, string> = { bash, zsh, fish };

/** `blindvault completion SHELL`: prints what a shell has to read to complete this program's commands. */
export async function completion({ terminal }: Context, shell: Shell): Promise<undefined> {
  terminal.write(SCRIPTS[shell]);
}

/** The hidden command behind it: what could be the last of the words that standard input gives, each with U+0000 behind it. */
export async function completeWords(context: Context, root: Command, shell: Shell): Promise<undefined> {
  const typed = new TextDecoder().decode(readAll(0, LINE_BYTES_MAX)).split("\0").slice(0, -1);
  const words = shell === "zsh" ? typed : typed.map(unquote);
  const answer = await complete(root, words, () => namesOf(context));
  const { terminal } = context;
  if (answer.kind === "command") return terminal.print(`command ${answer.from}`) as undefined;
  terminal.print(answer.kind);
  if (answer.kind === "files") return;
  const start = typed.at(-1) ?? "";
  const lines = answer.suggestions.filter(isOneLine).map(({ value, description }) => {
    const text = shell === "bash" ? quoteForBash(value, start) : value;
    return `${text}\t${description}\n`;
  });
  terminal.write(lines.join(""));
}

/** A name with controls in it would not come out as it went in, and a terminal would obey it. */
function isOneLine({ value }: Suggestion): boolean {
  return !/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(value);
}

/** The names in an open vault. It asks nobody, says nothing, and where it fails or takes long there are none. */
async function namesOf(context: Context): Promise<{ name: string; fields: string[] }[]> {
  const late = Bun.sleep(NAMES_MS).then(() => []);
  return Promise.race([readNames(context).catch(() => []), late]);
}

async function readNames(context: Context): Promise<{ name: string; fields: string[] }[]> {
  // Looking for names is not to make a state where none is.
  if (!existsSync(context.settings.home)) return [];
  const device = await readDevice(context.store());
  if (device?.sealed_key === undefined) return [];
  if (device.keychain && !(await opensWithoutAsking())) return [];
  const vault = await resumeVault({ ...context, terminal: makeTerminal({ quiet: true }) }, device);
  const { entries } = (await vault?.scan()) ?? { entries: [] };
  return entries.map(({ content }) => ({ name: content.name, fields: fieldNames(content) }));
}
