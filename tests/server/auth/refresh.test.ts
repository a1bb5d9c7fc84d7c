import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LIMITS } from "../../../src/contract/limits.ts";
import { purgeSessions } from "../../../src/server/auth/refresh.ts";
import {
  eventsOf,
  expectSilent,
  freeze,
  linesOf,
  play,
  refresh,
  refreshTokenRows,
  sessionIds,
  statusOf,
  withServer,
} from "../../support/auth.ts";
import { auditTypes, call, expectProblem, signIn, signUp } from "../../support/client.ts";
import { decode, respell } from "../../support/jwt.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

useQuickHashes();

for (const engine of ENGINES) {
  describe(`refreshing on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());

    test("answers both tokens new, for the same session, and spends the old one", async () => {
      const user = await signUp(server);
      const answer = await refresh(server, user.refresh_token);
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual({
        accessToken: expect.any(String),
        refreshToken: expect.stringMatching(/^[\w-]{43}$/),
        token_type: "Bearer",
        expires_in: 2100,
      });
      expect(answer.body.refreshToken).not.toBe(user.refresh_token);
      const [before, after] = [decode(user.token).claims, decode(answer.body.accessToken).claims];
      expect([after.sub, after.sid]).toEqual([before.sub, before.sid]);
      expect(after.jti).not.toBe(before.jti);
      expect(await linesOf(server, answer)).toMatchObject([
        { type: "session-refreshed", success: true, user_id: user.id, session_id: before.sid },
      ]);
      for (const token of [user.token, answer.body.accessToken])
        expect(await statusOf(server, token)).toBe(200);
      expect(await refreshTokenRows(server, user.id)).toBe(2);
    });

    test("goes on for as many times as wanted", async () => {
      const user = await signUp(server);
      let token = user.refresh_token;
      const seen = new Set([token]);
      for (let round = 0; round < 10; round++) {
        const { status, body } = await refresh(server, token);
        expect(status).toBe(200);
        token = body.refreshToken;
        seen.add(token);
      }
      expect(seen.size).toBe(11);
      expect(await sessionIds(server, user.id)).toHaveLength(1);
    });

    test("moves the end of the session on, and tells address and time of its last use", async () => {
      await withServer(
        engine,
        { TRUSTED_PROXIES: "127.0.0.1", REFRESH_TOKEN_EXPIRES_IN: "1h" },
        async (own) => {
          freeze(own);
          const user = await signUp(own);
          own.clock.advance(30 * 60_000);
          const headers = { "x-forwarded-for": "203.0.113.5" };
          const { body } = await call(own, "POST /auth/token", {
            body: { refreshToken: user.refresh_token },
            headers,
          });
          const listed = await call(own, "GET /auth/sessions", { token: body.accessToken });
          const now_ms = own.clock.now_ms();
          expect(listed.body.sessions).toMatchObject([
            {
              address: "203.0.113.5",
              created_at: new Date(now_ms - 30 * 60_000).toISOString(),
              last_used_at: new Date(now_ms).toISOString(),
              expires_at: new Date(now_ms + 60 * 60_000).toISOString(),
            },
          ]);
        },
      );
    });

    test("gives a retry within ten seconds the same successor, however often", async () => {
      await withServer(engine, {}, async (own) => {
        freeze(own);
        const user = await signUp(own);
        const { body } = await refresh(own, user.refresh_token);
        for (const wait_ms of [0, LIMITS.refresh_grace_ms - 1, 1]) {
          own.clock.advance(wait_ms);
          const retry = await refresh(own, user.refresh_token);
          expect([retry.status, retry.body.refreshToken]).toEqual([200, body.refreshToken]);
          expect(await statusOf(own, retry.body.accessToken)).toBe(200);
          expect(await linesOf(own, retry)).toMatchObject([
            { type: "session-refreshed", reason: "repeated" },
          ]);
        }
        expect(await refreshTokenRows(own, user.id)).toBe(2);
        expect((await refresh(own, body.refreshToken)).status).toBe(200);
      });
    });

    test("takes a retry after that for theft: the whole session ends, others live on", async () => {
      await withServer(engine, {}, async (own) => {
        freeze(own);
        const user = await signUp(own);
        const other = await signIn(own, user);
        const { body } = await refresh(own, user.refresh_token);
        own.clock.advance(LIMITS.refresh_grace_ms + 1);
        const answer = await play(own, {
          name: "a millisecond after the grace",
          route: "POST /auth/token",
          body: { refreshToken: user.refresh_token },
          status: 401,
          code: "refresh-token-invalid",
          lacks: [user.refresh_token, user.username],
          events: ["refresh-reused"],
        });
        const { sid } = decode(user.token).claims;
        expect(await linesOf(own, answer)).toMatchObject([
          { success: false, reason: "family-ended", user_id: user.id, session_id: sid },
        ]);
        for (const token of [user.token, body.accessToken]) expect(await statusOf(own, token)).toBe(401);
        expectProblem(await refresh(own, body.refreshToken), 401, "refresh-token-invalid");
        expect(await sessionIds(own, user.id)).toEqual([decode(other.token).claims.sid]);
        expect(await statusOf(own, other.token)).toBe(200);
        expect((await refresh(own, other.refresh_token)).status).toBe(200);
      });
    });

    test("takes a retry for theft once the successor was used, within the grace as well", async () => {
      for (const generations of [1, 2]) {
        const user = await signUp(server);
        let { body } = await refresh(server, user.refresh_token);
        for (let i = 0; i < generations; i++) ({ body } = await refresh(server, body.refreshToken));
        const answer = await refresh(server, user.refresh_token);
        expectProblem(answer, 401, "refresh-token-invalid");
        expect(await eventsOf(server, answer)).toEqual(["refresh-reused"]);
        expect(await statusOf(server, body.accessToken)).toBe(401);
        expectProblem(await refresh(server, body.refreshToken), 401, "refresh-token-invalid");
        expect(await sessionIds(server, user.id)).toEqual([]);
      }
    });

    test("is over when the token has expired, to the millisecond", async () => {
      await withServer(engine, {}, async (own) => {
        freeze(own);
        const [user, late] = [await signUp(own), await signUp(own)];
        own.clock.advance(7 * DAY_MS - 1);
        expect((await refresh(own, user.refresh_token)).status).toBe(200);
        own.clock.advance(1);
        await play(own, {
          name: "seven days old",
          route: "POST /auth/token",
          body: { refreshToken: late.refresh_token },
          status: 401,
          code: "refresh-token-invalid",
          events: ["refresh-refused"],
        });
        expect(await auditTypes(own, late.id)).not.toContain("refresh-reused");
      });
    });

    test("takes the session along when it expires: purged, it leaves no row", async () => {
      await withServer(engine, { REFRESH_TOKEN_EXPIRES_IN: "1m" }, async (own) => {
        freeze(own);
        const user = await signUp(own);
        own.clock.advance(59_999);
        await purgeSessions(own.deps.db, own.clock.now_ms(), 1000);
        expect(await sessionIds(own, user.id)).toHaveLength(1);
        own.clock.advance(1);
        // The access token would live on for half an hour.
        expect(await statusOf(own, user.token)).toBe(401);
        expect(await purgeSessions(own.deps.db, own.clock.now_ms(), 1000)).toBeGreaterThanOrEqual(1);
        expect(await sessionIds(own, user.id)).toEqual([]);
      });
    });

    test("refuses what is no token of a living session with one answer, and ends nothing for it", async () => {
      const user = await signUp(server);
      const ended = await signUp(server);
      await call(server, "POST /auth/logout", { body: { refreshToken: ended.refresh_token } });
      const tokens: Record<string, string> = {
        "one character": "x",
        "never given": Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url"),
        "all zero": "A".repeat(43),
        "in another spelling": respell(user.refresh_token),
        "with padding": `${user.refresh_token}=`,
        "with white space": ` ${user.refresh_token}`,
        "cut short": user.refresh_token.slice(1),
        "too long by one": `${user.refresh_token}A`,
        "the access token": user.token.slice(0, LIMITS.refresh_token_characters_max),
        "of the greatest length": "A".repeat(LIMITS.refresh_token_characters_max),
        "of an ended session": ended.refresh_token,
      };
      for (const [name, refreshToken] of Object.entries(tokens)) {
        const answer = await play(server, {
          name,
          route: "POST /auth/token",
          body: { refreshToken },
          status: 401,
          code: "refresh-token-invalid",
          lacks: refreshToken.length > 40 ? [refreshToken] : [],
          events: ["refresh-refused"],
        });
        expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="blindvault"');
      }
      for (const refreshToken of ["", "A".repeat(513), null, 1, [user.refresh_token], undefined]) {
        const answer = await call(server, "POST /auth/token", { body: { refreshToken } });
        expectProblem(answer, 422, "request-invalid");
      }
      expect((await refresh(server, user.refresh_token)).status).toBe(200);
    });

    test("is for whom the refresh token is, whoever's access token comes along", async () => {
      const [user, other] = [await signUp(server), await signUp(server)];
      const answer = await call(server, "POST /auth/token", {
        token: other.token,
        body: { refreshToken: user.refresh_token },
      });
      expect(decode(answer.body.accessToken).claims.sub).toBe(user.id);
      expect(await sessionIds(server, other.id)).toHaveLength(1);
      expect(await auditTypes(server, other.id)).toEqual(["account-registered", "login-succeeded"]);
    });

    test("needs no access token, and leaves no token in the logs", async () => {
      const user = await signUp(server);
      const { body } = await call(server, "POST /auth/token", {
        body: { refreshToken: user.refresh_token },
        headers: { authorization: "Bearer x" },
      });
      await refresh(server, user.refresh_token);
      await expectSilent(server, [user.refresh_token, body.refreshToken, body.accessToken]);
    });
  });
}
