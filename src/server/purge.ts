import { LIMITS } from "../contract/limits.ts";
import { purge as purgeEvents } from "./audit/audit.ts";
import { purgeLockouts } from "./auth/lockout.ts";
import { purgeSessions } from "./auth/refresh.ts";
import type { Deps } from "./deps.ts";

/** Deletes what has expired, in batches small enough that no request waits for them noticeably. */
export async function purgeExpired(deps: Deps): Promise<number> {
  const now_ms = deps.clock.now_ms();
  const purges = [
    (rows_max: number) => purgeSessions(deps.db, now_ms, rows_max),
    (rows_max: number) => purgeLockouts(deps.db, now_ms, rows_max),
    (rows_max: number) => purgeEvents(deps.db, now_ms - deps.config.audit_retention_ms, rows_max),
  ];
  let gone = 0;
  for (const purge of purges) {
    let rows: number;
    do {
      rows = await purge(LIMITS.purge_batch_rows);
      gone += rows;
      // Requests that came meanwhile go first.
      await Bun.sleep(0);
    } while (rows >= LIMITS.purge_batch_rows);
  }
  return gone;
}

/** Purges every few minutes until stopped; a failure is logged and tried again the next time. */
export function startPurging(deps: Deps): { stop(): Promise<void> } {
  let running: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    running = purgeExpired(deps).catch((error) =>
      deps.log.error({ err: error }, "expired rows could not be deleted"),
    );
  }, LIMITS.purge_interval_ms);
  timer.unref();
  return {
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
