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
  let writing = new Map<string, AuditRow>();
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
    if (pending.size + writing.size >= LIMITS.audit_buffer_events_max)
      throw retryLater("audit-unavailable", LIMITS.audit_flush_ms);
    pending.set(key, toRow(event, clock.now_ms(), 1));
    // Only as the number is reached: beyond it a write is under way, or has failed and waits for its time.
    if (pending.size === LIMITS.audit_flush_events) void flush();
    else timer ??= setTimeout(() => void flush(), LIMITS.audit_flush_ms);
  }

  /** Writes what is pending, what others have begun to write included; what cannot be written is kept. Never rejects. */
  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    // Asked again after each wait: somebody else who waited may have begun the next write.
    while (flushing !== undefined) await flushing;
    if (pending.size === 0) return;
    flushing = writeOut().finally(() => {
      flushing = undefined;
    });
    await flushing;
  }

  async function writeOut(): Promise<void> {
    writing = pending;
    pending = new Map();
    const lines = [...writing];
    try {
      for (let start = 0; start < lines.length; start += LIMITS.audit_flush_events) {
        const batch = lines.slice(start, start + LIMITS.audit_flush_events);
        await recordBatch(
          db,
          batch.map(([, row]) => row),
        );
        for (const [key] of batch) writing.delete(key);
      }
    } catch (error) {
      log.error({ err: error, events: writing.size }, "audit events could not be written, trying again");
      keep(writing);
      timer ??= setTimeout(() => void flush(), LIMITS.audit_flush_ms);
    } finally {
      writing = new Map();
    }
  }

  /** The older line stays, with its id: perhaps it was written and only the answer was lost. */
  function keep(unwritten: Map<string, AuditRow>): void {
    for (const [key, row] of unwritten) {
      row.count += pending.get(key)?.count ?? 0;
      pending.set(key, row);
    }
  }

  return {
    note,
    flush,
    /** How many lines wait for a write. */
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
