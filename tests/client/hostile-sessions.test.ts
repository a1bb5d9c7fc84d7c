import { describe, expect, test } from "bun:test";
import type { VaultErrorCode } from "../../src/client/index.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { randomHex } from "../support/client.ts";
import { type Attack, changing, on, problem, record, under } from "../support/hostile-server.ts";
import type { Device } from "../support/vault.ts";
import { expectRefused, makeAccount, newDevice, useVictim, type Victim } from "../support/victim.ts";

const victim = useVictim();

const list = (device: Device) => device.vault.list();

/** Refuses the token for as long as it is the one that the first request came with. */
function tokenEnded(rest: Attack): Attack {
  let ended: string | null | undefined;
  return (seen, pass) => {
    if (seen.route !== "GET /entries") return rest(seen, pass);
    ended ??= seen.headers.get("authorization");
    return seen.headers.get("authorization") === ended ? problem(401, "token-invalid") : pass();
  };
}

/** What the device has to do to go on, where its session is gone. */
const loggedOut = async (device: Device) => {
  device.vault.lock();
};

describe("a token that is refused", () => {
  test("for ever ends after one renewal", async () => {
    const device = await newDevice(victim);
    const attack = on("GET /entries", () => problem(401, "token-invalid"));
    const expected = { code: "signed-out", requests: 3 } as const;
    const seen = await expectRefused(victim, device, attack, list, expected);
    expect(seen.map(({ route }) => route)).toEqual(["GET /entries", "POST /auth/token", "GET /entries"]);
  });

  test("with its renewal says that the session is over, and nothing more is sent", async () => {
    const device = await newDevice(victim);
    const attack: Attack = (seen) =>
      problem(401, seen.path === "/auth/token" ? "refresh-token-invalid" : "token-invalid");
    const action = () => list(device).finally(() => loggedOut(device));
    await expectRefused(victim, device, attack, action, { code: "signed-out", requests: 2 });
  });

  test.each<[string, VaultErrorCode]>([
    ["token-invalid", "token-invalid"],
    ["credentials-invalid", "credentials-invalid"],
  ])("by its renewal as well, in a word for something else: %s", async (said, code) => {
    const device = await newDevice(victim);
    const attack = tokenEnded(on("POST /auth/token", () => problem(401, said)));
    await expectRefused(victim, device, attack, list, { code, requests: 2 });
  });

  test("that many requests find at once is renewed once for all of them", async () => {
    const device = await newDevice(victim);
    victim.hostile.seen = [];
    const attack = tokenEnded((_, pass) => pass());
    const lists = await under(victim.hostile, attack, () =>
      Promise.all(Array.from({ length: 8 }, () => list(device))),
    );
    for (const entries of lists) expect(entries).toEqual(victim.entries);
    expect(victim.hostile.seen.filter(({ path }) => path === "/auth/token").length).toBe(1);
  });
});

