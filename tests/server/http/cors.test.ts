import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { call, expectProblem, signUp } from "../../support/client.ts";
import { startTestServer, type TestServer } from "../../support/server.ts";
import { expectPromisedHeaders } from "../../support/wire.ts";

/** Nothing here touches the database, so one engine is enough. */
const ORIGIN = "https://vault.example";
const SECOND = "http://localhost:5173";
/** Like an allowed origin, and none. */
const STRANGERS = [
  "null",
  "*",
  "",
  "https://vault.example.evil.example",
  "https://evil-vault.example",
  "https://evil.example/https://vault.example",
  "https://sub.vault.example",
  "https://vault.exampl",
  "http://vault.example",
  "https://vault.example:443",
  "https://vault.example:8443",
  "https://VAULT.example",
  "https://vault.example/",
  "https://vault.example, https://evil.example",
  `${ORIGIN} ${SECOND}`,
  `${ORIGIN},${SECOND}`,
  "https://user@vault.example",
  "http://localhost",
  "http://localhost:51730",
];
const PREFLIGHT = {
  "access-control-request-method": "PUT",
  "access-control-request-headers": "authorization",
};

function corsHeaders(headers: Headers): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control-")));
}

describe("without CORS_ORIGINS", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer("embedded");
  });
  afterAll(() => server.stop());

  test("no origin is told anything, and OPTIONS is an ordinary method", async () => {
    for (const origin of [ORIGIN, server.url, "null", "*"]) {
      for (const route of ["GET /health", "GET /entries", "OPTIONS /entries"]) {
        const answer = await call(server, route, { headers: { origin, ...PREFLIGHT } });
        expect(corsHeaders(answer.headers)).toEqual({});
        expect(answer.headers.has("vary")).toBe(false);
        expectPromisedHeaders(answer);
      }
    }
  });
});

describe("with CORS_ORIGINS", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer("embedded", {
      CORS_ORIGINS: `${ORIGIN}, ${SECOND}`,
      RATE_LIMIT_AUTH: "1/m",
    });
  });
  afterAll(() => server.stop());

  for (const origin of [ORIGIN, SECOND]) {
    test(`${origin} may read answers and the headers that a client needs`, async () => {
      const answer = await call(server, "GET /health", { headers: { origin } });
      expect(answer.status).toBe(200);
      expect(corsHeaders(answer.headers)).toEqual({
        "access-control-allow-origin": origin,
        "access-control-expose-headers":
          "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-Id",
      });
      expect(answer.headers.get("vary")).toBe("Origin");
      expect(answer.headers.get("cross-origin-resource-policy")).toBe("cross-origin");
    });

    test(`${origin} may read errors too`, async () => {
      const send = () => call(server, "POST /auth/login", { body: {}, headers: { origin } });
      const answers = [
        await call(server, "GET /entries", { headers: { origin } }),
        await call(server, "GET /nothing-here", { headers: { origin } }),
        await call(server, "PATCH /entries", { headers: { origin } }),
        await call(server, "POST /auth/token", { raw: "{", headers: { origin } }),
        await send(),
        await send(),
      ];
      expect(answers.map(({ status }) => status).at(-1)).toBe(429);
      for (const answer of answers) {
        expect(answer.status).toBeGreaterThanOrEqual(400);
        expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
        expect(answer.headers.get("vary")).toBe("Origin");
      }
      server.clock.advance(60_000);
    });

    test(`${origin} gets its preflight answered for every address, signed in or not`, async () => {
      for (const path of ["/entries", `/entries/${crypto.randomUUID()}`, "/auth/password", "/auth/login"]) {
        const answer = await call(server, `OPTIONS ${path}`, { headers: { origin, ...PREFLIGHT } });
        expect([answer.status, answer.text]).toEqual([204, ""]);
        expect(corsHeaders(answer.headers)).toEqual({
          "access-control-allow-origin": origin,
          "access-control-allow-methods": "GET, POST, PUT, DELETE",
          "access-control-allow-headers":
            "Authorization, Content-Type, If-Match, If-None-Match, X-Request-Id",
          "access-control-expose-headers":
            "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-Id",
          "access-control-max-age": "600",
        });
        expect(answer.headers.get("vary")).toBe("Origin");
        expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
        expect(answer.headers.get("cache-control")).toBe("no-store");
      }
    });
  }

  for (const origin of STRANGERS) {
    test(`${JSON.stringify(origin)} is told nothing`, async () => {
      for (const route of ["GET /health", "GET /entries", "OPTIONS /entries", "GET /nothing-here"]) {
        const answer = await call(server, route, { headers: { origin, ...PREFLIGHT } });
        expect(corsHeaders(answer.headers)).toEqual({});
        // Caches must keep apart what the origin decides, also where it decided against.
        expect(answer.headers.get("vary")).toBe("Origin");
        expectPromisedHeaders(answer);
        if (origin.length > 4) expect(answer.text).not.toContain(origin);
      }
    });
  }

  test("a request without an origin is served as ever", async () => {
    const user = await signUp(await fresh());
    const answer = await call(server, "GET /account", { token: user.token });
    expect(answer.status).toBe(200);
    expect(corsHeaders(answer.headers)).toEqual({});
  });

  test("credentials are never allowed: no cookie counts here", async () => {
    const answer = await call(server, "GET /entries", {
      headers: { origin: ORIGIN, cookie: "session=x; token=y" },
    });
    expectProblem(answer, 401, "token-missing");
    expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
  });

  /** The same server with a full bucket again. */
  async function fresh(): Promise<TestServer> {
    server.clock.advance(60_000);
    return server;
  }
});
