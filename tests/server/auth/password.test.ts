import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as users from "../../../src/server/auth/users.ts";
import {
  expectSilent,
  linesOf,
  logIn,
  play,
  refresh,
  refreshTokenRows,
  sessionIds,
  signUpWithKey,
  statusOf,
  whileRefusing,
} from "../../support/auth.ts";
import {
  type Answer,
  auditTypes,
  call,
  createEntry,
  expectProblem,
  randomBase64,
  randomPassword,
  signIn,
  signUp,
  type TestUser,
  zeroKnowledgeKeys,
} from "../../support/client.ts";
import { decode } from "../../support/jwt.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

useQuickHashes();

for (const engine of ENGINES) {
  describe(`changing the login secret on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine, { MAX_FAILED_LOGINS: "100" });
    });
    afterAll(() => server.stop());

    const change = (token: string, body: object) => call(server, "PUT /auth/password", { token, body });
    const keyLogin = (username: string, auth_key: string) =>
      call(server, "POST /auth/login", { body: { username, auth_key } });
    const account = async (token: string) => (await call(server, "GET /account", { token })).body;

    /** The change's own tokens live, and every token from before is worth nothing, the caller's included. */
    async function expectOnlySession(answer: Answer, before: { token: string; refresh_token: string }[]) {
      expect(answer.status).toBe(200);
      const { accessToken, refreshToken } = answer.body;
      for (const { token, refresh_token } of before) {
        expect(await statusOf(server, token)).toBe(401);
        expectProblem(await refresh(server, refresh_token), 401, "refresh-token-invalid");
      }
      const { sub, sid } = decode(accessToken).claims;
      expect(await sessionIds(server, sub)).toEqual([sid]);
      expect(await statusOf(server, accessToken)).toBe(200);
      const lines = await linesOf(server, answer);
      expect(lines).toMatchObject([
        { type: "password-changed", success: true, user_id: sub, session_id: sid },
      ]);
      expect((await refresh(server, refreshToken)).status).toBe(200);
    }

    test("from a password to another ends every session, begins a new one and keeps the salt", async () => {
      const user = await signUp(server);
      const other = await signIn(server, user);
      const entry = await createEntry(server, user);
      const before = await account(user.token);
      const new_password = randomPassword();
      const answer = await change(user.token, { current_password: user.password, new_password });
      expect(answer.body).toEqual({
        accessToken: expect.any(String),
        refreshToken: expect.stringMatching(/^[\w-]{43}$/),
        token_type: "Bearer",
        expires_in: 2100,
      });
      await expectOnlySession(answer, [user, other]);
      expect(await account(answer.body.accessToken)).toEqual(before);
      const kept = await call(server, `GET /entries/${entry.id}`, { token: answer.body.accessToken });
      expect(kept.body).toEqual(entry);
      expect((await logIn(server, user.username, user.password)).status).toBe(401);
      expect((await logIn(server, user.username, new_password)).status).toBe(200);
      await expectSilent(server, [user.password, new_password, "$argon2id$", answer.body.refreshToken]);
    });

    test("from a password to a key turns the account over, with the keys that were sent", async () => {
      const user = await signUp(server);
      const [new_auth_key, keys] = [randomBase64(32), zeroKnowledgeKeys()];
      const answer = await change(user.token, { current_password: user.password, new_auth_key, ...keys });
      await expectOnlySession(answer, [user]);
      const now = await account(answer.body.accessToken);
      expect(now).toMatchObject({ id: user.id, credential: "auth_key", ...keys });
      expect((await logIn(server, user.username, user.password)).status).toBe(401);
      expect((await keyLogin(user.username, new_auth_key)).body).toMatchObject({ user_id: user.id, ...keys });
      await expectSilent(server, [
        user.password,
        new_auth_key,
        keys.encryption_salt,
        keys.protected_key.ciphertext,
      ]);
    });

    test("from a key to another replaces the keys and touches no entry", async () => {
      const user = await signUpWithKey(server);
      const [new_auth_key, keys] = [randomBase64(32), zeroKnowledgeKeys()];
      keys.kdf = { algorithm: "argon2id", memory_kib: 19_456, iterations: 10, parallelism: 1 };
      const answer = await change(user.token, { current_auth_key: user.auth_key, new_auth_key, ...keys });
      await expectOnlySession(answer, [user]);
      expect(await account(answer.body.accessToken)).toMatchObject({ credential: "auth_key", ...keys });
      expect((await keyLogin(user.username, user.auth_key)).status).toBe(401);
      expect((await keyLogin(user.username, new_auth_key)).body).toMatchObject(keys);
    });

    test("from a key back to a password does not exist", async () => {
      const user = await signUpWithKey(server);
      const new_password = randomPassword();
      const rows = [
        { current_auth_key: user.auth_key, new_password },
        { current_auth_key: user.auth_key, new_password, ...user.keys },
      ];
      for (const body of rows) expectProblem(await change(user.token, body), 422, "request-invalid");
      // An account of a key has no password that could be the current one.
      const body = { current_password: user.auth_key, new_password };
      expectProblem(await change(user.token, body), 401, "credentials-invalid");
      expect(await account(user.token)).toMatchObject({ credential: "auth_key", ...user.keys });
      expect((await keyLogin(user.username, user.auth_key)).status).toBe(200);
    });

    test("with a wrong current secret is 401, audited with the session, and changes nothing", async () => {
      const user = await signUp(server);
      const key_user = await signUpWithKey(server);
      const new_password = randomPassword();
      const new_keys = { new_auth_key: randomBase64(32), ...zeroKnowledgeKeys() };
      const rows: [string, TestUser | typeof key_user, object][] = [
        ["a wrong password", user, { current_password: randomPassword(), new_password }],
        ["a wrong password, for a key", user, { current_password: randomPassword(), ...new_keys }],
        ["a key where a password belongs", user, { current_auth_key: randomBase64(32), ...new_keys }],
        ["a wrong key", key_user, { current_auth_key: randomBase64(32), ...new_keys }],
        [
          "somebody else's password",
          user,
          { current_password: (await signUp(server)).password, new_password },
        ],
      ];
      for (const [name, { id, token, username }, body] of rows) {
        const before = await users.findById(server.deps.db, id);
        const answer = await play(server, {
          name,
          route: "PUT /auth/password",
          token,
          body,
          status: 401,
          code: "credentials-invalid",
          lacks: [username, id],
          events: ["secret-failed"],
        });
        expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="blindvault"');
        const { sid } = decode(token).claims;
        expect(await linesOf(server, answer)).toMatchObject([
          { success: false, reason: "wrong-secret", user_id: id, session_id: sid },
        ]);
        expect(await users.findById(server.deps.db, id)).toEqual(before);
        expect(await statusOf(server, token)).toBe(200);
      }
    });

    test("is one transaction: whichever of its steps fails, everything is as it was", async () => {
      const user = await signUp(server);
      const other = await signIn(server, user);
      const before = await users.findById(server.deps.db, user.id);
      const sessions = await sessionIds(server, user.id);
      const body = { current_password: user.password, new_password: randomPassword() };
      const steps: Record<string, string> = {
        users: `id <> '${user.id}'`,
        sessions: `user_id <> '${user.id}'`,
        refresh_tokens: `session_id in ('${sessions.join("','")}')`,
        audit_events: `user_id is distinct from '${user.id}' or type <> 'password-changed'`,
      };
      for (const [table, allowed] of Object.entries(steps)) {
        await whileRefusing(server, table, allowed, async () => {
          const answer = await change(user.token, body);
          expect({ table, code: answer.body.code }).toEqual({ table, code: "internal-error" });
        });
        expect(await users.findById(server.deps.db, user.id)).toEqual(before);
        expect((await sessionIds(server, user.id)).sort()).toEqual(sessions.sort());
        expect(await refreshTokenRows(server, user.id)).toBe(2);
      }
      for (const { token } of [user, other]) expect(await statusOf(server, token)).toBe(200);
      expect(await auditTypes(server, user.id)).toEqual([
        "account-registered",
        "login-succeeded",
        "login-succeeded",
      ]);
      await expectSilent(server, [body.new_password, "$argon2id$"]);
      expect((await change(user.token, body)).status).toBe(200);
    });

    test("by two at once succeeds for exactly one, from the same session and from two", async () => {
      for (let round = 0; round < 4; round++) {
        const user = await signUp(server);
        const second = round % 2 ? user : await signIn(server, user);
        const wanted = [randomPassword(), randomPassword()] as const;
        const answers = await Promise.all([
          change(user.token, { current_password: user.password, new_password: wanted[0] }),
          change(second.token, { current_password: user.password, new_password: wanted[1] }),
        ]);
        expect(answers.map((answer) => answer.status).sort()).toEqual([200, 401]);
        const winner = answers.findIndex((answer) => answer.status === 200);
        const loser = answers[1 - winner] as Answer;
        const { sid } = decode(answers[winner]?.body.accessToken).claims;
        expect(await sessionIds(server, user.id)).toEqual([sid]);
        expect((await logIn(server, user.username, wanted[winner] as string)).status).toBe(200);
        expect((await logIn(server, user.username, wanted[1 - winner] as string)).status).toBe(401);
        const types = await auditTypes(server, user.id);
        expect(types.filter((type) => type === "password-changed")).toHaveLength(1);
        // Of the two, the one that came too late is told of in the log as well.
        expect((await linesOf(server, loser)).map((line) => line.success)).toEqual([false]);
      }
    });
  });
}
