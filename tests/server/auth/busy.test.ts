import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { eventsOf, logIn, refresh, statusOf } from "../../support/auth.ts";
import {
  auditTypes,
  call,
  expectProblem,
  randomName,
  randomPassword,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

/** One at a time, and one that waits. */
const SETTINGS = { HASH_CONCURRENCY: "1", HASH_QUEUE_MAX: "1", MAX_FAILED_LOGINS: "2" };

for (const engine of ENGINES) {
  describe(`a full hashing queue on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let running: number;
    let running_max: number;
    let gate: PromiseWithResolvers<void>;
    let spies: { mockRestore(): void }[];
    beforeAll(async () => {
      server = await startTestServer(engine, SETTINGS);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    /** Hashes are computed as ever, but none ends before `release`. */
    beforeEach(() => {
      hold();
      running = running_max = 0;
      const held =
        <Parameters extends unknown[], Result>(work: (...parameters: Parameters) => Promise<Result>) =>
        async (...parameters: Parameters): Promise<Result> => {
          running_max = Math.max(running_max, ++running);
          await gate.promise;
          return work(...parameters).finally(() => running--);
        };
      const { hash, verify } = Bun.password;
      spies = [
        spyOn(Bun.password, "hash").mockImplementation(held(hash)),
        spyOn(Bun.password, "verify").mockImplementation(held(verify)),
      ];
    });
    afterEach(() => {
      release();
      for (const spy of spies) spy.mockRestore();
    });

    function hold(): void {
      gate = Promise.withResolvers();
    }

    function release(): void {
      gate.resolve();
    }

    /** Two logins by others: one is being hashed, one waits. */
    async function fill(): Promise<{ done: Promise<unknown> }> {
      const others = [1, 2].map(() => logIn(server, randomName(), randomPassword()));
      while (server.deps.hashing.running + server.deps.hashing.waiting < 2) await Bun.sleep(1);
      return { done: Promise.all(others) };
    }

    test("is 503 with Retry-After on every route that hashes, and tells nothing else", async () => {
      const others = await fill();
      const current_password = user.password;
      const attempts: Record<string, object> = {
        "POST /auth/register": { username: randomName(), password: randomPassword() },
        "POST /auth/login": { username: user.username, password: user.password },
        "PUT /auth/password": { current_password, new_password: randomPassword() },
        "DELETE /account": { current_password },
      };
      for (const [route, body] of Object.entries(attempts)) {
        const answer = await call(server, route, { token: user.token, body });
        expectProblem(answer, 503, "hashing-busy");
        expect(answer.headers.get("retry-after")).toBe("1");
        expect(await eventsOf(server, answer)).toEqual([]);
      }
      release();
      await others.done;
      expect(running_max).toBe(1);
    });

    test("is 503 alike for names nobody has", async () => {
      const others = await fill();
      const known = await logIn(server, user.username, randomPassword());
      const unknown = await logIn(server, randomName(), randomPassword());
      expect([known.status, known.body.code]).toEqual([503, "hashing-busy"]);
      expect([unknown.status, unknown.body.code]).toEqual([503, "hashing-busy"]);
      release();
      await others.done;
    });

    test("holds up nobody who has a session", async () => {
      const others = await fill();
      expect(await statusOf(server, user.token)).toBe(200);
      const { status, body } = await refresh(server, user.refresh_token);
      expect(status).toBe(200);
      user = { ...user, token: body.accessToken, refresh_token: body.refreshToken };
      release();
      await others.done;
    });

    test("makes no failure of an attempt that was turned away: it locks nobody out", async () => {
      const others = await fill();
      for (let attempt = 0; attempt < 6; attempt++) {
        expectProblem(await logIn(server, user.username, user.password), 503, "hashing-busy");
      }
      release();
      await others.done;
      expect((await logIn(server, user.username, randomPassword())).status).toBe(401);
      expect((await logIn(server, user.username, user.password)).status).toBe(200);
      expect(await auditTypes(server, user.id)).not.toContain("lockout");
    });

    test("makes no failure of a change whose new secret found no place", async () => {
      const body = { current_password: user.password, new_password: randomPassword() };
      for (let attempt = 0; attempt < 4; attempt++) {
        // The current secret gets its turn, and when it has been tested others are in the queue.
        let others: Promise<unknown> | undefined;
        const hash = spyOn(server.deps.hashing, "hash").mockImplementationOnce(async (...parameters) => {
          hash.mockRestore();
          hold();
          others = (await fill()).done;
          return server.deps.hashing.hash(...parameters);
        });
        release();
        expectProblem(
          await call(server, "PUT /auth/password", { token: user.token, body }),
          503,
          "hashing-busy",
        );
        release();
        await others;
      }
      expect((await logIn(server, user.username, user.password)).status).toBe(200);
    });
  });
}
