import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LIMITS } from "../../../src/contract/limits.ts";
import { costOf } from "../../../src/server/auth/hashing.ts";
import * as users from "../../../src/server/auth/users.ts";
import {
  eventsOf,
  expectSilent,
  play,
  signUpWithKey,
  whileRefusing,
  withServer,
} from "../../support/auth.ts";
import {
  auditTypes,
  call,
  expectProblem,
  randomBase64,
  randomHex,
  randomName,
  randomPassword,
  signUp,
  zeroKnowledgeKeys,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

for (const engine of ENGINES) {
  describe(`registering on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());

    test("by password answers 201 with id and name, makes a salt and stores the hash alone", async () => {
      const [username, password] = [randomName(), randomPassword()];
      const answer = await call(server, "POST /auth/register", { body: { username, password } });
      expect(answer.status).toBe(201);
      expect(answer.body).toEqual({ id: expect.stringMatching(/^[0-9a-f-]{36}$/), username });
      expect(await eventsOf(server, answer)).toEqual(["account-registered"]);

      const user = await users.findByName(server.deps.db, username);
      expect(costOf(user?.credential_hash ?? "")).toEqual({ ...server.deps.config.argon2 });
      expect(user?.credential_kind).toBe("password");
      expect(users.keyMaterial(user as users.User)).toEqual({
        encryption_salt: expect.stringMatching(/^[0-9a-f]{64}$/),
        kdf: { algorithm: "argon2id", memory_kib: 65_536, iterations: 3, parallelism: 4 },
        protected_key: null,
      });
      await expectSilent(server, [password, user?.credential_hash as string]);
    });

    test("by auth_key keeps id, salt, kdf and protected_key as they were sent, and hashes at the floor", async () => {
      const [username, auth_key, keys] = [randomName(), randomBase64(32), zeroKnowledgeKeys()];
      const id = crypto.randomUUID();
      const body = { id: id.toUpperCase(), username, auth_key, ...keys };
      const answer = await call(server, "POST /auth/register", { body });
      expect({ status: answer.status, body: answer.body }).toEqual({ status: 201, body: { id, username } });
      expect(await auditTypes(server, id)).toEqual(["account-registered"]);

      const user = await users.findById(server.deps.db, id);
      expect(user?.credential_kind).toBe("auth_key");
      expect(costOf(user?.credential_hash ?? "")).toEqual({
        memory_kib: LIMITS.argon2_memory_kib_floor,
        iterations: LIMITS.argon2_iterations_floor,
      });
      expect(users.keyMaterial(user as users.User)).toEqual(keys as ReturnType<typeof users.keyMaterial>);
      await expectSilent(server, [auth_key, user?.credential_hash as string]);
    });

    test("refuses a name that is taken in whatever case, and leaves no trace", async () => {
      const user = await signUp(server);
      for (const username of [user.username, user.username.toUpperCase()]) {
        const body = { username, password: randomPassword() };
        await play(server, {
          name: username,
          route: "POST /auth/register",
          body,
          status: 409,
          code: "username-taken",
          lacks: [username, body.password],
          events: [],
        });
      }
      const id = crypto.randomUUID();
      const body = { id, username: user.username, auth_key: randomBase64(32), ...zeroKnowledgeKeys() };
      expectProblem(await call(server, "POST /auth/register", { body }), 409, "username-taken");
      expect(await users.findById(server.deps.db, id)).toBeUndefined();
    });

    test("of one name by 20 at once succeeds for exactly one", async () => {
      const name = randomName();
      const attempts = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          call(server, "POST /auth/register", {
            body: { username: index % 2 ? name : name.toUpperCase(), password: randomPassword() },
          }),
        ),
      );
      const winners = attempts.filter((answer) => answer.status === 201);
      expect(winners.length).toBe(1);
      const losers = attempts.filter((answer) => answer.status === 409);
      expect(losers.map((answer) => answer.body.code)).toEqual(Array(19).fill("username-taken"));
      expect((await users.findByName(server.deps.db, name))?.id).toBe(winners[0]?.body.id);
      expect(await auditTypes(server, winners[0]?.body.id)).toEqual(["account-registered"]);
    });

    test("of one id by 10 at once succeeds for exactly one, and the others' names stay free", async () => {
      const id = crypto.randomUUID();
      const names = Array.from({ length: 10 }, randomName);
      const attempts = await Promise.all(
        names.map((username) =>
          call(server, "POST /auth/register", {
            body: { id, username, auth_key: randomBase64(32), ...zeroKnowledgeKeys() },
          }),
        ),
      );
      expect(
        attempts.map((answer) => answer.body.code).filter((code) => code === "account-id-taken"),
      ).toHaveLength(9);
      const owners = await Promise.all(names.map((name) => users.findByName(server.deps.db, name)));
      expect(owners.filter(Boolean).map((user) => user?.id)).toEqual([id]);
      expect(await auditTypes(server, id)).toEqual(["account-registered"]);
    });

    test("never gives the id of a deleted account again, though its name is free", async () => {
      const user = await signUpWithKey(server);
      const deleted = await call(server, "DELETE /account", {
        token: user.token,
        body: { current_auth_key: user.auth_key },
      });
      expect(deleted.status).toBe(204);
      const body = { username: user.username, auth_key: randomBase64(32), ...zeroKnowledgeKeys() };
      for (const id of [user.id, user.id.toUpperCase()]) {
        const again = await call(server, "POST /auth/register", { body: { id, ...body } });
        expectProblem(again, 409, "account-id-taken");
      }
      expect(await users.findById(server.deps.db, user.id)).toBeUndefined();
      expect(await auditTypes(server, user.id)).toEqual(["account-deleted"]);
      const other = { id: crypto.randomUUID(), ...body };
      expect((await call(server, "POST /auth/register", { body: other })).status).toBe(201);
    });

    test("never gives the id of an account that is being deleted", async () => {
      for (let round = 0; round < 4; round++) {
        const user = await signUpWithKey(server);
        const [deleted, taken] = await Promise.all([
          call(server, "DELETE /account", { token: user.token, body: { current_auth_key: user.auth_key } }),
          call(server, "POST /auth/register", {
            body: { id: user.id, username: randomName(), auth_key: randomBase64(32), ...zeroKnowledgeKeys() },
          }),
        ]);
        expect(deleted.status).toBe(204);
        expectProblem(taken, 409, "account-id-taken");
        expect(await users.findById(server.deps.db, user.id)).toBeUndefined();
      }
    });

    test("is refused altogether with REGISTRATION=closed, and those who have an account go on", async () => {
      const user = await signUp(server);
      await withServer(engine, { REGISTRATION: "closed" }, async (closed) => {
        const body = { username: randomName(), password: randomPassword() };
        const refused = {
          route: "POST /auth/register",
          status: 403,
          code: "registration-closed",
          events: [],
        } as const;
        await play(closed, { ...refused, name: "a new name", body, events: [] });
        await play(closed, {
          ...refused,
          name: "a taken name",
          body: { ...body, username: user.username },
          events: [],
        });
        expect(await users.findByName(closed.deps.db, body.username)).toBeUndefined();
        const { username, password } = user;
        expect((await call(closed, "POST /auth/login", { body: { username, password } })).status).toBe(200);
      });
    });

    test("that fails at its last step leaves nothing", async () => {
      const [username, password] = [randomName(), randomPassword()];
      // The audit line of the registration is the last statement: it is refused for this request alone.
      const request_id = `refused_${randomHex(8)}`;
      await whileRefusing(server, "audit_events", `request_id <> '${request_id}'`, async () => {
        const headers = { "x-request-id": request_id };
        const answer = await call(server, "POST /auth/register", { body: { username, password }, headers });
        expectProblem(answer, 500, "internal-error");
      });
      expect(await users.findByName(server.deps.db, username)).toBeUndefined();
      await expectSilent(server, [password, "$argon2id$"]);
    });
  });
}
