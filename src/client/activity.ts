import { type AuditEvent, listEventsResponse } from "../contract/audit.ts";
import { uuid } from "../contract/encoding.ts";
import { listSessionsResponse, type SessionInfo } from "../contract/sessions.ts";
import { refusal } from "./errors.ts";
import type { Session } from "./session.ts";

/** Where the account is logged in, as the server tells it. */
export async function listSessions(session: Session): Promise<SessionInfo[]> {
  const call = {
    method: "GET",
    path: "/auth/sessions",
    answer: listSessionsResponse,
    idempotent: true,
  } as const;
  return (await session.call(call)).value.sessions;
}

/** Ends one session, or every one but the caller's. Throws `session-not-found`. */
export async function endSessions(session: Session, id?: string): Promise<void> {
  // Anything but an id could make the path another one: that of all the others.
  if (id !== undefined && !uuid.safeParse(id).success) throw refusal("session-not-found");
  const path = id === undefined ? "/auth/sessions" : `/auth/sessions/${id}`;
  await session.call({ method: "DELETE", path, idempotent: true });
}

/** The newest events of the account, as the server tells them. */
export async function listEvents(session: Session, limit: number): Promise<AuditEvent[]> {
  const path = `/audit?limit=${limit}`;
  const call = { method: "GET", path, answer: listEventsResponse, idempotent: true } as const;
  return (await session.call(call)).value.events;
}
