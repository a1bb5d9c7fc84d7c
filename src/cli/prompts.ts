import { CLI_EXIT, commandFault } from "./exit.ts";
import { nobodyToAsk, printable, type Terminal } from "./terminal.ts";

/** The library is loaded when somebody is to be asked: most commands are never that far. */
const clack = () => import("@clack/prompts");

/** Asks for a text. Without a terminal it throws, and `instead` says how to give the answer in advance. */
export async function askText(
  terminal: Terminal,
  message: string,
  instead: string,
  initial?: string,
): Promise<string> {
  if (!terminal.interactive) throw nobodyToAsk(instead);
  const { text } = await clack();
  const initialValue = initial === undefined ? {} : { initialValue: initial };
  return (await ask((common) => text({ ...common, message: printable(message), ...initialValue }))) ?? "";
}

/** Asks for a secret, which is not shown. */
export async function askSecret(terminal: Terminal, message: string, instead: string): Promise<string> {
  if (!terminal.interactive) throw nobodyToAsk(instead);
  const { password } = await clack();
  return (await ask((common) => password({ ...common, message: printable(message) }))) ?? "";
}

/** Asks for a secret that is being chosen, twice. */
export async function askNewSecret(terminal: Terminal, message: string, instead: string): Promise<string> {
  const first = await askSecret(terminal, message, instead);
  const second = await askSecret(terminal, "The same again", instead);
  if (first === second) return first;
  throw commandFault(CLI_EXIT.usage, "secrets-differ", "the two are not the same");
}

/** Asks for a yes or no, with no as what happens by itself. */
export async function askYes(terminal: Terminal, message: string, instead: string): Promise<boolean> {
  if (!terminal.interactive) throw nobodyToAsk(instead);
  const { confirm } = await clack();
  return ask((common) => confirm({ ...common, message: printable(message), initialValue: false }));
}

/** Asks for one of several. */
export async function askChoice<Value extends string>(
  terminal: Terminal,
  message: string,
  choices: readonly { value: Value; label: string }[],
  instead: string,
): Promise<Value> {
  if (!terminal.interactive) throw nobodyToAsk(instead);
  const { select } = await clack();
  const options = choices.map(({ value, label }) => ({ value, label: printable(label) }));
  return (await ask((common) =>
    select<string>({ ...common, message: printable(message), options }),
  )) as Value;
}

const COLUMNS_DEFAULT = 80;

/** What every question is given: on standard error, so that standard output stays the command's data. */
type Common = { input: typeof process.stdin; output: typeof process.stderr; signal: AbortSignal };

/** The library knows Ctrl-C and Escape. At the end of input, which is Ctrl-D or a window that was closed, it would wait for ever. */
async function ask<Value>(question: (common: Common) => Promise<Value>): Promise<Exclude<Value, symbol>> {
  const ended = new AbortController();
  const end = () => ended.abort();
  const onKey = (_: unknown, key: { ctrl?: boolean; name?: string }) => {
    if (key.ctrl === true && key.name === "d") end();
  };
  const { stdin: input, stderr: output } = process;
  // A terminal that was never told its size says 0, and would get a letter a line.
  output.columns ||= COLUMNS_DEFAULT;
  const ends = ["end", "close", "error"] as const;
  for (const event of ends) input.on(event, end);
  input.on("keypress", onKey);
  try {
    const answer = await question({ input, output, signal: ended.signal });
    if (typeof answer === "symbol") throw commandFault(CLI_EXIT.cancelled, "cancelled", "cancelled");
    return answer as Exclude<Value, symbol>;
  } finally {
    for (const event of ends) input.off(event, end);
    input.off("keypress", onKey);
  }
}
