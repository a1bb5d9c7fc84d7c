import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import { type Fetch, Vault, VaultError } from "../client/index.ts";
import type { Context } from "./command.ts";
import { type Device, findSessionKey, keepInKeychain, readDevice } from "./device.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";
import { readSecret } from "./secret-input.ts";

/** Where an account is, as flags or this device's state say. */
export type Target = Pick<Device, "server" | "username" | "ca_file" | "insecure_http">;

/** A vault on the server of `target`, still locked. */
export function makeVault(context: Context, target: Omit<Target, "username">): Vault {
  const { terminal } = context;
  return new Vault({
    url: target.server,
    store: context.store(),
    insecure_http: target.insecure_http ?? false,
    ...(target.ca_file !== undefined && { fetch: trusting(target.ca_file) }),
    on_wait: ({ wait_ms, code }) => {
      terminal.say(`${code}: trying again in ${Math.max(1, Math.round(wait_ms / 1000))} s`);
    },
  });
}

/** A fetch that trusts the authorities of a file besides those of the system, whose place they would take by themselves. */
function trusting(ca_file: string): Fetch {
  const ca = [...getCACertificates("default"), readCertificates(ca_file)];
  return (url, init) => fetch(url, { ...init, tls: { ca } } as RequestInit);
}

function readCertificates(ca_file: string): string {
  let text: string;
  try {
    text = readFileSync(ca_file, "utf8");
  } catch {
    throw commandFault(CLI_EXIT.no_input, "ca-file-unreadable", `${ca_file} cannot be read`);
  }
  try {
    new X509Certificate(text);
    return text;
  } catch {
    throw commandFault(CLI_EXIT.data, "ca-file-invalid", `${ca_file} holds no certificate in PEM`);
  }
}

/** What this device knows of its account. Throws exit code 4 where nobody has logged in. */
export async function knownDevice(context: Context): Promise<Device> {
  const device = await readDevice(context.store());
  if (device !== undefined) return device;
  throw commandFault(CLI_EXIT.signed_out, "signed-out", "nobody is logged in here: blindvault login");
}

/** The open vault of this device; where it is locked and there is somebody to ask, the master password opens it. */
export async function openVault(context: Context): Promise<Vault> {
  const device = await knownDevice(context);
  const resumed = await resumeVault(context, device);
  if (resumed !== undefined) return resumed;
  if (!context.terminal.interactive) throw commandFault(CLI_EXIT.locked, "vault-locked", LOCKED);
  context.terminal.say(`The vault of ${device.username} is locked.`);
  const master_password = await readSecret(
    context.terminal,
    {},
    { message: "Master password", name: "password" },
  );
  const vault = makeVault(context, device);
  await vault.unlock({ username: device.username, master_password, device_name: deviceName() });
  // Without a keychain for this command only: no command can put a variable into the shell that called it.
  const kept = await keepInKeychain(context.store(), vault, targetOf(device));
  if (!kept) context.terminal.say('To keep it open in this shell: eval "$(blindvault unlock)"');
  return vault;
}

/** The vault as its key on this device opens it, without asking anybody; undefined where it is locked. */
export async function resumeVault(context: Context, device: Device): Promise<Vault | undefined> {
  const { username, sealed_key } = device;
  const session_key = sealed_key === undefined ? undefined : await findSessionKey(device, context.settings);
  if (sealed_key === undefined || session_key === undefined) return undefined;
  const vault = makeVault(context, device);
  await vault.resume({ username, sealed_key, session_key });
  return vault;
}

const LOCKED = 'the vault is locked: eval "$(blindvault unlock)" (or give its BLINDVAULT_SESSION)';

export function targetOf({ server, username, ca_file, insecure_http }: Target): Target {
  return {
    server,
    username,
    ...(ca_file !== undefined && { ca_file }),
    ...(insecure_http !== undefined && { insecure_http }),
  };
}

/** What the list of sessions calls this device. */
export function deviceName(): string {
  return `blindvault on ${process.platform}`;
}

/** Whether an error says that the session is over, so that a command may go on without it. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof VaultError && error.code === "signed-out";
}
