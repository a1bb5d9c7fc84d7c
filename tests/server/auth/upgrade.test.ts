import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { eq } from "drizzle-orm";
import { retryLater } from "../../../src/contract/problems.ts";
import { costOf } from "../../../src/server/auth/hashing.ts";
import { hashName } from "../../../src/server/auth/secrets.ts";
import * as users from "../../../src/server/auth/users.ts";
import { lockouts } from "../../../src/server/db/schema.ts";
import { eventsOf, expectSilent, logIn, sessionIds, signUpWithKey, statusOf } from "../../support/auth.ts";
import {
  auditTypes,
  call,
  expectProblem,
  randomPassword,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

const WEAK = { memory_kib: 19_456, iterations: 2 };
const STRONG = { memory_kib: 20_480, iterations: 3 };

useQuickHashes();

for (const engine of ENGINES) {
  describe(`hashes made before the parameters grew, on ${engine}`, () => {
    let weak: TestServer;
    let strong: TestServer;
    beforeAll(async () => {
      weak = await startTestServer(engine);
      strong = await startTestServer(engine, { ARGON2_MEMORY_KIB: "20480", ARGON2_ITERATIONS: "3" });
    });
    afterAll(() => Promise.all([weak.stop(), strong.stop()]));

    const stored = async (id: string) => (await users.findById(weak.deps.db, id)) as users.User;
    const costNow = async (id: string) => costOf((await stored(id)).credential_hash);

    test("are upgraded at login, once, and audited", async () => {
      const user = await signUp(weak);
      const before = await stored(user.id);
      expect(await costNow(user.id)).toEqual(WEAK);
      const login = await logIn(strong, user.username, user.password);
      expect(login.status).toBe(200);
      expect(await eventsOf(strong, login)).toEqual(["login-succeeded", "credential-upgraded"]);
      expect(await costNow(user.id)).toEqual(STRONG);
      const after = await stored(user.id);
      expect({ ...after, credential_hash: "", updated_at: "" }).toEqual({
        ...before,
        credential_hash: "",
        updated_at: "",
      });

      const again = await logIn(strong, user.username, user.password);
      expect(await eventsOf(strong, again)).toEqual(["login-succeeded"]);
      expect((await stored(user.id)).credential_hash).toBe(after.credential_hash);
      expect((await logIn(strong, user.username, randomPassword())).status).toBe(401);
      for (const token of [user.token, login.body.accessToken]) expect(await statusOf(weak, token)).toBe(200);
      await expectSilent(strong, [user.password, "$argon2id$"]);
    });

    test("are left as they are by a wrong secret, by a weaker server, and where they are of a key", async () => {
      const user = await signUp(weak);
      await logIn(strong, user.username, randomPassword());
      expect(await costNow(user.id)).toEqual(WEAK);
      await logIn(strong, user.username, user.password);
      await logIn(weak, user.username, user.password);
      expect(await costNow(user.id)).toEqual(STRONG);
      const { id, username, auth_key } = await signUpWithKey(weak);
      const login = await call(strong, "POST /auth/login", { body: { username, auth_key } });
      expect(await eventsOf(strong, login)).toEqual(["login-succeeded"]);
      expect(await costNow(id)).toEqual(WEAK);
    });

    test("do not keep anybody out while there is no place to hash them anew", async () => {
      const user = await signUp(weak);
      const hash = spyOn(strong.deps.hashing, "hash").mockImplementationOnce(async () => {
        throw retryLater("hashing-busy", 1000);
      });
      const login = await logIn(strong, user.username, user.password);
      hash.mockRestore();
      expect(login.status).toBe(200);
      expect(await statusOf(strong, login.body.accessToken)).toBe(200);
      expect(await costNow(user.id)).toEqual(WEAK);
      expect(strong.logged.at(-1)).toContain("could not be upgraded");
      await logIn(strong, user.username, user.password);
      expect(await costNow(user.id)).toEqual(STRONG);
    });

    const change = async (user: TestUser, new_password: string) => {
      const body = { current_password: user.password, new_password };
      expect((await call(weak, "PUT /auth/password", { token: user.token, body })).status).toBe(200);
    };

    test("give way to a password that is changed meanwhile", async () => {
      const user = await signUp(weak);
      const new_password = randomPassword();
      const { hash } = strong.deps.hashing;
      const during = spyOn(strong.deps.hashing, "hash").mockImplementationOnce(async (...parameters) => {
        await change(user, new_password);
        return hash(...parameters);
      });
      const login = await logIn(strong, user.username, user.password);
      during.mockRestore();
      expect(await eventsOf(strong, login)).toEqual(["login-succeeded"]);
      // The session had begun before the change, and ended with it.
      expect(await statusOf(strong, login.body.accessToken)).toBe(401);
      expect(await costNow(user.id)).toEqual(WEAK);
      expect((await logIn(weak, user.username, user.password)).status).toBe(401);
      expect((await logIn(weak, user.username, new_password)).status).toBe(200);
      expect(await auditTypes(strong, user.id)).not.toContain("credential-upgraded");
    });

    /** A login whose secret has been tested, but which has not got any further, while `work` is done. */
    async function logInAround(user: TestUser, work: () => Promise<unknown>) {
      const { verify } = strong.deps.hashing;
      const around = spyOn(strong.deps.hashing, "verify").mockImplementationOnce(async (...parameters) => {
        const matches = await verify(...parameters);
        await work();
        return matches;
      });
      const answer = await logIn(strong, user.username, user.password);
      around.mockRestore();
      return answer;
    }

    const attemptsOf = async (user: TestUser) => {
      const name_hash = hashName(strong.deps.secrets, user.username);
      const rows = await strong.deps.db.select().from(lockouts).where(eq(lockouts.name_hash, name_hash));
      return rows.map((row) => row.attempts).filter((attempts) => attempts > 0);
    };

    test("that another login upgrades first do not make a right password wrong", async () => {
      const user = await signUp(weak);
      const answer = await logInAround(user, () => logIn(strong, user.username, user.password));
      expect(answer.status).toBe(200);
      expect(await statusOf(strong, answer.body.accessToken)).toBe(200);
      expect(await sessionIds(strong, user.id)).toHaveLength(3);
      const types = await auditTypes(strong, user.id);
      expect(types.slice(2).sort()).toEqual(["credential-upgraded", "login-succeeded", "login-succeeded"]);
      expect(await attemptsOf(user)).toEqual([]);
    });

    test("that a change replaces make the old password wrong, also for a login under way", async () => {
      const user = await signUp(weak);
      const answer = await logInAround(user, () => change(user, randomPassword()));
      expectProblem(answer, 401, "credentials-invalid");
      expect(await eventsOf(strong, answer)).toEqual(["login-failed"]);
      expect(await sessionIds(strong, user.id)).toHaveLength(1);
      // One request, one failure: for the address and for the name.
      expect(await attemptsOf(user)).toEqual([1, 1]);
    });
  });
}
