import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  linesOf,
  logIn,
  refresh,
  refreshTokenRows,
  sessionIds,
  signUpWithKey,
  statusOf,
  withServer,
} from "../../support/auth.ts";
import { type Answer, auditLog, call, randomPassword, signIn, signUp } from "../../support/client.ts";
import { decode } from "../../support/jwt.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

const ROUNDS = 6 * Number(process.env.SLOW ?? 1);

useQuickHashes();

for (const engine of ENGINES) {
  describe(`refreshing at the same time as something else on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());

    const logout = (refreshToken: string) => call(server, "POST /auth/logout", { body: { refreshToken } });

    /** Whatever came back must be worth nothing. */
    async function expectDead(answer: Answer): Promise<void> {
      expect([200, 401]).toContain(answer.status);
      if (answer.status !== 200) return;
      expect(await statusOf(server, answer.body.accessToken)).toBe(401);
      expect((await refresh(server, answer.body.refreshToken)).status).toBe(401);
    }

    test("of one token by 50 at once gives exactly one successor, to all of them", async () => {
      const user = await signUp(server);
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => refresh(server, user.refresh_token)),
      );
      expect(answers.map((answer) => answer.status)).toEqual(Array(50).fill(200));
      expect(new Set(answers.map((answer) => answer.body.refreshToken)).size).toBe(1);
      expect(await refreshTokenRows(server, user.id)).toBe(2);
      const sids = answers.map((answer) => decode(answer.body.accessToken).claims.sid);
      expect(new Set(sids)).toEqual(new Set(await sessionIds(server, user.id)));

      const events = (await auditLog(server, user.id)).slice(2);
      expect(new Set(events.map((event) => event.type))).toEqual(new Set(["session-refreshed"]));
      expect(events.filter((event) => event.reason === null)).toHaveLength(1);
      expect(events.reduce((sum, event) => sum + event.count, 0)).toBe(50);
      expect((await refresh(server, answers[0]?.body.refreshToken)).status).toBe(200);
    });

    test("on two servers gives the same successor from both", async () => {
      await withServer(engine, {}, async (twin) => {
        const user = await signUp(server);
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, index) => refresh(index % 2 ? server : twin, user.refresh_token)),
        );
        expect(answers.map((answer) => answer.status)).toEqual(Array(20).fill(200));
        expect(new Set(answers.map((answer) => answer.body.refreshToken)).size).toBe(1);
        expect(await refreshTokenRows(server, user.id)).toBe(2);
      });
    });

    test("as its reuse ends the session for all", async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = await signUp(server);
        const { body } = await refresh(server, user.refresh_token);
        // The successor is being used while its parent comes again: retry or theft, but never two living branches.
        const [parent, child] = await Promise.all([
          refresh(server, user.refresh_token),
          refresh(server, body.refreshToken),
        ]);
        const living = await sessionIds(server, user.id);
        if (living.length === 0) {
          for (const answer of [parent, child]) await expectDead(answer);
        } else {
          expect([parent.body.refreshToken, child.status]).toEqual([body.refreshToken, 200]);
          expect(await refreshTokenRows(server, user.id)).toBe(3);
        }
      }
    });

    test("as a logout leaves no living session, whichever comes first", async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = await signUp(server);
        const [first, ended, second] = await Promise.all([
          refresh(server, user.refresh_token),
          logout(user.refresh_token),
          refresh(server, user.refresh_token),
        ]);
        expect(ended.status).toBe(204);
        expect(await sessionIds(server, user.id)).toEqual([]);
        expect(await statusOf(server, user.token)).toBe(401);
        for (const answer of [first, second]) await expectDead(answer);
        expect(await linesOf(server, ended)).toMatchObject([{ type: "logout", user_id: user.id }]);
      }
    });

    test("as a password change leaves no session but the change's own", async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = await signUp(server);
        const other = await signIn(server, user);
        const body = { current_password: user.password, new_password: randomPassword() };
        // Both the session that makes the change and another one are refreshed until it is done.
        let done = false;
        const keepRefreshing = async (token: string) => {
          const answers: Answer[] = [];
          for (let current = token; !done; ) {
            const answer = await refresh(server, current);
            answers.push(answer);
            if (answer.status !== 200) break;
            current = answer.body.refreshToken;
          }
          return answers;
        };
        const refreshing = [keepRefreshing(user.refresh_token), keepRefreshing(other.refresh_token)];
        const changed = await call(server, "PUT /auth/password", { token: user.token, body });
        done = true;
        const answers = (await Promise.all(refreshing)).flat();
        expect(changed.status).toBe(200);
        expect(await sessionIds(server, user.id)).toEqual([decode(changed.body.accessToken).claims.sid]);
        for (const answer of answers.slice(-3)) await expectDead(answer);
        expect(await statusOf(server, changed.body.accessToken)).toBe(200);
      }
    });

    test("as a login with the password that is being changed leaves no session but the change's own", async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = await signUp(server);
        const body = { current_password: user.password, new_password: randomPassword() };
        const [changed, login] = await Promise.all([
          call(server, "PUT /auth/password", { token: user.token, body }),
          logIn(server, user.username, user.password),
        ]);
        expect(changed.status).toBe(200);
        await expectDead(login);
        expect(await sessionIds(server, user.id)).toEqual([decode(changed.body.accessToken).claims.sid]);
      }
    });

    test("as the account's deletion leaves nothing", async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const user = await signUpWithKey(server);
        const [deleted, refreshed, ended] = await Promise.all([
          call(server, "DELETE /account", { token: user.token, body: { current_auth_key: user.auth_key } }),
          refresh(server, user.refresh_token),
          refresh(server, user.refresh_token),
        ]);
        expect(deleted.status).toBe(204);
        for (const answer of [refreshed, ended]) await expectDead(answer);
        expect((await auditLog(server, user.id)).map((event) => event.type)).toEqual(["account-deleted"]);
      }
    });
  });
}
