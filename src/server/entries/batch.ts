import { setImmediate } from "node:timers/promises";
import type { CreateEntryRequest } from "../../contract/entries.ts";
import { Problem } from "../../contract/problems.ts";
import { recordEach } from "../audit/audit.ts";
import type { Caller } from "../auth/session.ts";
import { insertAll, type Transaction } from "../db/database.ts";
import { entries } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import { about, type Entry, newRow } from "./entries.ts";
import { findTaken, quotaReached, takeSlots } from "./usage.ts";

/**
 * Stores new entries at version 1, all of them or none, in as many statements as one of them takes. They have one time of
 * creation, and among themselves the order of their ids. Throws as `create` does, naming every item whose id is taken.
 */
export async function createAll(
  deps: Deps,
  caller: Caller,
  items: readonly CreateEntryRequest[],
): Promise<Created[]> {
  const entries_max = deps.config.entries_per_user_max;
  const now = new Date(deps.clock.now_ms());
  const rows = items.map((item) => newRow(caller, item.id ?? crypto.randomUUID(), item, now));
  const ids = rows.map(({ id }) => id);
  // The embedded engine lets nothing else run from a transaction's first statement to its last: whoever waits goes first.
  await setImmediate();
  await deps.db.transaction(async (tx) => {
    const fits = await takeSlots(tx, caller.user_id, rows.length, entries_max);
    await assertFree(tx, caller.user_id, ids);
    if (!fits) throw quotaReached(entries_max);
    await insertAll(tx, entries, rows);
    await recordEach(tx, { type: "entry-created", ...about(caller) }, ids, now.getTime());
  });
  return rows;
}

export type Created = Pick<Entry, "id" | "version" | "created_at" | "updated_at">;

async function assertFree(tx: Transaction, user_id: string, ids: readonly string[]): Promise<void> {
  const taken = await findTaken(tx, user_id, ids);
  if (taken.size === 0) return;
  const paths = ids.flatMap((id, index) => (taken.has(id) ? [`body.entries.${index}.id`] : []));
  throw new Problem("entry-id-taken", {
    errors: paths.map((path) => ({ path, reason: "is taken, or was once" })),
  });
}
