import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import postgres from "postgres";
import type { Environment } from "../../../src/server/settings.ts";
import {
  type Answer,
  call,
  expectProblem,
  randomName,
  randomPassword,
  sealedEntry,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { createTestDatabase } from "../../support/postgres.ts";
import { type PrivateServer, privateEnvironment, startPrivateServer } from "../../support/private-server.ts";
import { startRelay } from "../../support/relay.ts";
import { ENGINES, type Engine } from "../../support/server.ts";
import { expectPromisedHeaders } from "../../support/wire.ts";

/** Real failures: each server has a database of its own, which the tests break. */
const servers: PrivateServer[] = [];
// At once, because each drains for a second.
afterAll(() => Promise.all(servers.map((server) => server.stop())));

async function start(engine: Engine, settings: Environment = {}): Promise<PrivateServer> {
  const server = await startPrivateServer(await privateEnvironment(engine, settings));
  servers.push(server);
  return server;
}

for (const engine of ENGINES) {
  describe(`what nobody foresaw on ${engine}`, () => {
    let server: PrivateServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await start(engine);
      user = await signUp(server);
      await server.deps.db.execute(sql.raw("alter table entries rename to entries_taken_away"));
    }, 30_000);

    for (const route of ["GET /entries", "POST /entries", `DELETE /entries/${crypto.randomUUID()}`]) {
      test(`is a 500 that tells nothing: ${route.replace(/[0-9a-f-]{36}/, "{id}")}`, async () => {
        const entry = { ...sealedEntry(), name: randomName() };
        const answer = await call(server, route, {
          token: user.token,
          ...(route.startsWith("POST") && { body: entry }),
        });
        expectProblem(answer, 500, "internal-error");
        expectPromisedHeaders(answer);
        expect(Object.keys(answer.body).sort()).toEqual(["code", "request_id", "status", "title", "type"]);
        expect(answer.text).not.toMatch(/entries|relation|select|insert|delete from| at |\.ts/i);
      });
    }

    test("is logged with its cause and request id, and without the statement's values", async () => {
      const entry = { ...sealedEntry(), name: randomName() };
      const request_id = `request-${randomName()}`;
      const headers = { "x-request-id": request_id };
      await call(server, "POST /entries", { token: user.token, body: entry, headers });
      const lines = server.logged.filter((line) => line.includes(request_id)).map((line) => JSON.parse(line));
      expect(lines.filter(({ level }) => level === "error")).toMatchObject([
        { level: "error", request_id, err: { code: "42P01" } },
      ]);
      const ciphertext = Buffer.from(entry.ciphertext, "base64");
      for (const value of [entry.ciphertext, ciphertext.toString("hex"), entry.name, user.token, user.id])
        expect(server.logged.join("")).not.toContain(value);
    });

    test("takes nothing with it: what a failed transaction began is undone", async () => {
      await call(server, "POST /entries", { token: user.token, body: sealedEntry() });
      expect((await call(server, "GET /account", { token: user.token })).body.entries).toBe(0);
    });

    test("is a 500 also where an answer breaks its own schema, and not a 422 that quotes it", async () => {
      await server.deps.db.execute(sql.raw("alter table users drop constraint users_kdf_bounds"));
      await server.deps.db.execute(sql`update users set kdf_memory_kib = 12345 where id = ${user.id}`);
      const answer = await call(server, "GET /account", { token: user.token });
      expectProblem(answer, 500, "internal-error");
      expect(answer.text).not.toContain("12345");
      expect(answer.text).not.toContain(user.username);
    });

    test("does not keep the server from answering others", async () => {
      expect((await call(server, "GET /health")).status).toBe(200);
      expect((await call(server, "GET /ready")).status).toBe(200);
      await signUp(server);
    });
  });
}

describe("a PostgreSQL that goes away", () => {
  let server: PrivateServer;
  let user: TestUser;
  let operator: postgres.Sql;
  let name: string;
  beforeAll(async () => {
    server = await start("postgresql");
    user = await signUp(server);
    name = new URL(server.environment.DATABASE_URL as string).pathname.slice(1);
    // From another database: nobody can close the one he is connected to.
    operator = postgres((await createTestDatabase()).url, { max: 1 });
  });
  afterAll(() => operator.end());

  test("is a 503 with Retry-After for as long as it is away, and forgotten when it is back", async () => {
    await operator.unsafe(`alter database ${name} allow_connections false`);
    await operator`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`;
    const refused = [
      await call(server, "GET /entries", { token: user.token }),
      await call(server, "POST /entries", { token: user.token, body: sealedEntry() }),
      await call(server, "POST /auth/login", {
        body: { username: randomName(), password: randomPassword() },
      }),
      await call(server, "GET /ready"),
    ];
    for (const answer of refused) {
      expectProblem(answer, 503, "database-unavailable");
      expectPromisedHeaders(answer);
      expect(answer.headers.get("retry-after")).toBe("1");
    }
    expect((await call(server, "GET /health")).status).toBe(200);

    await operator.unsafe(`alter database ${name} allow_connections true`);
    const answer = await untilBack(() =>
      call(server, "POST /entries", { token: user.token, body: sealedEntry() }),
    );
    expect(answer.status).toBe(201);
    expect((await call(server, "GET /entries", { token: user.token })).body.entries).toEqual([answer.body]);
  });

  test("is asked again soon, however long it was away: no request waits for it", async () => {
    const relay = await startRelay((await createTestDatabase()).url);
    const distant = await start("postgresql", { DATABASE_URL: relay.url, DATABASE_POOL_MAX: "1" });
    const { token } = await signUp(distant);
    await relay.cut();
    for (let failure = 0; failure < 7; failure++) {
      const started = performance.now();
      expectProblem(await call(distant, "GET /account", { token }), 503, "database-unavailable");
      expect(performance.now() - started).toBeLessThan(1000);
    }
    await relay.restore();
    expect((await untilBack(() => call(distant, "GET /account", { token }))).status).toBe(200);
  }, 30_000);
});

/** The first answer that is none of the outage: connections that were being opened may still fail. */
async function untilBack(ask: () => Promise<Answer>): Promise<Answer> {
  const deadline = performance.now() + 2000;
  for (;;) {
    const answer = await ask();
    if (answer.status !== 503 || performance.now() > deadline) return answer;
    await Bun.sleep(20);
  }
}
