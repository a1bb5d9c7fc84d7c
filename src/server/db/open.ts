import { drizzle as drizzleEmbedded } from "drizzle-orm/pglite";
import { drizzle as drizzlePostgres } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { LIMITS } from "../../contract/limits.ts";
import { EXIT, operatorFault } from "../../exit.ts";
import type { Config } from "../config.ts";
import type { Log } from "../log.ts";
import { type Database, databaseErrorCode, isDatabaseAway } from "./database.ts";
import { migrate } from "./migrate.ts";

export type OpenDatabase = {
  db: Database;
  engine: "postgresql" | "embedded";
  /** How many migrations ran while opening. */
  migrated: number;
  close(): Promise<void>;
};

/**
 * Opens the database that the configuration names and brings its schema up to date. For the embedded engine
 * the caller holds the lock of DATA_DIR. A PostgreSQL that is not up yet is waited for, `patience_ms` at most.
 */
export async function openDatabase(
  config: Config,
  log: Log,
  patience_ms: number = LIMITS.database_start_ms,
): Promise<OpenDatabase> {
  if (config.database_url === undefined) return openInDirectory(config.data_dir, log);
  const deadline = performance.now() + patience_ms;
  const migrated = await whenReachable(deadline, log, () => migratePostgres(config.database_url as string));
  const client = postgres(config.database_url, { ...POSTGRES_OPTIONS, max: config.database_pool_max });
  return {
    db: drizzlePostgres(client) as unknown as Database,
    engine: "postgresql",
    migrated,
    close: () => client.end({ timeout: 5 }),
  };
}

async function openInDirectory(data_dir: string, log: Log): Promise<OpenDatabase> {
  // Loaded only where it is used: beside a PostgreSQL the engine would cost start-up time and memory.
  const { openEmbedded } = await import("./embedded.ts");
  const embedded = await openEmbedded(data_dir, (error) =>
    log.error({ err: error }, "database maintenance failed"),
  );
  try {
    const db = drizzleEmbedded(embedded.client) as unknown as Database;
    return { db, engine: "embedded", migrated: await migrate(db), close: embedded.close };
  } catch (error) {
    await embedded.close();
    throw error;
  }
}

const POSTGRES_OPTIONS = {
  connect_timeout: LIMITS.database_connect_ms / 1000,
  // The driver's own pauses grow to 20 s: so long every request would hang, and the server be away after its database.
  backoff: () => LIMITS.database_reconnect_ms / 1000,
  // Connections are kept: opening one costs more than any of our queries.
  idle_timeout: 0,
  max_lifetime: null,
  // A notice may quote data; nothing of a database goes to the terminal unasked.
  onnotice: () => {},
  connection: {
    application_name: "blindvault",
    statement_timeout: LIMITS.database_statement_ms,
    lock_timeout: LIMITS.database_statement_ms,
    idle_in_transaction_session_timeout: LIMITS.database_statement_ms,
  },
} satisfies postgres.Options<Record<string, never>>;

async function migratePostgres(url: string): Promise<number> {
  const client = postgres(url, { ...POSTGRES_OPTIONS, max: 1 });
  try {
    return await migrate(drizzlePostgres(client) as unknown as Database);
  } finally {
    await client.end({ timeout: 5 });
  }
}

async function whenReachable<Result>(
  deadline: number,
  log: Log,
  work: () => Promise<Result>,
): Promise<Result> {
  for (let pause_ms = 100; ; pause_ms = Math.min(2 * pause_ms, 2000)) {
    try {
      return await work();
    } catch (error) {
      const code = databaseErrorCode(error);
      if (code !== undefined && /^(28|3D)/.test(code)) {
        throw operatorFault(
          EXIT.unavailable,
          `PostgreSQL refuses the login or has no such database (${code}): check DATABASE_URL`,
        );
      }
      if (!isDatabaseAway(error)) throw error;
      if (performance.now() + pause_ms > deadline) {
        throw operatorFault(
          EXIT.unavailable,
          `PostgreSQL cannot be reached (${code}): check DATABASE_URL and whether it is up`,
        );
      }
      log.warn({ code, retry_ms: pause_ms }, "the database is away, trying again");
      await Bun.sleep(pause_ms);
    }
  }
}
