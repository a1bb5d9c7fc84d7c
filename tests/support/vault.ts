import {
  type EntryContent,
  type Fetch,
  memoryStore,
  type Store,
  Vault,
  VaultError,
} from "../../src/client/index.ts";
import type { UnlockOptions, VaultOptions } from "../../src/client/vault.ts";
import { randomHex, randomName, randomPassword } from "./client.ts";

/** The cheapest key derivation that the protocol allows. */
export const KDF = { algorithm: "argon2id", memory_kib: 19_456, iterations: 2, parallelism: 1 } as const;

export type Account = { username: string; master_password: string };
export type Device = Account & { vault: Vault; store: Store };

/** A vault of a device, not yet open. */
export function openVault(server: { url: string }, options: Partial<VaultOptions> = {}): Vault {
  return new Vault({ url: server.url, store: memoryStore(), ...options });
}

/** A new account, and the device on which it was made, its vault open. */
export async function registerDevice(
  server: { url: string },
  options: Partial<VaultOptions> = {},
  account: Account = { username: randomName(), master_password: randomPassword() },
): Promise<Device> {
  const store = options.store ?? memoryStore();
  const vault = openVault(server, { ...options, store });
  await vault.register({ ...account, kdf: KDF });
  return { ...account, vault, store };
}

/** Another device of an account, or with its `store` another process of the same. */
export async function unlockDevice(
  server: { url: string },
  account: UnlockOptions,
  options: Partial<VaultOptions> = {},
): Promise<Device> {
  const store = options.store ?? memoryStore();
  const vault = openVault(server, { ...options, store });
  await vault.unlock(account);
  return { ...account, vault, store };
}

/** A content with a random secret of its own. */
export function randomLogin(extra: Partial<EntryContent> = {}): EntryContent {
  return { type: "login", name: `Site ${randomHex(4)}`, password: randomHex(12), ...extra };
}

export type Sent = { route: string; path: string; headers: Headers; body: string };
/** What becomes of a request: passed on; lost on the way there; carried out, and its answer lost; or answered with this. */
export type Fate = "pass" | "unsent" | "unanswered" | Response;

export type Network = {
  decide: (sent: Sent) => Fate;
  sent: Sent[];
  fetch: Fetch;
  /** How often a route was asked. */
  count(route: string): number;
  /** Gives the next requests of a route their fates, one after the other, and lets all others pass. */
  next(route: string, ...fates: Fate[]): void;
};

/** A network that notes every request and decides on its fate; `decide` may be changed at any time. */
export function makeNetwork(decide: (sent: Sent) => Fate = () => "pass"): Network {
  const network: Network = {
    decide,
    sent: [],
    fetch: async (url, init) => {
      const path = new URL(url).pathname;
      const sent = {
        route: `${init.method} ${path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, ":id")}`,
        path,
        headers: new Headers(init.headers),
        body: String(init.body ?? ""),
      };
      network.sent.push(sent);
      const fate = network.decide(sent);
      if (fate instanceof Response) return fate;
      if (fate === "unsent") throw Object.assign(new TypeError("refused"), { code: "ConnectionRefused" });
      const response = await fetch(url, init);
      if (fate === "pass") return response;
      await response.arrayBuffer();
      throw Object.assign(new TypeError("reset"), { code: "ECONNRESET" });
    },
    count: (route: string) => network.sent.filter((sent) => sent.route === route).length,
    next(route, ...fates) {
      network.decide = (sent) => (sent.route === route ? (fates.shift() ?? "pass") : "pass");
    },
  };
  return network;
}

/** What a promise fails with; anything but a `VaultError` is a failure of the test. */
export async function errorOf(promise: Promise<unknown>): Promise<VaultError> {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (reason) => reason,
  );
  if (!(error instanceof VaultError)) throw error;
  return error;
}

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await errorOf(promise)).code;
}
