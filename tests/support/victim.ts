import { afterAll, beforeAll, expect } from "bun:test";
import { HOSTILE } from "../../src/client/errors.ts";
import { type Entry, memoryStore, type VaultErrorCode } from "../../src/client/index.ts";
import type { Pins } from "../../src/client/pins.ts";
import { randomHex } from "./client.ts";
import {
  type Attack,
  type HostileServer,
  on,
  type Raw,
  type Seen,
  startHostileServer,
} from "./hostile-server.ts";
import { useQuickHashes } from "./quick-hashes.ts";
import { startTestServer, type TestServer } from "./server.ts";
import { type Device, errorOf, openVault, randomLogin, registerDevice, unlockDevice } from "./vault.ts";

/** Somebody with a vault of three entries behind a server in the middle, which has seen and pinned them all. */
export type Victim = Device & { server: TestServer; hostile: HostileServer; entries: Entry[] };

/**
 * A victim for the tests of a file. The attacks stand before the server, so that it makes no difference which database is
 * behind it. After each attack all has to be as it was: one victim serves many.
 */
export function useVictim(): Victim {
  // What the server makes of an auth_key is no part of any of this.
  useQuickHashes();
  const victim = {} as Victim;
  beforeAll(async () => {
    const server = await startTestServer("embedded");
    const hostile = await startHostileServer(server);
    Object.assign(victim, { server, hostile, ...(await makeAccount({ server, hostile })) });
  });
  afterAll(async () => {
    await victim.hostile.stop();
    await victim.server.stop();
  });
  return victim;
}

/** An account with three entries, newest first, made at three different times. */
export async function makeAccount(
  behind: Pick<Victim, "server" | "hostile">,
): Promise<Device & { entries: Entry[] }> {
  const device = await registerDevice(behind.hostile);
  for (let count = 0; count < 3; count++) {
    await device.vault.add(randomLogin({ notes: randomHex(20) }));
    behind.server.clock.advance(10);
  }
  return { ...device, entries: await device.vault.list() };
}

/** Another device of the victim's, which has seen none of the entries. */
export async function newDevice(victim: Victim): Promise<Device> {
  return unlockDevice(victim.hostile, victim);
}

/** Another device of the victim's, which has never been opened and knows nothing. */
export function lockedDevice(victim: Victim): Device {
  const store = memoryStore();
  const { username, master_password } = victim;
  return { username, master_password, store, vault: openVault(victim.hostile, { store }) };
}

export type Expected = {
  code: VaultErrorCode;
  /** How many requests it may take to find out. */
  requests: number;
  /** What the vault holds afterwards, where it is not what it held before. */
  contents?: Entry["content"][];
};

/**
 * Lets a device do something under an attack. It has to end in the one error, soon, with nothing changed on the
 * device and nothing of the vault in what it says; and once the server behaves all has to work as before. Gives
 * the requests that it took.
 */
export async function expectRefused(
  victim: Victim,
  device: Device,
  attack: Attack,
  action: (device: Device) => Promise<unknown>,
  { code, requests, contents }: Expected,
): Promise<Seen[]> {
  const { hostile } = victim;
  const before = await pinsOf(hostile, device);
  Object.assign(hostile, { attack, seen: [] });
  const started_ms = performance.now();
  const error = await errorOf(action(device)).finally(() => {
    hostile.attack = undefined;
  });
  const took_ms = performance.now() - started_ms;
  expect({ code: error.code, hostile: error.hostile }).toEqual({ code, hostile: code in HOSTILE });
  const seen = [...hostile.seen];
  expect(seen.length).toBeLessThanOrEqual(requests);
  // Far above what it takes, and far below what a loop would.
  expect(took_ms).toBeLessThan(10_000);
  expectSamePins(before, await pinsOf(hostile, device));
  expectNoPlaintext(victim, error);
  if (device.vault.locked) await device.vault.unlock(device);
  const after = (await device.vault.list()).map(({ content }) => content);
  expect(after).toEqual(contents ?? victim.entries.map(({ content }) => content));
  return seen;
}

/** What was pinned is pinned still. What is new besides is true, or the vault would not work afterwards. */
function expectSamePins(before: Pins | undefined, after: Pins | undefined): void {
  expect(after).toEqual(before && { ...before, entries: { ...after?.entries, ...before.entries } });
}

/** What a device has pinned of its account on a server. */
export async function pinsOf(server: { url: string }, device: Device): Promise<Pins | undefined> {
  const text = await device.store.read(`pins ${server.url} ${device.username}`);
  return text === undefined ? undefined : JSON.parse(text);
}

function expectNoPlaintext(victim: Victim, error: unknown): void {
  const said = Bun.inspect(error, { depth: 20 });
  const secrets = victim.entries.flatMap(({ content }) => [content.password, content.notes, content.name]);
  for (const secret of [...secrets, victim.master_password]) expect(said).not.toContain(String(secret));
}

/** The same of one answer that the victim's own device is given in the place of the server's. */
export function expectAnswerRefused(
  victim: Victim,
  route: string,
  raw: Raw,
  action: (device: Device) => Promise<unknown>,
  expected: Expected,
): Promise<Seen[]> {
  return expectRefused(
    victim,
    victim,
    on(route, () => raw),
    action,
    expected,
  );
}
