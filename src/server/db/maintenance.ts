import type { PGlite } from "@electric-sql/pglite";

// PGlite runs PostgreSQL's single-user mode, which has no background processes: nothing writes a checkpoint
// (the log grows for ever and a restart replays all of it) and nothing vacuums. Each step here is one short
// statement, because the event loop waits while a statement runs.

export type MaintenanceIntervals = {
  look_every_ms: number;
  checkpoint_after_bytes: number;
  checkpoint_every_ms: number;
  vacuum_every_ms: number;
};

export const MAINTENANCE: MaintenanceIntervals = {
  // Ten seconds of writing as fast as this engine can is some hundred megabytes of log: what a disk can spare.
  look_every_ms: 10_000,
  // Two segments of log: a restart replays that in well under a second.
  checkpoint_after_bytes: 32 * 1024 * 1024,
  // PostgreSQL's own checkpoint_timeout: a database that hardly changes still starts without a replay.
  checkpoint_every_ms: 5 * 60_000,
  // Sessions and audit rows turn over by the hour; pages that have not changed are skipped.
  vacuum_every_ms: 60 * 60_000,
};

/** Starts the maintenance of `client`; `stop` resolves when the step under way is done and none will follow. */
export function startMaintenance(
  client: PGlite,
  on_error: (error: unknown) => void,
  intervals: MaintenanceIntervals = MAINTENANCE,
): { stop(): Promise<void> } {
  const state = { stopped: false, checkpoint_position: 0, checkpoint_at: 0, vacuum_at: performance.now() };
  let running: Promise<void> = Promise.resolve();
  let timer: Timer;
  const next = () => {
    if (state.stopped) return;
    timer = setTimeout(() => {
      running = maintain(client, state, intervals).catch(on_error).then(next);
    }, intervals.look_every_ms);
    timer.unref();
  };
  next();
  return {
    stop() {
      state.stopped = true;
      clearTimeout(timer);
      return running;
    },
  };
}

type State = { stopped: boolean; checkpoint_position: number; checkpoint_at: number; vacuum_at: number };

async function maintain(client: PGlite, state: State, intervals: MaintenanceIntervals): Promise<void> {
  const now = performance.now();
  const written = (await logPosition(client)) - state.checkpoint_position;
  const is_due = now - state.checkpoint_at >= intervals.checkpoint_every_ms;
  if (written >= intervals.checkpoint_after_bytes || (written > 0 && is_due)) {
    state.checkpoint_at = now;
    await client.exec("CHECKPOINT");
    state.checkpoint_position = await logPosition(client);
  }
  if (now - state.vacuum_at >= intervals.vacuum_every_ms) {
    state.vacuum_at = now;
    await vacuum(client, state);
  }
}

/** How many bytes of log the cluster has ever written. */
async function logPosition(client: PGlite): Promise<number> {
  const { rows } = await client.query<{ position: number }>(
    "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS position",
  );
  return rows[0]?.position ?? 0;
}

/** One statement a table, so that requests are answered in between; the way of vacuumdb. */
async function vacuum(client: PGlite, state: State): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'm') AND relpersistence <> 't'",
  );
  for (const { name } of rows) {
    if (state.stopped) return;
    await client.exec(`VACUUM (ANALYZE, SKIP_DATABASE_STATS) ${name}`);
  }
  await client.exec("VACUUM (ONLY_DATABASE_STATS)");
}
