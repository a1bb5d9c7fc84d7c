import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { generateDrizzleJson, generateMigration } from "drizzle-kit/api";
import { is, sql } from "drizzle-orm";
import { getTableConfig, PgDialect, PgTable } from "drizzle-orm/pg-core";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { EXIT } from "../../src/exit.ts";
import { loadConfig } from "../../src/server/config.ts";
import type { Database } from "../../src/server/db/database.ts";
import { migrate } from "../../src/server/db/migrate.ts";
import { embeddedMigrations, type Migration } from "../../src/server/db/migrations.ts";
import { openDatabase } from "../../src/server/db/open.ts";
import * as schema from "../../src/server/db/schema.ts";
import { randomHex } from "../support/client.ts";
import { startFragileServer } from "../support/fragile-server.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { ENGINES, type Engine, JWT_SECRET, makeTestLog } from "../support/server.ts";

const FOLDER = resolve(import.meta.dir, "../../drizzle");
const known = embeddedMigrations();
const migration = (name: string, ...statements: string[]): Migration => ({
  hash: name,
  created_ms: 1,
  statements,
});

/** A database of either engine in which nothing of ours is yet, or, where making one is dear, everything. */
async function someDatabase(engine: Engine): Promise<{ db: Database; close(): Promise<void> }> {
  if (engine === "embedded") {
    const server = await startFragileServer("embedded");
    return { db: server.direct, close: server.stop };
  }
  const client = postgres((await createTestDatabase()).url, { max: 2, onnotice: () => {} });
  return { db: drizzle(client) as unknown as Database, close: () => client.end() };
}

/** Every table, column and migration that is there. */
async function contents(db: Database): Promise<string> {
  const result =
    await db.execute(sql`select table_schema, table_name, column_name from information_schema.columns
    where table_schema in ('public', 'drizzle') order by 1, 2, 3`);
  return JSON.stringify([result, await journal(db).catch(() => "none")]);
}

async function journal(db: Database): Promise<string[]> {
  const result = await db.execute(sql`select hash from drizzle.__drizzle_migrations order by id`);
  const rows = (Array.isArray(result) ? result : (result as { rows: unknown[] }).rows) as { hash: string }[];
  return rows.map(({ hash }) => hash);
}

async function faultOf(work: Promise<unknown>) {
  const fault = await work.then(
    () => undefined,
    (error: Error & { exit_code?: number }) => error,
  );
  return { exit_code: fault?.exit_code, message: fault?.message ?? "" };
}

for (const engine of ENGINES) {
  describe(`migrations on ${engine}`, () => {
    let db: Database;
    let close: () => Promise<void>;
    beforeAll(async () => {
      ({ db, close } = await someDatabase(engine));
      await migrate(db);
    });
    afterAll(() => close());

    test("run once each, in their order", async () => {
      expect(await journal(db)).toEqual(known.map(({ hash }) => hash));
      const before = await contents(db);
      expect(await migrate(db)).toBe(0);
      expect(await contents(db)).toBe(before);
    });

    test("refuse a database that a newer version made, and change nothing of it", async () => {
      const before = await contents(db);
      for (const older of [known.slice(0, -1), known.slice(0, 1)]) {
        const { exit_code, message } = await faultOf(migrate(db, older));
        expect(exit_code).toBe(EXIT.data);
        expect(message).toStartWith("The database was made by a newer version of blindvault");
        expect(message).toContain(`it has ${known.length} migrations, this version knows ${older.length}`);
      }
      expect(await contents(db)).toBe(before);
    });

    test("refuse a database whose migrations are not ours, and change nothing of it", async () => {
      const before = await contents(db);
      for (const foreign of [0, known.length - 1]) {
        const others = known.map((ours, index) => (index === foreign ? { ...ours, hash: "another" } : ours));
        const { exit_code, message } = await faultOf(
          migrate(db, [...others, migration("more", "create table more()")]),
        );
        expect(exit_code).toBe(EXIT.data);
        expect(message).toStartWith(`Migration ${foreign + 1} of the database is not the one`);
      }
      expect(await contents(db)).toBe(before);
    });

    test("that fail leave nothing of themselves", async () => {
      const before = await contents(db);
      const failing = migration("failing", "create table half (id int)", "alter table half add id int");
      await expect(migrate(db, [...known, failing])).rejects.toThrow();
      expect(await contents(db)).toBe(before);
    });
  });
}

