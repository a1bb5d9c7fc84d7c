import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { VaultErrorCode } from "../../src/client/index.ts";
import type { Raw } from "../support/hostile-server.ts";
import {
  type Attack,
  head,
  on,
  type Seen,
  spell,
  startHostileServer,
  under,
} from "../support/hostile-server.ts";
import { type Device, errorOf } from "../support/vault.ts";
import { expectAnswerRefused, expectRefused, useVictim } from "../support/victim.ts";

const victim = useVictim();

const list = (device: Device) => device.vault.list();
const get = (device: Device) => device.vault.get(victim.entries[0]?.id ?? "");
const unlock = (device: Device) => device.vault.unlock(device);

describe("a status that no answer of this protocol has", () => {
  const real = '{"entries":[],"next_cursor":null}';

  test.each<[number, Raw]>([
    [204, head("x: x", "", 204)],
    [205, head("content-length: 0", "", 205)],
    [206, head("content-range: bytes 0-9/33\r\ncontent-length: 10", real.slice(0, 10), 206)],
    [300, head(`content-length: ${real.length}`, real, 300)],
    [304, head("etag: x", "", 304)],
    [400, head("content-length: 0", "", 400)],
    [418, head(`content-length: ${real.length}`, real, 418)],
    [500, head("content-length: 6", "Oh no!", 500)],
    [599, head("content-length: 0", "", 599)],
    [999, head(`content-length: ${real.length}`, real, 999)],
  ])("is refused: %p", async (_, raw) => {
    const expected = { code: "response-invalid", requests: 1 } as const;
    await expectAnswerRefused(victim, "GET /entries", raw, list, expected);
  });

  test.each([502, 503, 504])("is taken for that of a proxy before the server: %p", async (status) => {
    const attack = on("POST /auth/login", () => head("content-length: 6", "<html>", status));
    await expectRefused(victim, victim, attack, unlock, { code: "server-unreachable", requests: 2 });
  });

  test("behind which a second answer comes is that of the request, and the second of none", async () => {
    const attack = on("GET /entries/:id", async (_, pass) => {
      const first = { ...(await pass()), headers: { connection: "keep-alive" } };
      const second = { status: 200, body: { entries: [], next_cursor: null } };
      return (socket) => socket.write(spell(first) + spell(second));
    });
    const got = await under(victim.hostile, attack, () => get(victim));
    expect(got).toEqual(victim.entries[0] as typeof got);
    expect(await list(victim)).toEqual(victim.entries);
  });
});

describe("a redirect", () => {
  const thief = { stolen: [] as Seen[] };
  let stop = async () => {};
  let elsewhere = "";
  beforeAll(async () => {
    const server = await startHostileServer(victim.server);
    server.seen = thief.stolen;
    elsewhere = server.url;
    stop = server.stop;
  });
  afterAll(() => stop());

  test.each([301, 302, 303, 307, 308])("is not followed, to wherever: %p", async (status) => {
    const expected = { code: "response-invalid", requests: 1 } as const;
    for (const to of [() => elsewhere, () => "", () => "//localhost", () => "file:///etc/passwd"]) {
      const attack: Attack = ({ path }) => ({ status, headers: { location: `${to()}${path}` } });
      await expectRefused(victim, victim, attack, list, expected);
      const login = on("POST /auth/login", attack);
      await expectRefused(victim, victim, login, unlock, { ...expected, requests: 2 });
    }
    // Neither the token nor the auth_key, nor anything else, has gone there.
    expect(thief.stolen).toEqual([]);
  });
});

describe("a problem", () => {
  const problem = (change: object) => ({
    ...{
      type: "about:blank",
      title: "A title",
      status: 422,
      code: "request-invalid",
      request_id: "request-1",
    },
    ...change,
  });
  const ESCAPES = "\u001b]0;owned\u0007\u001b[2J\r\nYour password, please:\u202e\u0000";

  test("says nothing that a terminal would obey", async () => {
    const said = { detail: ESCAPES, title: ESCAPES, request_id: ESCAPES, type: ESCAPES };
    const errors = [
      { path: ESCAPES, reason: "plain" },
      { path: "body.id", reason: ESCAPES },
      { path: "body.id", reason: "must be a UUID" },
    ];
    const attack = on("GET /entries", () => ({ status: 422, body: problem({ ...said, errors }) }));
    await expectRefused(victim, victim, attack, list, { code: "request-invalid", requests: 1 });
    const { message, details } = await under(victim.hostile, attack, () => errorOf(list(victim)));
    const printed = JSON.stringify([message, details]);
    expect(printed).toMatch(/^[\x20-\x7e]+$/);
    expect(printed).not.toMatch(/owned|\\u00|Your password/);
    expect(details.errors).toEqual([{ path: "body.id", reason: "must be a UUID" }]);
  });

  test("is not as long as the server likes", async () => {
    const attack = on("GET /entries", () => ({
      status: 422,
      body: problem({ detail: "long ".repeat(1_000_000) }),
    }));
    const { message } = await under(victim.hostile, attack, () => errorOf(list(victim)));
    expect(message.length).toBeLessThan(301);
  });

  test.each<[string, number, object]>([
    ["another status within than without", 400, { status: 422 }],
    ["a status that its code does not have", 500, { status: 500 }],
    ["a code that nobody knows", 422, { code: "send-your-password" }],
    ["a code that every object has", 422, { code: "constructor" }],
    ["a code that is a prototype", 422, { code: "__proto__" }],
    ["a code of the client's own", 422, { code: "password-wrong" }],
    ["no code", 422, { code: undefined }],
    ["a status as a text", 422, { status: "422" }],
    ["eight million faults", 422, { errors: Array(5_000_000).fill(0) }],
  ])("is none with %s", async (_, status, change) => {
    const attack = on("GET /entries", () => ({ status, body: problem(change) }));
    await expectRefused(victim, victim, attack, list, { code: "response-invalid", requests: 1 });
  });

  test.each<VaultErrorCode>(["internal-error", "method-not-allowed", "username-taken"])(
    "that makes no sense here is passed on: %s",
    async (code) => {
      const status = code === "internal-error" ? 500 : code === "username-taken" ? 409 : 405;
      const attack = on("GET /entries", () => ({ status, body: problem({ status, code }) }));
      await expectRefused(victim, victim, attack, list, { code, requests: 1 });
    },
  );
});
