import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Limiter,
  makeLimiter,
  parseRate,
  type Rate,
  rateLimitHeaders,
} from "../../src/server/http/limiter.ts";

const RUNS = process.env.SLOW ? 20_000 : 400;
const TEN_A_MINUTE: Rate = { capacity: 10, period_s: 60 };

function makeClock() {
  let now_ms = 1234.5;
  return {
    monotonic_ms: () => now_ms,
    advance(step_ms: number) {
      now_ms += step_ms;
    },
  };
}

function setUp(rate: Rate = TEN_A_MINUTE, buckets_max = 1000) {
  const clock = makeClock();
  return { clock, limiter: makeLimiter({ rate, monotonic_ms: clock.monotonic_ms, buckets_max }) };
}

/** How many of `attempts` are allowed at this moment. */
function countAllowed(limiter: Limiter, key: string, attempts = 100): number {
  return Array.from({ length: attempts }, () => limiter.take(key)).filter(({ allowed }) => allowed).length;
}

/**
 * The reference is the promise itself: with what was allowed before, one more now keeps every window that ends
 * now within capacity + rate x time. Whole milliseconds, so that the comparison is exact.
 */
function mayTake(rate: Rate, allowed_at_ms: readonly number[], now_ms: number): boolean {
  const period_ms = rate.period_s * 1000;
  return allowed_at_ms.every((start_ms, index) => {
    const used = allowed_at_ms.length - index + 1;
    return used * period_ms <= rate.capacity * (period_ms + now_ms - start_ms);
  });
}

const rates = fc.record({
  capacity: fc.integer({ min: 1, max: 6 }),
  period_s: fc.constantFrom(1, 7, 60, 3600),
});
const steps = (keys: number) =>
  fc.array(
    fc.record({
      key: fc.integer({ min: 0, max: keys - 1 }).map(String),
      wait_ms: fc.oneof(
        { weight: 4, arbitrary: fc.constant(0) },
        { weight: 3, arbitrary: fc.integer({ min: 0, max: 3000 }) },
        {
          weight: 2,
          arbitrary: fc.constantFrom(999, 1000, 1001, 6999, 7000, 10_000, 59_999, 60_000, 600_000),
        },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 10_000_000 }) },
      ),
    }),
    { maxLength: 80 },
  );

