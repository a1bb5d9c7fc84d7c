import { sql } from "drizzle-orm";
import type { PgDatabase, PgQueryResultHKT, PgTable, PgTransaction } from "drizzle-orm/pg-core";
import type { ExtractTablesWithRelations } from "drizzle-orm/relations";

type Schema = Record<string, never>;

/** Drizzle over either engine: what the features see. */
export type Database = PgDatabase<PgQueryResultHKT, Schema, ExtractTablesWithRelations<Schema>>;
export type Transaction = PgTransaction<PgQueryResultHKT, Schema, ExtractTablesWithRelations<Schema>>;

/**
 * Statements prepared once a database. Building the SQL of a hot query costs more than the query, and a
 * name lets PostgreSQL keep its plan.
 */
export function prepared<Statements extends object>(prepare: (db: Database) => Statements) {
  const statements = new WeakMap<Database, Statements>();
  return (db: Database): Statements => {
    const known = statements.get(db);
    if (known !== undefined) return known;
    const made = prepare(db);
    statements.set(db, made);
    return made;
  };
}

/**
 * Inserts whole rows, every column of them named as in the database, as one statement with one parameter. A parameter
 * a value would cost several times as much, most of all in the embedded engine, which lets nothing else run meanwhile.
 */
export async function insertAll<Table extends PgTable>(
  tx: Transaction,
  table: Table,
  rows: readonly Required<Table["$inferInsert"]>[],
): Promise<void> {
  const json = JSON.stringify(rows.map((row) => Object.fromEntries(Object.entries(row).map(toText))));
  await tx.execute(
    sql`insert into ${table} select * from json_populate_recordset(null::${table}, ${json}::json)`,
  );
}

/** JSON has no bytes: PostgreSQL reads them in its hex format. */
function toText([column, value]: [string, unknown]): [string, unknown] {
  return [column, value instanceof Uint8Array ? `\\x${value.toHex()}` : value];
}

/** The SQLSTATE or driver code at the root of a failed query; Drizzle wraps the driver's error as its cause. */
export function databaseErrorCode(error: unknown): string | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    if ("code" in cause && typeof cause.code === "string") return cause.code;
  }
  return undefined;
}

/** Whether a failed query means that the database cannot answer now, and not that the query is wrong. */
export function isDatabaseAway(error: unknown): boolean {
  const code = databaseErrorCode(error);
  return code !== undefined && (AWAY.has(code) || /^(08|28|3D|53|57P)/.test(code));
}

/**
 * Classes of PostgreSQL that let nobody connect (08, 28, 3D, 53, 57P) aside: a database closed for maintenance, a
 * statement or lock that took too long, a conflict, and the drivers' own words.
 */
const AWAY = new Set([
  "55000",
  "57014",
  "55P03",
  "40001",
  "40P01",
  "25006",
  "CONNECT_TIMEOUT",
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
]);

export const UNIQUE_VIOLATION = "23505";
export const FOREIGN_KEY_VIOLATION = "23503";
