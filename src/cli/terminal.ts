import { writeAll } from "./descriptors.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";

/**
 * How a command speaks. Data goes to standard output and nothing else does; questions and messages go to standard error, so that a
 * command in a pipe can still ask.
 */
export type Terminal = {
  json: boolean;
  quiet: boolean;
  /** Whether there is somebody to ask. */
  interactive: boolean;
  /** Tells a person something, on one line; not with --quiet, and not with --json, where there is none. */
  say(message: string): void;
  /** Warns, also with --quiet; with --json as `{"warning": {message, code?, ids?}}`. */
  warn(message: string, more?: { code: string; ids: readonly string[] }): void;
  /** A line of data. */
  print(line: string): void;
  /** Data without a line end, to the byte: for what a pipe takes. */
  write(text: string): void;
  /** The same data for a program, with --json; else as `human` prints it. */
  give(value: unknown, human: () => void): void;
  /** Whether standard output is a terminal, whose control characters would be obeyed. */
  printsToTerminal: boolean;
};

export type OutputOptions = { json?: boolean; quiet?: boolean };

export function makeTerminal(options: OutputOptions): Terminal {
  const json = options.json ?? false;
  const quiet = options.quiet ?? false;
  const printsToTerminal = process.stdout.isTTY === true;
  const print = (line: string) => writeAll(1, `${line}\n`);
  return {
    json,
    quiet,
    interactive: process.stdin.isTTY === true && process.stderr.isTTY === true,
    say: (message) => quiet || json || writeAll(2, `${oneLine(message)}\n`),
    warn: (message, more) => {
      const ids = more === undefined || more.ids.length === 0 ? "" : `: ${more.ids.join(", ")}`;
      const text = json ? toJson({ warning: { message, ...more } }) : `warning: ${oneLine(message + ids)}`;
      writeAll(2, `${text}\n`);
    },
    print,
    write: (text) => writeAll(1, text),
    give: (value, human) => (json ? print(toJson(value)) : human()),
    printsToTerminal,
  };
}

/** Controls but tab and line feed, what turns the direction of writing round, and Unicode's own line ends. */
const OBEYED = /[^\P{Cc}\t\n]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Text without what a terminal obeys: escape sequences in a name or a server's answer could rewrite what a person reads. */
export function printable(text: string): string {
  return text.replace(OBEYED, "\ufffd");
}

/** The same on one line, for a name in a sentence or a table: what follows a line end could pass for the program's own words. */
export function oneLine(text: string): string {
  return printable(text.replace(/\s+/g, " "));
}

/** JSON in which whatever a terminal would obey is escaped: the same value, in other letters. */
export function toJson(value: unknown): string {
  return JSON.stringify(value).replace(OBEYED, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** Whoever runs a command without a terminal has to say in advance what it would ask. */
export function nobodyToAsk(what: string): Error {
  return commandFault(CLI_EXIT.usage, "no-terminal", `there is no terminal to ask on: ${what}`);
}
