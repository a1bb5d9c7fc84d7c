import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { memoryStore, type Store } from "../../src/client/index.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { auditTypes } from "../support/client.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../support/server.ts";
import {
  codeOf,
  type Device,
  errorOf,
  makeNetwork,
  type Network,
  openVault,
  randomLogin,
  registerDevice,
  unlockDevice,
} from "../support/vault.ts";

useQuickHashes();

const TOKEN = "POST /auth/token";

describe.each(ENGINES)("a session on %s", (engine) => {
  let server: TestServer;
  let network: Network;
  let device: Device;
  let user_id: string;
  const session_key = crypto.getRandomValues(new Uint8Array(32));

  beforeAll(async () => {
    server = await startTestServer(engine);
    network = makeNetwork();
    device = await registerDevice(server, { fetch: network.fetch });
    const pins = await device.store.read(`pins ${server.url} ${device.username}`);
    user_id = JSON.parse(pins as string).account_id;
  });
  afterEach(() => {
    network.decide = () => "pass";
    network.sent.length = 0;
  });
  afterAll(() => server.stop());

  /** The access tokens of before have ended, as the server sees it. */
  const endTokens = () => server.clock.advance(LIMITS.access_token_ms_default + 1000);

  async function sameDevice(): Promise<Device> {
    const vault = openVault(server, { store: device.store, fetch: network.fetch });
    const sealed_key = await device.vault.sealKey(session_key);
    await vault.resume({ username: device.username, sealed_key, session_key });
    return { ...device, vault };
  }

  async function expectNoAlarm(): Promise<void> {
    expect(await auditTypes(server, user_id)).not.toContain("refresh-reused");
  }

  test("renews its token once for 50 requests that find it ended", async () => {
    endTokens();
    const results = await Promise.all(Array.from({ length: 50 }, () => device.vault.sessions()));
    expect(results.every((sessions) => sessions.length === 1)).toBe(true);
    expect(network.count(TOKEN)).toBe(1);
    await device.vault.sessions();
    expect(network.count(TOKEN)).toBe(1);
    await expectNoAlarm();
  });

  test("of two processes never uses a refresh token twice", async () => {
    const other = await sameDevice();
    for (let round = 0; round < 5; round++) {
      endTokens();
      network.sent.length = 0;
      const both = [device.vault, other.vault].flatMap((vault) =>
        Array.from({ length: 10 }, () => vault.sessions()),
      );
      await Promise.all(both);
      expect(network.count(TOKEN)).toBe(1);
    }
    // One that comes late finds what the other has put into the store, long after any grace.
    endTokens();
    await device.vault.sessions();
    server.clock.advance(2 * LIMITS.refresh_grace_ms);
    await other.vault.sessions();
    endTokens();
    await other.vault.sessions();
    await device.vault.sessions();
    await expectNoAlarm();
  });

  test("gets the successor when the answer to a refresh is lost", async () => {
    endTokens();
    network.next(TOKEN, "unanswered", "unanswered");
    expect((await device.vault.sessions()).length).toBe(1);
    expect(network.count(TOKEN)).toBe(3);
    endTokens();
    expect((await device.vault.sessions()).length).toBe(1);
    await expectNoAlarm();
  });

  test("keeps its tokens when a refresh cannot reach the server", async () => {
    endTokens();
    network.decide = ({ route }) => (route === TOKEN ? "unsent" : "pass");
    expect(await codeOf(device.vault.sessions())).toBe("server-unreachable");
    network.decide = () => "pass";
    expect((await device.vault.sessions()).length).toBe(1);
    await expectNoAlarm();
  });

  test("that lost the answer to a refresh for longer than the grace is signed out, and can log in again", async () => {
    endTokens();
    network.decide = ({ route }) => (route === TOKEN ? "unanswered" : "pass");
    expect(await codeOf(device.vault.sessions())).toBe("server-unreachable");
    network.decide = () => "pass";
    server.clock.advance(LIMITS.refresh_grace_ms + 1000);
    expect(await codeOf(device.vault.sessions())).toBe("signed-out");
    await device.vault.unlock(device);
    expect((await device.vault.sessions()).length).toBe(1);
  });

  test("that was ended elsewhere is signed out, and its tokens are forgotten", async () => {
    const mine = await unlockDevice(server, device, { fetch: network.fetch });
    const key = `tokens ${server.url} ${mine.username}`;
    expect(await mine.store.read(key)).toBeString();
    await device.vault.endOtherSessions();
    network.sent.length = 0;
    const error = await errorOf(mine.vault.list());
    expect(error).toMatchObject({ code: "signed-out", hostile: false });
    expect(error.details.cause).toMatchObject({ code: "refresh-token-invalid" });
    expect(await mine.store.read(key)).toBeUndefined();
    network.sent.length = 0;
    expect(await codeOf(mine.vault.list())).toBe("signed-out");
    expect(network.sent).toEqual([]);
    expect(mine.vault.locked).toBe(false);
  });

  test("of another process of the device is taken over when this one's was replaced", async () => {
    const other = await sameDevice();
    await other.vault.list();
    await device.vault.unlock(device);
    network.sent.length = 0;
    expect(await other.vault.list()).toBeArray();
    expect(network.count(TOKEN)).toBe(0);
    // And a logout ends the one that the store has, whoever began it.
    await other.vault.logout();
    expect(await codeOf(device.vault.list())).toBe("signed-out");
    await device.vault.unlock(device);
    expect((await device.vault.sessions()).length).toBe(1);
  });

  test("is refreshed early, so that no token ends on its way", async () => {
    const lifetimes = [
      [10, 2_000, 6_000],
      [25, 9_000, 13_000],
      [60, 40_000, 46_000],
    ] as const;
    for (const [lifetime_s, fresh_ms, old_ms] of lifetimes) {
      const brief = await startTestServer(engine, { ACCESS_TOKEN_EXPIRES_IN: `${lifetime_s}s` });
      const store = memoryStore();
      const ours = await registerDevice(brief, { store, fetch: network.fetch });
      network.sent.length = 0;
      await atTime(fresh_ms, () => ours.vault.sessions());
      expect(network.count(TOKEN)).toBe(0);
      await atTime(old_ms, () => ours.vault.sessions());
      expect({ lifetime_s, count: network.count(TOKEN) }).toEqual({ lifetime_s, count: 1 });
      await brief.stop();
    }
  });

  test("whose store fails is in an error, and nothing is lost of what was there", async () => {
    const inner = memoryStore();
    let failing = false;
    const store: Store = {
      read: inner.read,
      update: (key, change) =>
        inner.update(key, async (text) => {
          const next = await change(text);
          if (failing) throw new Error("disk full");
          return next;
        }),
    };
    const ours = await registerDevice(server, { store });
    const entry = await ours.vault.add(randomLogin());
    failing = true;
    expect(ours.vault.add(randomLogin())).rejects.toThrow("disk full");
    expect((await ours.vault.get(entry.id)).content).toEqual(entry.content);
    failing = false;
    expect((await ours.vault.list()).length).toBeGreaterThanOrEqual(1);
  });
});

/** What `work` does when this device's clock is so much later. */
async function atTime<Result>(later_ms: number, work: () => Promise<Result>): Promise<Result> {
  const real = Date.now;
  Date.now = () => real() + later_ms;
  try {
    return await work();
  } finally {
    Date.now = real;
  }
}
