import { and, eq, sql } from "drizzle-orm";
import { LIMITS } from "../../contract/limits.ts";
import { Problem } from "../../contract/problems.ts";
import type { Transaction } from "../db/database.ts";
import { entryTombstones, entryUsage } from "../db/schema.ts";

/**
 * Takes one of the account's slots. The counter's row lock puts the account's creations in a queue, so the quota holds
 * exactly under any number of them at once. Throws `entry-quota-reached`.
 */
export async function takeSlot(tx: Transaction, user_id: string, entries_max: number): Promise<void> {
  const taken = await tx
    .insert(entryUsage)
    .values({ user_id, entries: 1, tombstones: 0 })
    .onConflictDoUpdate({
      target: entryUsage.user_id,
      set: { entries: sql`${entryUsage.entries} + 1` },
      setWhere: sql`${entryUsage.entries} < ${entries_max} and ${entryUsage.tombstones} < ${LIMITS.tombstones_per_user_max}`,
    })
    .returning({ entries: entryUsage.entries });
  if (taken.length === 0) {
    throw new Problem("entry-quota-reached", { detail: `An account holds at most ${entries_max} entries` });
  }
}

/** Gives the slot of an entry back and remembers its id for good. */
export async function releaseSlot(
  tx: Transaction,
  user_id: string,
  entry_id: string,
  now: Date,
): Promise<void> {
  await tx
    .update(entryUsage)
    .set({ entries: sql`${entryUsage.entries} - 1`, tombstones: sql`${entryUsage.tombstones} + 1` })
    .where(and(eq(entryUsage.user_id, user_id), sql`${entryUsage.entries} > 0`));
  await tx.insert(entryTombstones).values({ user_id, entry_id, deleted_at: now }).onConflictDoNothing();
}

/** Throws `entry-id-taken` for the id of an entry that was deleted. */
export async function assertNeverUsed(tx: Transaction, user_id: string, entry_id: string): Promise<void> {
  const [tombstone] = await tx
    .select({ one: sql`1` })
    .from(entryTombstones)
    .where(and(eq(entryTombstones.user_id, user_id), eq(entryTombstones.entry_id, entry_id)));
  if (tombstone !== undefined) throw new Problem("entry-id-taken");
}
