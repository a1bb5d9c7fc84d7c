import type { PGlite } from "@electric-sql/pglite";
import { readyCluster } from "./cluster.ts";
import { type DataDirectoryLock, heldLock } from "./data-directory.ts";
import { startEngine } from "./engine.ts";
import { startMaintenance } from "./maintenance.ts";

/** The embedded database. A second `close` is the first one's promise. */
export type EmbeddedDatabase = { client: PGlite; close(): Promise<void> };

/**
 * Opens the PostgreSQL in `data_dir`, whose lock the caller has taken; `close` releases it. A row is on disk
 * before its commit is acknowledged. `on_maintenance_error` hears of checkpoints and vacuums that failed, and of
 * the engine's death, after which the process ends: like PostgreSQL's own panic, it has no state to go on with,
 * and the next start recovers every acknowledged row. Throws an OperatorFault when the cluster was made by
 * another major version (EXIT.data) or does not start (EXIT.unavailable).
 */
export async function openEmbedded(
  data_dir: string,
  on_maintenance_error: (error: unknown) => void,
): Promise<EmbeddedDatabase> {
  const lock = heldLock(data_dir);
  const client = await startEngine(await readyCluster(lock.data_dir), (fault) => {
    on_maintenance_error(fault);
    process.exit(fault.exit_code);
  });
  const maintenance = startMaintenance(client, on_maintenance_error);
  let closing: Promise<void> | undefined;
  return {
    client,
    close() {
      closing ??= maintenance.stop().then(() => shutDown(client, lock));
      return closing;
    },
  };
}

async function shutDown(client: PGlite, lock: DataDirectoryLock): Promise<void> {
  try {
    await client.exec("CHECKPOINT");
  } finally {
    await client.close().finally(lock.release);
  }
}
