import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import postgres, { type Sql } from "postgres";
import { LIMITS } from "../../src/contract/limits.ts";
import type { ProblemCode } from "../../src/contract/problems.ts";
import { EXIT } from "../../src/exit.ts";
import { loadConfig } from "../../src/server/config.ts";
import { openDatabase } from "../../src/server/db/open.ts";
import type { Environment } from "../../src/server/settings.ts";
import { call, createEntry, expectProblem, sealedEntry, signUp, type TestUser } from "../support/client.ts";
import { type FragileServer, startFragileServer } from "../support/fragile-server.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { privateEnvironment } from "../support/private-server.ts";
import { type Relay, startRelay } from "../support/relay.ts";
import { ENGINES, JWT_SECRET, makeTestLog, startServerOn, type TestServer } from "../support/server.ts";

/** What the database may answer with, and what a client hears of it. */
const SQLSTATES: [sqlstate: string, meaning: string, status: number, code: ProblemCode][] = [
  ["57014", "a statement that took too long", 503, "database-unavailable"],
  ["55P03", "a lock that was not to be had", 503, "database-unavailable"],
  ["40001", "a serialisation failure", 503, "database-unavailable"],
  ["40P01", "a deadlock", 503, "database-unavailable"],
  ["25006", "a server that only reads, such as a standby", 503, "database-unavailable"],
  ["53100", "a full disk", 503, "database-unavailable"],
  ["53300", "too many connections", 503, "database-unavailable"],
  ["57P01", "a shutdown", 503, "database-unavailable"],
  ["57P03", "a server that is starting", 503, "database-unavailable"],
  ["08006", "a lost connection", 503, "database-unavailable"],
  ["23503", "an owner that is gone", 401, "token-invalid"],
  ["23505", "a key that is taken", 500, "internal-error"],
  ["23514", "a constraint that is broken", 500, "internal-error"],
  ["22P02", "a value that is no such value", 500, "internal-error"],
  ["42501", "a right that is missing", 500, "internal-error"],
  ["42P01", "a table that is not there", 500, "internal-error"],
  ["P0001", "an error of a trigger", 500, "internal-error"],
];

for (const engine of ENGINES) {
  describe(`an error of the database on ${engine}`, () => {
    let server: FragileServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startFragileServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());
    afterEach(() => server.faults.clear());

    test.each(SQLSTATES)("%s, %s, is a %d", async (sqlstate, _, status, code) => {
      server.logged.length = 0;
      server.faults.fail((query) => query.startsWith('insert into "entries"'), sqlstate);
      const answer = await call(server, "POST /entries", { token: user.token, body: sealedEntry() });
      expectProblem(answer, status, code);
      expect(answer.headers.get("retry-after")).toBe(status === 503 ? "1" : null);
      const levels = { 401: [], 500: ["error"], 503: ["warn"] }[status] ?? [];
      const lines = server.logged.map((line) => JSON.parse(line)).filter(({ err }) => err !== undefined);
      expect(lines.map((line) => line.level)).toEqual(levels);
      for (const line of lines) {
        expect(line).toMatchObject({ request_id: answer.body.request_id, err: { code: sqlstate } });
      }
    });
  });
}

/** A server whose connections are its own, and which ends at once. */
async function startOn(environment: Environment): Promise<TestServer & { $client: Sql }> {
  const config = loadConfig(environment);
  const database = await openDatabase(config, makeTestLog().log);
  const server = startServerOn(database.db, config);
  const { $client } = database.db as typeof database.db & { $client: Sql };
  return { ...server, $client, stop: () => server.stop().then(database.close) };
}

