import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { desc, eq } from "drizzle-orm";
import { LIMITS } from "../../src/contract/limits.ts";
import { toRow } from "../../src/server/audit/audit.ts";
import { hashName } from "../../src/server/auth/secrets.ts";
import { auditEvents } from "../../src/server/db/schema.ts";
import {
  auditLog,
  call,
  createEntry,
  expectProblem,
  randomHex,
  randomName,
  randomPassword,
  sealedEntry,
  signIn,
  signUp,
  type TestUser,
} from "../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../support/server.ts";

const max = LIMITS.page_events_max;

for (const engine of ENGINES) {
  describe(`the audit log on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine, { MAX_FAILED_LOGINS: "2" });
    });
    afterAll(() => server.stop());

    /** A request with an id of its own, to find its events by. */
    async function ask(route: string, options: { token?: string; body?: unknown } = {}) {
      const request_id = `test-${randomHex(8)}`;
      const answer = await call(server, route, { ...options, headers: { "x-request-id": request_id } });
      return { answer, request_id };
    }

    /** The events of a request: all that is stored of them but their own id, their time checked here. */
    async function eventsOf(request_id: string) {
      await server.deps.audit.flush();
      const rows = await server.deps.db
        .select()
        .from(auditEvents)
        .where(eq(auditEvents.request_id, request_id))
        .orderBy(auditEvents.id);
      return rows.map(({ id, at, ...event }) => {
        expect(Math.abs(at.getTime() - server.clock.now_ms())).toBeLessThan(5000);
        expect(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16)).toBe(at.getTime());
        return event;
      });
    }

    const sessionOf = (user: Pick<TestUser, "token">): string =>
      JSON.parse(Buffer.from(user.token.split(".")[1] ?? "", "base64url").toString()).sid;

    const blank = { success: true, reason: null, entry_id: null, name_hash: null, count: 1 };
    const by = (user: TestUser) => ({ ...blank, user_id: user.id, session_id: sessionOf(user) });

    async function expectEvents(route: string, options: object, ...expected: object[]): Promise<unknown> {
      const { answer, request_id } = await ask(route, options);
      const whole = expected.map((event) => ({ address: "127.0.0.1", request_id, ...event }));
      expect(await eventsOf(request_id)).toEqual(whole as never);
      return answer.body;
    }

    test("tells of each change and each read of an entry: when, who, from where, and of which", async () => {
      const user = await signUp(server);
      const { token } = user;
      const body = sealedEntry();
      const id = crypto.randomUUID();
      const about = { ...by(user), entry_id: id };
      await expectEvents(
        "POST /entries",
        { token, body: { id, ...body } },
        { ...about, type: "entry-created" },
      );
      await expectEvents(`GET /entries/${id}`, { token }, { ...about, type: "entry-read" });
      await expectEvents("GET /entries", { token }, { ...by(user), type: "entries-listed" });
      await expectEvents(`PUT /entries/${id}`, { token, body }, { ...about, type: "entry-updated" });
      await expectEvents(`DELETE /entries/${id}`, { token }, { ...about, type: "entry-deleted" });
      for (const method of ["GET", "PUT", "DELETE"]) {
        await expectEvents(`${method} /entries/${id}`, { token, ...(method === "PUT" && { body }) });
      }
      for (const route of ["GET /audit", "GET /account", "GET /auth/sessions"]) {
        await expectEvents(route, { token });
      }
    });

    test("tells of the life of an account and of its sessions", async () => {
      const [username, password] = [randomName(), randomPassword()];
      const made = await ask("POST /auth/register", { body: { username, password } });
      const user_id = made.answer.body.id;
      const account = { ...blank, user_id, session_id: null };
      const registered = { address: "127.0.0.1", request_id: made.request_id, ...account };
      expect(await eventsOf(made.request_id)).toEqual([{ ...registered, type: "account-registered" }]);

      const begun = await ask("POST /auth/login", { body: { username, password } });
      const user = { id: user_id, username, password, token: begun.answer.body.accessToken } as TestUser;
      expect(await eventsOf(begun.request_id)).toMatchObject([{ ...by(user), type: "login-succeeded" }]);

      const { refreshToken } = begun.answer.body;
      const mine = by(user);
      const next = (await expectEvents(
        "POST /auth/token",
        { body: { refreshToken } },
        { ...mine, type: "session-refreshed" },
      )) as { refreshToken: string };
      await expectEvents(
        "POST /auth/token",
        { body: { refreshToken } },
        { ...mine, type: "session-refreshed", reason: "repeated" },
      );
      server.clock.advance(LIMITS.refresh_grace_ms + 1);
      const reused = { ...mine, type: "refresh-reused", success: false, reason: "family-ended" };
      await expectEvents("POST /auth/token", { body: { refreshToken } }, reused);
      const refused = { type: "refresh-refused", success: false, reason: "unknown-or-expired" };
      const nobody = { ...blank, user_id: null, session_id: null };
      const dead = { body: { refreshToken: next.refreshToken } };
      await expectEvents("POST /auth/token", dead, { ...nobody, ...refused });

      const [first, second, third] = [
        await signIn(server, user),
        await signIn(server, user),
        await signIn(server, user),
      ];
      const ended = { ...by(second), type: "session-ended" };
      await expectEvents(`DELETE /auth/sessions/${sessionOf(second)}`, { token: first.token }, ended);
      await expectEvents(
        "DELETE /auth/sessions",
        { token: first.token },
        { ...by(third), type: "session-ended" },
      );
      const left = { body: { refreshToken: first.refresh_token } };
      await expectEvents("POST /auth/logout", left, { ...by(first), type: "logout" });
      await expectEvents("POST /auth/logout", left);
    });

    test("tells of a changed password under the new session, and of a deleted account that it is gone", async () => {
      const user = await signUp(server);
      const new_password = randomPassword();
      const body = { current_password: user.password, new_password };
      const changed = await ask("PUT /auth/password", { token: user.token, body });
      const renewed = { ...user, token: changed.answer.body.accessToken };
      expect(sessionOf(renewed)).not.toBe(sessionOf(user));
      expect(await eventsOf(changed.request_id)).toMatchObject([
        { ...by(renewed), type: "password-changed" },
      ]);
      const wrong = { current_password: randomPassword() };
      const failed = { ...by(renewed), type: "secret-failed", success: false, reason: "wrong-secret" };
      await expectEvents("DELETE /account", { token: renewed.token, body: wrong }, failed);
      await expectEvents(
        "DELETE /account",
        { token: renewed.token, body: { current_password: new_password } },
        { ...by(renewed), type: "account-deleted" },
      );
      expect((await auditLog(server, user.id)).map((event) => event.type)).toEqual(["account-deleted"]);
    });

    test("tells of failed logins and of the lockout, under the account or under a hash of a name nobody has", async () => {
      const user = await signUp(server);
      const stranger = randomPassword().replaceAll("!", "_").slice(0, 30);
      for (const [username, who] of [
        [user.username.toUpperCase(), { user_id: user.id, name_hash: null }],
        [stranger, { user_id: null, name_hash: Buffer.from(hashName(server.deps.secrets, stranger)) }],
      ] as const) {
        const failed = { ...blank, session_id: null, ...who, success: false };
        const wrong = { body: { username, password: randomPassword() } };
        const first = { ...failed, type: "login-failed", reason: "wrong-secret" };
        await expectEvents("POST /auth/login", wrong, first);
        const last = { ...failed, type: "lockout", reason: "too-many-failures" };
        await expectEvents("POST /auth/login", wrong, first, last);
        const locked = { ...failed, type: "login-refused", reason: "locked" };
        await expectEvents("POST /auth/login", wrong, locked);
      }
      const everything = JSON.stringify(await server.deps.db.select().from(auditEvents));
      expect(everything.toLowerCase()).not.toContain(stranger.toLowerCase());
      expect(server.logged.join().toLowerCase()).not.toContain(stranger.toLowerCase());
    });

    test("tells of refused tokens, and of whose they were where that is known", async () => {
      const user = await signUp(server);
      await call(server, "POST /auth/logout", { body: { refreshToken: user.refresh_token } });
      const refused = { ...by(user), type: "token-refused", success: false };
      await expectEvents("GET /entries", { token: user.token }, { ...refused, reason: "session-ended" });
      const nobody = { ...refused, user_id: null, session_id: null, reason: "invalid" };
      await expectEvents("GET /entries", { token: `${user.token.slice(0, -4)}AAAA` }, nobody);
      await expectEvents("GET /entries", {});
    });

    describe("GET /audit", () => {
      const get = (user: TestUser, query = "") => call(server, `GET /audit${query}`, { token: user.token });

      /** More events of an account, past the API. */
      async function insert(user: TestUser, events: number): Promise<void> {
        const origin = { address: "192.0.2.1", network: "192.0.2.1", request_id: "inserted" };
        const rows = Array.from({ length: events }, (_, n) =>
          toRow(
            { type: "entry-read", origin, user_id: user.id },
            server.clock.now_ms() - 60_000 + (n >> 1),
            1,
          ),
        );
        await server.deps.db.insert(auditEvents).values(rows);
      }

      test("shows one's own events, newest first, in the contract's form", async () => {
        const user = await signUp(server);
        const entry = await createEntry(server, user);
        const { body } = await get(user);
        expect(body.next_cursor).toBeNull();
        expect(body.events.map((event: { type: string }) => event.type)).toEqual([
          ...["entry-created", "login-succeeded", "account-registered"],
        ]);
        const [event] = body.events;
        expect(event).toStrictEqual({
          ...{ id: event.id, time: event.time, type: "entry-created", success: true, reason: null },
          ...{ session_id: sessionOf(user), entry_id: entry.id, address: "127.0.0.1" },
          ...{ request_id: event.request_id, count: 1 },
        });
        expect(event.time).toBe(entry.created_at);
      });

      test.each([
        ["?limit=1", 1],
        ["?limit=2", 2],
        [`?limit=${max - 1}`, max - 1],
        [`?limit=${max}`, max],
        ["", max],
      ])("with %p has %d events, and a cursor to the rest", async (query, length) => {
        const user = await signUp(server);
        await insert(user, max + 3);
        const stored = await server.deps.db
          .select({ id: auditEvents.id })
          .from(auditEvents)
          .where(eq(auditEvents.user_id, user.id))
          .orderBy(desc(auditEvents.id));
        const seen: string[] = [];
        for (let cursor = query; ; ) {
          const { body } = await get(user, cursor);
          const page = body.events.map((event: { id: string }) => event.id);
          seen.push(...page);
          if (body.next_cursor === null || seen.length >= 2 * length) break;
          expect(page.length).toBe(length);
          cursor = `${query || "?"}&cursor=${body.next_cursor}`.replace("?&", "?");
        }
        expect(seen).toEqual(stored.slice(0, seen.length).map(({ id }) => id));
        expect(seen.length).toBe(Math.min(2 * length, max + 5));
      });

      test("pages on while events come in, and shows none of another account's by its cursor", async () => {
        const [user, other] = [await signUp(server), await signUp(server)];
        await insert(user, 6);
        const first = (await get(user, "?limit=3")).body;
        await createEntry(server, user);
        const second = (await get(user, `?limit=3&cursor=${first.next_cursor}`)).body;
        const ids = [...first.events, ...second.events].map((event: { id: string }) => event.id);
        expect(new Set(ids).size).toBe(6);
        const theirs = (await get(other, `?cursor=${first.next_cursor}`)).text;
        for (const id of [user.id, ...ids]) expect(theirs).not.toContain(id);
      });

      test.each([
        ...["limit=0", `limit=${max + 1}`, "limit=x", "limit=", "limit=1&limit=2", "user_id=x", "before=1"],
        ...["cursor=", "cursor=x", `cursor=${"A".repeat(21)}`, `cursor=${"A".repeat(21)}B`, "cursor=%00"],
        ...[`cursor=${"A".repeat(23)}`, "cursor=00000000-0000-0000-0000-000000000000"],
      ])("?%s is 422", async (query) => {
        const user = await reader;
        expectProblem(await get(user, `?${query}`), 422, "request-invalid");
      });
      let reader: Promise<TestUser>;
      beforeAll(() => {
        reader = signUp(server);
      });
    });
  });
}
