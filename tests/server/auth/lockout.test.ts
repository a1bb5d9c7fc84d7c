import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { eq } from "drizzle-orm";
import { hashName } from "../../../src/server/auth/secrets.ts";
import { auditEvents } from "../../../src/server/db/schema.ts";
import {
  eventsOf,
  logIn,
  play,
  refresh,
  signUpWithKey,
  statusOf,
  visible,
  withServer,
} from "../../support/auth.ts";
import {
  type Answer,
  auditLog,
  auditTypes,
  call,
  expectProblem,
  randomBase64,
  randomName,
  randomPassword,
  signUp,
} from "../../support/client.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

/** Without it every test would come from one address. */
const BEHIND_PROXY = { TRUSTED_PROXIES: "127.0.0.1" };
const FAILURES_MAX = 5;

useQuickHashes();

for (const engine of ENGINES) {
  describe(`the lockout on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine, BEHIND_PROXY);
    });
    afterAll(() => server.stop());

    const fail = (username: string, address?: string) => logIn(server, username, randomPassword(), address);

    /** Fails until the pair is locked. */
    async function lock(username: string, address?: string): Promise<void> {
      for (let failure = 1; failure <= FAILURES_MAX; failure++) {
        expect((await fail(username, address)).status).toBe(401);
      }
      expect((await fail(username, address)).status).toBe(429);
    }

    const eventsOfName = async (username: string) => {
      await server.deps.audit.flush();
      const name_hash = hashName(server.deps.secrets, username);
      return server.deps.db.select().from(auditEvents).where(eq(auditEvents.name_hash, name_hash));
    };

    for (const known of [true, false]) {
      test(`verifies 5 of 30 guesses at once at a name ${known ? "of an account" : "nobody has"}`, async () => {
        const username = randomName();
        const user = known ? await signUp(server, username) : undefined;
        const verify = spyOn(server.deps.hashing, "verify");
        const answers = await Promise.all(Array.from({ length: 30 }, () => fail(username)));
        expect(verify).toHaveBeenCalledTimes(FAILURES_MAX);
        verify.mockRestore();

        const refused = answers.filter((answer) => answer.status === 429);
        expect(answers.filter((answer) => answer.status === 401)).toHaveLength(FAILURES_MAX);
        expect(refused).toHaveLength(25);
        for (const answer of refused) {
          expectProblem(answer, 429, "login-locked");
          expect(Number(answer.headers.get("retry-after"))).toBeWithin(895, 902);
        }
        const named = await eventsOfName(username);
        const own = user === undefined ? [] : await auditLog(server, user.id);
        const failed = [...named, ...own].filter((event) => !event.success);
        const count = (type: string) =>
          failed.filter((event) => event.type === type).reduce((sum, event) => sum + event.count, 0);
        expect([count("login-failed"), count("lockout"), count("login-refused")]).toEqual([5, 1, 25]);
      });
    }

    test("is as exact where the guesses are spread over two servers", async () => {
      await withServer(engine, {}, async (twin) => {
        const username = randomName();
        const verified = [spyOn(server.deps.hashing, "verify"), spyOn(twin.deps.hashing, "verify")];
        const guess = (index: number) => logIn(index % 2 ? server : twin, username, randomPassword());
        await Promise.all(Array.from({ length: 30 }, (_, index) => guess(index)));
        const total = verified.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
        for (const spy of verified) spy.mockRestore();
        expect(total).toBe(FAILURES_MAX);
      });
    });

    test("refuses the right secret too, without testing it, and says for how long", async () => {
      const user = await signUp(server);
      await lock(user.username);
      const verify = spyOn(server.deps.hashing, "verify");
      const answer = await play(server, {
        name: "the right password",
        route: "POST /auth/login",
        body: { username: user.username, password: user.password },
        status: 429,
        code: "login-locked",
        lacks: [user.username],
        events: ["login-refused"],
      });
      expect(verify).not.toHaveBeenCalled();
      verify.mockRestore();
      expect(Number(answer.headers.get("retry-after"))).toBeWithin(895, 902);
      expect((await auditTypes(server, user.id)).slice(2)).toEqual([
        ...Array(5).fill("login-failed"),
        "lockout",
        // What locking it took, and this attempt: the owner is shown both.
        "login-refused",
        "login-refused",
      ]);
    });

    test("is of a name and one address: the account's owner elsewhere is not locked out", async () => {
      const { username, password } = await signUp(server);
      await lock(username, "198.51.100.1");
      expect((await logIn(server, username, password, "198.51.100.2")).status).toBe(200);
      expect((await logIn(server, username, password, "198.51.100.1")).status).toBe(429);
      expect((await fail(randomName(), "198.51.100.1")).status).toBe(401);
    });

    test("counts the addresses of one IPv6 /64 as one, and each spelling of an address as the same", async () => {
      const username = randomName();
      const guesses = [
        "2001:db8:1:2::1",
        "2001:db8:1:2:ffff::9",
        "2001:DB8:1:2:0:0:0:7",
        "[2001:db8:1:2::8]:443",
      ];
      for (const address of guesses) expect((await fail(username, address)).status).toBe(401);
      expect((await fail(username, "2001:db8:1:2:a:b:c:d")).status).toBe(401);
      expect((await fail(username, "2001:db8:1:2::ffff")).status).toBe(429);
      expect((await fail(username, "2001:db8:1:3::1")).status).toBe(401);

      const other = randomName();
      for (const address of ["198.51.100.7", "::ffff:198.51.100.7", "203.0.113.9, 198.51.100.7"]) {
        expect((await fail(other, address)).status).toBe(401);
      }
      await fail(other, "198.51.100.7:1234");
      await fail(other, "198.51.100.7");
      expect((await fail(other, "198.51.100.7")).status).toBe(429);
    });

    test("makes no difference between upper and lower case of a name", async () => {
      const { username, password } = await signUp(server);
      for (let failure = 0; failure < FAILURES_MAX; failure++) {
        await fail(failure % 2 ? username.toUpperCase() : username);
      }
      for (const name of [username, username.toUpperCase()]) {
        expect((await logIn(server, name, password)).status).toBe(429);
      }
    });

    test("counts passwords and keys together", async () => {
      const user = await signUpWithKey(server);
      for (let failure = 0; failure < FAILURES_MAX; failure++) {
        const secret = failure % 2 ? { password: randomPassword() } : { auth_key: randomBase64(32) };
        const answer = await call(server, "POST /auth/login", {
          body: { username: user.username, ...secret },
        });
        expect(answer.status).toBe(401);
      }
      const { username, auth_key } = user;
      expect((await call(server, "POST /auth/login", { body: { username, auth_key } })).status).toBe(429);
    });

    test("answers names nobody has as it answers the names of accounts, guess by guess", async () => {
      const user = await signUp(server);
      const key_user = await signUpWithKey(server);
      const history = async (username: string) => {
        const seen: ReturnType<typeof visible>[] = [];
        for (let guess = 0; guess < FAILURES_MAX + 3; guess++) seen.push(withoutWait(await fail(username)));
        return seen;
      };
      const nobody = await history(randomName());
      expect(nobody.map((answer) => answer.status)).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
      expect(await history(user.username)).toEqual(nobody);
      expect(await history(key_user.username)).toEqual(nobody);
    });

    test("leaves the sessions that exist alone", async () => {
      const user = await signUp(server);
      await lock(user.username);
      expect(await statusOf(server, user.token)).toBe(200);
      const { status, body } = await refresh(server, user.refresh_token);
      expect(status).toBe(200);
      expect(await statusOf(server, body.accessToken)).toBe(200);
      expect(
        (await call(server, "POST /auth/logout", { body: { refreshToken: body.refreshToken } })).status,
      ).toBe(204);
    });

    test("counts wrong secrets of a change, of a deletion and of logins as one", async () => {
      const user = await signUp(server);
      const wrong = { current_password: randomPassword() };
      const right = { current_password: user.password };
      const change = (current: object) =>
        call(server, "PUT /auth/password", {
          token: user.token,
          body: { ...current, new_password: randomPassword() },
        });
      const remove = (current: object) =>
        call(server, "DELETE /account", { token: user.token, body: current });
      const failures = [() => change(wrong), () => remove(wrong), () => fail(user.username)];
      for (let failure = 0; failure < FAILURES_MAX; failure++) {
        expectProblem(await (failures[failure % 3] as () => Promise<Answer>)(), 401, "credentials-invalid");
      }
      for (const attempt of [change, remove]) {
        const answer = await attempt(right);
        expectProblem(answer, 429, "login-locked");
        expect(Number(answer.headers.get("retry-after"))).toBeWithin(895, 902);
        expect(await eventsOf(server, answer)).toEqual(["login-refused"]);
      }
      expect((await logIn(server, user.username, user.password)).status).toBe(429);
      expect(await statusOf(server, user.token)).toBe(200);
      const types = await auditTypes(server, user.id);
      expect(types.slice(2)).toEqual([
        "secret-failed",
        "secret-failed",
        "login-failed",
        "secret-failed",
        "secret-failed",
        "lockout",
        ...Array(3).fill("login-refused"),
      ]);
      const failed = (await auditLog(server, user.id)).filter((event) => event.type === "secret-failed");
      const { session_id } = failed[0] ?? {};
      expect(session_id).not.toBeNull();
      for (const event of failed)
        expect(event).toMatchObject({ success: false, reason: "wrong-secret", session_id });
    });
  });
}

/** An answer without the seconds it tells to wait: they depend on when it was asked. */
function withoutWait(answer: Answer): ReturnType<typeof visible> {
  const seen = visible(answer);
  return {
    ...seen,
    headers: seen.headers.map(([name, value]) => [name, name === "retry-after" ? "<seconds>" : value]),
  };
}
