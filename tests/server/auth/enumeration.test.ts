import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { sql, TransactionRollbackError } from "drizzle-orm";
import { LIMITS } from "../../../src/contract/limits.ts";
import { costOf } from "../../../src/server/auth/hashing.ts";
import { login } from "../../../src/server/auth/login.ts";
import { users } from "../../../src/server/db/schema.ts";
import { type KeyUser, signUpWithKey, visible } from "../../support/auth.ts";
import {
  call,
  randomBase64,
  randomName,
  randomPassword,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

/** Neither the floor nor the default, so that it is seen which of the costs was paid. */
const PASSWORD_COST = { memory_kib: 20_480, iterations: 3 };
const SETTINGS = {
  ARGON2_MEMORY_KIB: String(PASSWORD_COST.memory_kib),
  ARGON2_ITERATIONS: String(PASSWORD_COST.iterations),
  MAX_FAILED_LOGINS: "100",
};
const AUTH_KEY_COST = {
  memory_kib: LIMITS.argon2_memory_kib_floor,
  iterations: LIMITS.argon2_iterations_floor,
};

for (const engine of ENGINES) {
  describe(`guessing who has an account on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let key_user: KeyUser;
    beforeAll(async () => {
      server = await startTestServer(engine, SETTINGS);
      [user, key_user] = await Promise.all([signUp(server), signUpWithKey(server)]);
    });
    afterAll(() => server.stop());

    type Attempt = { username: string } & ({ password: string } | { auth_key: string });
    const attempt = (body: Attempt) => call(server, "POST /auth/login", { body });

    /** Every way in which a secret can fail to open an account, by what was sent. */
    const failures = (): Record<"password" | "auth_key", Record<string, Attempt>> => ({
      password: {
        "a name nobody has": { username: randomName(), password: randomPassword() },
        "a wrong password": { username: user.username, password: randomPassword() },
        "a password where a key belongs": { username: key_user.username, password: randomPassword() },
      },
      auth_key: {
        "a name nobody has": { username: randomName(), auth_key: randomBase64(32) },
        "a wrong key": { username: key_user.username, auth_key: randomBase64(32) },
        "a key where a password belongs": { username: user.username, auth_key: randomBase64(32) },
      },
    });

    test("finds one status, one body and one set of headers", async () => {
      const { password, auth_key } = failures();
      const expected = visible(await attempt({ username: randomName(), password: randomPassword() }));
      expect(expected.status).toBe(401);
      expect(expected.headers.length).toBeGreaterThan(8);
      for (const body of [...Object.values(password), ...Object.values(auth_key)]) {
        expect(visible(await attempt(body))).toEqual(expected);
      }
    });

    test("costs exactly one hash, at the cost of what was sent and never of what the account has", async () => {
      const verify = spyOn(server.deps.hashing, "verify");
      const hash = spyOn(server.deps.hashing, "hash");
      try {
        for (const [kind, attempts] of Object.entries(failures())) {
          for (const [name, body] of Object.entries(attempts)) {
            verify.mockClear();
            await attempt(body);
            const costs = verify.mock.calls.map(([, phc]) => costOf(phc));
            const cost = kind === "password" ? PASSWORD_COST : AUTH_KEY_COST;
            expect({ kind, name, costs }).toEqual({ kind, name, costs: [cost] });
          }
        }
        expect(hash).not.toHaveBeenCalled();
      } finally {
        verify.mockRestore();
        hash.mockRestore();
      }
    });

    test("takes the same time, whatever failed", async () => {
      const within = async () => {
        const times = { unknown: [] as number[], wrong: [] as number[], other_kind: [] as number[] };
        for (let round = 0; round < 7; round++) {
          // Interleaved, so that whatever else the machine does falls on all of them alike.
          const { password } = failures();
          times.unknown.push(await timed(() => attempt(password["a name nobody has"] as Attempt)));
          times.wrong.push(await timed(() => attempt(password["a wrong password"] as Attempt)));
          times.other_kind.push(
            await timed(() => attempt(password["a password where a key belongs"] as Attempt)),
          );
        }
        const medians = Object.values(times).map(median);
        return Math.max(...medians) / Math.min(...medians) < 1.25;
      };
      // A busy machine may spoil one measurement; a difference that is there spoils every one.
      expect((await within()) || (await within()) || (await within())).toBe(true);
    });

    test("costs the same while nobody has an account yet", async () => {
      const { db, hashing } = server.deps;
      const verify = spyOn(hashing, "verify");
      const origin = { request_id: "first", address: "192.0.2.1", network: "192.0.2.1" };
      const bodies = [
        { username: randomName(), password: randomPassword() },
        { username: randomName(), auth_key: randomBase64(32) },
      ];
      const codes: string[] = [];
      try {
        // The table is empty for this transaction alone, and full again when it has been rolled back.
        await db.transaction(async (tx) => {
          await tx.execute(sql`truncate ${users} cascade`);
          for (const body of bodies) {
            await login({ ...server.deps, db: tx }, body, origin).catch(({ code }) => codes.push(code));
          }
          tx.rollback();
        });
      } catch (error) {
        expect(error).toBeInstanceOf(TransactionRollbackError);
      }
      expect(codes).toEqual(["credentials-invalid", "credentials-invalid"]);
      expect(verify.mock.calls.map(([, phc]) => costOf(phc))).toEqual([PASSWORD_COST, AUTH_KEY_COST]);
      verify.mockRestore();
      expect((await attempt({ username: user.username, password: user.password })).status).toBe(200);
    });
  });
}

test("a decoy's hash has the form and the length of a real one", async () => {
  const server = await startTestServer("embedded", SETTINGS);
  const verify = spyOn(server.deps.hashing, "verify");
  try {
    const real = await server.deps.credentials.hash({ kind: "password", secret: randomPassword() });
    await server.deps.credentials.verify({ kind: "password", secret: randomPassword() }, undefined);
    const decoy = verify.mock.calls[0]?.[1] as string;
    const form = (phc: string) => phc.split("$").map((part, index) => (index > 3 ? part.length : part));
    expect(form(decoy)).toEqual(form(real));
    // No secret opens it, least of all one that is known from the source.
    for (const secret of ["", "decoy", decoy])
      expect(await Bun.password.verify(secret || "x", decoy)).toBe(false);
  } finally {
    verify.mockRestore();
    await server.stop();
  }
});

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}
