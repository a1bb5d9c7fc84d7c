import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { call, createEntry, expectProblem, signUp, type TestUser } from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { exchange, expectPromisedHeaders } from "../../support/wire.ts";

const ID = "01890a5d-ac96-774b-bcce-b302099a8057";

/** Every address of the API, and the methods that it knows. */
const ALLOWED: Record<string, string> = {
  "/health": "GET, HEAD, OPTIONS",
  "/ready": "GET, HEAD, OPTIONS",
  "/auth/register": "OPTIONS, POST",
  "/auth/prelogin": "OPTIONS, POST",
  "/auth/login": "OPTIONS, POST",
  "/auth/token": "OPTIONS, POST",
  "/auth/logout": "OPTIONS, POST",
  "/auth/password": "OPTIONS, PUT",
  "/auth/sessions": "DELETE, GET, HEAD, OPTIONS",
  [`/auth/sessions/${ID}`]: "DELETE, OPTIONS",
  "/entries": "GET, HEAD, OPTIONS, POST",
  // As an address of an entry it knows the others as well, and they find that it is no UUID.
  "/entries/batch": "DELETE, GET, HEAD, OPTIONS, POST, PUT",
  [`/entries/${ID}`]: "DELETE, GET, HEAD, OPTIONS, PUT",
  "/account": "DELETE, GET, HEAD, OPTIONS",
  "/audit": "GET, HEAD, OPTIONS",
};
/** Standard, WebDAV's and proxies' methods that nothing here knows. */
const UNKNOWN = ["PATCH", "TRACE", "CONNECT", "PROPFIND", "PURGE", "QUERY", "M-SEARCH"];

for (const engine of ENGINES) {
  describe(`methods on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    for (const [path, allow] of Object.entries(ALLOWED)) {
      test(`of ${path.replace(ID, "{id}")} are ${allow}`, async () => {
        const wrong = ["GET", "POST", "PUT", "DELETE"].filter((method) => !allow.includes(method));
        for (const method of [...wrong, ...UNKNOWN]) {
          const answer = await exchange(server, [`${method} ${path} HTTP/1.1`]);
          expect([method, answer.status, answer.headers.get("allow")]).toEqual([method, 405, allow]);
          expect(JSON.parse(answer.text).code).toBe("method-not-allowed");
          expectPromisedHeaders(answer);
        }
        const options = await call(server, `OPTIONS ${path}`);
        expect([options.status, options.headers.get("allow"), options.text]).toEqual([204, allow, ""]);
        const slashed = await call(server, `OPTIONS ${path}/`);
        expect([slashed.status, slashed.headers.get("allow")]).toEqual([204, allow]);
      });
    }

    test("of an address that is not there are 404, whichever is used", async () => {
      for (const method of ["GET", "POST", "OPTIONS", "PATCH", "TRACE"]) {
        const answer = await exchange(server, [`${method} /nothing-here HTTP/1.1`]);
        expect([method, answer.status, answer.headers.get("allow")]).toEqual([method, 404, null]);
      }
    });

    test("that HTTP does not have are never a success, and do nothing", async () => {
      const { id } = await createEntry(server, user);
      for (const method of ["MADEUP", "get", "Delete", "\x01", "GET\0", "A".repeat(5000)]) {
        const answer = await exchange(server, [
          `${method} /entries/${id} HTTP/1.1`,
          `Authorization: Bearer ${user.token}`,
        ]);
        // 0: closed without a word; 505: no request line at all. Both are Bun's parser's, before any code of ours.
        expect([0, 400, 405, 431, 505]).toContain(answer.status);
        expect(answer.text).not.toContain("ciphertext");
      }
      expect((await call(server, `GET /entries/${id}`, { token: user.token })).status).toBe(200);
    });

    test("cannot be changed by a header or a query", async () => {
      const { id } = await createEntry(server, user);
      const answer = await call(server, `POST /entries/${id}?_method=DELETE`, {
        token: user.token,
        headers: { "x-http-method-override": "DELETE" },
      });
      expectProblem(answer, 405, "method-not-allowed");
      expect((await call(server, `GET /entries/${id}`, { token: user.token })).status).toBe(200);
    });

    test("HEAD answers as GET does, headers and length, without the body", async () => {
      const { id } = await createEntry(server, user);
      const paths = [`/entries/${id}`, "/entries", "/account", "/auth/sessions", "/nothing-here"];
      for (const path of [...paths, `/entries/${ID}`, "/entries?limit=0"]) {
        const [get, head] = await Promise.all(
          ["GET", "HEAD"].map((method) =>
            exchange(server, [
              `${method} ${path} HTTP/1.1`,
              `Authorization: Bearer ${user.token}`,
              "X-Request-Id: one-request",
            ]),
          ),
        );
        expect(head?.text).toBe("");
        expect(get?.text).not.toBe("");
        expect([path, head?.status, comparable(head?.headers)]).toEqual([
          path,
          get?.status,
          comparable(get?.headers),
        ]);
      }
    });

    test("HEAD needs the token that GET needs", async () => {
      const answer = await exchange(server, ["HEAD /entries HTTP/1.1"]);
      expect([answer.status, answer.text]).toEqual([401, ""]);
      expectPromisedHeaders(answer);
    });
  });
}

/** All but the moment of the answer, which Bun tells only of some. */
function comparable(headers: Headers | undefined): Record<string, string> {
  return Object.fromEntries([...(headers ?? [])].filter(([name]) => name !== "date"));
}
