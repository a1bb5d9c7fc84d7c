import type { Vault } from "../../client/index.ts";
import { isSignedOut, knownDevice, openVault, resumeVault } from "../account.ts";
import type { Context } from "../command.ts";
import { readDevice } from "../device.ts";
import { CLI_EXIT } from "../exit.ts";
import { warnOf } from "../find.ts";
import { type PasswordOptions, passwordSource, readNewSecret, readSecret } from "../secret-input.ts";
import { printTable } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { assertStrong } from "./login.ts";

/** `blindvault status`: which account, and whether its vault is open; the exit code says it to scripts. */
export async function status(context: Context, options: { acceptRestore?: boolean }): Promise<number> {
  const { terminal } = context;
  const device = await readDevice(context.store());
  if (device === undefined) {
    terminal.give({ state: "signed-out" }, () => terminal.print("logged out"));
    return CLI_EXIT.signed_out;
  }
  const { server, username } = device;
  const vault = await resumeVault(context, device);
  if (vault === undefined) {
    terminal.give({ state: "locked", server, username }, () =>
      terminal.print(`${username} at ${server}: locked`),
    );
    return CLI_EXIT.locked;
  }
  const listing = await scan(terminal, vault, options.acceptRestore ?? false);
  if (listing === undefined) {
    terminal.give({ state: "signed-out", server, username }, () =>
      terminal.print(`${username} at ${server}: the session has ended`),
    );
    return CLI_EXIT.signed_out;
  }
  const { entries, problems } = listing;
  terminal.give(
    {
      ...{ state: "open", server, username, entries: entries.length, keychain: device.keychain ?? false },
      problems: problems.map(({ code, details }) => ({ code, ids: details.ids ?? [] })),
    },
    () => terminal.print(`${username} at ${server}: open, ${entries.length} entries`),
  );
  warnOf(terminal, problems);
  return problems.length === 0 ? CLI_EXIT.ok : CLI_EXIT.hostile;
}

/** The list as it is; undefined when the session is over. */
async function scan(terminal: Terminal, vault: Vault, accept_restore: boolean) {
  if (accept_restore) {
    await vault.acceptRestore();
    terminal.say("What was seen of the entries is forgotten: the next list is taken as it comes.");
  }
  try {
    return await vault.scan();
  } catch (error) {
    if (isSignedOut(error)) return undefined;
    throw error;
  }
}

export type PasswdOptions = PasswordOptions & {
  newPasswordStdin?: boolean;
  newPasswordFd?: string;
  allowWeak?: boolean;
};

/** `blindvault passwd`: changes the master password. Every other session ends, no entry is touched. */
export async function passwd(context: Context, options: PasswdOptions): Promise<undefined> {
  const { terminal } = context;
  const vault = await openVault(context);
  const { username, server } = await knownDevice(context);
  const current = passwordSource(options);
  const current_password = await readSecret(terminal, current, {
    message: "Present master password",
    name: "password",
  });
  const next = { stdin: options.newPasswordStdin, fd: options.newPasswordFd };
  const prompt = { message: "New master password: nobody can reset it", name: "new-password" };
  const new_password = await readNewSecret(terminal, next, prompt);
  await assertStrong(new_password, [username, server], options.allowWeak ?? false);
  await vault.changePassword({ current_password, new_password });
  terminal.say(
    "The master password is changed; every other session has ended. Archives open with the old one still.",
  );
  terminal.give({ changed: true }, () => undefined);
}

/** `blindvault sessions`: where the account is logged in, and the end of one or of all others. */
export async function sessions(
  context: Context,
  options: { end?: string; endOthers?: boolean },
): Promise<undefined> {
  const { terminal } = context;
  const vault = await openVault(context);
  if (options.end !== undefined) await vault.endSession(options.end);
  if (options.endOthers) await vault.endOtherSessions();
  const list = await vault.sessions();
  terminal.give(list, () =>
    printTable(
      terminal,
      list.map((session) => [
        session.current ? "*" : " ",
        session.device_name ?? "",
        session.address,
        session.last_used_at,
        session.id,
      ]),
    ),
  );
}

/** `blindvault events`: what happened to the account, newest first, as the server tells it. */
export async function events(context: Context, options: { limit?: string }): Promise<undefined> {
  const { terminal } = context;
  const vault = await openVault(context);
  const list = await vault.events(options.limit === undefined ? undefined : Number(options.limit));
  terminal.give(list, () =>
    printTable(
      terminal,
      list.map(({ time, type, success, reason, address, count }) => [
        time,
        type,
        success ? "" : (reason ?? "refused"),
        address,
        count > 1 ? `×${count}` : "",
      ]),
    ),
  );
}
