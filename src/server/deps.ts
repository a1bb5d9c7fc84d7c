import type { AuditBuffer } from "./audit/buffer.ts";
import type { Credentials } from "./auth/credentials.ts";
import type { Hashing } from "./auth/hashing.ts";
import type { SessionLookup } from "./auth/living.ts";
import type { Secrets } from "./auth/secrets.ts";
import type { Tokens } from "./auth/tokens.ts";
import type { Config } from "./config.ts";
import type { Database } from "./db/database.ts";
import type { Limiters } from "./http/limits.ts";
import type { Log } from "./log.ts";

/** Time as it is told to people and databases, and time that only ever goes forward. Both in milliseconds. */
export type Clock = { now_ms: () => number; monotonic_ms: () => number };

export const systemClock: Clock = { now_ms: () => Date.now(), monotonic_ms: () => performance.now() };

/** Where the server is in its life; /ready tells it. */
export type Lifecycle = { state: "starting" | "ready" | "draining" };

/** All that a feature is given. Made once in `start.ts`, passed on explicitly. */
export type Deps = {
  db: Database;
  config: Config;
  clock: Clock;
  log: Log;
  secrets: Secrets;
  limiters: Limiters;
  tokens: Tokens;
  isLiving: SessionLookup;
  hashing: Hashing;
  credentials: Credentials;
  audit: AuditBuffer;
};
