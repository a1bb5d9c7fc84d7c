import { LIMITS } from "../../contract/limits.ts";
import { retryLater } from "../../contract/problems.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../deps.ts";
import { makeLimiter, type Rate, rateLimitHeaders } from "./limiter.ts";

/** The headers of an answer in the making. */
export type Headers = Record<string, string | number>;

/** The narrow limit of routes that take a secret and the wide one of everything; undefined where one is off. */
export type Limiters = { auth: RequestLimit | undefined; api: RequestLimit | undefined };

export type RequestLimit = {
  /** Takes a token for `key` and tells the client what is left. Throws `rate-limited` when nothing is. */
  take(key: string, headers: Headers): void;
  readonly size: number;
};

export function makeLimiters(config: Config, clock: Clock): Limiters {
  return {
    auth: makeLimit("auth", config.rate_limit_auth, clock),
    api: makeLimit("api", config.rate_limit_api, clock),
  };
}

function makeLimit(policy: string, rate: Rate | "off", clock: Clock): RequestLimit | undefined {
  if (rate === "off") return undefined;
  const limiter = makeLimiter({
    rate,
    monotonic_ms: clock.monotonic_ms,
    buckets_max: LIMITS.rate_limit_buckets_max,
  });
  return {
    take(key, headers) {
      const decision = limiter.take(key);
      Object.assign(headers, rateLimitHeaders(policy, rate, decision));
      if (!decision.allowed) throw retryLater("rate-limited", decision.retry_after_s * 1000);
    },
    get size() {
      return limiter.size;
    },
  };
}