describe("a bucket", () => {
  test("allows its capacity at once and not one more", () => {
    const { limiter } = setUp();
    const decisions = Array.from({ length: 11 }, () => limiter.take("a"));
    expect(decisions.map(({ remaining }) => remaining)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]);
    expect(decisions.map(({ reset_s }) => reset_s)).toEqual([6, 12, 18, 24, 30, 36, 42, 48, 54, 60, 60]);
    expect(decisions[9]).toMatchObject({ allowed: true, limit: 10, retry_after_s: 0, next_token_s: 6 });
    expect(decisions[10]).toMatchObject({ allowed: false, limit: 10, retry_after_s: 6, next_token_s: 6 });
  });

  test("gives the next token exactly when it is due, not a microsecond before", () => {
    const { clock, limiter } = setUp();
    countAllowed(limiter, "a");
    clock.advance(5999.999);
    expect(limiter.take("a")).toMatchObject({ allowed: false, retry_after_s: 1 });
    clock.advance(0.001);
    expect(countAllowed(limiter, "a")).toBe(1);
  });

  test("gives no credit for asking in vain, and takes none", () => {
    const { clock, limiter } = setUp();
    countAllowed(limiter, "a");
    for (let second = 0; second < 6; second++) {
      expect(limiter.take("a").allowed).toBe(false);
      clock.advance(1000);
    }
    expect(countAllowed(limiter, "a")).toBe(1);
  });

  test("asks to wait at least one second, also where a token takes less", () => {
    const { limiter } = setUp({ capacity: 600, period_s: 60 });
    countAllowed(limiter, "a", 600);
    expect(limiter.take("a")).toMatchObject({ allowed: false, retry_after_s: 1, reset_s: 60 });
  });

  test("of capacity 1 allows one a period", () => {
    const { clock, limiter } = setUp({ capacity: 1, period_s: 1 });
    for (let second = 0; second < 5; second++) {
      expect(countAllowed(limiter, "a")).toBe(1);
      clock.advance(1000);
    }
  });

  test("of the largest rate counts without loss", () => {
    const { clock, limiter } = setUp({ capacity: 1_000_000, period_s: 3600 });
    expect(countAllowed(limiter, "a", 1_000_001)).toBe(1_000_000);
    expect(limiter.take("a")).toMatchObject({ retry_after_s: 1, reset_s: 3600 });
    clock.advance(3.599);
    expect(limiter.take("a").allowed).toBe(false);
    clock.advance(0.002);
    expect(countAllowed(limiter, "a")).toBe(1);
  });

  test("is full after long idleness and holds no more than its capacity", () => {
    const { clock, limiter } = setUp();
    countAllowed(limiter, "a");
    clock.advance(365 * 86_400_000);
    expect(countAllowed(limiter, "a")).toBe(10);
  });

  test("does not drift over a million requests, one every 6 seconds", () => {
    const { clock, limiter } = setUp();
    countAllowed(limiter, "a");
    let refused = 0;
    for (let step = 0; step < 1_000_000; step++) {
      clock.advance(6000);
      if (!limiter.take("a").allowed) refused++;
    }
    expect(refused).toBe(0);
    expect(limiter.take("a").allowed).toBe(false);
  });

  test("of one key is nothing to another", () => {
    const { limiter } = setUp();
    countAllowed(limiter, "a");
    expect(countAllowed(limiter, "b")).toBe(10);
  });

  test("allows what the reference allows, for every history", () => {
    fc.assert(
      fc.property(rates, steps(3), (rate, history) => {
        const { clock, limiter } = setUp(rate);
        const allowed_at = new Map<string, number[]>();
        let now_ms = 0;
        for (const { key, wait_ms } of history) {
          clock.advance(wait_ms);
          now_ms += wait_ms;
          const before = allowed_at.get(key) ?? [];
          const expected = mayTake(rate, before, now_ms);
          expect(limiter.take(key).allowed).toBe(expected);
          if (expected) allowed_at.set(key, [...before, now_ms]);
        }
      }),
      { numRuns: RUNS },
    );
  });
});

describe("the clock", () => {
  test("a step back gives nothing and the refill goes on from there", () => {
    const { clock, limiter } = setUp();
    countAllowed(limiter, "a");
    clock.advance(-3_600_000);
    expect(countAllowed(limiter, "a")).toBe(0);
    clock.advance(6000);
    expect(countAllowed(limiter, "a")).toBe(1);
    clock.advance(60_000);
    expect(countAllowed(limiter, "a")).toBe(10);
  });

  test("a step forward gives at most the capacity", () => {
    const { clock, limiter } = setUp();
    countAllowed(limiter, "a");
    clock.advance(1e12);
    expect(countAllowed(limiter, "a")).toBe(10);
    clock.advance(-1e12);
    expect(countAllowed(limiter, "a")).toBe(0);
  });

  test("may start anywhere, also below zero", () => {
    let now_ms = -5000;
    const limiter = makeLimiter({ rate: TEN_A_MINUTE, monotonic_ms: () => now_ms, buckets_max: 10 });
    expect(countAllowed(limiter, "a")).toBe(10);
    now_ms += 6000;
    expect(countAllowed(limiter, "a")).toBe(1);
  });

  test("that steps decides like one that leaves out the steps back", () => {
    const moves = fc.array(fc.integer({ min: -100_000, max: 100_000 }), { maxLength: 60 });
    fc.assert(
      fc.property(rates, moves, (rate, moves_ms) => {
        const stepping = setUp(rate);
        const smooth = setUp(rate);
        for (const move_ms of moves_ms) {
          stepping.clock.advance(move_ms);
          smooth.clock.advance(Math.max(0, move_ms));
          expect(stepping.limiter.take("a")).toEqual(smooth.limiter.take("a"));
        }
      }),
      { numRuns: RUNS },
    );
  });
});