describe("a renewal", () => {
  test.each<[string, object | string]>([
    ["a page of HTML", "<html>"],
    ["nothing", ""],
    ["no tokens", { accessToken: undefined }],
    ["a token of another type", { token_type: "MAC" }],
    ["a lifetime as a text", { expires_in: "2100" }],
    ["a lifetime beyond every number", { expires_in: 1e308 }],
    ["a token that ends its line", { accessToken: "a\r\nHost: example.org" }],
    ["a token that no header can hold", { accessToken: "\ud83d\ude00" }],
    ["a token of nothing", { accessToken: "" }],
  ])("that brings garbage leaves the session as it was: %s", async (_, change) => {
    const garbage = (given: object) => (typeof change === "string" ? change : { ...given, ...change });
    const device = await newDevice(victim);
    const key = `tokens ${victim.hostile.url} ${victim.username}`;
    const before = await device.store.read(key);
    // Whether the real server has carried it out or not: it gives the same tokens to a repetition.
    for (const attack of [
      changing("POST /auth/token", garbage),
      on("POST /auth/token", () => ({ status: 200, body: garbage({}) })),
    ]) {
      const expected = { code: "response-invalid", requests: 2 } as const;
      let kept: string | undefined;
      const action = () => list(device).finally(async () => (kept = await device.store.read(key)));
      await expectRefused(victim, device, tokenEnded(attack), action, expected);
      expect(kept).toBe(before as string);
    }
  });

  test.each([0, -1, -(2 ** 53 - 1)])(
    "with a lifetime of %p seconds is made once a request",
    async (expires_in) => {
      const device = await newDevice(victim);
      const attack = tokenEnded(changing("POST /auth/token", (body) => ({ ...body, expires_in })));
      await under(victim.hostile, attack, async () => {
        expect(await list(device)).toEqual(victim.entries);
        victim.hostile.seen = [];
        expect(await list(device)).toEqual(victim.entries);
        expect(victim.hostile.seen.map(({ route }) => route)).toEqual(["POST /auth/token", "GET /entries"]);
      });
      expect(await list(device)).toEqual(victim.entries);
    },
  );

  test("that gives another account's tokens shows nothing of it", async () => {
    const stranger = await makeAccount(victim);
    const device = await newDevice(victim);
    await list(device);
    const { body } = await record(victim.hostile, "POST /auth/login", () => stranger.vault.unlock(stranger));
    const { accessToken, refreshToken } = body;
    const attack = tokenEnded(
      changing("POST /auth/token", (real) => ({ ...real, accessToken, refreshToken })),
    );
    const action = () => list(device).finally(() => loggedOut(device));
    // The stranger's entries do not open, and one's own are not there.
    await expectRefused(victim, device, attack, action, { code: "entry-does-not-open", requests: 3 });
  });
});

describe("a server that asks for patience", () => {
  test.each(["1000000", "999999", "31", String(2 ** 64)])("of %p seconds is given none", async (seconds) => {
    const attack = on("GET /entries", () => problem(429, "rate-limited", { "retry-after": seconds }));
    const requests = seconds.length > 6 ? LIMITS.client_attempts_max : 1;
    const seen = await expectRefused(victim, victim, attack, list, { code: "rate-limited", requests });
    expect(seen.length).toBe(requests);
  });

  test.each(["-1", "0", "1.5", "1e9", "NaN", "", "Wed, 21 Oct 2099 07:28:00 GMT", "30, 31"])(
    "as %p, which is no number of seconds to wait, is asked again a few times",
    async (seconds) => {
      const attack = on("GET /entries", () => problem(503, "not-ready", { "retry-after": seconds }));
      const requests = LIMITS.client_attempts_max;
      const seen = await expectRefused(victim, victim, attack, list, { code: "not-ready", requests });
      expect(seen.length).toBe(requests);
    },
  );
});

describe("what the server tells of an account", () => {
  test.each<[string, (device: Victim) => Promise<unknown>, string]>([
    ["sessions", ({ vault }) => vault.sessions(), "GET /auth/sessions"],
    ["events", ({ vault }) => vault.events(), "GET /audit"],
  ])("is held to its form: %s", async (_, action, route) => {
    const lies = [
      {},
      { sessions: [{ id: randomHex(16) }], events: [{ id: 1 }] },
      { sessions: "none", events: null },
    ];
    for (const body of lies) {
      const attack = on(route, () => ({ status: 200, body }));
      await expectRefused(victim, victim, attack, () => action(victim), {
        code: "response-invalid",
        requests: 1,
      });
    }
  });

  test("with a body where there is none to be, is refused", async () => {
    const attack = on("DELETE /auth/sessions", () => ({ status: 200, body: { ok: true } }));
    const action = () => victim.vault.endOtherSessions();
    await expectRefused(victim, victim, attack, action, { code: "response-invalid", requests: 1 });
  });
});

test("a server that refuses to end a session keeps the client from its keys no longer than that", async () => {
  const device = await newDevice(victim);
  const attack = on("POST /auth/logout", () => ({ status: 200, body: "<html>" }));
  const logout = () => device.vault.logout();
  await expectRefused(victim, device, attack, logout, { code: "response-invalid", requests: 1 });
});
