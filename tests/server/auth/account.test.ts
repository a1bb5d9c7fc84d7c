import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { hashName } from "../../../src/server/auth/secrets.ts";
import { lockouts } from "../../../src/server/db/schema.ts";
import {
  auditMentions,
  expectSilent,
  linesOf,
  logIn,
  play,
  refresh,
  signUpWithKey,
  statusOf,
  visible,
  whileRefusing,
} from "../../support/auth.ts";
import {
  auditTypes,
  call,
  createEntry,
  expectProblem,
  randomBase64,
  randomName,
  randomPassword,
  signIn,
  signUp,
} from "../../support/client.ts";
import { decode } from "../../support/jwt.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

useQuickHashes();

for (const engine of ENGINES) {
  describe(`the account on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine, { MAX_FAILED_LOGINS: "100" });
    });
    afterAll(() => server.stop());

    const show = (token: string) => call(server, "GET /account", { token });
    const remove = (token: string, body: object) => call(server, "DELETE /account", { token, body });

    /** How many rows of each table of the database have the account's id anywhere in them. */
    async function rowsOf(user_id: string): Promise<Record<string, number>> {
      const { db } = server.deps;
      await server.deps.audit.flush();
      const tables = await db.execute(
        sql`select table_name from information_schema.tables where table_schema = 'public'`,
      );
      const list = (Array.isArray(tables) ? tables : (tables as unknown as { rows: unknown[] }).rows) as {
        table_name: string;
      }[];
      expect(list.length).toBeGreaterThanOrEqual(9);
      const found: Record<string, number> = {};
      for (const { table_name } of list) {
        const table = sql.identifier(table_name);
        const count = await db.$count(sql`${table} as t where to_jsonb(t)::text like ${`%${user_id}%`}`);
        if (count > 0) found[table_name] = count;
      }
      return found;
    }

    test("tells what the server knows of it, and never a hash", async () => {
      const user = await signUp(server);
      await createEntry(server, user);
      const answer = await show(user.token);
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual({
        id: user.id,
        username: user.username,
        credential: "password",
        encryption_salt: expect.stringMatching(/^[0-9a-f]{64}$/),
        kdf: { algorithm: "argon2id", memory_kib: 65_536, iterations: 3, parallelism: 4 },
        protected_key: null,
        entries: 1,
        entries_max: 10_000,
        created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      });
      const key_user = await signUpWithKey(server);
      const { id, username, keys } = key_user;
      const expected = { id, username, credential: "auth_key", entries: 0, ...keys };
      expect((await show(key_user.token)).body).toMatchObject(expected);
    });

    test("is not deleted with a wrong secret: 401, audited, and all of it is there", async () => {
      const user = await signUp(server);
      const key_user = await signUpWithKey(server);
      const entry = await createEntry(server, user);
      const rows: [string, { id: string; token: string }, object][] = [
        ["a wrong password", user, { current_password: randomPassword() }],
        ["a key where a password belongs", user, { current_auth_key: randomBase64(32) }],
        ["a wrong key", key_user, { current_auth_key: randomBase64(32) }],
        ["a password where a key belongs", key_user, { current_password: key_user.auth_key }],
        ["somebody else's key", user, { current_auth_key: key_user.auth_key }],
      ];
      for (const [name, { id, token }, body] of rows) {
        const answer = await play(server, {
          name,
          route: "DELETE /account",
          token,
          body,
          status: 401,
          code: "credentials-invalid",
          events: ["secret-failed"],
        });
        const { sid } = decode(token).claims;
        expect(await linesOf(server, answer)).toMatchObject([
          { success: false, user_id: id, session_id: sid },
        ]);
      }
      expect((await call(server, `GET /entries/${entry.id}`, { token: user.token })).body).toEqual(entry);
      for (const { token } of [user, key_user]) expect(await statusOf(server, token)).toBe(200);
    });

    test("is not deleted by a session alone", async () => {
      const user = await signUp(server);
      expectProblem(
        await call(server, "DELETE /account", { token: user.token }),
        415,
        "media-type-unsupported",
      );
      expectProblem(await remove(user.token, {}), 422, "request-invalid");
      expect(await statusOf(server, user.token)).toBe(200);
    });

    test("leaves, when it is deleted, one audit line and its bare id, and nothing else in any table", async () => {
      const user = await signUp(server);
      const other = await signIn(server, user);
      const bystander = await signUp(server);
      await createEntry(server, bystander);
      const [kept, dropped] = [
        await createEntry(server, user),
        await createEntry(server, user, { name: "x" }),
      ];
      await call(server, `DELETE /entries/${dropped.id}`, { token: user.token });
      await call(server, "GET /entries", { token: user.token });
      await refresh(server, other.refresh_token);
      await logIn(server, user.username, randomPassword());
      const before = await rowsOf(user.id);
      expect(Object.keys(before).sort()).toEqual([
        "audit_events",
        "entries",
        "entry_tombstones",
        "entry_usage",
        "sessions",
        "users",
      ]);
      const theirs = await rowsOf(bystander.id);
      // A read that is still in the buffer, and must not come after.
      await call(server, `GET /entries/${kept.id}`, { token: user.token });
      expect(server.deps.audit.size).toBeGreaterThan(0);

      const answer = await remove(user.token, { current_password: user.password });
      expect([answer.status, answer.text]).toEqual([204, ""]);
      expect(await rowsOf(user.id)).toEqual({ audit_events: 1, account_tombstones: 1 });
      const name_hash = hashName(server.deps.secrets, user.username);
      expect(await server.deps.db.select().from(lockouts).where(eq(lockouts.name_hash, name_hash))).toEqual(
        [],
      );
      const { sid } = decode(user.token).claims;
      expect(await linesOf(server, answer)).toMatchObject([
        { type: "account-deleted", success: true, user_id: user.id, session_id: sid, entry_id: null },
      ]);
      for (const id of [kept.id, dropped.id, sid, decode(other.token).claims.sid]) {
        const rows = await rowsOf(id);
        expect(rows).toEqual(id === sid ? { audit_events: 1 } : {});
      }
      expect(await rowsOf(bystander.id)).toEqual(theirs);
    });

    test("is gone for all of its tokens at once, and its name is anybody's", async () => {
      const user = await signUp(server);
      const other = await signIn(server, user);
      expect((await remove(other.token, { current_password: user.password })).status).toBe(204);
      for (const { token, refresh_token } of [user, other]) {
        expectProblem(await show(token), 401, "token-invalid");
        expectProblem(await refresh(server, refresh_token), 401, "refresh-token-invalid");
        expectProblem(await call(server, "GET /entries", { token }), 401, "token-invalid");
        expectProblem(await remove(token, { current_password: user.password }), 401, "token-invalid");
      }
      const gone = visible(await logIn(server, user.username, user.password));
      expect(gone).toEqual(visible(await logIn(server, randomName(), randomPassword())));
      const successor = await signUp(server, user.username);
      expect(successor.id).not.toBe(user.id);
      expectProblem(await show(user.token), 401, "token-invalid");
      expect((await show(successor.token)).body.entries).toBe(0);
      expect(await auditTypes(server, user.id)).toEqual(["account-deleted"]);
    });

    test("is deleted by its key as well, and leaves no secret in the logs", async () => {
      const user = await signUpWithKey(server);
      expect((await remove(user.token, { current_auth_key: user.auth_key })).status).toBe(204);
      expect(await auditTypes(server, user.id)).toEqual(["account-deleted"]);
      expect(await auditMentions(server, user.username)).toBe(0);
      await expectSilent(server, [user.auth_key, user.keys.encryption_salt, "$argon2id$"]);
    });

    test("is deleted once, by however many at once", async () => {
      const user = await signUp(server);
      const body = { current_password: user.password };
      const answers = await Promise.all(Array.from({ length: 5 }, () => remove(user.token, body)));
      expect(answers.map((answer) => answer.status).sort()).toEqual([204, 401, 401, 401, 401]);
      expect(await rowsOf(user.id)).toEqual({ audit_events: 1, account_tombstones: 1 });
    });

    test("is deleted wholly or not at all", async () => {
      const user = await signUp(server);
      await createEntry(server, user);
      await server.deps.audit.flush();
      const before = await rowsOf(user.id);
      for (const table of ["account_tombstones", "audit_events"]) {
        await whileRefusing(server, table, `user_id is distinct from '${user.id}'`, async () => {
          const answer = await remove(user.token, { current_password: user.password });
          expectProblem(answer, 500, "internal-error");
        });
        expect(await rowsOf(user.id)).toEqual(before);
      }
      expect(await statusOf(server, user.token)).toBe(200);
    });

    test("is not held back from deletion by a login or a refresh at the same time", async () => {
      for (let round = 0; round < 3; round++) {
        const user = await signUp(server);
        const [deleted, login] = await Promise.all([
          remove(user.token, { current_password: user.password }),
          logIn(server, user.username, user.password),
        ]);
        expect(deleted.status).toBe(204);
        expect([200, 401]).toContain(login.status);
        if (login.status === 200) expect(await statusOf(server, login.body.accessToken)).toBe(401);
        expect(await rowsOf(user.id)).toEqual({ audit_events: 1, account_tombstones: 1 });
      }
    });

    test("that is deleted while a wrong secret is being tested leaves no line about that", async () => {
      const user = await signUp(server);
      const { verify } = server.deps.hashing;
      const during = spyOn(server.deps.hashing, "verify").mockImplementationOnce(async (...parameters) => {
        during.mockRestore();
        await remove(user.token, { current_password: user.password });
        return verify(...parameters);
      });
      expect((await logIn(server, user.username, randomPassword())).status).toBe(401);
      expect(await rowsOf(user.id)).toEqual({ audit_events: 1, account_tombstones: 1 });
    });
  });
}
