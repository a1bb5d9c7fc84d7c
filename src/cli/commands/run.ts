import { constants } from "node:os";
import type { Entry } from "../../client/index.ts";
import { openVault } from "../account.ts";
import { childEnvironment } from "../children.ts";
import type { Context } from "../command.ts";
import { CLI_EXIT, commandFault } from "../exit.ts";
import { fieldOf } from "../fields.ts";
import { findEntry, readEntries } from "../find.ts";
import type { Terminal } from "../terminal.ts";

/**
 * `blindvault run --env VAR=NAME/FIELD -- COMMAND`: starts a command with secrets in its environment, and ends as it ends. They are in no argument,
 * no file and no history; the command's own children inherit them.
 */
export async function run(
  context: Context,
  command: readonly string[],
  options: { env?: string[] },
): Promise<number> {
  const wanted = (options.env ?? []).map(parse);
  const entries = wanted.length === 0 ? [] : await readEntries(context.terminal, await openVault(context));
  const secrets = Object.fromEntries(
    wanted.map((each) => [each.variable, secretOf(context.terminal, entries, each)]),
  );
  return runChild(command, { ...childEnvironment(), ...secrets });
}

type Wanted = { variable: string; name: string; field: string };

/** Behind the last slash stands the field: names of entries may have slashes of their own. */
function parse(text: string): Wanted {
  const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.+)\/([^/]+)$/su.exec(text);
  if (match === null) {
    throw commandFault(CLI_EXIT.usage, "env-invalid", "a secret is given as --env VARIABLE=NAME/FIELD");
  }
  return { variable: match[1] ?? "", name: match[2] ?? "", field: match[3] ?? "" };
}

function secretOf(terminal: Terminal, entries: readonly Entry[], { variable, name, field }: Wanted): string {
  const value = fieldOf(findEntry(terminal, entries, name), field);
  if (!value.includes("\0")) return value;
  throw commandFault(CLI_EXIT.data, "env-nul", `what ${variable} is to hold has U+0000 in it`);
}

async function runChild(
  command: readonly string[],
  env: Record<string, string | undefined>,
): Promise<number> {
  let child: Bun.Subprocess | undefined;
  const forward = (signal: NodeJS.Signals) => void child?.kill(signal);
  // The terminal sends these to both; the command decides, and this process waits for it.
  process.on("SIGINT", () => undefined);
  process.on("SIGQUIT", () => undefined);
  process.on("SIGTERM", forward);
  process.on("SIGHUP", forward);
  child = startChild(command, env);
  await child.exited;
  const signal = child.signalCode as NodeJS.Signals | null;
  return signal === null ? (child.exitCode ?? CLI_EXIT.failure) : 128 + constants.signals[signal];
}

function startChild(command: readonly string[], env: Record<string, string | undefined>): Bun.Subprocess {
  try {
    return Bun.spawn([...command], { env, stdin: "inherit", stdout: "inherit", stderr: "inherit" });
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") {
      throw commandFault(CLI_EXIT.command_missing, "command-not-found", `there is no ${command[0]}`);
    }
    throw commandFault(CLI_EXIT.not_executable, "command-unusable", `${command[0]} cannot be started`);
  }
}
