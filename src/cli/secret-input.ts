import { readAll } from "./descriptors.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";
import { askNewSecret, askSecret } from "./prompts.ts";
import type { Terminal } from "./terminal.ts";

/** Where a secret comes from: never from an argument, which every process of the machine can read. */
export type SecretSource = { stdin?: boolean | undefined; fd?: string | undefined };

/** The flags --password-stdin and --password-fd, as a command finds them. */
export type PasswordOptions = { passwordStdin?: boolean; passwordFd?: string };

/** Where those flags say that a password comes from. */
export function passwordSource({ passwordStdin, passwordFd }: PasswordOptions): SecretSource {
  return { stdin: passwordStdin, fd: passwordFd };
}

/** Whether they say anything. */
export function givesPassword({ passwordStdin, passwordFd }: PasswordOptions): boolean {
  return passwordStdin === true || passwordFd !== undefined;
}

const SECRET_BYTES_MAX = 64 * 1024;

/** A secret that is there already. `name` is that of the flags: --name-stdin, --name-fd. */
export async function readSecret(
  terminal: Terminal,
  source: SecretSource,
  prompt: { message: string; name: string },
): Promise<string> {
  return fromSource(source) ?? (await askSecret(terminal, prompt.message, insteadOf(prompt.name)));
}

/** A secret that is being chosen: asked twice. */
export async function readNewSecret(
  terminal: Terminal,
  source: SecretSource,
  prompt: { message: string; name: string },
): Promise<string> {
  return fromSource(source) ?? (await askNewSecret(terminal, prompt.message, insteadOf(prompt.name)));
}

function insteadOf(name: string): string {
  return `give it with --${name}-stdin or --${name}-fd`;
}

/** Standard input gives one secret a line, in the order in which a command needs them; a descriptor gives one, whole. */
function fromSource({ stdin, fd }: SecretSource): string | undefined {
  if (stdin && fd !== undefined)
    throw commandFault(CLI_EXIT.usage, "secret-twice", "a secret can come from one place only");
  if (fd !== undefined) {
    if (!/^[0-9]{1,4}$/.test(fd))
      throw commandFault(CLI_EXIT.usage, "fd-invalid", "a file descriptor is a number");
    // Without the line end that `echo` and editors add, and no secret has.
    return decode(readAll(Number(fd), SECRET_BYTES_MAX)).replace(/\r?\n$/, "");
  }
  return stdin ? nextLine() : undefined;
}

let lines: string[] | undefined;

function nextLine(): string {
  lines ??= decode(readAll(0, SECRET_BYTES_MAX)).split(/\r?\n/);
  const line = lines.shift();
  if (line === undefined)
    throw commandFault(CLI_EXIT.no_input, "secret-missing", "standard input has no more lines");
  return line;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw commandFault(CLI_EXIT.data, "secret-encoding", "the secret is not UTF-8");
  }
}
