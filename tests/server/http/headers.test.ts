import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { EntryResponse } from "../../../src/contract/entries.ts";
import {
  createEntry,
  randomName,
  randomPassword,
  sealedEntry,
  signIn,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { exchange, expectPromisedHeaders, type WireAnswer } from "../../support/wire.ts";

type Context = { server: TestServer; user: TestUser; entry: EntryResponse };
type Row = {
  route: (context: Context) => string | Promise<string>;
  /** Sent with the token of `user` and, where there is one, as JSON. */
  body?: (context: Context) => unknown;
  headers?: string[];
  status: number;
};

const password = randomPassword();

/** Every kind of success; errors are in errors.test.ts, preflights in cors.test.ts. */
const ROWS: Record<string, Row> = {
  "GET /health": { route: () => "GET /health", status: 200 },
  "GET /ready": { route: () => "GET /ready", status: 200 },
  "POST /auth/register": {
    route: () => "POST /auth/register",
    body: () => ({ username: randomName(), password }),
    status: 201,
  },
  "POST /auth/prelogin": {
    route: () => "POST /auth/prelogin",
    body: ({ user }) => ({ username: user.username }),
    status: 200,
  },
  "POST /auth/login": {
    route: () => "POST /auth/login",
    body: ({ user }) => ({ username: user.username, password: user.password }),
    status: 200,
  },
  "POST /auth/logout of a token nobody knows": {
    route: () => "POST /auth/logout",
    body: () => ({ refreshToken: "unknown" }),
    status: 204,
  },
  "GET /auth/sessions": { route: () => "GET /auth/sessions", status: 200 },
  "DELETE /auth/sessions/{id}": {
    route: async ({ server, user }) => `DELETE /auth/sessions/${await otherSession(server, user)}`,
    status: 204,
  },
  "POST /entries": { route: () => "POST /entries", body: () => sealedEntry(), status: 201 },
  "POST /entries/batch": {
    route: () => "POST /entries/batch",
    body: () => ({ entries: [sealedEntry(), sealedEntry()] }),
    status: 201,
  },
  "GET /entries": { route: () => "GET /entries", status: 200 },
  "GET /entries/{id}": { route: ({ entry }) => `GET /entries/${entry.id}`, status: 200 },
  "GET /entries/{id} not modified": {
    route: ({ entry }) => `GET /entries/${entry.id}`,
    headers: ['If-None-Match: "1"'],
    status: 304,
  },
  "HEAD /entries/{id}": { route: ({ entry }) => `HEAD /entries/${entry.id}`, status: 200 },
  "HEAD of nothing": { route: () => "HEAD /nothing-here", status: 404 },
  "OPTIONS /entries": { route: () => "OPTIONS /entries", status: 204 },
  "OPTIONS of nothing": { route: () => "OPTIONS /nothing-here", status: 404 },
  "PUT /entries/{id}": {
    route: async ({ server, user }) => `PUT /entries/${(await createEntry(server, user)).id}`,
    body: () => sealedEntry(),
    status: 200,
  },
  "DELETE /entries/{id}": {
    route: async ({ server, user }) => `DELETE /entries/${(await createEntry(server, user)).id}`,
    status: 204,
  },
  "GET /account": { route: () => "GET /account", status: 200 },
  "GET /audit": { route: () => "GET /audit", status: 200 },
};

for (const engine of ENGINES) {
  describe(`every answer has the promised headers once, on ${engine}`, () => {
    let context: Context;
    beforeAll(async () => {
      const server = await startTestServer(engine);
      const user = await signUp(server);
      context = { server, user, entry: await createEntry(server, user) };
    });
    afterAll(() => context.server.stop());

    for (const [name, row] of Object.entries(ROWS)) {
      test(`${row.status} of ${name}`, async () => {
        const answer = await send(context, row);
        expect(answer.status).toBe(row.status);
        expectPromisedHeaders(answer);
        const empty = row.status === 204 || row.status === 304;
        if (empty) expect(answer.text).toBe("");
        expect(answer.headers.has("content-type")).toBe(!empty);
        expect(answer.headers.has("set-cookie")).toBe(false);
      });
    }

    test("the entity tag is the version, on creation with the address of the entry", async () => {
      const { server, user } = context;
      const created = await send(context, ROWS["POST /entries"] as Row);
      expect(created.headers.get("etag")).toBe('"1"');
      const { id } = JSON.parse(created.text);
      expect(created.headers.get("location")).toBe(`/entries/${id}`);
      const unchanged = await exchange(server, [
        `GET /entries/${id} HTTP/1.1`,
        `Authorization: Bearer ${user.token}`,
        'If-None-Match: "1"',
      ]);
      expect(unchanged.headers.get("etag")).toBe('"1"');
    });
  });
}

async function send(context: Context, row: Row): Promise<WireAnswer> {
  const body = row.body === undefined ? "" : JSON.stringify(row.body(context));
  return exchange(
    context.server,
    [
      `${await row.route(context)} HTTP/1.1`,
      `Authorization: Bearer ${context.user.token}`,
      ...(row.headers ?? []),
      ...(body === "" ? [] : ["Content-Type: application/json", `Content-Length: ${body.length}`]),
    ],
    body,
  );
}

async function otherSession(server: TestServer, user: TestUser): Promise<string> {
  const { token } = await signIn(server, user);
  const payload = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  return payload.sid;
}
