import { Elysia } from "elysia";
import { healthResponse, readyResponse } from "../../contract/health.ts";
import { LIMITS } from "../../contract/limits.ts";
import { retryLater } from "../../contract/problems.ts";
import { withinTime } from "../deadline.ts";
import type { Clock, Lifecycle } from "../deps.ts";

/**
 * /health says that the process answers and touches nothing; /ready whether work should be sent here. The
 * database is asked once a second at the most, so that nobody can keep it busy this way.
 */
export function healthRoutes(clock: Clock, lifecycle: Lifecycle, ping: () => Promise<void>) {
  const reachable = remembered(clock, () => answersInTime(ping));
  return new Elysia({ name: "health" })
    .get("/health", () => ({ status: "ok" as const, timestamp: timestamp(clock) }), {
      response: healthResponse,
    })
    .get(
      "/ready",
      async () => {
        if (lifecycle.state !== "ready") throw retryLater("not-ready", LIMITS.retry_after_s * 1000);
        if (!(await reachable())) throw retryLater("database-unavailable", LIMITS.retry_after_s * 1000);
        return { status: "ready" as const, timestamp: timestamp(clock) };
      },
      { response: readyResponse },
    );
}

function timestamp(clock: Clock): string {
  return new Date(clock.now_ms()).toISOString();
}

function remembered(clock: Clock, ask: () => Promise<boolean>): () => Promise<boolean> {
  let asked_ms = Number.NEGATIVE_INFINITY;
  let answer: Promise<boolean> = Promise.resolve(false);
  return () => {
    const now_ms = clock.monotonic_ms();
    if (now_ms - asked_ms >= LIMITS.readiness_cache_ms) {
      asked_ms = now_ms;
      answer = ask();
    }
    return answer;
  };
}

function answersInTime(ping: () => Promise<void>): Promise<boolean> {
  return withinTime(ping(), LIMITS.readiness_ms, () => new Error("no answer in time")).then(
    () => true,
    () => false,
  );
}
