import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { hashName } from "../../../src/server/auth/secrets.ts";
import {
  auditMentions,
  expectSilent,
  type KeyUser,
  linesOf,
  logIn,
  play,
  refresh,
  sessionIds,
  signUpWithKey,
  statusOf,
} from "../../support/auth.ts";
import {
  auditLog,
  auditTypes,
  call,
  randomBase64,
  randomHex,
  randomName,
  randomPassword,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { decode } from "../../support/jwt.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

for (const engine of ENGINES) {
  describe(`logging in on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let key_user: KeyUser;
    beforeAll(async () => {
      server = await startTestServer(engine, { MAX_FAILED_LOGINS: "100" });
      [user, key_user] = await Promise.all([signUp(server), signUpWithKey(server)]);
    });
    afterAll(() => server.stop());

    test("by password answers tokens, the account's id and its salt, and no more", async () => {
      const answer = await logIn(server, user.username, user.password);
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual({
        accessToken: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]{43}$/),
        refreshToken: expect.stringMatching(/^[\w-]{43}$/),
        token_type: "Bearer",
        expires_in: 2100,
        user_id: user.id,
        encryption_salt: expect.stringMatching(/^[0-9a-f]{64}$/),
        kdf: { algorithm: "argon2id", memory_kib: 65_536, iterations: 3, parallelism: 4 },
        protected_key: null,
      });
      expect(answer.headers.get("cache-control")).toBe("no-store");
      const { sid } = decode(answer.body.accessToken).claims;
      expect(await linesOf(server, answer)).toMatchObject([
        { type: "login-succeeded", success: true, user_id: user.id, session_id: sid, address: "127.0.0.1" },
      ]);
      expect(await statusOf(server, answer.body.accessToken)).toBe(200);
    });

    test("by auth_key answers the keys that were registered", async () => {
      const { username, auth_key, keys } = key_user;
      const { status, body } = await call(server, "POST /auth/login", { body: { username, auth_key } });
      expect(status).toBe(200);
      expect(body).toMatchObject({ user_id: key_user.id, ...keys });
    });

    test("takes the name in any case", async () => {
      for (const name of [user.username.toUpperCase(), user.username.replace("u", "U")]) {
        expect((await logIn(server, name, user.password)).body.user_id).toBe(user.id);
      }
    });

    test("takes a password in either Unicode form, and otherwise to the letter", async () => {
      const [username, base] = [randomName(), randomPassword()];
      const body = { username, password: ` ${base}\u00e9 ` };
      expect((await call(server, "POST /auth/register", { body })).status).toBe(201);
      expect((await logIn(server, username, ` ${base}e\u0301 `)).status).toBe(200);
      for (const near of [
        `${base}\u00e9`,
        ` ${base}e `,
        ` ${base.toUpperCase()}\u00e9 `,
        ` ${base}\u00e9 \ufeff`,
      ]) {
        expect((await logIn(server, username, near)).status).toBe(401);
      }
    });

    test("begins a session of its own each time", async () => {
      const own = await signUp(server);
      const again = await logIn(server, own.username, own.password);
      expect(again.body.refreshToken).not.toBe(own.refresh_token);
      expect(await sessionIds(server, own.id)).toHaveLength(2);
      for (const token of [own.token, again.body.accessToken])
        expect(await statusOf(server, token)).toBe(200);
    });

    test("keeps a device's name of 1 to 64 characters, in code points", async () => {
      const { username, password } = user;
      const named = (device_name: unknown) =>
        call(server, "POST /auth/login", { body: { username, password, device_name } });
      for (const name of ["x", "x".repeat(63), "\u{1F4BB}".repeat(64)]) {
        const { body } = await named(name);
        const listed = await call(server, "GET /auth/sessions", { token: body.accessToken });
        expect(listed.body.sessions.find((s: { current: boolean }) => s.current).device_name).toBe(name);
      }
      for (const name of [
        "",
        "x".repeat(65),
        "\u{1F4BB}".repeat(65),
        "a\nb",
        "a\u0000b",
        "\ud800",
        null,
        7,
      ]) {
        expect((await named(name)).status).toBe(422);
      }
    });

    test("tests a password of 1 byte to 1,024 bytes, and refuses what no account can have", async () => {
      const { username } = user;
      const longest = "\u20ac".repeat(341);
      for (const password of ["x", longest, `${longest}x`, "\u00e9".repeat(512)]) {
        expect((await logIn(server, username, password)).status).toBe(401);
      }
      for (const password of [
        "",
        `${longest}xx`,
        "x".repeat(1025),
        "\u00e9".repeat(513),
        "a\0b",
        "\ud800x",
      ]) {
        const answer = await logIn(server, username, password);
        expect({ status: answer.status, code: answer.body.code }).toEqual({
          status: 422,
          code: "request-invalid",
        });
      }
      expect(await statusOf(server, user.token)).toBe(200);
    });

    test("with a wrong secret is 401, begins no session and is audited with the account", async () => {
      const own = await signUp(server);
      const sessions = await sessionIds(server, own.id);
      const rows = [
        { username: own.username, password: randomPassword() },
        { username: own.username, password: own.password.toLowerCase() },
        { username: own.username, auth_key: randomBase64(32) },
        { username: key_user.username, auth_key: randomBase64(32) },
        { username: key_user.username, password: key_user.auth_key },
      ];
      for (const [index, body] of rows.entries()) {
        const answer = await play(server, {
          name: `row ${index}`,
          route: "POST /auth/login",
          body,
          status: 401,
          code: "credentials-invalid",
          lacks: [body.username, own.id, key_user.id],
          events: ["login-failed"],
        });
        expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="blindvault"');
        const user_id = body.username === own.username ? own.id : key_user.id;
        expect(await linesOf(server, answer)).toMatchObject([
          { success: false, reason: "wrong-secret", user_id, session_id: null, name_hash: null },
        ]);
      }
      expect(await sessionIds(server, own.id)).toEqual(sessions);
    });

    test("of a name nobody has is audited by a keyed hash, and the name is nowhere", async () => {
      // Somebody typed a password where the name belongs.
      const name = `Secret_${randomHex(8)}`;
      const answer = await logIn(server, name, randomPassword());
      expect(answer.status).toBe(401);
      const [line, ...more] = await linesOf(server, answer);
      expect(more).toEqual([]);
      expect(line).toMatchObject({ type: "login-failed", success: false, user_id: null, session_id: null });
      const stored = Buffer.from(line?.name_hash ?? []).toString("hex");
      expect(stored).toBe(Buffer.from(hashName(server.deps.secrets, name)).toString("hex"));
      await logIn(server, name.toUpperCase(), randomPassword());
      expect(await auditMentions(server, stored)).toBe(2);
      await expectSilent(server, [
        name,
        name.toLowerCase(),
        Buffer.from(name).toString("hex"),
        ...[name, name.toLowerCase()].map((text) => createHash("sha256").update(text).digest("hex")),
      ]);
    });

    test("leaves no password, key, hash or token in the logs or the audit log", async () => {
      const own = await signUp(server);
      const wrong = randomPassword();
      await logIn(server, own.username, wrong);
      const { body } = await refresh(server, own.refresh_token);
      await call(server, "POST /auth/logout", { body: { refreshToken: body.refreshToken } });
      expect(await auditTypes(server, own.id)).toEqual([
        "account-registered",
        "login-succeeded",
        "login-failed",
        "session-refreshed",
        "logout",
      ]);
      const rows = await auditLog(server, own.id);
      expect(new Set(rows.slice(1).map((row) => row.session_id)).size).toBe(2);
      const tokens = [own.token, own.refresh_token, body.accessToken, body.refreshToken];
      const parts = tokens.map((token) => token.slice(-43));
      await expectSilent(server, [own.password, wrong, key_user.auth_key, "$argon2id$", ...parts]);
    });
  });
}
