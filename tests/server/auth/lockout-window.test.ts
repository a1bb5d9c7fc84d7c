import { describe, expect, test } from "bun:test";
import { LIMITS } from "../../../src/contract/limits.ts";
import { purgeLockouts } from "../../../src/server/auth/lockout.ts";
import { freeze, logIn, refresh, statusOf, withServer } from "../../support/auth.ts";
import { auditTypes, call, randomName, randomPassword, signIn, signUp } from "../../support/client.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, type TestServer } from "../../support/server.ts";

const MINUTE_MS = 60_000;
const LOCKOUT_MS = 15 * MINUTE_MS;

useQuickHashes();

for (const engine of ENGINES) {
  describe(`the window of the lockout on ${engine}`, () => {
    /** A server whose clock stands still: waiting times can be told to the second. */
    const still = (settings: Record<string, string>, work: (server: TestServer) => Promise<void>) =>
      withServer(engine, { TRUSTED_PROXIES: "127.0.0.1", ...settings }, async (server) => {
        freeze(server);
        await work(server);
      });

    const fail = (server: TestServer, username: string, address?: string) =>
      logIn(server, username, randomPassword(), address);

    async function failTimes(server: TestServer, times: number, username: string): Promise<void> {
      for (let i = 0; i < times; i++) expect((await fail(server, username)).status).toBe(401);
    }

    test("ends when the answers said, to the second, whatever was tried meanwhile", async () => {
      await still({ MAX_FAILED_LOGINS: "2" }, async (server) => {
        const { username, password } = await signUp(server);
        await failTimes(server, 2, username);
        expect((await fail(server, username)).headers.get("retry-after")).toBe("900");
        server.clock.advance(MINUTE_MS + 1);
        expect((await fail(server, username)).headers.get("retry-after")).toBe("840");
        server.clock.advance(LOCKOUT_MS - MINUTE_MS - 2);
        const last = await logIn(server, username, password);
        expect([last.status, last.headers.get("retry-after")]).toEqual([429, "1"]);
        server.clock.advance(1);
        expect((await logIn(server, username, password)).status).toBe(200);
      });
    });

    test("is not lengthened by a clock that is set back", async () => {
      await still({ MAX_FAILED_LOGINS: "1" }, async (server) => {
        const { username, password } = await signUp(server);
        await failTimes(server, 1, username);
        expect((await fail(server, username)).status).toBe(429);
        server.clock.advance(-2 * 60 * MINUTE_MS);
        expect((await logIn(server, username, password)).status).toBe(200);
      });
    });

    test("starts afresh after a lock: as many attempts as before, then locked again", async () => {
      await still({ MAX_FAILED_LOGINS: "3" }, async (server) => {
        const username = randomName();
        for (let round = 0; round < 2; round++) {
          await failTimes(server, 3, username);
          expect((await fail(server, username)).status).toBe(429);
          server.clock.advance(LOCKOUT_MS);
        }
      });
    });

    test("forgets failures that stopped short of a lock", async () => {
      await still({ MAX_FAILED_LOGINS: "3" }, async (server) => {
        const username = randomName();
        await failTimes(server, 2, username);
        server.clock.advance(LOCKOUT_MS - 1);
        await failTimes(server, 1, username);
        expect((await fail(server, username)).status).toBe(429);

        const other = randomName();
        await failTimes(server, 2, other);
        server.clock.advance(LOCKOUT_MS);
        await failTimes(server, 3, other);
        expect((await fail(server, other)).status).toBe(429);
      });
    });

    test("does not add failures up that lie further apart than it is long, however often somebody logs in", async () => {
      await still({ MAX_FAILED_LOGINS: "1" }, async (server) => {
        const user = await signUp(server);
        for (let i = 0; i < 24; i++) {
          expect((await fail(server, user.username, `192.0.2.${i}`)).status).toBe(401);
          server.clock.advance(LOCKOUT_MS / 4);
          expect((await logIn(server, user.username, user.password)).status).toBe(200);
        }
      });
    });

    test("has the length and the number of failures that the operator sets", async () => {
      for (const [failures_max, minutes] of [
        [1, 1],
        [2, 1440],
      ] as const) {
        const settings = { MAX_FAILED_LOGINS: String(failures_max), LOCKOUT_MINUTES: String(minutes) };
        await still(settings, async (server) => {
          const username = randomName();
          await failTimes(server, failures_max, username);
          const refused = await fail(server, username);
          expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, String(minutes * 60)]);
          server.clock.advance(minutes * MINUTE_MS);
          expect((await fail(server, username)).status).toBe(401);
        });
      }
    });

    test("begins anew with a correct login", async () => {
      await still({ MAX_FAILED_LOGINS: "3" }, async (server) => {
        const user = await signUp(server);
        for (let round = 0; round < 3; round++) {
          await failTimes(server, 2, user.username);
          expect((await logIn(server, user.username, user.password)).status).toBe(200);
        }
        await failTimes(server, 3, user.username);
        expect((await logIn(server, user.username, user.password)).status).toBe(429);
      });
    });

    test("begins anew with a correct secret for a change as well", async () => {
      await still({ MAX_FAILED_LOGINS: "2" }, async (server) => {
        const user = await signUp(server);
        await failTimes(server, 1, user.username);
        const new_password = randomPassword();
        const body = { current_password: user.password, new_password };
        expect((await call(server, "PUT /auth/password", { token: user.token, body })).status).toBe(200);
        await failTimes(server, 1, user.username);
        expect((await logIn(server, user.username, new_password)).status).toBe(200);
      });
    });

    test("is not moved towards a lock by any number of correct logins", async () => {
      await still({ MAX_FAILED_LOGINS: "1" }, async (server) => {
        const user = await signUp(server);
        const everywhere_max = LIMITS.failed_logins_everywhere_factor;
        for (let login = 0; login < everywhere_max + 2; login++) await signIn(server, user);
        expect(await auditTypes(server, user.id)).not.toContain("lockout");
      });
    });

    test("of a name from everywhere closes after ten times as many failures, for everybody", async () => {
      await still({ MAX_FAILED_LOGINS: "1" }, async (server) => {
        const user = await signUp(server);
        const address = (index: number) => `198.51.100.${index}`;
        for (let index = 1; index <= 10; index++) {
          expect((await fail(server, user.username, address(index))).status).toBe(401);
        }
        for (const from of [address(99), address(1), "2001:db8::1", undefined]) {
          const answer = await logIn(server, user.username, user.password, from);
          expect([answer.status, answer.body.code]).toEqual([429, "login-locked"]);
          expect(answer.headers.get("retry-after")).toBe("900");
        }
        // Who is in stays in.
        expect(await statusOf(server, user.token)).toBe(200);
        expect((await refresh(server, user.refresh_token)).status).toBe(200);
        // Each address was locked by its own failure, the name by the last of them.
        const events = (await auditTypes(server, user.id)).slice(2);
        expect(events.filter((type) => type === "lockout")).toHaveLength(10);
        server.clock.advance(LOCKOUT_MS);
        expect((await logIn(server, user.username, user.password)).status).toBe(200);
      });
    });

    test("of a name from everywhere is not reset by a correct login: it forgives its own attempt alone", async () => {
      await still({ MAX_FAILED_LOGINS: "1" }, async (server) => {
        const user = await signUp(server);
        for (let index = 1; index <= 9; index++) await fail(server, user.username, `198.51.100.${index}`);
        expect((await logIn(server, user.username, user.password)).status).toBe(200);
        await fail(server, user.username, "198.51.100.10");
        expect((await logIn(server, user.username, user.password)).status).toBe(429);
      });
    });

    test("that is closed for a pair spends nothing of the name's", async () => {
      await still({ MAX_FAILED_LOGINS: "1" }, async (server) => {
        const user = await signUp(server);
        for (let guess = 0; guess < 15; guess++) await fail(server, user.username, "198.51.100.1");
        expect((await logIn(server, user.username, user.password, "198.51.100.2")).status).toBe(200);
      });
    });

    test("outlives a purge while it counts, and is gone after", async () => {
      await still({ MAX_FAILED_LOGINS: "1" }, async (server) => {
        const username = randomName();
        await failTimes(server, 1, username);
        await purgeLockouts(server.deps.db, server.clock.now_ms(), 1000);
        expect((await fail(server, username)).status).toBe(429);
        server.clock.advance(LOCKOUT_MS);
        // The name's row and the pair's, with whatever other tests left behind.
        expect(await purgeLockouts(server.deps.db, server.clock.now_ms(), 1000)).toBeGreaterThanOrEqual(2);
        expect(await purgeLockouts(server.deps.db, server.clock.now_ms(), 1000)).toBe(0);
      });
    });
  });
}