describe("the table", () => {
  for (const buckets_max of [0, 1, 2, 5]) {
    test(`of ${buckets_max} never lets a key exceed its bound, for every history`, () => {
      fc.assert(
        fc.property(rates, steps(8), (rate, history) => {
          const { clock, limiter } = setUp(rate, buckets_max);
          const allowed_at = new Map<string, number[]>();
          let now_ms = 0;
          for (const { key, wait_ms } of history) {
            clock.advance(wait_ms);
            now_ms += wait_ms;
            const before = allowed_at.get(key) ?? [];
            if (limiter.take(key).allowed) {
              expect(mayTake(rate, before, now_ms)).toBe(true);
              allowed_at.set(key, [...before, now_ms]);
            }
            expect(limiter.size).toBeLessThanOrEqual(buckets_max);
          }
        }),
        { numRuns: RUNS },
      );
    });

    test(`of ${buckets_max} keeps its word: waiting retry_after_s is enough, reset_s makes full`, () => {
      fc.assert(
        fc.property(rates, steps(8), (rate, history) => {
          const { clock, limiter } = setUp(rate, buckets_max);
          let last = limiter.take("0");
          let key = "0";
          for (const step of history) {
            clock.advance(step.wait_ms);
            key = step.key;
            last = limiter.take(key);
          }
          expect(last.retry_after_s >= 1).toBe(!last.allowed);
          clock.advance(last.retry_after_s * 1000);
          const next = limiter.take(key);
          expect(next.allowed).toBe(last.allowed ? last.remaining > 0 : true);
          clock.advance(next.reset_s * 1000);
          expect(countAllowed(limiter, key, rate.capacity + 1)).toBe(rate.capacity);
        }),
        { numRuns: RUNS },
      );
    });
  }

  test("gives nothing back to a key when others flood it", () => {
    const { clock, limiter } = setUp(TEN_A_MINUTE, 100);
    expect(countAllowed(limiter, "attacker")).toBe(10);
    for (let other = 0; other < 5000; other++) limiter.take(`other ${other}`);
    expect(limiter.size).toBe(100);
    expect(countAllowed(limiter, "attacker")).toBe(0);
    clock.advance(6000);
    expect(countAllowed(limiter, "attacker")).toBe(1);
  });

  test("takes nothing from a key that has a bucket when others flood it", () => {
    const { limiter } = setUp(TEN_A_MINUTE, 100);
    limiter.take("early");
    for (let other = 0; other < 50_000; other++) limiter.take(`other ${other}`);
    expect(countAllowed(limiter, "early")).toBe(9);
  });

  test("when full of debts lets new keys share, and charges every one of their takes", () => {
    const { limiter } = setUp(TEN_A_MINUTE, 1);
    limiter.take("owner");
    const keys = Array.from({ length: 100_000 }, (_, index) => `new ${index}`);
    const allowed = keys.filter((key) => limiter.take(key).allowed).length;
    // 1,024 shared buckets of 10; each is used up by about a hundred keys.
    expect(allowed).toBe(10_240);
    expect(limiter.size).toBe(1);
  });

  test("starts a key that shared a bucket from the level of that bucket", () => {
    const { clock, limiter } = setUp(TEN_A_MINUTE, 1);
    limiter.take("owner");
    expect(countAllowed(limiter, "late")).toBe(10);
    clock.advance(6000);
    expect(countAllowed(limiter, "late")).toBe(1);
    // "late" has the one bucket now: the former owner is the one that shares.
    limiter.take("owner");
    expect(limiter.size).toBe(1);
    clock.advance(60_000);
    expect(countAllowed(limiter, "late")).toBe(10);
  });

  test("shares by a choice that differs between processes", () => {
    const partners = () => {
      const { limiter } = setUp({ capacity: 1, period_s: 60 }, 0);
      return Array.from({ length: 2000 }, (_, index) => limiter.take(`key ${index}`).allowed).join();
    };
    expect(partners()).not.toBe(partners());
  });

  test("drops paid debts as new keys come, also behind a key with a long one", () => {
    const { clock, limiter } = setUp(TEN_A_MINUTE, 100);
    countAllowed(limiter, "long debt");
    for (let key = 0; key < 99; key++) limiter.take(`short debt ${key}`);
    expect(limiter.size).toBe(100);
    clock.advance(6000);
    for (let key = 0; key < 26; key++) expect(limiter.take(`new ${key}`).remaining).toBe(9);
    // 27 are in debt, and some of the new ones stood in the hand's way.
    expect(limiter.size).toBeLessThan(50);
    expect(countAllowed(limiter, "long debt")).toBe(1);
  });

  test("stays small while keys come no faster than their debts are paid", () => {
    const { clock, limiter } = setUp(TEN_A_MINUTE, 1000);
    let size_max = 0;
    for (let key = 0; key < 100_000; key++) {
      clock.advance(60);
      limiter.take(`key ${key}`);
      size_max = Math.max(size_max, limiter.size);
    }
    // 100 keys are in debt at any time, and the hand comes round within as many again.
    expect(size_max).toBeLessThan(200);
  });

  test("holds a million different keys in bounded size and memory", () => {
    const { clock, limiter } = setUp(TEN_A_MINUTE, 65_536);
    Bun.gc(true);
    const before_bytes = process.memoryUsage().heapUsed;
    for (let key = 0; key < 1_000_000; key++) {
      clock.advance(0.01);
      limiter.take(`POST /auth/login 2001:db8:${key.toString(16)}::/64`);
    }
    expect(limiter.size).toBe(65_536);
    Bun.gc(true);
    expect(process.memoryUsage().heapUsed - before_bytes).toBeLessThan(32 * 1024 * 1024);
    clock.advance(60_000);
    for (let key = 0; key < 20_000; key++) limiter.take(`after ${key}`);
    expect(limiter.size).toBeLessThan(25_000);
  });
});

