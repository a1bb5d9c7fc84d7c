import { and, eq, getTableColumns, sql } from "drizzle-orm";
import type { CreateEntryRequest, ReplaceEntryRequest } from "../../contract/entries.ts";
import { Problem } from "../../contract/problems.ts";
import { record } from "../audit/audit.ts";
import type { Caller } from "../auth/session.ts";
import { prepared, type Transaction } from "../db/database.ts";
import { entries } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import { findTaken, quotaReached, releaseSlot, takeSlots } from "./usage.ts";

/** An entry as its owner sees it; whose it is need not be said. */
export type Entry = Omit<typeof entries.$inferSelect, "user_id">;

const { user_id: _, ...visible } = getTableColumns(entries);

/** The one ownership predicate: an entry is reached through its owner or not at all. */
export function owned(caller: Caller, id: string) {
  return and(eq(entries.user_id, caller.user_id), eq(entries.id, id));
}

/** Which versions a change may replace: any (undefined), or one of these. */
export type Precondition = { versions: readonly number[] } | undefined;

/**
 * Stores a new entry at version 1. Throws `entry-id-taken` or else `entry-quota-reached`: who repeats a creation whose
 * answer was lost has to learn that it was carried out, also when it took the last slot.
 */
export async function create(deps: Deps, caller: Caller, input: CreateEntryRequest): Promise<Entry> {
  const id = input.id ?? crypto.randomUUID();
  const now = new Date(deps.clock.now_ms());
  return deps.db.transaction(async (tx) => {
    const fits = await takeSlots(tx, caller.user_id, 1, deps.config.entries_per_user_max);
    const taken = await findTaken(tx, caller.user_id, [id]);
    if (taken.size > 0) throw new Problem("entry-id-taken");
    if (!fits) throw quotaReached(deps.config.entries_per_user_max);
    const [created] = await tx
      .insert(entries)
      .values(newRow(caller, id, input, now))
      .returning(visible);
    await record(tx, { type: "entry-created", ...about(caller, id) }, now.getTime());
    return created as Entry;
  });
}

/** One entry of the caller's. Throws `entry-not-found`, for somebody else's as well. */
export async function read(deps: Deps, caller: Caller, id: string): Promise<Entry> {
  const [entry] = await statements(deps.db).read.execute({ user_id: caller.user_id, id });
  if (entry === undefined) throw new Problem("entry-not-found");
  deps.audit.note({ type: "entry-read", ...about(caller, id) });
  return entry;
}

/**
 * Puts a whole new content in the place of the old one and raises the version by exactly 1. Throws
 * `entry-not-found`, or `entry-conflict` with the current ETag when the precondition does not hold.
 */
export async function replace(
  deps: Deps,
  caller: Caller,
  id: string,
  input: ReplaceEntryRequest,
  precondition: Precondition,
): Promise<Entry> {
  const now = new Date(deps.clock.now_ms());
  return deps.db.transaction(async (tx) => {
    const version = await lockVersion(tx, caller, id, precondition);
    if (input.version !== undefined && input.version !== version + 1) throw conflict(version);
    const [replaced] = await tx
      .update(entries)
      .set({ ...toColumns(input), version: version + 1, updated_at: now })
      .where(owned(caller, id))
      .returning(visible);
    await record(tx, { type: "entry-updated", ...about(caller, id) }, now.getTime());
    return replaced as Entry;
  });
}

/** Deletes an entry for good; its id is never given again. Throws as `replace` does. */
export async function remove(
  deps: Deps,
  caller: Caller,
  id: string,
  precondition: Precondition,
): Promise<void> {
  const now = new Date(deps.clock.now_ms());
  await deps.db.transaction(async (tx) => {
    // The slot's row first, as `create` does: the other order would deadlock with it.
    await releaseSlot(tx, caller.user_id, id, now);
    await lockVersion(tx, caller, id, precondition);
    await tx.delete(entries).where(owned(caller, id));
    await record(tx, { type: "entry-deleted", ...about(caller, id) }, now.getTime());
  });
}

/** The current version, with the row locked: of any number of changes at once each sees the one before it. */
async function lockVersion(
  tx: Transaction,
  caller: Caller,
  id: string,
  precondition: Precondition,
): Promise<number> {
  const [current] = await tx
    .select({ version: entries.version })
    .from(entries)
    .where(owned(caller, id))
    .for("update");
  if (current === undefined) throw new Problem("entry-not-found");
  if (precondition !== undefined && !precondition.versions.includes(current.version))
    throw conflict(current.version);
  return current.version;
}

function conflict(version: number): Problem {
  return new Problem("entry-conflict", { headers: { etag: `"${version}"` } });
}

/** An entry at version 1. */
export function newRow(caller: Caller, id: string, input: CreateEntryRequest, now: Date) {
  const { user_id } = caller;
  return { user_id, id, ...toColumns(input), version: 1, created_at: now, updated_at: now };
}

function toColumns(input: CreateEntryRequest | ReplaceEntryRequest) {
  return {
    name: input.name ?? null,
    ciphertext: Buffer.from(input.ciphertext, "base64"),
    iv: Buffer.from(input.iv, "base64"),
    tag: Buffer.from(input.tag, "base64"),
    meta: input.meta == null ? null : JSON.stringify(input.meta),
  };
}

export function about(caller: Caller, entry_id?: string) {
  const { origin, user_id, session_id } = caller;
  return { origin, user_id, session_id, ...(entry_id !== undefined && { entry_id }) };
}

const statements = prepared((db) => ({
  read: db
    .select(visible)
    .from(entries)
    .where(and(eq(entries.user_id, sql.placeholder("user_id")), eq(entries.id, sql.placeholder("id"))))
    .prepare("entry_read"),
}));
