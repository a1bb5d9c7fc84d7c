import { type OpenedArchive, openArchive } from "../client/index.ts";
import type { Context } from "./command.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";
import { readFile } from "./files.ts";
import { readSecret } from "./secret-input.ts";

type Options = { archive?: string; passwordStdin?: boolean; passwordFd?: string };

/** A master password is for an archive here. Whoever gives one without it expects what does not happen. */
export function assertArchivePassword({ archive, passwordStdin, passwordFd }: Options): void {
  if (archive !== undefined || (!passwordStdin && passwordFd === undefined)) return;
  const message = "the password flags go with --archive; blindvault unlock opens the vault";
  throw commandFault(CLI_EXIT.usage, "password-unused", message);
}

/** Opens an encrypted archive with the master password of its time: no server, no login. */
export async function readArchive(
  { terminal }: Context,
  path: string,
  options: Options,
): Promise<OpenedArchive> {
  const bytes = readFile(path);
  const source = { stdin: options.passwordStdin, fd: options.passwordFd };
  const prompt = { message: "Master password of the archive", name: "password" };
  return openArchive(bytes, await readSecret(terminal, source, prompt));
}