describe("migrations of a PostgreSQL", () => {
  const open = async (url: string) => {
    const database = await openDatabase(loadConfig({ DATABASE_URL: url, JWT_SECRET }), makeTestLog().log);
    await database.close();
    return database.migrated;
  };
  const connection = (url: string) => {
    const client = postgres(url, { max: 1, onnotice: () => {} });
    return { client, db: drizzle(client) as unknown as Database };
  };

  test("an empty database gets all of them, one that has them none", async () => {
    const { url } = await createTestDatabase();
    expect(await open(url)).toBe(known.length);
    expect(await open(url)).toBe(0);
  });

  test("need no right to create where there is nothing to be made", async () => {
    const { url } = await createTestDatabase();
    await open(url);
    const { client } = connection(url);
    const [role, password] = [`least_${randomHex(8)}`, randomHex(16)];
    await client.unsafe(`create role ${role} login password '${password}'`);
    await client.unsafe(`grant usage on schema public, drizzle to ${role}`);
    await client.unsafe(`grant select on all tables in schema drizzle to ${role}`);
    await client.unsafe(`grant select, insert, update, delete on all tables in schema public to ${role}`);
    const least = new URL(url);
    [least.username, least.password] = [role, password];
    expect(await open(least.href)).toBe(0);
    await client.unsafe(`drop owned by ${role}`);
    await client.unsafe(`drop role ${role}`);
    await client.end();
  });

  test.each([2, 4])("%d servers that start at once run each of them once", async (servers) => {
    const { url } = await createTestDatabase();
    const ran = await Promise.all(Array.from({ length: servers }, () => open(url)));
    expect(ran.reduce((sum, count) => sum + count)).toBe(known.length);
    const { client, db } = connection(url);
    expect(await journal(db)).toEqual(known.map(({ hash }) => hash));
    expect((await client`select name from server_keys`).length).toBe(1);
    await client.end();
  });

  test("of several the ones before a failing one stay, and it runs when it is mended", async () => {
    const { client, db } = connection((await createTestDatabase()).url);
    const [first, third] = [migration("1", "create table one ()"), migration("3", "create table three ()")];
    const failing = migration("2", "create table two ()", "select 1 / 0");
    await expect(migrate(db, [first, failing, third])).rejects.toThrow();
    expect(await journal(db)).toEqual(["1"]);
    const tables = () =>
      client`select table_name from information_schema.tables where table_schema = 'public'`;
    expect(await tables().then((rows) => rows.map((row) => row.table_name))).toEqual(["one"]);
    expect(await migrate(db, [first, migration("2", "create table two ()"), third])).toBe(2);
    expect(await journal(db)).toEqual(["1", "2", "3"]);
    await client.end();
  });

  test("a connection that breaks in the middle leaves nothing and no lock behind", async () => {
    const { url } = await createTestDatabase();
    const [broken, next] = [connection(url), connection(url)];
    const first = migration("1", "create table one ()");
    const slow = [first, migration("2", "create table two ()", "select pg_sleep(60)")];
    const migrating = migrate(broken.db, slow).then(
      () => "done",
      () => "failed",
    );
    const { client } = next;
    const sleeping = () => client`select pid from pg_stat_activity where query = 'select pg_sleep(60)'
      and datname = current_database()`;
    while ((await sleeping()).length === 0) await Bun.sleep(5);
    // Another server waits for the lock meanwhile, and takes over.
    const waiting = migrate(next.db, [first, migration("2", "create table two ()")]);
    const killer = postgres(url, { max: 1 });
    await killer`select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(60)'`;
    expect(await migrating).toBe("failed");
    expect(await waiting).toBe(1);
    expect(await journal(next.db)).toEqual(["1", "2"]);
    // The driver would wait for the answer to a query that died with its connection.
    await Promise.all([client.end(), killer.end(), broken.client.end({ timeout: 0 })]);
  });

  test("make exactly the tables, columns, constraints and indexes that schema.ts names", async () => {
    const { url } = await createTestDatabase();
    await open(url);
    const { client } = connection(url);
    const dialect = new PgDialect();
    for (const table of Object.values(schema).filter((value) => is(value, PgTable))) {
      const { name, columns, checks, indexes, foreignKeys } = getTableConfig(table);
      const found =
        await client`select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required
        from pg_attribute where attrelid = ${name}::regclass and attnum > 0 order by attnum`;
      expect(found.map((column) => ({ ...column }))).toEqual(
        columns.map((column) => ({
          name: column.name,
          type: column.getSQLType().replace("timestamp (3)", "timestamp(3)"),
          required: column.notNull,
        })),
      );
      const constraints = await client`select conname, contype, confdeltype from pg_constraint
        where conrelid = ${name}::regclass and contype in ('c', 'f')`;
      const named = (type: string) => constraints.filter((row) => row.contype === type);
      expect(
        named("c")
          .map((row) => row.conname)
          .sort(),
      ).toEqual(checks.map((check) => check.name).sort());
      expect(named("f").map((row) => row.confdeltype)).toEqual(foreignKeys.map(() => "c"));
      const made = await client`select indexrelid::regclass::text as name from pg_index
        where indrelid = ${name}::regclass and not indisprimary`;
      expect(made.map((row) => row.name).sort()).toEqual(
        indexes.map((index) => index.config.name ?? "").sort(),
      );
      expect(checks.every((check) => dialect.sqlToQuery(check.value).params.length === 0)).toBe(true);
    }
    await client.end();
  });
});

describe("the folder of migrations", () => {
  test("has nothing left to generate: the last snapshot is schema.ts", async () => {
    const snapshots = readdirSync(join(FOLDER, "meta")).filter((file) => file.endsWith("_snapshot.json"));
    const last = JSON.parse(readFileSync(join(FOLDER, "meta", snapshots.sort().at(-1) ?? ""), "utf8"));
    expect(await generateMigration(last, generateDrizzleJson({ ...schema }, last.id))).toEqual([]);
  });

  test("would have something to generate were a column added", async () => {
    const { pgTable, text } = await import("drizzle-orm/pg-core");
    const empty = generateDrizzleJson({});
    const more = generateDrizzleJson({ more: pgTable("more", { more: text("more") }) }, empty.id);
    expect((await generateMigration(empty, more)).join()).toContain('CREATE TABLE "more"');
  });

  test("has one snapshot and one file for each entry of the journal, in ascending order", () => {
    const { entries } = JSON.parse(readFileSync(join(FOLDER, "meta/_journal.json"), "utf8"));
    const tags: string[] = entries.map((entry: { tag: string }) => entry.tag);
    expect(
      readdirSync(FOLDER)
        .filter((file) => file.endsWith(".sql"))
        .sort(),
    ).toEqual(tags.map((tag) => `${tag}.sql`));
    expect(known.map(({ created_ms }) => created_ms)).toEqual(
      entries.map((entry: { when: number }) => entry.when),
    );
    expect(known.map(({ created_ms }) => created_ms)).toEqual(
      known.map(({ created_ms }) => created_ms).sort(),
    );
    expect(new Set(known.map(({ hash }) => hash)).size).toBe(known.length);
  });
});
