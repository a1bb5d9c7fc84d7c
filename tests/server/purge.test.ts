import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from "bun:test";
import { eq, inArray } from "drizzle-orm";
import { LIMITS } from "../../src/contract/limits.ts";
import { purge as purgeEvents, toRow } from "../../src/server/audit/audit.ts";
import { purgeLockouts } from "../../src/server/auth/lockout.ts";
import { purgeSessions } from "../../src/server/auth/refresh.ts";
import { auditEvents, lockouts, refreshTokens, sessions } from "../../src/server/db/schema.ts";
import { purgeExpired, startPurging } from "../../src/server/purge.ts";
import { call, createEntry, expectProblem, sealedEntry, signUp, type TestUser } from "../support/client.ts";
import { type FragileServer, startFragileServer } from "../support/fragile-server.ts";
import { ENGINES } from "../support/server.ts";

const DAY_MS = 24 * 3_600_000;
const RETENTION_DAYS = 30;
const random = () => crypto.getRandomValues(new Uint8Array(32));

for (const engine of ENGINES) {
  describe(`what has expired on ${engine}`, () => {
    let server: FragileServer;
    let user: TestUser;
    let now_ms: number;
    beforeAll(async () => {
      server = await startFragileServer(engine, { AUDIT_RETENTION_DAYS: String(RETENTION_DAYS) });
      user = await signUp(server);
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      // What other tests have left, so that counts are this test's own.
      await purgeExpired(server.deps);
      server.faults.clear();
      now_ms = Math.floor(server.clock.now_ms());
    });
    afterEach(() => server.faults.clear());

    const at = (offset_ms: number) => new Date(now_ms + offset_ms);

    async function addSessions(...expires: Date[]): Promise<string[]> {
      const rows = expires.map((expires_at) => ({
        ...{ id: crypto.randomUUID(), user_id: user.id, address: "192.0.2.1", expires_at },
        ...{ created_at: at(-DAY_MS), last_used_at: at(-DAY_MS) },
      }));
      await server.direct.insert(sessions).values(rows);
      return rows.map(({ id }) => id);
    }

    async function addTokens(session_id: string, ...expires: Date[]): Promise<Uint8Array[]> {
      const rows = expires.map((expires_at) => ({
        token_hash: random(),
        session_id,
        expires_at,
        used_at: at(-1),
      }));
      await server.direct.insert(refreshTokens).values(rows);
      return rows.map(({ token_hash }) => token_hash);
    }

    async function addLockouts(...expires: Date[]): Promise<Uint8Array[]> {
      const rows = expires.map((expires_at) => ({
        name_hash: random(),
        address: "",
        attempts: 5,
        expires_at,
      }));
      await server.direct.insert(lockouts).values(rows);
      return rows.map(({ name_hash }) => name_hash);
    }

    /** Events of a time, of this account and, every other one, of none. */
    async function addEvents(...times_ms: number[]): Promise<string[]> {
      const origin = { address: "192.0.2.1", network: "192.0.2.1", request_id: "added-by-a-test" };
      const rows = times_ms.map((ms, n) =>
        toRow({ type: "login-failed", origin, ...(n % 2 === 0 && { user_id: user.id }) }, ms, 1),
      );
      for (let start = 0; start < rows.length; start += 1000) {
        await server.direct.insert(auditEvents).values(rows.slice(start, start + 1000));
      }
      return rows.map(({ id }) => id);
    }

    const left = {
      sessions: async (ids: string[]) => {
        const rows = await server.direct.select().from(sessions).where(inArray(sessions.id, ids));
        return ids.map((id) => rows.some((row) => row.id === id));
      },
      tokens: (hashes: Uint8Array[]) =>
        Promise.all(
          hashes.map(async (hash) => {
            const where = eq(refreshTokens.token_hash, hash);
            return (await server.direct.select().from(refreshTokens).where(where)).length === 1;
          }),
        ),
      lockouts: (hashes: Uint8Array[]) =>
        Promise.all(
          hashes.map(async (hash) => {
            const where = eq(lockouts.name_hash, hash);
            return (await server.direct.select().from(lockouts).where(where)).length === 1;
          }),
        ),
      events: async (ids: string[]) => {
        const rows = await server.direct.select().from(auditEvents).where(inArray(auditEvents.id, ids));
        return ids.map((id) => rows.some((row) => row.id === id));
      },
    };

    test("sessions go at their end and not before, and take their tokens with them", async () => {
      const ids = await addSessions(at(-1), at(0), at(1));
      const tokens = [];
      for (const id of ids) tokens.push(...(await addTokens(id, at(DAY_MS))));
      expect(await purgeSessions(server.direct, now_ms, 100)).toBe(2);
      expect(await left.sessions(ids)).toEqual([false, false, true]);
      expect(await left.tokens(tokens)).toEqual([false, false, true]);
    });

    test("used tokens of a living session go at their own end", async () => {
      const [session = ""] = await addSessions(at(DAY_MS));
      const tokens = await addTokens(session, at(-1), at(0), at(1));
      expect(await purgeSessions(server.direct, now_ms, 100)).toBe(2);
      expect(await left.tokens(tokens)).toEqual([false, false, true]);
      expect(await left.sessions([session])).toEqual([true]);
    });

    test("counts of failed logins go at their end and not before", async () => {
      const counts = await addLockouts(at(-1), at(0), at(1));
      expect(await purgeLockouts(server.direct, now_ms, 100)).toBe(2);
      expect(await left.lockouts(counts)).toEqual([false, false, true]);
    });

    test("events from before a time go, to the millisecond, whoever they are of", async () => {
      const before_ms = now_ms - RETENTION_DAYS * DAY_MS;
      const events = await addEvents(before_ms - 2, before_ms - 1, before_ms, before_ms, before_ms + 1);
      expect(await purgeEvents(server.direct, before_ms, 100)).toBe(2);
      expect(await left.events(events)).toEqual([false, false, true, true, true]);
    });

    test("a batch has no more rows than it may, and of events the oldest", async () => {
      const [session = ""] = await addSessions(at(DAY_MS));
      await addSessions(...Array(5).fill(at(-1)));
      await addLockouts(...Array(5).fill(at(-1)));
      const old_ms = now_ms - 2 * RETENTION_DAYS * DAY_MS;
      const events = await addEvents(...[5, 3, 1, 2, 4].map((n) => old_ms + n));
      const batches = async (purge: (rows_max: number) => Promise<number>) => [
        ...[await purge(2), await purge(2), await purge(2), await purge(2)],
      ];
      expect(await batches((rows_max) => purgeSessions(server.direct, now_ms, rows_max))).toEqual([
        2, 2, 1, 0,
      ]);
      expect(await batches((rows_max) => purgeLockouts(server.direct, now_ms, rows_max))).toEqual([
        2, 2, 1, 0,
      ]);
      await addTokens(session, ...Array(5).fill(at(-1)));
      expect(await batches((rows_max) => purgeSessions(server.direct, now_ms, rows_max))).toEqual([
        2, 2, 1, 0,
      ]);
      expect(await purgeEvents(server.direct, now_ms, 2)).toBe(2);
      expect(await left.events(events)).toEqual([true, true, false, false, true]);
    });

    test("goes all at once, in batches, and what lives or must be remembered stays", async () => {
      const { id } = await createEntry(server, user);
      await call(server, `DELETE /entries/${id}`, { token: user.token });
      await addSessions(at(-DAY_MS), at(-1));
      await addLockouts(at(-DAY_MS), at(-1));
      const retained_ms = now_ms - RETENTION_DAYS * DAY_MS;
      const young = await addEvents(retained_ms + 60_000);
      await addEvents(...Array.from({ length: 2500 }, (_, n) => retained_ms - 60_000 - n));
      server.faults.clear();
      expect(await purgeExpired(server.deps)).toBe(2 + 2 + 2500);
      const deletions = server.faults.queries.filter(({ text }) =>
        text.startsWith('delete from "audit_events"'),
      );
      expect(deletions.length).toBe(3);
      for (const { parameters } of deletions) expect(parameters).toContain(LIMITS.purge_batch_rows);
      expect(await left.events(young)).toEqual([true]);
      // The caller's session lives, and an id of long ago is still taken.
      const again = await call(server, "POST /entries", {
        token: user.token,
        body: { id, ...sealedEntry() },
      });
      expectProblem(again, 409, "entry-id-taken");
      expect(await purgeExpired(server.deps)).toBe(0);
    });

    test("is purged every few minutes, also after a time when the database was away", async () => {
      const ids = await addSessions(at(-1));
      server.logged.length = 0;
      jest.useFakeTimers();
      const purging = startPurging(server.deps);
      try {
        server.faults.fail(() => true, "57P01");
        jest.advanceTimersByTime(LIMITS.purge_interval_ms);
        jest.useRealTimers();
        while (server.logged.length === 0) await Bun.sleep(5);
        expect(server.logged.join()).toContain("expired rows could not be deleted");
        expect(await left.sessions(ids)).toEqual([true]);
      } finally {
        jest.useRealTimers();
        await purging.stop();
      }
      server.faults.clear();
      jest.useFakeTimers();
      const again = startPurging(server.deps);
      jest.advanceTimersByTime(LIMITS.purge_interval_ms - 1);
      expect(server.faults.queries).toEqual([]);
      jest.advanceTimersByTime(1);
      jest.useRealTimers();
      await again.stop();
      expect(await left.sessions(ids)).toEqual([false]);
    });

    // The embedded engine has one connection: there is nobody else who could hold a row.
    if (engine === "embedded") return;
    test("does not wait for a row that somebody holds, and leaves it", async () => {
      const [held = "", free = ""] = await addSessions(at(-1), at(-1));
      await server.direct.transaction(async (tx) => {
        await tx.select().from(sessions).where(eq(sessions.id, held)).for("update");
        expect(await purgeSessions(server.direct, now_ms, 100)).toBe(1);
        expect(await left.sessions([held, free])).toEqual([true, false]);
      });
      expect(await purgeSessions(server.direct, now_ms, 100)).toBe(1);
      expect(await left.sessions([held])).toEqual([false]);
    });
  });
}
