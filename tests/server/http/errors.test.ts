import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { PROBLEMS, type ProblemCode } from "../../../src/contract/problems.ts";
import {
  type Answer,
  auditTypes,
  call,
  createEntry,
  expectProblem,
  randomName,
  randomPassword,
  sealedEntry,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { expectPromisedHeaders } from "../../support/wire.ts";

type Context = { server: TestServer; user: TestUser; stranger: TestUser; entry_id: string };
type Options = Parameters<typeof call>[2];

type Row = {
  /** Names the test after the code. */
  when: string;
  code: ProblemCode;
  route: (context: Context) => string;
  options?: (context: Context) => Options;
  /** Headers that the answer must have beyond those of every answer. */
  headers?: Record<string, string>;
};

const signedIn = ({ user }: Context): Options => ({ token: user.token });
const entryOf = ({ entry_id }: Context) => `/entries/${entry_id}`;

const ROWS: Row[] = [
  {
    code: "malformed-json",
    when: "a body is no JSON",
    route: () => "POST /entries",
    options: ({ user }) => ({ token: user.token, raw: "{" }),
  },
  {
    code: "token-missing",
    when: "a token is needed and none is sent",
    route: () => "GET /entries",
    headers: { "www-authenticate": 'Bearer realm="blindvault"' },
  },
  {
    code: "token-invalid",
    when: "the token is none of ours",
    route: () => "GET /entries",
    options: () => ({ token: "nonsense" }),
    headers: { "www-authenticate": 'Bearer realm="blindvault", error="invalid_token"' },
  },
  {
    code: "credentials-invalid",
    when: "the password is wrong",
    route: () => "POST /auth/login",
    options: ({ user }) => ({ body: { username: user.username, password: randomPassword() } }),
    headers: { "www-authenticate": 'Bearer realm="blindvault"' },
  },
  {
    code: "refresh-token-invalid",
    when: "nobody knows the refresh token",
    route: () => "POST /auth/token",
    options: () => ({ body: { refreshToken: "unknown" } }),
    headers: { "www-authenticate": 'Bearer realm="blindvault"' },
  },
  { code: "not-found", when: "there is no route", route: () => "GET /nothing-here" },
  {
    code: "entry-not-found",
    when: "there is no such entry",
    route: () => `GET /entries/${crypto.randomUUID()}`,
    options: signedIn,
  },
  {
    code: "entry-not-found",
    when: "the entry is somebody else's",
    route: (context) => `GET ${entryOf(context)}`,
    options: ({ stranger }) => ({ token: stranger.token }),
  },
  {
    code: "session-not-found",
    when: "there is no such session",
    route: () => `DELETE /auth/sessions/${crypto.randomUUID()}`,
    options: signedIn,
  },
  {
    code: "method-not-allowed",
    when: "the address knows other methods only",
    route: () => "PATCH /entries",
    headers: { allow: "GET, HEAD, OPTIONS, POST" },
  },
  {
    code: "username-taken",
    when: "somebody has the name in another case",
    route: () => "POST /auth/register",
    options: ({ user }) => ({ body: { username: user.username.toUpperCase(), password: randomPassword() } }),
  },
  {
    code: "entry-id-taken",
    when: "the id is in use",
    route: () => "POST /entries",
    options: ({ user, entry_id }) => ({ token: user.token, body: { id: entry_id, ...sealedEntry() } }),
  },
  {
    code: "entry-conflict",
    when: "the version has moved",
    route: (context) => `PUT ${entryOf(context)}`,
    options: ({ user }) => ({ token: user.token, body: sealedEntry(), headers: { "if-match": '"7"' } }),
    headers: { etag: '"1"' },
  },
  {
    code: "body-too-large",
    when: "the body is over 256 KiB",
    route: () => "POST /entries",
    options: ({ user }) => ({ token: user.token, raw: " ".repeat(262_145) }),
  },
  {
    code: "media-type-unsupported",
    when: "the body is a form",
    route: () => "POST /auth/login",
    options: () => ({ raw: "a=b", headers: { "content-type": "application/x-www-form-urlencoded" } }),
  },
  {
    code: "request-invalid",
    when: "a field is missing",
    route: () => "POST /entries",
    options: ({ user }) => ({ token: user.token, body: {} }),
  },
];

for (const engine of ENGINES) {
  describe(`an error on ${engine}`, () => {
    let context: Context;
    beforeAll(async () => {
      const server = await startTestServer(engine);
      const [user, stranger] = [await signUp(server), await signUp(server)];
      const { id: entry_id } = await createEntry(server, user);
      context = { server, user, stranger, entry_id };
    });
    afterAll(() => context.server.stop());

    for (const row of ROWS) {
      test(`is ${row.code}, whole and well-formed, when ${row.when}`, async () => {
        const { server, user, entry_id } = context;
        const before = await auditTypes(server, user.id);
        const answer = await call(server, row.route(context), row.options?.(context));
        expectWhole(answer, row.code, row.headers);
        const after = (await auditTypes(server, user.id)).slice(before.length);
        expect(after.filter((type) => !/refused|failed/.test(type))).toEqual([]);
        const { body } = await call(server, `GET /entries/${entry_id}`, { token: user.token });
        expect(body.version).toBe(1);
      });
    }

    test("says which fields are wrong and why, by name and rule", async () => {
      const { server, user } = context;
      const answer = await call(server, "POST /entries", {
        token: user.token,
        body: { ...sealedEntry(), iv: "AAAA", colour: "red" },
      });
      expectWhole(answer, "request-invalid");
      expect(answer.body.errors).toEqual([
        { path: "body.iv", reason: "must be canonical padded base64 of exactly 12 bytes" },
        { path: "body", reason: "has a field that is not known here" },
      ]);
    });

    test("answers exactly one request id, the client's own, in header and body", async () => {
      const answer = await call(context.server, "GET /nothing-here", {
        headers: { "x-request-id": "my-own-request_1" },
      });
      expect(answer.body.request_id).toBe("my-own-request_1");
      expect(answer.headers.get("x-request-id")).toBe("my-own-request_1");
    });
  });

  describe(`an error of a server short of something, on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine, {
        MAX_ENTRIES_PER_USER: "1",
        MAX_FAILED_LOGINS: "1",
        HASH_CONCURRENCY: "1",
        HASH_QUEUE_MAX: "0",
      });
      user = await signUp(server);
      await createEntry(server, user);
    });
    afterAll(() => server.stop());

    test("is entry-quota-reached when the account is full", async () => {
      const answer = await call(server, "POST /entries", { token: user.token, body: sealedEntry() });
      expectWhole(answer, "entry-quota-reached");
    });

    test("is login-locked with Retry-After after too many failures", async () => {
      const guess = () =>
        call(server, "POST /auth/login", { body: { username: user.username, password: randomPassword() } });
      expectWhole(await guess(), "credentials-invalid");
      const locked = await guess();
      expectWhole(locked, "login-locked");
      const wait_s = Number(locked.headers.get("retry-after"));
      expect(wait_s).toBeGreaterThan(14 * 60);
      expect(wait_s).toBeLessThanOrEqual(15 * 60);
    });

    test("is hashing-busy with Retry-After when the hashing queue is full", async () => {
      const answers = await Promise.all(
        Array.from({ length: 4 }, () =>
          call(server, "POST /auth/login", { body: { username: randomName(), password: randomPassword() } }),
        ),
      );
      const refused = answers.filter(({ status }) => status !== 401);
      expect(refused.length).toBeGreaterThan(0);
      for (const answer of refused) expectWhole(answer, "hashing-busy", { "retry-after": "1" });
    });

    test("is not-ready with Retry-After while the server drains, from /ready alone", async () => {
      server.lifecycle.state = "draining";
      expectWhole(await call(server, "GET /ready"), "not-ready", { "retry-after": "1" });
      expect((await call(server, "GET /health")).status).toBe(200);
      expect((await call(server, "GET /account", { token: user.token })).status).toBe(200);
      server.lifecycle.state = "ready";
      expect((await call(server, "GET /ready")).body.status).toBe("ready");
    });

    test("is registration-closed where no accounts are taken", async () => {
      const closed = await startTestServer(engine, { REGISTRATION: "closed" });
      try {
        const body = { username: randomName(), password: randomPassword() };
        expectWhole(await call(closed, "POST /auth/register", { body }), "registration-closed");
        expectWhole(await call(closed, "POST /auth/login", { body }), "credentials-invalid");
      } finally {
        await closed.stop();
      }
    });
  });
}

test("every code of the catalogue is lower-kebab and names its status", () => {
  for (const [code, { status, title }] of Object.entries(PROBLEMS)) {
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect([400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 422, 429, 500, 503]).toContain(status);
    expect(title).toMatch(/^[A-Z][^.]*$/);
  }
});

function expectWhole(answer: Answer, code: ProblemCode, headers: Record<string, string> = {}): void {
  expectProblem(answer, PROBLEMS[code].status, code);
  expectPromisedHeaders(answer);
  const allowed = ["type", "title", "status", "detail", "code", "request_id", "errors"];
  expect(Object.keys(answer.body).filter((key) => !allowed.includes(key))).toEqual([]);
  for (const [name, value] of Object.entries(headers))
    expect([name, answer.headers.get(name)]).toEqual([name, value]);
}
