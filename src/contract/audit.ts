import { z } from "zod";
import { cursor, nextCursor, pageLimit, time, uuid } from "./encoding.ts";
import { LIMITS } from "./limits.ts";

/** What is audited. Names are stable for ever. */
export const AUDIT_EVENTS = [
  "account-registered",
  "account-deleted",
  "login-succeeded",
  "login-failed",
  "login-refused",
  "lockout",
  "secret-failed",
  "session-refreshed",
  "refresh-refused",
  "refresh-reused",
  "session-ended",
  "logout",
  "password-changed",
  "credential-upgraded",
  "token-refused",
  "entry-created",
  "entry-read",
  "entries-listed",
  "entry-updated",
  "entry-deleted",
] as const;
export type AuditEventType = (typeof AUDIT_EVENTS)[number];

export const auditEventResponse = z.object({
  id: uuid,
  time,
  type: z.enum(AUDIT_EVENTS),
  success: z.boolean(),
  reason: z.string().nullable().meta({ description: "Why it was refused, where it was" }),
  session_id: uuid.nullable(),
  entry_id: uuid.nullable(),
  address: z.string().meta({ description: "The client's address" }),
  request_id: z.string(),
  count: z
    .int()
    .min(1)
    .meta({ description: "How many alike within a moment this line stands for: reads are gathered" }),
});
/** What happened to an account, as the server tells of it. */
export type AuditEvent = {
  id: string;
  /** RFC 3339, UTC. */
  time: string;
  type: AuditEventType;
  success: boolean;
  /** Why it was refused, where it was. */
  reason: string | null;
  session_id: string | null;
  entry_id: string | null;
  /** The client's address. */
  address: string;
  request_id: string;
  /** How many alike within a moment it stands for. */
  count: number;
};

export const listEventsQuery = z.strictObject({
  limit: pageLimit(LIMITS.page_events_max).optional(),
  cursor: cursor.optional(),
});
export const listEventsResponse = z.object({
  events: z.array(auditEventResponse),
  next_cursor: nextCursor,
});
