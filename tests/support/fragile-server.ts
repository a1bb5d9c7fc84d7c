import { eq, getTableName, inArray, type SQL } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import { loadConfig } from "../../src/server/config.ts";
import { lockDataDirectory } from "../../src/server/db/data-directory.ts";
import type { Database } from "../../src/server/db/database.ts";
import { openDatabase } from "../../src/server/db/open.ts";
import * as schema from "../../src/server/db/schema.ts";
import type { Environment } from "../../src/server/settings.ts";
import { type Faults, withFaults } from "./faults.ts";
import { privateEnvironment } from "./private-server.ts";
import { type Engine, makeTestLog, startServerOn, type TestServer } from "./server.ts";

/** A server on a database that is not shared with other tests: they may break it and look at whole tables. */
export type FragileServer = TestServer & {
  faults: Faults;
  /** The database without the faults. */
  direct: Database;
};

type Opened = { environment: Environment; direct: Database; db: Database; faults: Faults };
const opened = new Map<Engine, Promise<Opened>>();

/** One database an engine serves all of these servers, one after the other: to make one takes seconds. */
export async function startFragileServer(engine: Engine, settings: Environment = {}): Promise<FragileServer> {
  const known = opened.get(engine) ?? open(engine);
  opened.set(engine, known);
  const { environment, db, direct, faults } = await known;
  faults.clear();
  const server = startServerOn(db, loadConfig({ ...environment, ...settings }));
  return { ...server, faults, direct };
}

async function open(engine: Engine): Promise<Opened> {
  const environment = await privateEnvironment(engine);
  const config = loadConfig(environment);
  if (engine === "embedded") lockDataDirectory(config.data_dir);
  const database = await openDatabase(config, makeTestLog().log);
  return { environment, direct: database.db, ...withFaults(database) };
}

/** All that the database holds of an account, table by table, in the order of its first columns. */
export async function accountRows(db: Database, user_id: string): Promise<Record<string, unknown[]>> {
  const sessions_of = db
    .select({ id: schema.sessions.id })
    .from(schema.sessions)
    .where(eq(schema.sessions.user_id, user_id));
  const wheres: [PgTable, SQL][] = [
    [schema.users, eq(schema.users.id, user_id)],
    [schema.accountTombstones, eq(schema.accountTombstones.user_id, user_id)],
    [schema.sessions, eq(schema.sessions.user_id, user_id)],
    [schema.refreshTokens, inArray(schema.refreshTokens.session_id, sessions_of)],
    [schema.entries, eq(schema.entries.user_id, user_id)],
    [schema.entryTombstones, eq(schema.entryTombstones.user_id, user_id)],
    [schema.entryUsage, eq(schema.entryUsage.user_id, user_id)],
    [schema.auditEvents, eq(schema.auditEvents.user_id, user_id)],
  ];
  const rows: Record<string, unknown[]> = {};
  for (const [table, where] of wheres) {
    const found = await db.select().from(table).where(where);
    rows[getTableName(table)] = found.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  return rows;
}