describe("a PostgreSQL that goes away", () => {
  let relay: Relay;
  let direct: Sql;
  let server: Awaited<ReturnType<typeof startOn>>;
  let user: TestUser;
  beforeAll(async () => {
    const environment = await privateEnvironment("postgresql", { DATABASE_POOL_MAX: "2" });
    direct = postgres(environment.DATABASE_URL ?? "", { max: 1 });
    relay = await startRelay(environment.DATABASE_URL ?? "");
    server = await startOn({ ...environment, DATABASE_URL: relay.url });
    user = await signUp(server);
  });
  afterAll(async () => {
    await server.stop();
    await direct.end();
  });

  const send = (route: string, body?: unknown) => call(server, route, { token: user.token, body });
  async function until(route: string, status: number): Promise<void> {
    while ((await send(route)).status !== status) await Bun.sleep(20);
  }

  test("is a 503 for whoever needs it, within the time to connect, and nobody's trouble when it is back", async () => {
    const entry = await createEntry(server, user);
    await relay.cut();
    const { username, password } = user;
    for (let round = 0; round < 10; round++) {
      const started_ms = performance.now();
      const route = round % 2 === 0 ? "GET /entries" : "POST /entries";
      const answer = await send(route, round % 2 === 0 ? undefined : sealedEntry());
      expectProblem(answer, 503, "database-unavailable");
      expect(answer.headers.get("retry-after")).toBe("1");
      expect(Object.keys(answer.body).sort()).toEqual(["code", "request_id", "status", "title", "type"]);
      // The driver's own pauses between attempts grow to 20 seconds.
      expect(performance.now() - started_ms).toBeLessThan(LIMITS.database_connect_ms);
    }
    for (const [route, body] of [
      ["POST /auth/login", { username, password }],
      ["POST /auth/token", { refreshToken: user.refresh_token }],
      ["POST /auth/prelogin", { username }],
    ] as const) {
      expectProblem(await call(server, route, { body }), 503, "database-unavailable");
    }
    expect((await send("GET /health")).status).toBe(200);
    await until("GET /ready", 503);
    await relay.restore();
    await until("GET /ready", 200);
    expect((await send("GET /entries")).body.entries).toEqual([entry]);
    expect((await createEntry(server, user)).version).toBe(1);
    const logged = server.logged.join();
    expect(logged).toContain("the database is away");
    for (const secret of [password, user.refresh_token, new URL(relay.url).password || "postgres://"]) {
      expect(logged).not.toContain(secret);
    }
  });

  test("in the middle of a change leaves the entry as it was", async () => {
    const entry = await createEntry(server, user, { name: "as it was" });
    const change = await direct.begin(async (tx) => {
      await tx`select 1 from entries where id = ${entry.id} for update`;
      const waiting = send(`PUT /entries/${entry.id}`, sealedEntry());
      while ((await tx`select 1 from pg_locks where not granted`).length === 0) await Bun.sleep(5);
      await relay.cut();
      return { answer: await waiting };
    });
    expectProblem(change.answer, 503, "database-unavailable");
    await relay.restore();
    await until("GET /entries", 200);
    expect((await send(`GET /entries/${entry.id}`)).body).toEqual(entry);
    expect((await send("GET /audit?limit=5")).text).not.toContain("entry-updated");
    expect((await send(`PUT /entries/${entry.id}`, sealedEntry())).body.version).toBe(2);
  });

  test("under many changes at once loses nothing that was acknowledged, and serves on each connection again", async () => {
    const acknowledged: string[] = [];
    for (let round = 0; round < (process.env.SLOW ? 200 : 10); round++) {
      const answers = Array.from({ length: 20 }, async (_, n) => {
        await Bun.sleep(n % 5);
        return send("POST /entries", sealedEntry());
      });
      await Bun.sleep(round % 6);
      relay.drop();
      for (const answer of await Promise.all(answers)) {
        if (answer.status === 201) acknowledged.push(answer.body.id);
        else expectProblem(answer, 503, "database-unavailable");
      }
    }
    await until("GET /entries", 200);
    const rows = await direct`select id from entries where user_id = ${user.id}`;
    const kept = new Set(rows.map(({ id }) => id));
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(acknowledged.filter((id) => !kept.has(id))).toEqual([]);
    expect((await send("GET /account")).body.entries).toBe(kept.size);
    const after = await Promise.all(Array.from({ length: 20 }, () => send("GET /entries?limit=1")));
    expect(after.map((answer) => answer.status)).toEqual(Array(20).fill(200));
  });

  test("has no more connections of ours than it may, and keeps those it has", async () => {
    const connections = async () => {
      const rows = await direct`select pid from pg_stat_activity
        where datname = current_database() and application_name = 'blindvault' order by pid`;
      return rows.map(({ pid }) => pid);
    };
    const burst = () => Promise.all(Array.from({ length: 20 }, () => send("GET /entries")));
    await burst();
    const before = await connections();
    expect(before.length).toBe(2);
    await burst();
    expect(await connections()).toEqual(before);
  });

  test("is told how long a statement, a lock and an idle transaction may take", async () => {
    const settings = await server.$client`select name, setting, unit from pg_settings where name in
      ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout') order by name`;
    expect(settings.length).toBe(3);
    for (const row of settings) {
      expect(row).toMatchObject({ setting: String(LIMITS.database_statement_ms), unit: "ms" });
    }
  });
});

