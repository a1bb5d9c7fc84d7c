import { and, desc, eq, gt, ne } from "drizzle-orm";
import { Problem } from "../../contract/problems.ts";
import { record } from "../audit/audit.ts";
import type { Caller } from "../auth/session.ts";
import type { Transaction } from "../db/database.ts";
import { sessions } from "../db/schema.ts";
import type { Deps } from "../deps.ts";

/** The caller's living sessions, the one used last first. */
export async function list(deps: Deps, caller: Caller) {
  const rows = await deps.db
    .select()
    .from(sessions)
    .where(and(eq(sessions.user_id, caller.user_id), gt(sessions.expires_at, new Date(deps.clock.now_ms()))))
    .orderBy(desc(sessions.last_used_at), desc(sessions.id));
  return {
    sessions: rows.map((row) => ({
      ...row,
      created_at: row.created_at.toISOString(),
      last_used_at: row.last_used_at.toISOString(),
      expires_at: row.expires_at.toISOString(),
      current: row.id === caller.session_id,
    })),
  };
}

/** Ends one session of the caller's own, this one included. Throws `session-not-found`. */
export async function end(deps: Deps, caller: Caller, session_id: string): Promise<void> {
  await deps.db.transaction(async (tx) => {
    const ended = await tx
      .delete(sessions)
      .where(and(eq(sessions.user_id, caller.user_id), eq(sessions.id, session_id)))
      .returning({ id: sessions.id });
    if (ended.length === 0) throw new Problem("session-not-found");
    await recordEnd(deps, tx, caller, session_id);
  });
}

/** Ends every session of the caller's but this one. */
export async function endOthers(deps: Deps, caller: Caller): Promise<void> {
  await deps.db.transaction(async (tx) => {
    const ended = await tx
      .delete(sessions)
      .where(and(eq(sessions.user_id, caller.user_id), ne(sessions.id, caller.session_id)))
      .returning({ id: sessions.id });
    for (const session of ended) await recordEnd(deps, tx, caller, session.id);
  });
}

/** The line names the session that ended; that it was ended from here, its address and request id tell. */
function recordEnd(deps: Deps, tx: Transaction, caller: Caller, session_id: string): Promise<void> {
  const { user_id, origin } = caller;
  return record(tx, { type: "session-ended", origin, user_id, session_id }, deps.clock.now_ms());
}
