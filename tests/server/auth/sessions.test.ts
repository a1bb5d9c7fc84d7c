import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LIMITS } from "../../../src/contract/limits.ts";
import { sessions } from "../../../src/server/db/schema.ts";
import {
  eventsOf,
  freeze,
  linesOf,
  logIn,
  play,
  refresh,
  sessionIds,
  statusOf,
  withServer,
} from "../../support/auth.ts";
import { auditLog, call, expectProblem, signIn, signUp, type TestUser } from "../../support/client.ts";
import { decode } from "../../support/jwt.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

type Listed = { id: string; current: boolean };

useQuickHashes();

for (const engine of ENGINES) {
  describe(`sessions on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());

    const list = (user: TestUser) => call(server, "GET /auth/sessions", { token: user.token });
    const idOf = (user: TestUser): string => decode(user.token).claims.sid;
    const end = (user: TestUser, id: string) =>
      call(server, `DELETE /auth/sessions/${id}`, { token: user.token });

    test("are listed with what their owner knows them by, the last used first, one of them as current", async () => {
      const user = await signUp(server);
      const { username, password } = user;
      const body = { username, password, device_name: "phone" };
      const phone = (await call(server, "POST /auth/login", { body })).body;
      await signUp(server);
      const answer = await list(user);
      expect(answer.status).toBe(200);
      const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      const common = { address: "127.0.0.1", created_at: time, last_used_at: time, expires_at: time };
      expect(answer.body).toEqual({
        sessions: [
          { ...common, id: decode(phone.accessToken).claims.sid, device_name: "phone", current: false },
          { ...common, id: idOf(user), device_name: null, current: true },
        ],
      });
      await refresh(server, user.refresh_token);
      expect((await list(user)).body.sessions.map((s: Listed) => s.current)).toEqual([true, false]);
      const other = await call(server, "GET /auth/sessions", { token: phone.accessToken });
      expect(other.body.sessions.map((s: Listed) => s.current)).toEqual([false, true]);
      expect(await eventsOf(server, answer)).toEqual([]);
    });

    test("are not listed any more when they have expired", async () => {
      await withServer(engine, { REFRESH_TOKEN_EXPIRES_IN: "1h" }, async (own) => {
        freeze(own);
        const user = await signUp(own);
        own.clock.advance(3_599_999);
        const later = await logIn(own, user.username, user.password);
        const listed = async () => {
          const { body } = await call(own, "GET /auth/sessions", { token: later.body.accessToken });
          return body.sessions.length;
        };
        expect(await listed()).toBe(2);
        own.clock.advance(1);
        expect(await listed()).toBe(1);
        expect(await statusOf(own, user.token)).toBe(401);
      });
    });

    test("end one by one, at once", async () => {
      const user = await signUp(server);
      const [ended, other] = [await signIn(server, user), await signIn(server, user)];
      const answer = await end(user, idOf(ended));
      expect([answer.status, answer.text]).toEqual([204, ""]);
      expect(await linesOf(server, answer)).toMatchObject([
        { type: "session-ended", success: true, user_id: user.id, session_id: idOf(ended) },
      ]);
      expect(await statusOf(server, ended.token)).toBe(401);
      expectProblem(await refresh(server, ended.refresh_token), 401, "refresh-token-invalid");
      for (const living of [user, other]) expect(await statusOf(server, living.token)).toBe(200);
      expect((await sessionIds(server, user.id)).sort()).toEqual([idOf(user), idOf(other)].sort());
    });

    test("end themselves as well, by an id in either case", async () => {
      const user = await signUp(server);
      expect((await end(user, idOf(user).toUpperCase())).status).toBe(204);
      expect(await statusOf(server, user.token)).toBe(401);
    });

    test("end all but the current one", async () => {
      const user = await signUp(server);
      const others = [await signIn(server, user), await signIn(server, user)];
      const stranger = await signUp(server);
      const answer = await call(server, "DELETE /auth/sessions", { token: user.token });
      expect([answer.status, answer.text]).toEqual([204, ""]);
      for (const other of others) {
        expect(await statusOf(server, other.token)).toBe(401);
        expectProblem(await refresh(server, other.refresh_token), 401, "refresh-token-invalid");
      }
      for (const living of [user, stranger]) expect(await statusOf(server, living.token)).toBe(200);
      const lines = await linesOf(server, answer);
      expect(lines.map((line) => line.type)).toEqual(["session-ended", "session-ended"]);
      expect(lines.map((line) => line.session_id).sort()).toEqual(others.map(idOf).sort());
      const again = await call(server, "DELETE /auth/sessions", { token: user.token });
      expect([again.status, await eventsOf(server, again)]).toEqual([204, []]);
    });

    test("of somebody else are not there: 404, and they live on", async () => {
      const [user, other] = [await signUp(server), await signUp(server)];
      const missing = [idOf(other), crypto.randomUUID(), other.id];
      const seen = new Set<string>();
      for (const id of missing) {
        const answer = await play(server, {
          name: id,
          route: `DELETE /auth/sessions/${id}`,
          token: user.token,
          status: 404,
          code: "session-not-found",
          lacks: [id],
          events: [],
        });
        seen.add(answer.text.replaceAll(answer.body.request_id, ""));
      }
      expect(seen.size).toBe(1);
      expect(await statusOf(server, other.token)).toBe(200);
      for (const id of ["1", "current", `${idOf(other)}x`, "%00"]) {
        expectProblem(await end(user, id), 422, "request-invalid");
      }
      expect((await list(other)).body.sessions).toHaveLength(1);
    });

    test("that are ended twice are there no more the second time, also at the same moment", async () => {
      const user = await signUp(server);
      const ended = await signIn(server, user);
      const answers = await Promise.all(Array.from({ length: 5 }, () => end(user, idOf(ended))));
      expect(answers.map((answer) => answer.status).sort()).toEqual([204, 404, 404, 404, 404]);
      expect(
        (await auditLog(server, user.id)).filter((event) => event.type === "session-ended"),
      ).toHaveLength(1);
    });

    /** Sessions that were last used so many milliseconds before now, straight into the table. */
    async function addSessions(user: TestUser, count: number, used_ms_ago: (index: number) => number) {
      const now_ms = server.clock.now_ms();
      const rows = Array.from({ length: count }, (_, index) => ({
        id: crypto.randomUUID(),
        user_id: user.id,
        address: "192.0.2.1",
        created_at: new Date(now_ms - used_ms_ago(index)),
        last_used_at: new Date(now_ms - used_ms_ago(index)),
        expires_at: new Date(now_ms + 3_600_000),
      }));
      await server.deps.db.insert(sessions).values(rows);
      return rows.map((row) => row.id);
    }

    test("are 100 at most: the one that was not used for longest ends with the 101st, and is audited", async () => {
      const user = await signUp(server);
      const max = LIMITS.sessions_per_user_max;
      const added = await addSessions(user, max - 2, (index) => 60_000 + index);
      const hundredth = await logIn(server, user.username, user.password);
      expect(await eventsOf(server, hundredth)).toEqual(["login-succeeded"]);
      expect(await sessionIds(server, user.id)).toHaveLength(max);

      const next = await logIn(server, user.username, user.password);
      expect(await linesOf(server, next)).toMatchObject([
        { type: "session-ended", reason: "too-many-sessions", session_id: added.at(-1), user_id: user.id },
        { type: "login-succeeded" },
      ]);
      const living = await sessionIds(server, user.id);
      expect(living).toHaveLength(max);
      expect(living).not.toContain(added.at(-1));
      for (const token of [user.token, hundredth.body.accessToken, next.body.accessToken]) {
        expect(await statusOf(server, token)).toBe(200);
      }
    });

    test("that are new are not the ones to end, although another server's clock is ahead", async () => {
      const user = await signUp(server);
      await addSessions(user, LIMITS.sessions_per_user_max, (index) => -60_000 - index);
      const login = await logIn(server, user.username, user.password);
      expect(await statusOf(server, login.body.accessToken)).toBe(200);
      expect(await sessionIds(server, user.id)).toHaveLength(LIMITS.sessions_per_user_max);
    });

    test("are looked up each for itself, although many requests share a statement", async () => {
      const users = await Promise.all(Array.from({ length: 6 }, () => signUp(server)));
      const ended = users.filter((_, index) => index % 3 === 0);
      for (const user of ended) await end(user, idOf(user));
      const requests = Array.from({ length: 10 }, () => users).flat();
      const answers = await Promise.all(
        requests.map(async (user) => ({
          user,
          ...(await call(server, "GET /account", { token: user.token })),
        })),
      );
      for (const { user, status, body } of answers) {
        const expected = ended.includes(user) ? [401, "token-invalid"] : [200, user.id];
        expect([status, body.code ?? body.id]).toEqual(expected);
      }
    });
  });
}