test("hot statements are prepared once a connection, and cold ones are not", async () => {
  const environment = await privateEnvironment("postgresql", { DATABASE_POOL_MAX: "1" });
  const server = await startOn(environment);
  try {
    const user = await signUp(server);
    const { id } = await createEntry(server, user);
    for (let count = 0; count < 10; count++) await call(server, `GET /entries/${id}`, { token: user.token });
    const prepared = await server.$client`select statement, generic_plans + custom_plans as runs
      from pg_prepared_statements where not from_sql`;
    const runs = (part: string) =>
      prepared.filter(({ statement }) => statement.includes(part)).map((row) => row.runs);
    expect(runs('from "entries" where')).toEqual(["10"]);
    // Twice for the creation: it is asked again once the body is there.
    expect(runs('from "sessions" where')).toEqual(["12"]);
    expect(runs('insert into "users"')).toEqual([]);
  } finally {
    await server.stop();
  }
});

describe("opening a PostgreSQL", () => {
  const open = (url: string, patience_ms: number) => {
    const { log, logged } = makeTestLog();
    return { logged, opening: openDatabase(loadConfig({ DATABASE_URL: url, JWT_SECRET }), log, patience_ms) };
  };
  async function faultOf(opening: Promise<unknown>) {
    const fault = await opening.then(
      () => undefined,
      (error: Error & { exit_code?: number }) => error,
    );
    return { exit_code: fault?.exit_code, message: fault?.message };
  }

  test("gives up in the end on one that cannot be reached", async () => {
    const { url } = await createTestDatabase();
    const relay = await startRelay(url);
    await relay.cut();
    const { opening } = open(relay.url, 150);
    expect(await faultOf(opening)).toEqual({
      exit_code: EXIT.unavailable,
      message: "PostgreSQL cannot be reached (ECONNREFUSED): check DATABASE_URL and whether it is up",
    });
  });

  test("waits for one that is not up yet", async () => {
    const { url } = await createTestDatabase();
    const relay = await startRelay(url);
    await relay.cut();
    const { opening, logged } = open(relay.url, 30_000);
    while (logged.length < 2) await Bun.sleep(10);
    await relay.restore();
    const database = await opening;
    expect(database.migrated).toBeGreaterThan(0);
    expect(logged.join()).toContain("the database is away, trying again");
    await database.close();
  });

  test.each([
    [
      "a database that is not there",
      (url: URL) => (url.pathname = `/missing_${crypto.randomUUID().slice(0, 8)}`),
      "3D000",
    ],
    [
      "a login that is not known",
      (url: URL) => (url.username = `nobody_${crypto.randomUUID().slice(0, 8)}`),
      "28",
    ],
  ])("does not wait for %s", async (_, spoil, sqlstate) => {
    const url = new URL((await createTestDatabase()).url);
    spoil(url);
    const { exit_code, message } = await faultOf(open(url.href, 30_000).opening);
    expect(exit_code).toBe(EXIT.unavailable);
    expect(message).toStartWith(`PostgreSQL refuses the login or has no such database (${sqlstate}`);
    expect(message).not.toContain(url.username);
  });
});
