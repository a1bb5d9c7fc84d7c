import { and, eq, inArray, sql } from "drizzle-orm";
import { LIMITS } from "../../contract/limits.ts";
import { Problem } from "../../contract/problems.ts";
import type { Transaction } from "../db/database.ts";
import { entries, entryTombstones, entryUsage } from "../db/schema.ts";

/**
 * Takes slots of the account, all of them or none, and says whether they were there. The counter's row lock puts the
 * account's creations in a queue, whatever the answer: so the quota holds exactly under any number of them at once, and an
 * id that nobody has stays free until the transaction ends.
 */
export async function takeSlots(
  tx: Transaction,
  user_id: string,
  slots: number,
  entries_max: number,
): Promise<boolean> {
  // The first entries of an account meet no row that could be compared.
  const taking = slots <= entries_max ? slots : 0;
  const taken = await tx
    .insert(entryUsage)
    .values({ user_id, entries: taking, tombstones: 0 })
    .onConflictDoUpdate({
      target: entryUsage.user_id,
      set: { entries: sql`${entryUsage.entries} + ${taking}` },
      setWhere: sql`${entryUsage.entries} + ${slots} <= ${entries_max} and ${entryUsage.tombstones} < ${LIMITS.tombstones_per_user_max}`,
    })
    .returning({ entries: entryUsage.entries });
  return taken.length > 0 && taking === slots;
}

export function quotaReached(entries_max: number): Problem {
  return new Problem("entry-quota-reached", { detail: `An account holds at most ${entries_max} entries` });
}

/** Those of the ids that an entry of the account has or once had. */
export async function findTaken(
  tx: Transaction,
  user_id: string,
  ids: readonly string[],
): Promise<Set<string>> {
  const held = tx
    .select({ id: entries.id })
    .from(entries)
    .where(and(eq(entries.user_id, user_id), inArray(entries.id, [...ids])));
  const buried = tx
    .select({ id: entryTombstones.entry_id })
    .from(entryTombstones)
    .where(and(eq(entryTombstones.user_id, user_id), inArray(entryTombstones.entry_id, [...ids])));
  return new Set((await held.unionAll(buried)).map(({ id }) => id));
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
