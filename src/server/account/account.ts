import { eq, sql } from "drizzle-orm";
import type { CurrentSecret } from "../../contract/auth.ts";
import { Problem } from "../../contract/problems.ts";
import * as audit from "../audit/audit.ts";
import { forgetName, proveAgain, settle } from "../auth/login.ts";
import type { Caller } from "../auth/session.ts";
import { findById, keyMaterial } from "../auth/users.ts";
import type { Transaction } from "../db/database.ts";
import { accountTombstones, entryUsage, users } from "../db/schema.ts";
import type { Deps } from "../deps.ts";

/** What the server knows of the caller's account. */
export async function show(deps: Deps, caller: Caller) {
  const user = await findById(deps.db, caller.user_id);
  if (user === undefined) throw new Problem("token-invalid");
  const [usage] = await deps.db
    .select({ entries: entryUsage.entries })
    .from(entryUsage)
    .where(eq(entryUsage.user_id, caller.user_id));
  return {
    id: user.id,
    username: user.username,
    credential: user.credential_kind,
    ...keyMaterial(user),
    entries: usage?.entries ?? 0,
    entries_max: deps.config.entries_per_user_max,
    created_at: user.created_at.toISOString(),
  };
}

/**
 * Deletes the account and everything of it. What stays is one audit line that says so, for the operator, and
 * the bare id, which must never come to mean somebody else.
 */
export async function remove(deps: Deps, caller: Caller, secret: CurrentSecret): Promise<void> {
  const user = await proveAgain(deps, caller, secret);
  const { user_id, session_id, origin } = caller;
  await deps.db.transaction(async (tx) => {
    await settle(deps, tx, user, origin);
    await forgetName(deps, tx, user.username);
    await holdCounters(tx, user_id);
    await tx.insert(accountTombstones).values({ user_id });
    // Entries, sessions, tokens, counters and tombstones go with their owner by the schema's cascades.
    await tx.delete(users).where(eq(users.id, user_id));
    await audit.forget(tx, user_id);
    await audit.record(tx, { type: "account-deleted", origin, user_id, session_id }, deps.clock.now_ms());
  });
}

/**
 * Takes the lock that creations and deletions of entries begin with, as they do, before the account's own row: the other
 * order would deadlock with them. Where there is no counter yet one is made, so that there is something to lock.
 */
async function holdCounters(tx: Transaction, user_id: string): Promise<void> {
  await tx
    .insert(entryUsage)
    .values({ user_id, entries: 0, tombstones: 0 })
    .onConflictDoUpdate({ target: entryUsage.user_id, set: { entries: sql`${entryUsage.entries}` } });
}
