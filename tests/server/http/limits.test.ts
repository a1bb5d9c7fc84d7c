import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Environment } from "../../../src/server/settings.ts";
import {
  type Answer,
  call,
  expectProblem,
  randomName,
  randomPassword,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { exchange, expectPromisedHeaders } from "../../support/wire.ts";

/** Each test has a server, and so buckets, of its own; requests come from the address that the header tells. */
const PROXIED: Environment = { TRUSTED_PROXIES: "127.0.0.1" };
const from = (address: string) => ({ headers: { "x-forwarded-for": address } });
const wrong = () => ({ username: randomName(), password: randomPassword() });

for (const engine of ENGINES) {
  describe(`the limit of routes that test a secret on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
      await server.stop();
    });
    beforeEach(async () => {
      server = await startTestServer(engine, { RATE_LIMIT_AUTH: "3/m", ...PROXIED });
    });
    afterEach(() => server.stop());

    const prelogin = (options: object = {}) =>
      call(server, "POST /auth/prelogin", { body: { username: "alice" }, ...options });
    async function spend(options: object = {}): Promise<void> {
      for (let index = 0; index < 3; index++) expect((await prelogin(options)).status).toBe(200);
      expectLimited(await prelogin(options), "auth", 3, 20);
    }

    test("tells what is left, and when there is more", async () => {
      const left = [await prelogin(), await prelogin(), await prelogin()];
      expect(left.map((answer) => answer.headers.get("ratelimit"))).toEqual([
        '"auth";r=2;t=20',
        '"auth";r=1;t=20',
        '"auth";r=0;t=20',
      ]);
      for (const answer of left) {
        expect(answer.headers.get("ratelimit-policy")).toBe('"auth";q=3;w=60');
        expect(answer.headers.has("retry-after")).toBe(false);
      }
      expectLimited(await prelogin(), "auth", 3, 20);
    });

    test("ends exactly when it said", async () => {
      await spend();
      server.clock.advance(19_000);
      expect((await prelogin()).status).toBe(429);
      server.clock.advance(1000);
      expect((await prelogin()).status).toBe(200);
      expect((await prelogin()).status).toBe(429);
    });

    test("counts each route for itself, and whatever else is wrong with the request", async () => {
      const { token } = user;
      const secret = { current_password: randomPassword() };
      const routes: [route: string, options: object, before: number][] = [
        ["POST /auth/register", { raw: "{" }, 400],
        ["POST /auth/prelogin", { raw: "", headers: { "content-type": "text/plain" } }, 415],
        ["POST /auth/login", { body: {} }, 422],
        ["POST /auth/token", { body: { refreshToken: "unknown" } }, 401],
        ["POST /auth/logout", { body: { refreshToken: "unknown" } }, 204],
        ["PUT /auth/password", { body: secret }, 401],
        ["DELETE /account", { token, body: {} }, 422],
      ];
      for (const [route, options, before] of routes) {
        for (let index = 0; index < 3; index++)
          expect([route, (await call(server, route, options)).status]).toEqual([route, before]);
        expectLimited(await call(server, route, options), "auth", 3, 20);
      }
    });

    test("leaves what needs only a session alone", async () => {
      for (let index = 0; index < 5; index++) {
        for (const route of ["GET /account", "GET /auth/sessions", "GET /entries"]) {
          const answer = await call(server, route, { token: user.token });
          expect([answer.status, answer.headers.get("ratelimit")]).toEqual([200, null]);
        }
      }
    });

    test("counts each IPv4 address, and each /64 of IPv6, for itself", async () => {
      await spend(from("203.0.113.7"));
      expect((await prelogin(from("203.0.113.8"))).status).toBe(200);
      await spend(from("2001:db8:0:1::1"));
      for (const same of ["2001:db8:0:1::2", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:DB8::1:0:0:0:3"])
        expectLimited(await prelogin(from(same)), "auth", 3, 20);
      for (const other of ["2001:db8:0:2::1", "2001:db8:1:1::1"])
        expect((await prelogin(from(other))).status).toBe(200);
      expect((await prelogin(from("::ffff:203.0.113.7"))).status).toBe(429);
    });

    test("cannot be got around by another spelling of the address", async () => {
      await spend();
      const body = '{"username":"alice"}';
      const targets = ["/auth/prelogin", "/auth/prelogin/", "/auth/./prelogin", "/x/../auth/prelogin"];
      const absolute = [`${server.url}/auth/prelogin`, "http://elsewhere.example/auth/prelogin/"];
      const queries = ["/auth/prelogin?x=1", "/auth/prelogin/?", "/auth/prelogin?/health"];
      const others = [
        "/auth/Prelogin",
        "/auth/%70relogin",
        "//auth/prelogin",
        "/auth//prelogin",
        "/auth/prelogin//",
      ];
      const send = (line: string) =>
        exchange(
          server,
          [`${line} HTTP/1.1`, "Content-Type: application/json", `Content-Length: ${body.length}`],
          body,
        );
      for (const target of [...targets, ...absolute, ...queries])
        expect([target, (await send(`POST ${target}`)).status]).toEqual([target, 429]);
      // Another spelling is another address, at which there is nothing.
      for (const target of others)
        expect([target, (await send(`POST ${target}`)).status]).toEqual([target, 404]);
      for (const method of ["HEAD", "GET", "PUT", "PATCH"])
        expect([method, (await send(`${method} /auth/prelogin`)).status]).toEqual([method, 405]);
    });

    test("cannot be got around by other headers", async () => {
      await server.stop();
      server = await startTestServer(engine, { RATE_LIMIT_AUTH: "3/m" });
      await spend();
      for (const headers of [
        { "x-forwarded-for": "203.0.113.99" },
        { forwarded: "for=203.0.113.99", "x-real-ip": "203.0.113.99" },
        { "x-request-id": "another-request" },
        { "user-agent": "another", cookie: "a=b" },
        { authorization: `Bearer ${user.token}` },
        { host: "elsewhere.example" },
      ]) {
        expect((await prelogin({ headers })).status).toBe(429);
      }
    });

    test("refuses before the body is read", async () => {
      await spend();
      const type = ["Content-Type: application/json", "Content-Length: 1000"];
      const answer = await exchange(server, ["POST /auth/prelogin HTTP/1.1", ...type]);
      expect(answer.status).toBe(429);
      expectPromisedHeaders(answer);
    });

    test("refuses before anything is hashed or counted as a failure", async () => {
      await server.stop();
      const slow = { HASH_CONCURRENCY: "1", HASH_QUEUE_MAX: "0", ARGON2_MEMORY_KIB: "131072" };
      server = await startTestServer(engine, { RATE_LIMIT_AUTH: "2/m", MAX_FAILED_LOGINS: "2", ...slow });
      const login = (username: string, password: string) =>
        call(server, "POST /auth/login", { body: { username, password } });
      // A name that nobody has costs what is configured, so the only place to hash is taken for long.
      const first = login(randomName(), randomPassword());
      while (server.deps.hashing.running === 0) await Bun.sleep(1);
      expectProblem(await login(user.username, randomPassword()), 503, "hashing-busy");
      for (let index = 0; index < 5; index++)
        expectLimited(await login(user.username, user.password), "auth", 2, 30);
      expect([server.deps.hashing.running, server.deps.hashing.waiting]).toEqual([1, 0]);
      expect((await first).status).toBe(401);
      // One attempt of two was counted for the name: those that were refused are none.
      server.clock.advance(60_000);
      expect((await login(user.username, user.password)).status).toBe(200);
    });
  });

  describe(`the limit of everything else on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
      await server.stop();
    });
    beforeEach(async () => {
      server = await startTestServer(engine, { RATE_LIMIT_API: "8/s", ...PROXIED });
    });
    afterEach(() => server.stop());

    test("counts whatever is asked, also what is wrong or not there", async () => {
      const { token } = user;
      const statuses = [
        await call(server, "GET /account", { token }),
        await call(server, "GET /entries"),
        await call(server, "GET /nothing-here"),
        await call(server, "PATCH /entries"),
        await call(server, "OPTIONS /entries"),
        await call(server, "HEAD /entries", { token }),
        await call(server, "POST /entries", { token, raw: "{" }),
        await call(server, "POST /auth/login", { body: wrong() }),
      ].map(({ status }) => status);
      expect(statuses).toEqual([200, 401, 404, 405, 204, 200, 400, 401]);
      for (const route of ["GET /account", "GET /nothing-here", "OPTIONS /entries", "POST /auth/login"])
        expectLimited(await call(server, route, { token }), "api", 8, 1, "s");
      expect((await call(server, "GET /account", { token, ...from("203.0.113.7") })).status).toBe(200);
    });

    test("leaves health and readiness alone, with and without a slash", async () => {
      for (let index = 0; index < 8; index++) await call(server, "GET /nothing-here");
      for (const path of ["/health", "/ready", "/health/", "/ready/", "/health?probe=1"]) {
        for (const method of ["GET", "HEAD"]) {
          const answer = await call(server, `${method} ${path}`);
          expect([path, answer.status, answer.headers.get("ratelimit")]).toEqual([path, 200, null]);
        }
      }
      for (const path of [
        "/health//",
        "//health",
        "/Health",
        "/healthy",
        "/x?/health",
        "/entries?://x/health",
      ])
        expect([path, (await exchange(server, [`GET ${path} HTTP/1.1`])).status]).toEqual([path, 429]);
      for (const host of ["x/health?", "/health", "a/health#"]) {
        const answer = await exchange(server, ["GET /entries HTTP/1.1", `Host: ${host}`]);
        expect([host, answer.status]).toEqual([host, 429]);
      }
    });

    test("is told with every answer that it covers", async () => {
      const answer = await call(server, "GET /account", { token: user.token });
      expect(answer.headers.get("ratelimit-policy")).toBe('"api";q=8;w=1');
      expect(answer.headers.get("ratelimit")).toBe('"api";r=7;t=1');
    });
  });

  test(`both limits can be turned off on ${engine}`, async () => {
    const server = await startTestServer(engine, { RATE_LIMIT_AUTH: "off", RATE_LIMIT_API: "off" });
    try {
      for (let index = 0; index < 30; index++) {
        const answer = await call(server, "POST /auth/prelogin", { body: { username: "alice" } });
        expect([answer.status, answer.headers.get("ratelimit")]).toEqual([200, null]);
      }
    } finally {
      await server.stop();
    }
  });
}

/** Asserts a refusal, whole; `wait_s` is when the next token is due. */
function expectLimited(answer: Answer, policy: string, limit: number, wait_s: number, period = "m"): void {
  if (answer.text !== "") expectProblem(answer, 429, "rate-limited");
  expect(answer.status).toBe(429);
  expectPromisedHeaders(answer);
  expect(answer.headers.get("retry-after")).toBe(String(wait_s));
  expect(answer.headers.get("ratelimit-policy")).toBe(`"${policy}";q=${limit};w=${period === "m" ? 60 : 1}`);
  expect(answer.headers.get("ratelimit")).toBe(`"${policy}";r=0;t=${wait_s}`);
}
