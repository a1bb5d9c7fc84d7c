import { sql } from "drizzle-orm";
import type { Database } from "../../src/server/db/database.ts";

/**
 * All that the database holds of every table in every schema that is not the system's, column by column: as text, and where it is
 * bytes also as they are and in base64.
 */
export async function dumpTables(db: Database): Promise<Map<string, Buffer>> {
  const columns = await rowsOf(
    db,
    `select table_schema, table_name, column_name, data_type from information_schema.columns
      join information_schema.tables using (table_schema, table_name)
      where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')
      order by 1, 2, ordinal_position`,
  );
  const dump = new Map<string, Buffer>();
  for (const { table_schema, table_name, column_name, data_type } of columns) {
    const rows = await rowsOf(
      db,
      `select "${column_name}"::text as value from "${table_schema}"."${table_name}"`,
    );
    const values = rows.map(({ value }) => value ?? "");
    const bytes = data_type === "bytea" ? values.map((value) => Buffer.from(value.slice(2), "hex")) : [];
    const parts = [...values, ...bytes, ...bytes.map((each) => each.toString("base64"))];
    dump.set(
      `${table_name}.${column_name}`,
      Buffer.concat(parts.flatMap((part) => [Buffer.from(part as Buffer), Buffer.from("\n")])),
    );
  }
  return dump;
}

type Row = Record<string, string>;

/** The drivers of the two engines give their rows in two ways. */
async function rowsOf(db: Database, query: string): Promise<Row[]> {
  const result = (await db.execute(sql.raw(query))) as unknown;
  return Array.isArray(result) ? result : (result as { rows: Row[] }).rows;
}
