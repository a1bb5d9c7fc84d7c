import { LIMITS } from "../../contract/limits.ts";
import { retryLater } from "../../contract/problems.ts";
import type { Database } from "../db/database.ts";
import type { Clock } from "../deps.ts";
import type { Log } from "../log.ts";
import { type AuditEvent, type AuditRow, recordBatch, toRow } from "./audit.ts";

export type AuditBuffer = ReturnType<typeof makeAuditBuffer>;

/**
 * Events of reads and of refusals, gathered and written off the request's path. What happens again within a flush
 * to the same account, session, entry and address is one line with a count, so that a flood costs one row.
 * A crash loses at most `audit_flush_ms` of them; events of changes never pass here.
 */
export function makeAuditBuffer(db: Database, clock: Clock, log: Log) {
  let pending = new Map<string, AuditRow>();
  let flushing: Promise<void> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** Notes an event. Throws `audit-unavailable` when the buffer is full: what cannot be audited is not done. */
  function note(event: AuditEvent): void {
    const key = keyOf(event);
    const known = pending.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    if (pending.size >= LIMITS.audit_buffer_events_max)
      throw retryLater("audit-unavailable", LIMITS.audit_flush_ms);
    pending.set(key, toRow(event, clock.now_ms(), 1));
    if (pending.size >= LIMITS.audit_flush_events) void flush();
    else timer ??= setTimeout(() => void flush(), LIMITS.audit_flush_ms);
  }

  /** Writes what is pending; what cannot be written is kept for the next time. Never rejects. */
  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    await flushing;
    if (pending.size === 0) return;
    flushing = writeOut().finally(() => {
      flushing = undefined;
    });
    await flushing;
  }

  async function writeOut(): Promise<void> {
    const batch = pending;
    pending = new Map();
    const rows = [...batch.values()];
    try {
      for (let start = 0; start < rows.length; start += LIMITS.audit_flush_events) {
        await recordBatch(db, rows.slice(start, start + LIMITS.audit_flush_events));
        for (const key of [...batch.keys()].slice(0, LIMITS.audit_flush_events)) batch.delete(key);
      }
    } catch (error) {
      log.error({ err: error, events: batch.size }, "audit events could not be written, trying again");
      for (const [key, row] of batch) {
        const newer = pending.get(key);
        if (newer === undefined) pending.set(key, row);
        else newer.count += row.count;
      }
      timer ??= setTimeout(() => void flush(), LIMITS.audit_flush_ms);
    }
  }

  return {
    note,
    flush,
    get size() {
      return pending.size;
    },
  };
}

/** What makes two events alike; the request's id does not. */
function keyOf({ type, reason, user_id, session_id, entry_id, name_hash, origin }: AuditEvent): string {
  const name = name_hash === undefined ? "" : name_hash.toBase64();
  return `${type} ${origin.address} ${user_id} ${session_id} ${entry_id} ${reason} ${name}`;
}