describe("parseRate", () => {
  test("reads a count and a period, or off", () => {
    expect(parseRate("10/m")).toEqual({ capacity: 10, period_s: 60 });
    expect(parseRate("600/m")).toEqual({ capacity: 600, period_s: 60 });
    expect(parseRate("5/s")).toEqual({ capacity: 5, period_s: 1 });
    expect(parseRate("1000/h")).toEqual({ capacity: 1000, period_s: 3600 });
    expect(parseRate("off")).toBe("off");
  });

  test("takes 1 to 1,000,000 and nothing outside", () => {
    const capacities = ["0", "1", "999999", "1000000", "1000001", "9999999", "10000000"];
    expect(capacities.map((capacity) => parseRate(`${capacity}/s`))).toEqual([
      undefined,
      { capacity: 1, period_s: 1 },
      { capacity: 999_999, period_s: 1 },
      { capacity: 1_000_000, period_s: 1 },
      undefined,
      undefined,
      undefined,
    ]);
  });

  test.each([
    ..."10 10/ /m 10/d 10/ms 10/M 10/60 10//m 10/m/s -1/m +1/m 1.5/m 1e3/m 0x10/m 010/m 1_000/m １/m OFF none".split(
      " ",
    ),
    ...["", " 10/m", "10/m ", "10 /m", "10/m\n", "off "],
  ])("refuses %j", (text) => {
    expect(parseRate(text)).toBeUndefined();
  });
});

describe("rateLimitHeaders", () => {
  test("are structured fields with the quota, what is left of it, and for how long", () => {
    const { limiter } = setUp();
    expect(rateLimitHeaders("auth", TEN_A_MINUTE, limiter.take("a"))).toEqual({
      "RateLimit-Policy": '"auth";q=10;w=60',
      RateLimit: '"auth";r=9;t=6',
    });
  });

  test("end the window with Retry-After when refused", () => {
    const { clock, limiter } = setUp();
    countAllowed(limiter, "a");
    clock.advance(2500);
    const decision = limiter.take("a");
    expect(decision.retry_after_s).toBe(4);
    expect(rateLimitHeaders("auth", TEN_A_MINUTE, decision).RateLimit).toBe('"auth";r=0;t=4');
  });
});
