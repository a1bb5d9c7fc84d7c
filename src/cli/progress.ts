import { writeAll } from "./descriptors.ts";
import type { Terminal } from "./terminal.ts";

export type Progress = {
  /** For whoever may speak meanwhile: what is said on this terminal does not run into the bar. */
  terminal: Terminal;
  show(done: number, total: number): void;
  /** Takes the bar away. */
  end(): void;
};

/**
 * A bar on standard error for whoever looks at one; without a terminal, with --quiet or --json it is never seen. It is drawn when
 * there is something new, has no timer and reads no keys: that of the prompts' library ends the process with 0 at Ctrl-C.
 */
export function makeProgress(terminal: Terminal, message: string): Progress {
  const seen = process.stderr.isTTY === true && !terminal.quiet && !terminal.json;
  if (!seen) return { terminal, show: () => undefined, end: () => undefined };
  let bar = "";
  const draw = () => bar === "" || writeAll(2, bar);
  const clear = () => bar === "" || writeAll(2, ERASE_LINE);
  const end = () => {
    clear();
    bar = "";
  };
  const apart =
    <Words extends unknown[]>(speak: (...words: Words) => void) =>
    (...words: Words): void => {
      clear();
      speak(...words);
      draw();
    };
  return {
    terminal: { ...terminal, say: apart(terminal.say), warn: apart(terminal.warn) },
    show(done, total) {
      if (total === 0) return;
      clear();
      bar = barOf(message, done, total, process.stderr.columns || COLUMNS_DEFAULT);
      draw();
    },
    end,
  };
}

const ERASE_LINE = "\r\x1b[K";
const COLUMNS_DEFAULT = 80;
const BAR_COLUMNS_MAX = 30;
const BAR_COLUMNS_MIN = 5;

/** One line that no terminal wraps: "Storing [=====     ] 500 of 1000". */
function barOf(message: string, done: number, total: number, columns: number): string {
  const text = `${done} of ${total}`;
  const room = columns - message.length - text.length - " [] ".length - 1;
  if (room < BAR_COLUMNS_MIN) return `${message} ${text}`.slice(0, Math.max(0, columns - 1));
  const width = Math.min(room, BAR_COLUMNS_MAX);
  const filled = Math.floor((width * done) / total);
  return `${message} [${"=".repeat(filled)}${" ".repeat(width - filled)}] ${text}`;
}
