import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { DrizzleQueryError, sql } from "drizzle-orm";
import { entries, users } from "../../src/server/db/schema.ts";
import { describeError, makeLog } from "../../src/server/log.ts";
import { call, createEntry, randomHex, sealedEntry, signUp, zeroKnowledgeKeys } from "../support/client.ts";
import { type FragileServer, startFragileServer } from "../support/fragile-server.ts";
import { ENGINES } from "../support/server.ts";

/** What must be in no line: as itself, and with lines that look like a stack's. */
const canary = () => `canary${randomHex(8)}`;
const disguised = (secret: string) => `${secret}\n    at ${secret} (${secret}.ts:1:1)\n    at ${secret}`;

async function errorOf(work: PromiseLike<unknown>): Promise<unknown> {
  return await work.then(
    () => undefined,
    (error) => error,
  );
}

for (const engine of ENGINES) {
  describe(`an error of a query on ${engine}`, () => {
    let server: FragileServer;
    beforeAll(async () => {
      server = await startFragileServer(engine);
    });
    afterAll(() => server.stop());

    test.each([canary(), disguised(canary())])("is described without its parameters: %j", async (secret) => {
      const { direct: db } = server;
      const now = new Date();
      const failures: [string, () => PromiseLike<unknown>][] = [
        ["22P02", () => db.execute(sql`select ${secret}::int`)],
        ["42P01", () => db.execute(sql`select ${secret} from missing`)],
        ["22P02", () => db.select().from(users).where(sql`${users.id} = ${secret}::uuid`)],
        [
          "23503",
          () =>
            db.insert(entries).values({
              ...{ user_id: crypto.randomUUID(), id: crypto.randomUUID(), name: secret, version: 1 },
              ...{ ciphertext: Buffer.from(secret), iv: new Uint8Array(12), tag: new Uint8Array(16) },
              ...{ created_at: now, updated_at: now },
            }),
        ],
        ["42703", () => db.transaction((tx) => tx.execute(sql`select ${secret}, missing`))],
      ];
      for (const [sqlstate, failure] of failures) {
        const error = await errorOf(failure());
        expect(error).toBeInstanceOf(DrizzleQueryError);
        expect((error as Error).message).toContain(secret);
        const description = describeError(error);
        expect(description.code).toBe(sqlstate);
        expect(JSON.stringify(description)).not.toContain(secret.slice(0, 22));
        expect(JSON.stringify(describeError(new Error("wrapped", { cause: error })))).not.toContain("canary");
      }
    });

    test("is described by what helps to mend it: its code, its constraint and where it came from", async () => {
      const failure = server.direct.insert(users).values({
        ...{ id: crypto.randomUUID(), username: "x", credential_kind: "password" as const },
        ...{ credential_hash: "$argon2id$", encryption_salt: new Uint8Array(32), created_at: new Date() },
        ...{ kdf_memory_kib: 65_536, kdf_iterations: 3, kdf_parallelism: 4, updated_at: new Date() },
      });
      const { code, constraint, at } = describeError(await errorOf(failure));
      expect({ code, constraint }).toEqual({ code: "23514", constraint: "users_username_form" });
      expect((at as string[]).length).toBeGreaterThan(0);
      for (const call of at as string[]) expect(call).toMatch(/^ {4}at .+[:)]/);
    });

    test("of a request leaves nothing that the request held in the log", async () => {
      const user = await signUp(server);
      const entry = await createEntry(server, user);
      const secret = canary();
      const body = { ...sealedEntry(), name: disguised(secret), meta: { [secret]: secret } };
      const auth_key = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64");
      const account = { id: crypto.randomUUID(), username: secret, auth_key, ...zeroKnowledgeKeys() };
      server.logged.length = 0;
      for (const sqlstate of ["P0001", "57P01"]) {
        server.faults.fail((query) => /^(insert|update)/.test(query), sqlstate);
        const { token, password, refresh_token: refreshToken } = user;
        for (const [route, sent] of [
          ["POST /entries", body],
          [`PUT /entries/${entry.id}`, body],
          ["POST /auth/register", account],
          ["POST /auth/login", { username: user.username, password }],
          ["POST /auth/token", { refreshToken }],
        ] as const) {
          const headers = { "user-agent": secret, cookie: secret };
          expect((await call(server, route, { token, body: sent, headers })).status).toBeOneOf([500, 503]);
        }
        server.faults.clear();
      }
      const logged = server.logged.join();
      expect(server.logged.length).toBeGreaterThanOrEqual(10);
      for (const held of [
        ...[secret, body.ciphertext, body.iv, body.tag, auth_key, account.encryption_salt, user.username],
        ...[user.password, user.token, user.refresh_token, "$argon2id", "params"],
      ]) {
        expect(logged).not.toContain(held);
      }
    });
  });
}

describe("describeError", () => {
  test("keeps the message and the stack of an error that is none of the database", () => {
    const error = new TypeError("undefined is not a function");
    expect(describeError(error)).toEqual({ name: "TypeError", message: error.message, stack: error.stack });
  });

  test.each(["text", 1, null, undefined, { password: "text" }])(
    "tells only the type of what is no error: %p",
    (thrown) => {
      expect(describeError(thrown)).toEqual({ name: typeof thrown });
    },
  );

  test("hides the parameters also where the driver gave no code", () => {
    const error = new DrizzleQueryError("select $1", ["canary"], new Error("the driver says canary"));
    expect(error.message).toContain("canary");
    expect(JSON.stringify(describeError(error))).not.toContain("canary");
  });

  test("does not loop over causes that are their own", () => {
    const error = new Error("Failed query: canary");
    const looped = Object.assign(new Error("a"), { cause: error });
    Object.assign(error, { cause: looped });
    expect(JSON.stringify(describeError(error))).not.toContain("canary");
  });
});

describe("a log", () => {
  const lines = (level: "debug" | "info" | "warn" | "error") => {
    const written: string[] = [];
    const log = makeLog(level, { write: (line: string) => void written.push(line) });
    for (const name of ["debug", "info", "warn", "error"] as const) log[name]({ name }, `at ${name}`);
    log.error({ err: new DrizzleQueryError("select $1", ["canary"], new Error("x")) }, "failed");
    return written;
  };

  test("is one JSON object a line, with its time in UTC, its level in words and no process or host", () => {
    for (const line of lines("debug")) {
      expect(line.indexOf("\n")).toBe(line.length - 1);
      const { level, time, ...rest } = JSON.parse(line);
      expect(level).toBeOneOf(["debug", "info", "warn", "error"]);
      expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(Object.keys(rest).sort()).toBeOneOf([
        ["msg", "name"],
        ["err", "msg"],
      ] as never);
      expect(line).not.toContain("canary");
    }
  });

  test.each([
    ["debug", 5],
    ["info", 4],
    ["warn", 3],
    ["error", 2],
  ] as const)("at level %s has %d of five lines", (level, count) => {
    expect(lines(level).length).toBe(count);
  });
});
