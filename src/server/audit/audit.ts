import { and, desc, eq, inArray, lt, sql } from "drizzle-orm";
import type { AuditEventType } from "../../contract/audit.ts";
import { LIMITS } from "../../contract/limits.ts";
import { Problem } from "../../contract/problems.ts";
import { type Database, insertAll, type Transaction } from "../db/database.ts";
import { auditEvents, users } from "../db/schema.ts";
import type { Origin } from "../http/origin.ts";

/** What happened, and where it came from. `count`: how many alike it stands for. */
export type AuditEvent = {
  type: AuditEventType;
  origin: Origin;
  success?: boolean;
  reason?: string;
  user_id?: string;
  session_id?: string;
  entry_id?: string;
  name_hash?: Uint8Array;
};

/** Writes an event in the transaction of the change it tells of: both are kept or neither. */
export async function record(tx: Database | Transaction, event: AuditEvent, now_ms: number): Promise<void> {
  await tx
    .insert(auditEvents)
    .values(toRow(event, now_ms, 1))
    .prepare("audit_record")
    .execute();
}

/** Writes an event for each of the entries, in their order and as one statement, in the transaction of their change. */
export async function recordEach(
  tx: Transaction,
  event: AuditEvent,
  entry_ids: readonly string[],
  now_ms: number,
): Promise<void> {
  await insertAll(
    tx,
    auditEvents,
    entry_ids.map((entry_id) => toRow({ ...event, entry_id }, now_ms, 1)),
  );
}

export type AuditRow = Required<typeof auditEvents.$inferInsert>;

/** The row of an event. Ids are UUIDv7 of the event's time, so that order by id is order by time. */
export function toRow(event: AuditEvent, now_ms: number, count: number): AuditRow {
  return {
    id: Bun.randomUUIDv7("hex", now_ms),
    at: new Date(now_ms),
    type: event.type,
    success: event.success ?? true,
    reason: event.reason ?? null,
    user_id: event.user_id ?? null,
    session_id: event.session_id ?? null,
    entry_id: event.entry_id ?? null,
    name_hash: event.name_hash ?? null,
    address: event.origin.address,
    request_id: event.origin.request_id,
    count,
  };
}

/** Writes gathered events; those of accounts that are gone by now are left out, or they would outlive them. */
export async function recordBatch(db: Database, rows: AuditRow[]): Promise<void> {
  await db.transaction(async (tx) => {
    const ids = [...new Set(rows.map((row) => row.user_id).filter((id) => id != null))];
    const living =
      ids.length === 0
        ? []
        : await tx.select({ id: users.id }).from(users).where(inArray(users.id, ids)).for("key share");
    const alive = new Set(living.map((user) => user.id));
    const kept = rows.filter((row) => row.user_id == null || alive.has(row.user_id));
    if (kept.length === 0) return;
    // A batch may come a second time, when it was committed and the connection broke before the answer.
    const set = { count: sql`excluded.count` };
    await tx.insert(auditEvents).values(kept).onConflictDoUpdate({ target: auditEvents.id, set });
  });
}

/** One page of the caller's own events, newest first. */
export async function list(
  db: Database,
  user_id: string,
  page: { limit?: number | undefined; cursor?: string | undefined },
) {
  const limit = page.limit ?? LIMITS.page_events_max;
  const after = page.cursor === undefined ? undefined : openCursor(page.cursor);
  const rows = await db
    .select()
    .from(auditEvents)
    .where(and(eq(auditEvents.user_id, user_id), after === undefined ? undefined : lt(auditEvents.id, after)))
    .orderBy(desc(auditEvents.id))
    .limit(limit + 1);
  const shown = rows.slice(0, limit);
  return {
    events: shown.map((row) => ({ ...row, time: row.at.toISOString() })),
    next_cursor: rows.length > limit ? sealCursor(shown.at(-1)?.id as string) : null,
  };
}

/** Deletes everything of an account but the line that says it was deleted. */
export async function forget(tx: Transaction, user_id: string): Promise<void> {
  await tx.delete(auditEvents).where(eq(auditEvents.user_id, user_id));
}

/** Deletes events from before `before_ms`, `rows_max` at most; returns how many went. */
export async function purge(db: Database, before_ms: number, rows_max: number): Promise<number> {
  const old = db
    .select({ id: auditEvents.id })
    .from(auditEvents)
    .where(lt(auditEvents.id, smallestId(before_ms)))
    .orderBy(auditEvents.id)
    .limit(rows_max)
    .for("update", { skipLocked: true });
  const gone = await db.delete(auditEvents).where(inArray(auditEvents.id, old)).returning({ one: sql`1` });
  return gone.length;
}

/** The least UUIDv7 of a millisecond: its first 48 bits are the time (RFC 9562, section 5.7). */
function smallestId(ms: number): string {
  const hex = Math.max(0, ms).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}

/** A cursor is the id of the last event shown: it tells the caller nothing new. */
function sealCursor(id: string): string {
  return Buffer.from(id.replaceAll("-", ""), "hex").toString("base64url");
}

function openCursor(cursor: string): string {
  const bytes = Buffer.from(cursor, "base64url");
  const hex = bytes.toString("hex");
  if (bytes.length !== 16 || bytes.toString("base64url") !== cursor) {
    throw new Problem("request-invalid", {
      errors: [{ path: "query.cursor", reason: "must be a cursor of an earlier page" }],
    });
  }
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
