import { sql } from "drizzle-orm";
import { bigint, pgSchema, serial, text } from "drizzle-orm/pg-core";
import { EXIT, operatorFault } from "../../exit.ts";
import type { Database, Transaction } from "./database.ts";
import { embeddedMigrations } from "./migrations.ts" with { type: "macro" };
import type { Migration } from "./migrations.ts";

/** The journal has Drizzle's own name and shape, so that its tools understand a database of ours. */
const journal = pgSchema("drizzle").table("__drizzle_migrations", {
  id: serial("id").primaryKey(),
  hash: text("hash").notNull(),
  created_at: bigint("created_at", { mode: "number" }),
});

/** Arbitrary, but ours: "blindva" in ASCII. */
const ADVISORY_LOCK = 0x626c696e647661n;

const MIGRATIONS: Migration[] = embeddedMigrations();

/**
 * Brings the schema up to date and returns how many migrations ran. Each runs in a transaction of its own that
 * first takes the advisory lock and reads the journal again: of servers that start at the same time one applies it, the
 * others wait and find it done, and a connection that breaks takes its lock with it.
 *
 * Throws an operator's fault when the database was made by a newer version than this one.
 */
export async function migrate(db: Database, migrations: readonly Migration[] = MIGRATIONS): Promise<number> {
  await locked(db, createJournal);
  let applied = 0;
  for (const [index, migration] of migrations.entries()) {
    if (await locked(db, (tx) => apply(tx, migrations, index, migration))) applied++;
  }
  return applied;
}

async function locked<Result>(db: Database, work: (tx: Transaction) => Promise<Result>): Promise<Result> {
  return db.transaction(async (tx) => {
    // A migration may take longer than a request ever should, and so may waiting for another server's.
    await tx.execute(sql.raw("set local statement_timeout = 0"));
    await tx.execute(sql.raw("set local lock_timeout = 0"));
    await tx.execute(sql.raw(`select pg_advisory_xact_lock(${ADVISORY_LOCK})`));
    return work(tx);
  });
}

async function createJournal(tx: Transaction): Promise<void> {
  // Not "if not exists": that asks for the right to create even where there is nothing to be made.
  const [journals] = await tx
    .select({ count: sql<number>`count(*)::int` })
    .from(sql`pg_class`)
    .where(sql`oid = to_regclass('drizzle.__drizzle_migrations')`);
  if (journals?.count === 1) return;
  await tx.execute(sql.raw(`create schema if not exists drizzle`));
  await tx.execute(
    sql.raw(
      "create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint)",
    ),
  );
}

async function apply(
  tx: Transaction,
  migrations: readonly Migration[],
  index: number,
  migration: Migration,
): Promise<boolean> {
  const done = await tx.select().from(journal).orderBy(journal.created_at);
  refuseUnknown(done, migrations);
  if (done.length > index) return false;
  for (const statement of migration.statements) await tx.execute(sql.raw(statement));
  await tx.insert(journal).values({ hash: migration.hash, created_at: migration.created_ms });
  return true;
}

function refuseUnknown(done: { hash: string }[], migrations: readonly Migration[]): void {
  const unknown = done.findIndex((row, index) => row.hash !== migrations[index]?.hash);
  if (unknown === -1) return;
  throw operatorFault(
    EXIT.data,
    unknown >= migrations.length
      ? `The database was made by a newer version of blindvault (it has ${done.length} migrations, this version knows ${migrations.length}): start that version, or restore a backup from before the upgrade`
      : `Migration ${unknown + 1} of the database is not the one that this version of blindvault knows: it belongs to another program or to another build`,
  );
}
