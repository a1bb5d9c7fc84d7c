import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from "bun:test";
import { asc, eq } from "drizzle-orm";
import { LIMITS } from "../../src/contract/limits.ts";
import { Problem } from "../../src/contract/problems.ts";
import type { AuditEvent } from "../../src/server/audit/audit.ts";
import { type AuditBuffer, makeAuditBuffer } from "../../src/server/audit/buffer.ts";
import { auditEvents } from "../../src/server/db/schema.ts";
import {
  call,
  createEntry,
  expectProblem,
  sealedEntry,
  signIn,
  signUp,
  type TestUser,
} from "../support/client.ts";
import { type FragileServer, startFragileServer } from "../support/fragile-server.ts";
import { ENGINES } from "../support/server.ts";

const { audit_flush_events: batch, audit_buffer_events_max: max } = LIMITS;
const isInsert = (query: string) => query.startsWith('insert into "audit_events"');

for (const engine of ENGINES) {
  describe(`the audit buffer on ${engine}`, () => {
    let server: FragileServer;
    let user: TestUser;
    let buffer: AuditBuffer;
    beforeAll(async () => {
      server = await startFragileServer(engine, { TRUSTED_PROXIES: "127.0.0.1" });
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      user = await signUp(server);
      buffer = makeAuditBuffer(server.deps.db, server.clock, server.deps.log);
      server.logged.length = 0;
    });
    afterEach(async () => {
      server.faults.clear();
      await Promise.all([buffer.flush(), server.deps.audit.flush()]);
    });

    const rows = () =>
      server.direct
        .select()
        .from(auditEvents)
        .where(eq(auditEvents.user_id, user.id))
        .orderBy(asc(auditEvents.id));
    const reads = async () => (await rows()).filter((row) => /^entr.*(read|listed)$/.test(row.type));
    const origin = { address: "192.0.2.7", network: "192.0.2.7", request_id: "noted-by-a-test" };
    const event = (extra: Partial<AuditEvent> = {}): AuditEvent => ({
      ...{ type: "entry-read", origin, user_id: user.id, entry_id: crypto.randomUUID(), ...extra },
    });
    const fill = (events: number) => {
      for (let count = 0; count < events; count++) buffer.note(event());
    };
    const microtasks = async () => {
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    };
    /** Waits for something that happens by itself. */
    async function until(happened: () => Promise<boolean>): Promise<void> {
      for (
        const deadline = Date.now() + 4 * LIMITS.audit_flush_ms;
        Date.now() < deadline;
        await Bun.sleep(20)
      ) {
        if (await happened()) return;
      }
      throw new Error("it did not happen");
    }

    test("a read is not written on its request's path", async () => {
      const { id } = await createEntry(server, user);
      server.faults.clear();
      expect((await call(server, `GET /entries/${id}`, { token: user.token })).status).toBe(200);
      expect(server.faults.queries.filter(({ text }) => isInsert(text))).toEqual([]);
      expect(server.deps.audit.size).toBe(1);
      await server.deps.audit.flush();
      expect(server.deps.audit.size).toBe(0);
      expect((await reads()).length).toBe(1);
    });

    test("an event is written when it is a moment old, and not before", async () => {
      jest.useFakeTimers();
      try {
        buffer.note(event());
        jest.advanceTimersByTime(LIMITS.audit_flush_ms / 2);
        buffer.note(event());
        jest.advanceTimersByTime(LIMITS.audit_flush_ms / 2 - 1);
        expect(buffer.size).toBe(2);
        jest.advanceTimersByTime(1);
        expect(buffer.size).toBe(0);
      } finally {
        jest.useRealTimers();
      }
      await until(async () => (await reads()).length === 2);
    });

    test("what happens again within a moment is one line with a count; what differs has its own", async () => {
      const [one, two] = [await createEntry(server, user), await createEntry(server, user)];
      const again = await signIn(server, user);
      const get = (path: string, token = user.token, address = "192.0.2.1") =>
        call(server, `GET ${path}`, { token, headers: { "x-forwarded-for": address } });
      await Promise.all([
        ...Array.from({ length: 5 }, () => get(`/entries/${one.id}`)),
        ...Array.from({ length: 3 }, () => get(`/entries/${two.id}`)),
        ...Array.from({ length: 2 }, () => get("/entries")),
      ]);
      await get(`/entries/${one.id}`, again.token);
      await get(`/entries/${one.id}`, user.token, "192.0.2.2");
      await server.deps.audit.flush();
      await get(`/entries/${one.id}`);
      await server.deps.audit.flush();
      const lines = (await reads()).map(({ type, entry_id, address, count }) => ({
        ...{ type, entry: entry_id === one.id ? 1 : entry_id === two.id ? 2 : null, address, count },
      }));
      expect(lines).toBeArrayOfSize(6);
      const read = { type: "entry-read", address: "192.0.2.1" };
      for (const line of [
        ...[
          { ...read, entry: 1, count: 5 },
          { ...read, entry: 2, count: 3 },
          { ...read, entry: 1, count: 1 },
        ],
        ...[{ ...read, entry: 1, address: "192.0.2.2", count: 1 }],
        { ...read, type: "entries-listed", entry: null, count: 2 },
      ]) {
        expect(lines).toContainEqual(line as never);
      }
    });

    test(`${batch - 1} events wait for their time, the next one has all of them written at once`, async () => {
      fill(batch - 1);
      await microtasks();
      expect(buffer.size).toBe(batch - 1);
      fill(1);
      await microtasks();
      expect(buffer.size).toBe(0);
      await until(async () => (await reads()).length === batch);
    });

    test("events that come while others are being written are written after them", async () => {
      fill(1);
      const first = buffer.flush();
      fill(1);
      const second = buffer.flush();
      const third = buffer.flush();
      await third;
      expect((await reads()).length).toBe(2);
      await Promise.all([first, second]);
      expect(buffer.size).toBe(0);
    });

    test("what cannot be written is kept, as it was, and written when it can be", async () => {
      const kept = event({ type: "token-refused", success: false, reason: "session-ended" });
      const noted_ms = server.clock.now_ms();
      buffer.note(kept);
      server.faults.fail(isInsert, "57P01");
      await buffer.flush();
      expect(buffer.size).toBe(1);
      expect(server.logged.join()).toContain('"events":1');
      expect(server.logged.join()).not.toContain(user.id);
      buffer.note(kept);
      await buffer.flush();
      server.faults.clear();
      server.clock.advance(60_000);
      await buffer.flush();
      const [row, ...more] = (await rows()).filter(({ type }) => type === "token-refused");
      expect(more).toEqual([]);
      expect(row).toMatchObject({ count: 2, success: false, reason: "session-ended" });
      expect(row?.at.getTime()).toBeWithin(Math.floor(noted_ms), noted_ms + 2000);
    });

    test("what cannot be written is tried again by itself", async () => {
      buffer.note(event());
      server.faults.fail(isInsert);
      await buffer.flush();
      server.faults.clear();
      await until(async () => (await reads()).length === 1);
    });

    test("of several batches those that were written are not written again", async () => {
      fill(2 * batch + 1);
      let inserts = 0;
      server.faults.fail((query) => isInsert(query) && ++inserts === 2);
      await microtasks();
      await buffer.flush();
      await buffer.flush();
      const entries = (await reads()).map((row) => row.entry_id);
      expect(entries.length).toBe(2 * batch + 1);
      expect(new Set(entries).size).toBe(2 * batch + 1);
    });

    test("a batch whose commit was not acknowledged is neither doubled nor in the way for ever", async () => {
      const kept = event();
      buffer.note(kept);
      buffer.note(event());
      server.faults.loseAnswers();
      const writing = buffer.flush();
      buffer.note(kept);
      await writing;
      expect(buffer.size).toBe(2);
      server.faults.clear();
      await buffer.flush();
      expect(buffer.size).toBe(0);
      expect((await reads()).map((row) => row.count)).toEqual([2, 1]);
    });

    test("a database that is away is not asked anew for every event", async () => {
      server.faults.fail(() => true, "57P01");
      fill(2 * batch);
      await buffer.flush();
      const before = server.faults.queries.length;
      for (let round = 0; round < 20; round++) {
        fill(1);
        await Bun.sleep(1);
      }
      expect(server.faults.queries.length - before).toBeLessThan(3);
      expect(buffer.size).toBe(2 * batch + 20);
    });

    test("events of an account that was deleted meanwhile are left out, others of the batch are not", async () => {
      const gone = user;
      user = await signUp(server);
      buffer.note(event({ user_id: gone.id }));
      buffer.note(event());
      const nobodys = { ...origin, request_id: `nobody-${crypto.randomUUID()}` };
      buffer.note({ type: "token-refused", origin: nobodys, success: false });
      const { password: current_password } = gone;
      await call(server, "DELETE /account", { token: gone.token, body: { current_password } });
      await buffer.flush();
      expect((await reads()).length).toBe(1);
      user = gone;
      expect((await rows()).map((row) => row.type)).toEqual(["account-deleted"]);
      const { request_id } = nobodys;
      const left = server.direct.select().from(auditEvents).where(eq(auditEvents.request_id, request_id));
      expect((await left).length).toBe(1);
    });

    test(`takes ${max - 1} events and ${max}, and refuses another, but counts one that waits`, async () => {
      fill(max - 1);
      const known = event();
      buffer.note(known);
      const waiting = buffer.size;
      let refusal: unknown;
      try {
        buffer.note(event());
      } catch (error) {
        refusal = error;
      }
      expect(refusal).toBeInstanceOf(Problem);
      expect(refusal).toMatchObject({
        code: "audit-unavailable",
        details: { headers: { "retry-after": "1" } },
      });
      buffer.note(known);
      expect(buffer.size).toBe(waiting);
      await call(server, "DELETE /account", { token: user.token, body: { current_password: user.password } });
    });

    test("while it is full a read is refused, not made unseen, and a change goes on", async () => {
      const { id, ciphertext } = await createEntry(server, user);
      const own = server.deps.audit;
      server.faults.fail((query) => query.includes("for key share") && query.includes('"users"'), "57P01");
      for (let count = own.size; count < max; count++) own.note(event());
      await own.flush();
      for (const route of [`GET /entries/${id}`, "GET /entries", `HEAD /entries/${id}`]) {
        const answer = await call(server, route, { token: user.token });
        expect(answer.status).toBe(503);
        if (!route.startsWith("HEAD")) expectProblem(answer, 503, "audit-unavailable");
        expect(answer.headers.get("retry-after")).toBe("1");
        expect(answer.text).not.toContain(ciphertext);
        expect(answer.headers.has("etag")).toBe(false);
      }
      const body = sealedEntry();
      const changed = await call(server, `PUT /entries/${id}`, { token: user.token, body });
      expect(changed.body.version).toBe(2);
      server.faults.clear();
      const { password: current_password } = user;
      await call(server, "DELETE /account", { token: user.token, body: { current_password } });
      await own.flush();
      expect(own.size).toBe(0);
    });
  });
}
