import { join } from "node:path";
import { readMigrationFiles } from "drizzle-orm/migrator";

/** One migration as it is embedded: `hash` is the SHA-256 of its file, `created_ms` its place in the order. */
export type Migration = { hash: string; created_ms: number; statements: string[] };

/**
 * The migrations of drizzle/, in order. To be imported `with { type: "macro" }`: it runs while the bundle is
 * made and leaves its result in it, since a compiled binary has no folder to read.
 */
export function embeddedMigrations(): Migration[] {
  return readMigrationFiles({ migrationsFolder: join(import.meta.dir, "../../../drizzle") }).map((file) => ({
    hash: file.hash,
    created_ms: file.folderMillis,
    statements: file.sql,
  }));
}
