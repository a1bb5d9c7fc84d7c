import { type OpenedArchive, openArchive } from "../client/index.ts";
import type { Context } from "./command.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";
import { readFile } from "./files.ts";
import { givesPassword, type PasswordOptions, passwordSource, readSecret } from "./secret-input.ts";

type Options = PasswordOptions & { archive?: string };

/** A master password is for an archive here. Whoever gives one without it expects what does not happen. */
export function assertArchivePassword(options: Options): void {
  if (options.archive !== undefined || !givesPassword(options)) return;
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
  const prompt = { message: "Master password of the archive", name: "password" };
  return openArchive(bytes, await readSecret(terminal, passwordSource(options), prompt));
}
