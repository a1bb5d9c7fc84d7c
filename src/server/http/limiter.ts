/**
 * The rate limiter of this process: one token bucket a key, in bounded memory. Its rules:
 *
 * 1. For every key, never more than capacity + rate x time is allowed in any window. Levels are whole numbers
 *    (a token is `period_us` units and each microsecond pays `capacity` of them back), so nothing drifts.
 * 2. A full bucket holds no information. A hand walks round the table, a few buckets for each new key, and
 *    drops the full ones: work per take is constant, and what a flood left behind goes with the next keys.
 * 3. A bucket in debt is never dropped, so no flood of other keys gives anybody capacity back. While the table
 *    is full of them, new keys share a fixed number of buckets, and a key that gets a bucket of its own later
 *    starts from the level of the one it shared: that debt is at least its own, so rule 1 holds throughout.
 */

/** `capacity` tokens at most, refilled evenly over `period_s`; both whole, within the bounds of `parseRate`. */
export type Rate = { capacity: number; period_s: number };

export type Decision = {
  allowed: boolean;
  limit: number;
  /** Whole tokens left. */
  remaining: number;
  /** At least 1 when refused, else 0. Waiting so long is enough while nobody else spends the same bucket. */
  retry_after_s: number;
  /** Seconds until there is one whole token more than `remaining`. */
  next_token_s: number;
  /** Seconds until the bucket is full again. */
  reset_s: number;
};

export type Limiter = {
  take(key: string): Decision;
  /** Buckets that belong to one key; never more than `buckets_max`. */
  readonly size: number;
};

export type LimiterOptions = { rate: Rate; monotonic_ms: () => number; buckets_max: number };

type Bucket = { debt: number; at_us: number };

/** Enough that a stranger seldom shares with an attacker, few enough to cost nothing (64 KiB). */
const SHARED_BUCKETS = 1024;
/** More than one, or a table full of paid debts would never shrink under a stream of new keys. */
const BUCKETS_SWEPT_PER_NEW_KEY = 4;
const SECOND_US = 1_000_000;

/** Makes a limiter. Keys are kept as they are: the caller bounds their length. */
export function makeLimiter({ rate, monotonic_ms, buckets_max }: LimiterOptions): Limiter {
  const elapsed_us = makeSteadyClock(monotonic_ms);
  const own = new Map<string, Bucket>();
  const shared = Array.from({ length: SHARED_BUCKETS }, (): Bucket => ({ debt: 0, at_us: 0 }));
  const sharedBy = makeSeededChoice(shared);
  const sweep = makeHand(own, rate);

  function admit(key: string, now_us: number): Bucket {
    sweep(now_us);
    const common = sharedBy(key);
    if (own.size >= buckets_max) return common;
    const bucket = { ...common };
    own.set(key, bucket);
    return bucket;
  }

  return {
    take(key) {
      const now_us = elapsed_us();
      return spend(own.get(key) ?? admit(key, now_us), rate, now_us);
    },
    get size() {
      return own.size;
    },
  };
}

/**
 * Microseconds that never go back: a clock that steps back gives nothing and goes on from there at once, where
 * a plain maximum would stand still until the old reading is reached again.
 */
function makeSteadyClock(monotonic_ms: () => number): () => number {
  let last_ms = monotonic_ms();
  let offset_ms = -last_ms;
  let now_us = 0;
  return () => {
    const reading_ms = monotonic_ms();
    offset_ms += Math.max(0, last_ms - reading_ms);
    last_ms = reading_ms;
    now_us = Math.max(now_us, Math.floor((reading_ms + offset_ms) * 1000));
    return now_us;
  };
}

/** The seed is random for each limiter, so nobody can work out beforehand who shares with whom. */
function makeSeededChoice<T>(choices: readonly T[]): (key: string) => T {
  const [seed] = crypto.getRandomValues(new BigUint64Array(1));
  const count = BigInt(choices.length);
  return (key) => choices[Number(Bun.hash.wyhash(key, seed) % count)] as T;
}

/**
 * One iterator lives on between calls. A new one for each call would start at the head of the Map, where it
 * has to step over every deleted slot; and waiting for the oldest bucket to be full would let a single key
 * with a long debt keep thousands of full ones behind it.
 */
function makeHand(own: Map<string, Bucket>, rate: Rate): (now_us: number) => void {
  let hand = own.entries();
  return (now_us) => {
    for (let looked = 0; looked < BUCKETS_SWEPT_PER_NEW_KEY; looked++) {
      const step = hand.next();
      if (step.done) {
        hand = own.entries();
        return;
      }
      const [key, bucket] = step.value;
      if (debtAt(bucket, rate, now_us) === 0) own.delete(key);
    }
  };
}

/** After centuries the product is no longer exact, but then it is larger than any debt. */
function debtAt(bucket: Bucket, rate: Rate, now_us: number): number {
  return Math.max(0, bucket.debt - (now_us - bucket.at_us) * rate.capacity);
}

function spend(bucket: Bucket, rate: Rate, now_us: number): Decision {
  const token = rate.period_s * SECOND_US;
  const debt_max = rate.capacity * token;
  const paid_per_second = rate.capacity * SECOND_US;

  const owed = debtAt(bucket, rate, now_us);
  const allowed = owed + token <= debt_max;
  bucket.debt = allowed ? owed + token : owed;
  bucket.at_us = now_us;

  const free = debt_max - bucket.debt;
  const next_token_s = Math.ceil((token - (free % token)) / paid_per_second);
  return {
    allowed,
    limit: rate.capacity,
    remaining: Math.floor(free / token),
    retry_after_s: allowed ? 0 : next_token_s,
    next_token_s,
    reset_s: Math.ceil(bucket.debt / paid_per_second),
  };
}

const PERIOD_S = { s: 1, m: 60, h: 3600 } as const;
const CAPACITY_MAX = 1_000_000;

/** Reads "10/m", "5/s", "1000/h" or "off"; undefined when it is none of these or not 1 to 1,000,000. */
export function parseRate(text: string): Rate | "off" | undefined {
  if (text === "off") return "off";
  const [, digits, unit] = /^([1-9][0-9]{0,6})\/([smh])$/.exec(text) ?? [];
  const capacity = Number(digits);
  if (unit === undefined || capacity > CAPACITY_MAX) return undefined;
  return { capacity, period_s: PERIOD_S[unit as keyof typeof PERIOD_S] };
}

/**
 * The fields of draft-ietf-httpapi-ratelimit-headers-11. `t` is the time in which no more than `r` can be used
 * (section 4.1.2), so it ends with the next token, and when refused together with Retry-After (section 6).
 * `policy_name` is printable ASCII without quotation marks and backslashes (RFC 9651, section 3.3.3).
 */
export function rateLimitHeaders(
  policy_name: string,
  rate: Rate,
  decision: Decision,
): { "RateLimit-Policy": string; RateLimit: string } {
  return {
    "RateLimit-Policy": `"${policy_name}";q=${rate.capacity};w=${rate.period_s}`,
    RateLimit: `"${policy_name}";r=${decision.remaining};t=${decision.next_token_s}`,
  };
}
