import { afterEach, beforeEach, describe, expect, jest, spyOn, test } from "bun:test";
import fc from "fast-check";
import { LIMITS } from "../../../src/contract/limits.ts";
import { Problem } from "../../../src/contract/problems.ts";
import { makeCredentials, type StoredCredential } from "../../../src/server/auth/credentials.ts";
import { costOf, type Hashing, makeHashing } from "../../../src/server/auth/hashing.ts";
import { randomBase64, randomPassword } from "../../support/client.ts";

const RUNS = 20 * Number(process.env.SLOW ?? 1);
const FLOOR = { memory_kib: LIMITS.argon2_memory_kib_floor, iterations: LIMITS.argon2_iterations_floor };
const BUSY = { code: "hashing-busy", details: { headers: { "retry-after": "1" } } };

/**
 * Bun's own hash is held back here, so that a test says when each one ends. What is tested is who gets to it, not
 * what it computes.
 */
function holdHashes() {
  const held: PromiseWithResolvers<boolean>[] = [];
  let running = 0;
  let running_max = 0;
  const spy = spyOn(Bun.password, "verify").mockImplementation(async () => {
    const gate = Promise.withResolvers<boolean>();
    held.push(gate);
    running_max = Math.max(running_max, ++running);
    return gate.promise.finally(() => running--);
  });
  return {
    get begun() {
      return spy.mock.calls.length;
    },
    get running_max() {
      return running_max;
    },
    /** Ends the one that has run longest. */
    async finish() {
      held.shift()?.resolve(true);
      await settled();
    },
    async finishAll() {
      while (held.length > 0) await this.finish();
    },
    async failOne() {
      held.shift()?.reject(new Error("out of memory"));
      await settled();
    },
    restore: () => spy.mockRestore(),
  };
}

/** Lets everything run that waits for promises alone. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

describe("the queue before Argon2id", () => {
  let hashes: ReturnType<typeof holdHashes>;
  let asked: Promise<boolean | Problem>[];
  beforeEach(() => {
    hashes = holdHashes();
    asked = [];
  });
  afterEach(async () => {
    await hashes.finishAll();
    hashes.restore();
  });

  const make = (hash_concurrency: number, hash_queue_max: number) =>
    makeHashing({ hash_concurrency, hash_queue_max });

  /** Asks for one more hash; the outcome is the result or the refusal. */
  function ask(hashing: Hashing): Promise<boolean | Problem> {
    const outcome = hashing.verify("secret", "phc").catch((error: Problem) => error);
    asked.push(outcome);
    return outcome;
  }

  test("lets as many run at once as allowed, and as many wait", async () => {
    const hashing = make(2, 3);
    for (let i = 0; i < 5; i++) void ask(hashing);
    await settled();
    expect([hashes.begun, hashing.running, hashing.waiting]).toEqual([2, 2, 3]);
    await hashes.finish();
    expect([hashes.begun, hashing.running, hashing.waiting]).toEqual([3, 2, 2]);
    await hashes.finishAll();
    expect(await Promise.all(asked)).toEqual(Array(5).fill(true));
    expect([hashes.running_max, hashing.running, hashing.waiting]).toEqual([2, 0, 0]);
  });

  test("refuses the one after the last place at once, with the time to come back", async () => {
    for (const [concurrency, queue_max] of [
      [1, 0],
      [1, 1],
      [2, 3],
    ] as const) {
      const hashing = make(concurrency, queue_max);
      for (let i = 0; i < concurrency + queue_max; i++) void ask(hashing);
      const refused = await ask(hashing);
      expect(refused).toBeInstanceOf(Problem);
      expect(refused).toMatchObject(BUSY);
      await hashes.finishAll();
      void ask(hashing);
      await hashes.finishAll();
      expect(await asked.at(-1)).toBe(true);
    }
  });

  test("refuses who has waited too long, to the millisecond, and gives the place to another", async () => {
    jest.useFakeTimers();
    try {
      const hashing = make(1, 1);
      void ask(hashing);
      const waits = ask(hashing);
      await settled();
      jest.advanceTimersByTime(LIMITS.hash_wait_ms - 1);
      await settled();
      expect(hashing.waiting).toBe(1);
      jest.advanceTimersByTime(1);
      expect(await waits).toMatchObject(BUSY);
      expect([hashing.running, hashing.waiting]).toEqual([1, 0]);
      const next = ask(hashing);
      await settled();
      expect(hashing.waiting).toBe(1);
      await hashes.finishAll();
      expect(await next).toBe(true);
      // The one that gave up was never computed.
      expect(hashes.begun).toBe(2);
    } finally {
      jest.useRealTimers();
    }
  });

  test("never takes the place from a hash that has begun, however long it runs", async () => {
    jest.useFakeTimers();
    try {
      const hashing = make(1, 1);
      const runs = ask(hashing);
      await settled();
      jest.advanceTimersByTime(10 * LIMITS.hash_wait_ms);
      const next = ask(hashing);
      await settled();
      expect([hashes.begun, hashing.running, hashing.waiting]).toEqual([1, 1, 1]);
      await hashes.finishAll();
      expect([await runs, await next]).toEqual([true, true]);
      expect(hashes.running_max).toBe(1);
    } finally {
      jest.useRealTimers();
    }
  });

  test("goes on after a hash that failed, and passes the failure on as it is", async () => {
    const hashing = make(1, 2);
    const fails = ask(hashing);
    const next = ask(hashing);
    await settled();
    await hashes.failOne();
    expect((await fails) as unknown).toMatchObject({ message: "out of memory" });
    await hashes.finishAll();
    expect(await next).toBe(true);
  });

  test("holds its bounds whatever comes in whatever order", async () => {
    const step = fc.oneof(
      fc.constant("ask" as const),
      fc.constant("finish" as const),
      fc.constant("fail" as const),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 4 }),
        fc.array(step, { maxLength: 60 }),
        async (concurrency, queue_max, steps) => {
          const hashing = make(concurrency, queue_max);
          let here = 0;
          for (const action of steps) {
            if (action === "ask") {
              const had_place = here < concurrency + queue_max;
              const outcome = ask(hashing);
              if (had_place) here++;
              else expect(await outcome).toMatchObject(BUSY);
            } else if (here > 0) {
              here--;
              await (action === "finish" ? hashes.finish() : hashes.failOne());
            }
            await settled();
            expect(hashing.running).toBe(Math.min(here, concurrency));
            expect(hashing.waiting).toBe(Math.max(0, here - concurrency));
          }
          await hashes.finishAll();
        },
      ),
      { numRuns: RUNS },
    );
    expect(hashes.running_max).toBeLessThanOrEqual(4);
  });
});

