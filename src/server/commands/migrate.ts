import { loadConfig, withConfigFile } from "../config.ts";
import { lockDataDirectory } from "../db/data-directory.ts";
import { openDatabase } from "../db/open.ts";
import { makeLog } from "../log.ts";
import type { Environment } from "../settings.ts";

/** `blindvault migrate`: brings the schema up to date without serving, for those who roll out in steps. */
export async function migrate(environment: Environment, options: { config?: string }): Promise<string> {
  const config = loadConfig(withConfigFile(environment, options.config));
  process.umask(0o077);
  const lock = config.database_url === undefined ? lockDataDirectory(config.data_dir) : undefined;
  try {
    const database = await openDatabase(config, makeLog("warn"));
    await database.close();
    return database.migrated === 0
      ? "The schema is up to date."
      : `Migrations applied: ${database.migrated}.`;
  } finally {
    lock?.release();
  }
}
