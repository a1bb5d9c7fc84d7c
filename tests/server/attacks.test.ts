import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { makeSessionLookup } from "../../src/server/auth/living.ts";
import type { Database } from "../../src/server/db/database.ts";
import { call, createEntry, expectProblem, sealedEntry, signUp } from "../support/client.ts";
import { privateEnvironment, startPrivateServer } from "../support/private-server.ts";
import { ENGINES, makeTestClock, startTestServer, type TestServer } from "../support/server.ts";
import { head, openConnection } from "../support/wire.ts";

/** What an attack on the finished server has found, each named after it. */
for (const engine of ENGINES) {
  describe(`an attacker on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine, { RATE_LIMIT_API: "20/m" });
    });
    afterAll(() => server.stop());

    test("does not write with a session that ended while the body was on its way", async () => {
      const open = await startTestServer(engine);
      const user = await signUp(open);
      const entry = await createEntry(open, user);
      const body = JSON.stringify(sealedEntry());
      const fields = [`Authorization: Bearer ${user.token}`, "Content-Type: application/json"];
      const begun = [`POST /entries`, `PUT /entries/${entry.id}`].map((route) => {
        const connection = openConnection(open);
        connection.write(head(open, [`${route} HTTP/1.1`, ...fields, `Content-Length: ${body.length}`]));
        connection.write(body.slice(0, 10));
        return connection;
      });
      await call(open, "GET /health");
      await call(open, "POST /auth/logout", { body: { refreshToken: user.refresh_token } });
      for (const connection of begun) {
        connection.write(body.slice(10));
        expect((await connection.answered)?.status).toBe(401);
      }
      await open.stop();
    });

    test("does not pass the wide limit by a Host that is none, nor reach a route by a path that is another", async () => {
      const answers: unknown[] = [];
      for (let i = 0; i < 25; i++) {
        const connection = openConnection(server);
        connection.write("GET /aaaaaa/entries?://a/health HTTP/1.1\r\nHost: x?\r\nConnection: close\r\n\r\n");
        answers.push((await connection.answered)?.status);
      }
      expect(answers).toEqual([...Array(20).fill(404), ...Array(5).fill(429)]);
    });

    test("is answered without Host as HTTP/1.0 allows", async () => {
      const connection = openConnection(server);
      connection.write("GET /health HTTP/1.0\r\n\r\n");
      expect((await connection.answered)?.status).toBe(200);
    });

    test("cannot have a packed body read as a plain one", async () => {
      const headers = { "content-encoding": "gzip" };
      const open = await startTestServer(engine);
      expectProblem(
        await call(open, "POST /auth/prelogin", { raw: '{"username":"alice"}', headers }),
        415,
        "media-type-unsupported",
      );
      await open.stop();
    });
  });
}

test("a body that never ends does not hold a shutdown up, and who is still there is told to go", async () => {
  const environment = await privateEnvironment("postgresql", {});
  const server = await startPrivateServer(environment);
  const stalled = openConnection(server);
  stalled.write(
    head(server, ["POST /auth/login HTTP/1.1", "Content-Type: application/json", "Content-Length: 50"]),
  );
  stalled.write("{");
  expect((await call(server, "GET /health")).headers.get("connection")).not.toBe("close");
  const stopping = server.stop();
  const draining = await call(server, "GET /ready");
  expect([draining.status, draining.headers.get("connection")]).toEqual([503, "close"]);
  await stopping;
  stalled.close();
}, 9000);

test("a connection to the database that hangs costs its requests a 503, and nobody else waits behind it", async () => {
  let asked = 0;
  // A driver whose first answer never comes; the statement's shape is all that the lookup uses.
  const statement = { execute: () => (asked++ === 0 ? new Promise(() => {}) : Promise.resolve([])) };
  const chain = { from: () => chain, where: () => chain, prepare: () => statement };
  const lookup = makeSessionLookup({ select: () => chain } as unknown as Database, makeTestClock());
  const claims = { user_id: crypto.randomUUID(), session_id: crypto.randomUUID() };
  const first = lookup(claims).catch((error) => error.code);
  await Bun.sleep(20);
  const second = lookup(claims);
  expect(await first).toBe("ETIMEDOUT");
  expect(await second).toBe(false);
  expect(asked).toBe(2);
});
