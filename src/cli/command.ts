import { VaultError } from "../client/index.ts";
import { writeAll } from "./descriptors.ts";
import { CLI_EXIT, ERRORS, isCommandFault } from "./exit.ts";
import { readSettings, type Settings } from "./settings.ts";
import { openStore, type StateStore } from "./store.ts";
import { makeTerminal, type OutputOptions, printable, type Terminal, toJson } from "./terminal.ts";

/** What every command of the client has. */
export type Context = {
  terminal: Terminal;
  settings: Settings;
  /** The state of this device, opened when it is first asked for. */
  store(): StateStore;
};

/**
 * Runs one command and gives its exit code. Whatever ends it is told in one sentence on standard error, with --json as
 * `{"error": {code, message, hint?, ids?, retry_after_s?}}`.
 */
export async function runCommand(
  options: OutputOptions,
  work: (context: Context) => Promise<number | undefined>,
): Promise<number> {
  const settings = readSettings(process.env, process.platform);
  const terminal = makeTerminal(options);
  let store: StateStore | undefined;
  const context: Context = {
    terminal,
    settings,
    store: () => {
      store ??= openStore(settings.home);
      return store;
    },
  };
  try {
    return (await work(context)) ?? CLI_EXIT.ok;
  } catch (error) {
    const told = explain(error);
    if (told === undefined) throw error;
    tell(terminal, told);
    return told.exit_code;
  } finally {
    store?.close();
  }
}

type Told = {
  exit_code: number;
  code: string;
  message: string;
  hint?: string;
  ids?: readonly string[];
  retry_after_s?: number;
};

/** Undefined for what nobody foresaw: that is a mistake of ours and is told as one. */
function explain(error: unknown): Told | undefined {
  if (error instanceof VaultError) {
    const [exit_code, hint] = ERRORS[error.code] ?? [error.hostile ? CLI_EXIT.hostile : CLI_EXIT.failure];
    const { ids, fields, retry_after_s } = error.details;
    const more = [
      ...(fields === undefined ? [] : [fields.join(", ")]),
      ...(retry_after_s === undefined ? [] : [`try again in ${inWords(retry_after_s)}`]),
    ];
    const message = [error.message, ...more].join(": ");
    return {
      ...{ exit_code, code: error.code, message },
      ...(hint !== undefined && { hint }),
      ...(ids !== undefined && { ids }),
      ...(retry_after_s !== undefined && { retry_after_s }),
    };
  }
  if (!isCommandFault(error)) return undefined;
  const { exit_code, code, message } = error;
  return { exit_code, code, message };
}

function inWords(duration_s: number): string {
  return duration_s < 120 ? `${duration_s} s` : `${Math.ceil(duration_s / 60)} minutes`;
}

function tell(terminal: Terminal, { exit_code: _, ...error }: Told): void {
  const hint = error.hint === undefined ? "" : ` (${error.hint})`;
  const text = terminal.json ? toJson({ error }) : `blindvault: ${printable(error.message)}${hint}`;
  writeAll(2, `${text}\n`);
}
