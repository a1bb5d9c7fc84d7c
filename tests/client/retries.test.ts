import { afterAll, afterEach, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { memoryStore } from "../../src/client/index.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { PROBLEMS, type ProblemCode } from "../../src/contract/problems.ts";
import { randomPassword } from "../support/client.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../support/server.ts";
import {
  codeOf,
  type Device,
  errorOf,
  type Fate,
  makeNetwork,
  openVault,
  randomLogin,
  registerDevice,
  unlockDevice,
} from "../support/vault.ts";

useQuickHashes();

const LOGIN = "POST /auth/login";
const LIST = "GET /entries";
const ADD = "POST /entries";
const PUT = "PUT /entries/:id";
const DELETE = "DELETE /entries/:id";

describe("a request", () => {
  let server: TestServer;
  let device: Device;
  const network = makeNetwork();
  let waits: { wait_ms: number; code: string }[] = [];

  beforeAll(async () => {
    server = await startTestServer("embedded");
    const on_wait = (wait: { wait_ms: number; code: string }) => void waits.push(wait);
    device = await registerDevice(server, { fetch: network.fetch, on_wait });
  });
  afterEach(() => {
    network.decide = () => "pass";
    network.sent.length = 0;
    waits = [];
  });
  afterAll(() => server.stop());

  const failures: [string, () => Fate, string][] = [
    ["refused", () => "unsent", "server-unreachable"],
    ["reset", () => "unanswered", "server-unreachable"],
    ["answered by a gateway with 502", () => gateway(502), "server-unreachable"],
    ["answered by a gateway with 503", () => gateway(503), "server-unreachable"],
    ["answered by a gateway with 504", () => gateway(504), "server-unreachable"],
    ["sent to a server without its database", () => problem("database-unavailable"), "database-unavailable"],
    ["sent to a server that starts", () => problem("not-ready"), "not-ready"],
  ];

  test.each(failures)("that is %s comes again, later each time", async (_, fail, code) => {
    network.next(LIST, fail(), fail(), fail());
    expect(await device.vault.list()).toBeArray();
    expect(network.count(LIST)).toBe(4);
    expect(waits.map((wait) => wait.code)).toEqual([code, code, code]);
    for (const [index, { wait_ms }] of waits.entries()) {
      const ceiling_ms = LIMITS.client_backoff_ms * 2 ** index;
      expect(wait_ms).toBeGreaterThanOrEqual(ceiling_ms / 2);
      expect(wait_ms).toBeLessThanOrEqual(ceiling_ms);
    }
  });

  test("that fails every time ends, and tells that it came more than once", async () => {
    network.decide = () => "unsent";
    const error = await errorOf(device.vault.list());
    expect(error).toMatchObject({ code: "server-unreachable", details: { again: true } });
    expect(network.sent.length).toBe(LIMITS.client_attempts_max);
  });

  test("that is not answered in time comes again, and ends", async () => {
    const real = AbortSignal.timeout;
    const timeouts: number[] = [];
    const spy = spyOn(AbortSignal, "timeout").mockImplementation((wait_ms) => {
      timeouts.push(wait_ms);
      return real.call(AbortSignal, 40);
    });
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const on_wait = (wait: { wait_ms: number; code: string }) => void waits.push(wait);
    const url = `http://127.0.0.1:${silent.port}`;
    const vault = openVault({ url }, { on_wait });
    expect(await codeOf(vault.unlock(device))).toBe("server-timeout");
    expect(waits.map(({ code }) => code)).toEqual(["server-timeout", "server-timeout", "server-timeout"]);
    expect(timeouts).toEqual(Array(4).fill(LIMITS.client_answer_ms));
    spy.mockRestore();
    silent.stop(true);
  });

  test("waits as long as it is asked to, to the second", async () => {
    for (const answer of [problem("rate-limited", "1"), gateway(503, "1")]) {
      network.next(LIST, answer);
      const start_ms = performance.now();
      await device.vault.list();
      expect(performance.now() - start_ms).toBeGreaterThanOrEqual(999);
    }
    expect(waits.map(({ wait_ms }) => wait_ms)).toEqual([1000, 1000]);
  });

  test("does not wait for longer than a person would, but says how long it would be", async () => {
    const too_long = String(LIMITS.client_wait_ms_max / 1000 + 1);
    network.next(LIST, problem("rate-limited", too_long));
    const error = await errorOf(device.vault.list());
    expect(error).toMatchObject({ code: "rate-limited", details: { retry_after_s: Number(too_long) } });
    expect(waits).toEqual([]);
  });

  test("takes nothing for a time to wait that is none", async () => {
    for (const text of ["-1", "1.5", "Wed, 21 Oct 2065 07:28:00 GMT", "1e3", "9999999"]) {
      network.next(LIST, problem("not-ready", text));
      await device.vault.list();
    }
    expect(waits.length).toBe(5);
    for (const { wait_ms } of waits) expect(wait_ms).toBeLessThanOrEqual(LIMITS.client_backoff_ms);
  });

  test("that is refused for good comes once", async () => {
    const codes = [
      "request-invalid",
      "internal-error",
      "entry-not-found",
      "body-too-large",
      "login-locked",
    ] as const;
    for (const code of codes) {
      network.sent.length = 0;
      network.next(LIST, problem(code, "1"));
      expect(await codeOf(device.vault.list())).toBe(code);
      expect(network.count(LIST)).toBe(1);
    }
    expect(waits).toEqual([]);
  });

  test("to log in comes once when it is not known what became of it", async () => {
    for (const fate of ["unsent", "unanswered", gateway(502), problem("database-unavailable")] as const) {
      network.sent.length = 0;
      network.next(LOGIN, fate);
      expect(["server-unreachable", "database-unavailable"]).toContain(
        await codeOf(device.vault.unlock(device)),
      );
      expect(network.count(LOGIN)).toBe(1);
    }
    expect(await device.vault.list()).toBeArray();
  });

  test("to log in comes again when it was surely not carried out", async () => {
    const refusals = [
      "hashing-busy",
      "rate-limited",
      "not-ready",
      "audit-unavailable",
      "batch-busy",
    ] as const;
    for (const code of refusals) {
      network.sent.length = 0;
      network.next(LOGIN, problem(code));
      await device.vault.unlock(device);
      expect({ code, sent: network.count(LOGIN) }).toEqual({ code, sent: 2 });
    }
  });
});

describe.each(ENGINES)("a request to %s", (engine) => {
  let server: TestServer;
  let device: Device;
  const network = makeNetwork();

  beforeAll(async () => {
    server = await startTestServer(engine);
    device = await registerDevice(server, { fetch: network.fetch });
  });
  afterEach(() => {
    network.decide = () => "pass";
    network.sent.length = 0;
  });
  afterAll(() => server.stop());

  test("to log in to a name that is locked comes once, and says for how long", async () => {
    const strict = await startTestServer(engine, { MAX_FAILED_LOGINS: "2" });
    const { username, vault } = await registerDevice(strict, { fetch: network.fetch });
    const wrong = { username, master_password: randomPassword() };
    for (let attempt = 0; attempt < 2; attempt++)
      expect(await codeOf(vault.unlock(wrong))).toBe("password-wrong");
    network.sent.length = 0;
    const error = await errorOf(vault.unlock(wrong));
    expect(error.code).toBe("login-locked");
    expect(error.details.retry_after_s).toBeGreaterThan(0);
    expect(network.count(LOGIN)).toBe(1);
    await strict.stop();
  });

  const lost: Fate[][] = [["unanswered"], ["unsent", "unanswered"], ["unanswered", "unsent"]];

  test.each(lost)("to add whose answer is lost stores one entry and gives it (%s %s)", async (...fates) => {
    const before = (await device.vault.list()).length;
    const content = randomLogin();
    network.next(ADD, ...fates);
    const entry = await device.vault.add(content);
    expect(entry).toMatchObject({ version: 1, content });
    const after = await device.vault.list();
    expect(after.length).toBe(before + 1);
    expect(after[0]).toEqual(entry);
  });

  test.each(lost)("to change whose answer is lost is known as its own (%s %s)", async (...fates) => {
    const { id, content } = await device.vault.add(randomLogin());
    network.next(PUT, ...fates);
    const refuse = () => {
      throw new Error("nobody is to be asked");
    };
    const changed = await device.vault.update(id, { notes: "n" }, refuse);
    expect(changed).toMatchObject({ version: 2, content: { ...content, notes: "n" } });
    expect(await device.vault.get(id)).toEqual(changed);
  });

  test("to change whose answer is lost, while somebody else was quicker, is merged", async () => {
    const { id } = await device.vault.add(randomLogin());
    const there = await unlockDevice(server, device);
    await there.vault.update(id, { tags: ["theirs"] });
    network.next(PUT, "unanswered");
    const merged = await device.vault.update(id, { notes: "ours" });
    expect(merged).toMatchObject({ version: 3, content: { notes: "ours", tags: ["theirs"] } });
  });

  test.each(lost)("to delete whose answer is lost succeeds (%s %s)", async (...fates) => {
    const { id } = await device.vault.add(randomLogin());
    network.next(DELETE, ...fates);
    await device.vault.remove(id);
    expect((await device.vault.list()).map((entry) => entry.id)).not.toContain(id);
  });

  test("to delete what somebody else has deleted says so", async () => {
    const { id } = await device.vault.add(randomLogin());
    const there = await unlockDevice(server, device);
    await there.vault.get(id);
    await there.vault.remove(id);
    expect(await codeOf(device.vault.remove(id))).toBe("entry-not-found");
    await device.vault.acceptMissing([id]);
  });

  test("whose token ends between two attempts still knows what it has done", async () => {
    const content = randomLogin();
    const fates: Fate[] = ["unanswered"];
    network.decide = ({ route }) => {
      if (route !== ADD) return "pass";
      const fate = fates.shift() ?? "pass";
      if (fate === "unanswered")
        setTimeout(() => server.clock.advance(LIMITS.access_token_ms_default + 1000), 50);
      return fate;
    };
    const entry = await device.vault.add(content);
    expect(entry).toMatchObject({ version: 1, content });
    expect(network.count("POST /auth/token")).toBe(1);
    expect((await device.vault.list()).filter(({ content: { name } }) => name === content.name).length).toBe(
      1,
    );
  });

  test("to register whose answer is lost makes one account, and opens it", async () => {
    network.next("POST /auth/register", "unanswered");
    const { vault } = await registerDevice(server, { fetch: network.fetch });
    expect(network.count("POST /auth/register")).toBe(2);
    expect(await vault.list()).toEqual([]);
  });

  test("to register somebody else's name is no success because an attempt before was lost", async () => {
    network.next("POST /auth/register", "unsent");
    const store = memoryStore();
    const account = { username: device.username.toUpperCase(), master_password: randomPassword() };
    const registering = registerDevice(server, { fetch: network.fetch, store }, account);
    expect(await codeOf(registering)).toBe("username-taken");
    // Nothing of it is remembered: whose name it is can log in on this device.
    expect((await unlockDevice(server, device, { store })).vault.locked).toBe(false);
  });
});

function gateway(status: number, retry_after?: string): Response {
  const headers = retry_after === undefined ? {} : { "retry-after": retry_after };
  return new Response("<h1>Bad gateway</h1>", {
    status,
    headers: { "content-type": "text/html", ...headers },
  });
}

function problem(code: ProblemCode, retry_after?: string): Response {
  const { status, title } = PROBLEMS[code];
  const body = { type: `urn:blindvault:problem:${code}`, title, status, code, request_id: "r" };
  const headers = retry_after === undefined ? {} : { "retry-after": retry_after };
  return Response.json(body, { status, headers });
}
