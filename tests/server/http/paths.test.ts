import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { call, createEntry, expectProblem, signUp, type TestUser } from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { exchange, expectPromisedHeaders, openConnection, type WireAnswer } from "../../support/wire.ts";

for (const engine of ENGINES) {
  describe(`addresses on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let id: string;
    const get = (target: string, lines: string[] = []): Promise<WireAnswer> =>
      exchange(server, [`GET ${target} HTTP/1.1`, `Authorization: Bearer ${user.token}`, ...lines]);

    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
      ({ id } = await createEntry(server, user));
    });
    afterAll(() => server.stop());

    test("work with and without a trailing slash, to the same effect", async () => {
      for (const path of ["/entries", `/entries/${id}`, "/account", "/auth/sessions", "/entries?limit=1"]) {
        const [bare, slashed] = [await get(path), await get(path.replace(/(\?|$)/, "/$1"))];
        expect([path, slashed.status, slashed.text]).toEqual([path, 200, bare.text]);
      }
      const body = { username: user.username, password: user.password };
      expect((await call(server, "POST /auth/login/", { body })).status).toBe(200);
      expect((await call(server, "GET /health/")).status).toBe(200);
      expect((await call(server, "GET /ready/")).status).toBe(200);
    });

    test("have one spelling: no double slash, no other case, no percent-encoding, no suffix", async () => {
      const others = ["//entries", "/entries//", "///entries", "/ENTRIES", "/Entries", "/%65ntries"];
      const more = ["/entries%2f", "/entries%20", "/entries;a=b", "/entries.json", "/entries#x"];
      const encoded = ["/entries%00", "/entries%3Flimit=1", "/\u00e9ntries", "/entries/%2f"];
      for (const target of [...others, ...more, ...encoded]) {
        const answer = await get(target);
        expect([target, [404, 422].includes(answer.status), answer.text.includes(id)]).toEqual([
          target,
          true,
          false,
        ]);
        expectPromisedHeaders(answer);
      }
    });

    test("cannot be left upwards: dot segments are resolved before anything is decided", async () => {
      const climbing = ["/health/../entries", "/./entries", "/x/%2e%2e/entries", "/a/b/../../entries"];
      for (const target of [...climbing, "/../../entries", "/../../../etc/passwd"]) {
        const answer = await exchange(server, [`GET ${target} HTTP/1.1`]);
        expect([target, [401, 404].includes(answer.status)]).toEqual([target, true]);
      }
      for (const target of ["/entries/..%2f..%2fetc%2fpasswd", "/entries/%c0%ae%c0%ae"]) {
        expect([target, (await get(target)).status]).toEqual([target, 422]);
      }
    });

    test("of an entry that are no UUID are 422, whatever stands there", async () => {
      const strange = ["x", "%00", "%zz", "%", "__proto__", "constructor", "1", "{id}", "a".repeat(8000)];
      for (const part of [...strange, `${id}x`, `{${id}}`, `urn:uuid:${id}`, id.replaceAll("-", "")]) {
        const answer = await get(`/entries/${part}`);
        expect([part, answer.status]).toEqual([part, 422]);
        expect(JSON.parse(answer.text).errors).toEqual([{ path: "params.id", reason: "must be a UUID" }]);
      }
      expect((await get(`/entries/${id.toUpperCase()}`)).status).toBe(200);
    });

    test("in absolute form name the same things, whatever host they claim (RFC 9112, section 3.2.2)", async () => {
      const { host } = new URL(server.url);
      for (const origin of [`http://${host}`, "http://elsewhere.example", "https://elsewhere.example"]) {
        expect((await get(`${origin}/entries/${id}`)).status).toBe(200);
        expect((await exchange(server, [`GET ${origin}/entries HTTP/1.1`])).status).toBe(401);
      }
    });

    test("that are malformed, or too long, are refused and never a 5xx", async () => {
      const malformed = ["*", "entries", "?limit=1", "\\entries", "http://", "://x/entries"];
      for (const target of malformed) {
        const answer = await get(target);
        expect([target, answer.status >= 400 && answer.status < 500]).toEqual([target, true]);
      }
      expect((await get(`/health?${"a".repeat(15_000)}`)).status).toBe(200);
      expect((await get(`/health?${"a".repeat(100_000)}`)).status).toBe(431);
      expect((await get(`/${"a/".repeat(5000)}`)).status).toBe(404);
    });

    test("do not depend on the Host header, however strange", async () => {
      const hosts = ["", "a", "ab", "abc", "/health", "a/health?", "[::1", "127.0.0.1:99999999", "a b", "?"];
      const more = ["#", "a@b", "http://x/health?", "x/health#", "\u00e9.example", "%00", "a".repeat(5000)];
      for (const host of [...hosts, ...more]) {
        const entries = await exchange(server, ["GET /entries HTTP/1.1", `Host: ${host}`]);
        expect([host, entries.status]).toEqual([host, 401]);
        const health = await exchange(server, ["GET /health HTTP/1.1", `Host: ${host}`]);
        expect([host, health.status]).toEqual([host, 200]);
        expectPromisedHeaders(health);
      }
    });

    test("need one Host header at least, and two of them change nothing", async () => {
      const { host } = new URL(server.url);
      const connection = openConnection(server);
      connection.write("GET /entries HTTP/1.1\r\nConnection: close\r\n\r\n");
      expect((await connection.answered).status).toBe(400);
      const twice = await exchange(server, ["GET /entries HTTP/1.1", `Host: ${host}`, "Host: elsewhere"]);
      expect(twice.status).toBe(401);
    });

    const QUERIES: [query: string, status: number][] = [
      ["", 200],
      ["?", 200],
      ["?limit=1", 200],
      ["?limit=%31", 200],
      ["?limit=1000", 200],
      ["?limit=1001", 422],
      ["?limit=0", 422],
      ["?limit=", 422],
      ["?limit", 422],
      ["?limit=01", 422],
      ["?limit=1.0", 422],
      ["?limit=+1", 422],
      ["?limit=-1", 422],
      ["?limit=1e1", 422],
      ["?limit=%EF%BC%91", 422],
      ["?limit=1&limit=2", 422],
      ["?limit[]=1", 422],
      ["?Limit=1", 422],
      ["?limit=1;cursor=x", 422],
      ["?limit=1#x", 422],
      ["?cursor=", 422],
      ["?cursor=nonsense", 422],
      ["?cursor=%00", 422],
      [`?cursor=${"A".repeat(129)}`, 422],
      ["?colour=red", 422],
      ["?__proto__=1", 422],
      ["?constructor=1", 422],
      ["?toString=1", 422],
      ["?=1", 422],
      ["?%", 422],
      ["?%ff=%fe", 422],
      ["?access_token=x", 422],
    ];
    for (const [query, status] of QUERIES) {
      test(`GET /entries${query.slice(0, 30)} is ${status}`, async () => {
        const answer = await get(`/entries${query}`);
        expect([answer.status, JSON.parse(answer.text).code]).toEqual([
          status,
          status === 200 ? undefined : "request-invalid",
        ]);
      });
    }

    test("ignore a query where none is known, and never take a token from it", async () => {
      expect((await call(server, "GET /health?probe=1")).status).toBe(200);
      const answer = await call(server, `GET /account?access_token=${user.token}`);
      expectProblem(answer, 401, "token-missing");
    });
  });
}