describe("hashes", () => {
  const hashing = makeHashing({ hash_concurrency: 1, hash_queue_max: 10 });
  const cost = { memory_kib: 20_480, iterations: 3 };
  const credentials = makeCredentials({ argon2: cost }, hashing);
  const stored = async (kind: StoredCredential["kind"], secret: string): Promise<StoredCredential> => ({
    kind,
    hash: await credentials.hash({ kind, secret }),
  });

  test("of a password have the cost that is set, those of a key the floor, and a salt each", async () => {
    const secret = randomPassword();
    const [first, second] = [await stored("password", secret), await stored("password", secret)];
    expect(first.hash).toMatch(/^\$argon2id\$v=19\$m=20480,t=3,p=1\$[A-Za-z0-9+/]{43}\$[A-Za-z0-9+/]{43}$/);
    expect(first.hash).not.toBe(second.hash);
    expect(costOf((await stored("auth_key", randomBase64(32))).hash)).toEqual(FLOOR);
  });

  test("open for their own secret in their own kind alone", async () => {
    const [password, auth_key] = [randomPassword(), randomBase64(32)];
    const of_password = await stored("password", password);
    const of_key = await stored("auth_key", auth_key);
    expect(await credentials.verify({ kind: "password", secret: password }, of_password)).toBe(true);
    expect(await credentials.verify({ kind: "auth_key", secret: auth_key }, of_key)).toBe(true);
    expect(await credentials.verify({ kind: "auth_key", secret: password }, of_password)).toBe(false);
    expect(await credentials.verify({ kind: "password", secret: auth_key }, of_key)).toBe(false);
    expect(await credentials.verify({ kind: "password", secret: `${password} ` }, of_password)).toBe(false);
    expect(await credentials.verify({ kind: "password", secret: password }, undefined)).toBe(false);
  });

  test("are outdated when they cost less in memory or time than now, and not when they cost more", () => {
    const phc = (memory: number, time: number) => `$argon2id$v=19$m=${memory},t=${time},p=1$AAAA$AAAA`;
    const outdated = (kind: StoredCredential["kind"], hash: string) => credentials.isOutdated({ kind, hash });
    expect(outdated("password", phc(20_480, 3))).toBe(false);
    expect(outdated("password", phc(20_479, 3))).toBe(true);
    expect(outdated("password", phc(20_480, 2))).toBe(true);
    expect(outdated("password", phc(65_536, 4))).toBe(false);
    expect(outdated("auth_key", phc(FLOOR.memory_kib, FLOOR.iterations))).toBe(false);
    expect(outdated("password", "$argon2i$v=19$m=65536,t=4,p=1$AAAA$AAAA")).toBe(true);
  });

  test("tell their cost only in the form that is ours", () => {
    expect(costOf("$argon2id$v=19$m=65536,t=3,p=1$AAAA$AAAA")).toEqual({ memory_kib: 65_536, iterations: 3 });
    const foreign = [
      "",
      "$2b$10$x",
      "$argon2id$v=16$m=1,t=1,p=1$A$A",
      "$argon2id$v=19$m=1,t=1,p=4$A$A",
      "$argon2id$v=19$t=1,m=1,p=1$A$A",
    ];
    for (const phc of foreign) expect(costOf(phc)).toBeUndefined();
  });
});
