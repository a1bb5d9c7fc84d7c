import { z } from "zod";
import type { Vault } from "../client/index.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";
import { getFromKeychain, removeFromKeychain, setInKeychain } from "./keychain.ts";
import type { Settings } from "./settings.ts";
import type { StateStore } from "./store.ts";

const SESSION_KEY_BYTES = 32;

const device = z.strictObject({
  server: z.string(),
  username: z.string(),
  ca_file: z.string().optional(),
  insecure_http: z.boolean().optional(),
  /** The vault key under the session key; gone while the vault is locked. */
  sealed_key: z.string().optional(),
  /** Whether the session key is in the operating system's keychain. */
  keychain: z.boolean().optional(),
});

/** Which account this device is logged in to. No part of it is a secret, and none opens anything alone. */
export type Device = z.infer<typeof device>;

export async function readDevice(store: StateStore): Promise<Device | undefined> {
  const text = await store.read("device");
  if (text === undefined) return undefined;
  try {
    return device.parse(JSON.parse(text));
  } catch {
    throw commandFault(CLI_EXIT.data, "state-damaged", "the state of this device cannot be read");
  }
}

export async function writeDevice(store: StateStore, value: Device | undefined): Promise<void> {
  await store.write("device", value && JSON.stringify(value));
}

type Account = Omit<Device, "sealed_key" | "keychain">;

/** Seals the key of an open vault for this device, under a key that is drawn anew and goes to the keychain. False where there is none. */
export async function keepInKeychain(store: StateStore, vault: Vault, account: Account): Promise<boolean> {
  const session_key = makeSessionKey();
  const sealed_key = await vault.sealKey(session_key);
  if (!(await setInKeychain(nameOf(account), session_key.toBase64()))) return false;
  await replaceDevice(store, { ...account, sealed_key, keychain: true });
  return true;
}

/** The same under a key that is given back, in base64, for the person to keep in the environment. */
export async function keepUnderSessionKey(
  store: StateStore,
  vault: Vault,
  account: Account,
): Promise<string> {
  const session_key = makeSessionKey();
  await replaceDevice(store, { ...account, sealed_key: await vault.sealKey(session_key) });
  return session_key.toBase64();
}

/** A session key that opens nothing any more does not stay in the keychain. */
async function replaceDevice(store: StateStore, next: Device): Promise<void> {
  const former = await readDevice(store);
  await writeDevice(store, next);
  const is_overwritten = next.keychain && former !== undefined && nameOf(next) === nameOf(former);
  if (former?.keychain && !is_overwritten) await removeFromKeychain(nameOf(former));
}

function makeSessionKey(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(SESSION_KEY_BYTES));
}

/** Forgets the sealed key and its session key: what is left opens nothing without the master password. */
export async function dropKey(store: StateStore, known: Device): Promise<void> {
  const { sealed_key: _, keychain, ...rest } = known;
  await writeDevice(store, rest);
  if (keychain) await removeFromKeychain(nameOf(known));
}

/** The session key, from the keychain or the environment; undefined where neither has one. */
export async function findSessionKey(known: Device, settings: Settings): Promise<Uint8Array | undefined> {
  const text = known.keychain ? await askKeychain(known) : settings.session;
  if (text == null) return undefined;
  try {
    const key = Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
    if (key.length === SESSION_KEY_BYTES) return key;
  } catch {
    // Told below, without the text.
  }
  throw commandFault(CLI_EXIT.locked, "session-key-invalid", "BLINDVAULT_SESSION is no session key");
}

async function askKeychain(known: Device): Promise<string | null> {
  try {
    return await getFromKeychain(nameOf(known));
  } catch {
    const message = 'the keychain cannot be reached: eval "$(blindvault unlock)"';
    throw commandFault(CLI_EXIT.locked, "keychain-unavailable", message);
  }
}

function nameOf({ server, username }: Pick<Device, "server" | "username">): string {
  return `${username.toLowerCase()} at ${server}`;
}
