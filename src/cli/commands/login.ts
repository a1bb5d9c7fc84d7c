import { resolve } from "node:path";
import type { Vault } from "../../client/index.ts";
import { username as usernameSchema } from "../../contract/auth.ts";
import { assessPassword } from "../../crypto/passwords.ts";
import {
  deviceName,
  isSignedOut,
  knownDevice,
  makeVault,
  openVault,
  type Target,
  targetOf,
} from "../account.ts";
import type { Context } from "../command.ts";
import { dropKey, keepInKeychain, keepUnderSessionKey, readDevice, writeDevice } from "../device.ts";
import { CLI_EXIT, commandFault } from "../exit.ts";
import { askText } from "../prompts.ts";
import { type PasswordOptions, passwordSource, readNewSecret, readSecret } from "../secret-input.ts";

export type LoginOptions = PasswordOptions & {
  server?: string;
  username?: string;
  caFile?: string;
  insecureHttp?: boolean;
  passwordChanged?: boolean;
  keychain: boolean;
  raw?: boolean;
};

/** `blindvault login`, and `unlock`: opens the vault and keeps its key for the commands that follow. */
export async function login(context: Context, options: LoginOptions): Promise<undefined> {
  const target = await chooseTarget(context, options);
  const { username } = target;
  const vault = makeVault(context, target);
  const message = `Master password of ${username}`;
  const source = passwordSource(options);
  const master_password = await readSecret(context.terminal, source, { message, name: "password" });
  const password_changed = options.passwordChanged ?? false;
  await vault.unlock({ username, master_password, password_changed, device_name: deviceName() });
  await keep(context, vault, target, options);
}

/** `blindvault register`: makes an account and logs in to it. */
export async function register(
  context: Context,
  options: LoginOptions & { allowWeak?: boolean },
): Promise<undefined> {
  const target = await chooseTarget(context, { ...options, server: options.server ?? "" }, true);
  const { username } = target;
  const vault = makeVault(context, target);
  const source = passwordSource(options);
  const prompt = { message: `A master password for ${username}: nobody can reset it`, name: "password" };
  const master_password = await readNewSecret(context.terminal, source, prompt);
  await assertStrong(master_password, [username, target.server], options.allowWeak ?? false);
  await vault.register({ username, master_password, device_name: deviceName() });
  context.terminal.say(`The account ${username} is made.`);
  await keep(context, vault, target, options);
}

/** At a thousand guesses a second, which is many machines against Argon2id with 64 MiB, thirty years. */
const MASTER_GUESSES_LOG10_MIN = 12;

/** The whole vault is as safe as this password: whoever gets the database can try as many as their money allows. */
export async function assertStrong(password: string, about: string[], allow_weak: boolean): Promise<void> {
  if (allow_weak) return;
  const judged = await assessPassword(password, [...about, "blindvault"]);
  if (judged.guesses_log10 >= MASTER_GUESSES_LOG10_MIN) return;
  const reason = judged.warning ?? `about 10^${Math.floor(judged.guesses_log10)} guesses would find it`;
  throw commandFault(
    CLI_EXIT.usage,
    "password-weak",
    `that master password is too weak: ${reason} (blindvault generate --passphrase makes a good one; --allow-weak takes this one)`,
  );
}

/** Flags first, then what this device remembers, then the environment, then a question. */
async function chooseTarget(context: Context, options: LoginOptions, fresh = false): Promise<Target> {
  const known = fresh ? undefined : await readDevice(context.store());
  const server = inOneForm(
    (options.server || context.settings.server || known?.server) ??
      (await askText(context.terminal, "Server", "give it with --server", "https://")),
  );
  const same_server = known?.server === server;
  const username =
    options.username ??
    (same_server ? known?.username : undefined) ??
    (await askText(context.terminal, "Username", "give it with --username"));
  if (!usernameSchema.safeParse(username).success) {
    throw commandFault(CLI_EXIT.usage, "username-invalid", "a username is 3 to 30 of A-Z, a-z, 0-9 and _");
  }
  const ca_file =
    options.caFile === undefined ? (same_server ? known?.ca_file : undefined) : resolve(options.caFile);
  const insecure_http = options.insecureHttp ?? (same_server ? known?.insecure_http : undefined);
  return targetOf({ server, username, ca_file, insecure_http });
}

/** One server has one name here, or what is remembered of it would not be found again. */
function inOneForm(server: string): string {
  return (URL.parse(server)?.href ?? server).replace(/\/+$/, "");
}

/** Where no keychain holds the session key, the shell is to: what is printed is a command for it. */
async function keep(context: Context, vault: Vault, target: Target, options: LoginOptions): Promise<void> {
  const { terminal } = context;
  const store = context.store();
  const in_keychain = options.keychain && (await keepInKeychain(store, vault, target));
  const session = in_keychain ? undefined : await keepUnderSessionKey(store, vault, target);
  terminal.say(`The vault of ${target.username} is open.`);
  if (session === undefined)
    return terminal.give({ username: target.username, keychain: true }, () => undefined);
  if (terminal.printsToTerminal) {
    terminal.say(
      'No keychain holds its key. This opens it in this shell, and eval "$(blindvault unlock)" does both:',
    );
  }
  terminal.give({ username: target.username, session }, () =>
    terminal.print(options.raw ? session : `export BLINDVAULT_SESSION='${session}'`),
  );
}

/** `blindvault lock`: forgets the key; the session with the server goes on. */
export async function lock(context: Context): Promise<undefined> {
  const device = await knownDevice(context);
  await dropKey(context.store(), device);
  context.terminal.say("The vault is locked.");
  context.terminal.give({ locked: true }, () => undefined);
}

/** `blindvault logout`: ends the session, on the server too, and forgets the key. What was pinned stays. */
export async function logout(context: Context, options: { local?: boolean }): Promise<undefined> {
  const device = await knownDevice(context);
  if (options.local) await makeVault(context, device).forgetSession(device.username);
  else await endSession(context);
  await dropKey(context.store(), device);
  await writeDevice(context.store(), undefined);
  context.terminal.say(
    options.local ? "Logged out here; on the server the session ends with its time." : "Logged out.",
  );
  context.terminal.give({ logged_out: true }, () => undefined);
}

async function endSession(context: Context): Promise<void> {
  try {
    const vault = await openVault(context);
    await vault.logout();
  } catch (error) {
    if (!isSignedOut(error)) throw error;
  }
}
