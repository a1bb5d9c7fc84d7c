import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LIMITS } from "../../../src/contract/limits.ts";
import {
  call,
  expectProblem,
  randomBase64,
  sealedEntry,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import {
  type Connection,
  exchange,
  expectPromisedHeaders,
  head,
  openConnection,
} from "../../support/wire.ts";

const LIMIT = 8_388_608;

for (const engine of ENGINES) {
  describe(`the body of a batch on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    const held = async () => (await call(server, "GET /account", { token: user.token })).body.entries;
    const post = (more: string[], path = "/entries/batch") => [
      `POST ${path} HTTP/1.1`,
      `Authorization: Bearer ${user.token}`,
      "Content-Type: application/json",
      ...more,
    ];
    const send = (raw: string | ReadableStream) =>
      call(server, "POST /entries/batch", { token: user.token, raw });

    for (const framing of ["content-length", "chunked"] as const) {
      for (const [size, status] of [
        [LIMIT - 1, 201],
        [LIMIT, 201],
        [LIMIT + 1, 413],
      ] as const) {
        test(`of ${size} bytes, ${framing}, is ${status}`, async () => {
          const before = await held();
          const largest = sealedEntry(LIMITS.ciphertext_bytes_max);
          const text = JSON.stringify({ entries: Array(95).fill(largest) });
          expect(text.length).toBeWithin(8_000_000, size);
          const raw = text.padEnd(size, " ");
          const answer = await send(framing === "chunked" ? new Blob([raw]).stream() : raw);
          if (status === 201) expect(answer.status).toBe(201);
          else {
            expectProblem(answer, 413, "body-too-large");
            expect(answer.body.detail).toContain(String(LIMIT));
          }
          expectPromisedHeaders(answer);
          expect(await held()).toBe(before + (status === 201 ? 95 : 0));
        });
      }
    }

    test("that is declared too large is refused before any of it is sent", async () => {
      const answer = await exchange(server, post([`Content-Length: ${LIMIT + 1}`]));
      expect([answer.status, answer.headers.get("connection")]).toEqual([413, "close"]);
    });

    test("of its size goes on no other route", async () => {
      const raw = JSON.stringify(sealedEntry()).padEnd(LIMITS.body_bytes_max + 1, " ");
      const created = await call(server, "POST /entries", { token: user.token, raw });
      expectProblem(created, 413, "body-too-large");
      expect(created.body.detail).toContain(String(LIMITS.body_bytes_max));
    });

    test("of more values than it may have is refused", async () => {
      const answer = await send(`{"entries":[${"{},".repeat(1_000_000)}{}]}`);
      expectProblem(answer, 422, "request-invalid");
      expect(answer.body.detail).toBe("The body has too many brackets and commas");
      const within = await send(`{"entries":[${"{},".repeat(100_000)}{}]}`);
      expectProblem(within, 422, "request-invalid");
      expect(within.body.errors.length).toBe(1);
    });

    const begin = (): Connection => {
      const connection = openConnection(server);
      connection.write(`${head(server, post(["Content-Length: 1000000"]))}{`);
      return connection;
    };
    const batch = () => send(JSON.stringify({ entries: [sealedEntry()] }));

    test("waits while as many as may be are on their way, and has its turn when one of them has ended", async () => {
      const slow = Array.from({ length: LIMITS.batches_at_once_max }, begin);
      await Bun.sleep(100);
      const waiting = batch();
      expect(await Promise.race([waiting, Bun.sleep(200)])).toBeUndefined();
      // Nobody else waits for them.
      expect((await call(server, "POST /entries", { token: user.token, body: sealedEntry() })).status).toBe(
        201,
      );
      slow.pop()?.close();
      expect((await waiting).status).toBe(201);
      for (const connection of slow) connection.close();
    });

    test("finds no place when too many wait, and that is told at once", async () => {
      const all = Array.from({ length: LIMITS.batches_at_once_max + LIMITS.batches_waiting_max }, begin);
      await Bun.sleep(500);
      const answer = await batch();
      expectProblem(answer, 503, "batch-busy");
      expect(answer.headers.get("retry-after")).toBe("1");
      for (const connection of all) connection.close();
      expect((await batch()).status).toBe(201);
    });

    test("gives its place back however it ends", async () => {
      const item = { ...sealedEntry(), id: crypto.randomUUID() };
      const ends: [body: unknown, status: number][] = [
        [{ entries: [item] }, 201],
        [{ entries: [item] }, 409],
        [{ entries: [] }, 422],
        [randomBase64(8), 422],
      ];
      for (let round = 0; round < LIMITS.batches_at_once_max + 1; round++) {
        for (const [body, status] of ends) {
          const answer = await call(server, "POST /entries/batch", { token: user.token, body });
          if (round > 0 && status === 201) expect(answer.status).toBe(409);
          else expect(answer.status).toBe(status);
        }
        expect((await send("{")).status).toBe(400);
        expect((await send(new Blob([" ".repeat(LIMIT + 1)]).stream())).status).toBe(413);
        begin().close();
      }
      expect((await batch()).status).toBe(201);
    });

    test("is refused when the session ends while it is on its way", async () => {
      const { token } = await signUp(server);
      const body = JSON.stringify({ entries: [sealedEntry()] });
      const connection = openConnection(server);
      const lines = ["POST /entries/batch HTTP/1.1", `Authorization: Bearer ${token}`];
      connection.write(
        head(server, [...lines, "Content-Type: application/json", `Content-Length: ${body.length}`]) +
          body.slice(0, 20),
      );
      await Bun.sleep(100);
      const listed = await call(server, "GET /auth/sessions", { token });
      const route = `DELETE /auth/sessions/${listed.body.sessions[0].id}`;
      expect((await call(server, route, { token })).status).toBe(204);
      connection.write(body.slice(20));
      expect((await connection.answered).status).toBe(401);
    });
  });
}
