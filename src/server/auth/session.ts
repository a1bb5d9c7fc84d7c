import { bearer } from "@elysiajs/bearer";
import { and, desc, eq, inArray, ne } from "drizzle-orm";
import { Elysia } from "elysia";
import type { TokenResponse } from "../../contract/auth.ts";
import { LIMITS } from "../../contract/limits.ts";
import { Problem } from "../../contract/problems.ts";
import { record } from "../audit/audit.ts";
import type { Transaction } from "../db/database.ts";
import { sessions } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import { type Origin, originOf } from "../http/origin.ts";
import { addRefreshToken } from "./refresh.ts";
import type { Claims } from "./tokens.ts";

/** Who is calling: a living session of an account, and where the request came from. */
export type Caller = { user_id: string; session_id: string; origin: Origin };

/**
 * Puts `caller` into the context of the routes after it, or answers 401. It is a `derive`, so it runs before the
 * body is read and before anything is validated: a stranger learns nothing of the rules of input.
 */
export function sessionPlugin(deps: Deps) {
  return (
    new Elysia({ name: "session" })
      // The plugin would also take a token from the query, where logs and histories keep it: no query has this name.
      .use(bearer({ extract: { header: "Bearer", query: "\0", body: "\0" } }))
      .derive({ as: "scoped" }, async ({ bearer, request }) => {
        const caller = await identify(deps, bearer, request);
        // A body may take its time: what reads one asks again, or a session that ended meanwhile could still write.
        return { caller, confirm: () => confirm(deps, caller) };
      })
  );
}

async function identify(deps: Deps, token: string | undefined, request: Request): Promise<Caller> {
  const origin = originOf(request);
  const authorization = request.headers.get("authorization");
  if (authorization === null) throw new Problem("token-missing");
  // The plugin takes what follows "Bearer" whatever stands between them.
  const claims = authorization === `Bearer ${token}` ? await deps.tokens.verify(token ?? "") : undefined;
  if (claims === undefined) return refuse(deps, origin, "invalid");
  if (!(await deps.isLiving(claims))) return refuse(deps, origin, "session-ended", claims);
  return { user_id: claims.user_id, session_id: claims.session_id, origin };
}

async function confirm(deps: Deps, caller: Caller): Promise<void> {
  if (!(await deps.isLiving(caller))) refuse(deps, caller.origin, "session-ended", caller);
}

function refuse(deps: Deps, origin: Origin, reason: string, claims?: Claims): never {
  const whose = claims && { user_id: claims.user_id, session_id: claims.session_id };
  deps.audit.note({ type: "token-refused", origin, success: false, reason, ...whose });
  throw new Problem("token-invalid");
}

/**
 * Begins a session of an account whose secret was just proved, and returns its first tokens. Beyond
 * `sessions_per_user_max` the ones that were not used for longest end.
 */
export async function startSession(
  deps: Deps,
  tx: Transaction,
  user_id: string,
  origin: Origin,
  device_name?: string,
): Promise<TokenResponse & { session_id: string }> {
  const now_ms = deps.clock.now_ms();
  const now = new Date(now_ms);
  const session_id = crypto.randomUUID();
  await tx.insert(sessions).values({
    id: session_id,
    user_id,
    device_name: device_name ?? null,
    address: origin.address,
    created_at: now,
    last_used_at: now,
    expires_at: new Date(now_ms + deps.config.refresh_token_ms),
  });
  const refreshToken = await addRefreshToken(deps, tx, session_id);
  await endOldest(deps, tx, { user_id, session_id, origin });
  const access = await deps.tokens.issue({ user_id, session_id });
  return { ...access, refreshToken, token_type: "Bearer", session_id };
}

/** The caller is the newest session itself: wherever the clocks of other servers stand, that one stays. */
async function endOldest(deps: Deps, tx: Transaction, caller: Caller): Promise<void> {
  const { user_id, origin } = caller;
  const beyond = tx
    .select({ id: sessions.id })
    .from(sessions)
    .where(and(eq(sessions.user_id, user_id), ne(sessions.id, caller.session_id)))
    .orderBy(desc(sessions.last_used_at), desc(sessions.id))
    .offset(LIMITS.sessions_per_user_max - 1);
  const ended = await tx
    .delete(sessions)
    .where(inArray(sessions.id, beyond))
    .returning({ session_id: sessions.id });
  for (const { session_id } of ended) {
    const event = { origin, user_id, session_id, reason: "too-many-sessions" };
    await record(tx, { type: "session-ended", ...event }, deps.clock.now_ms());
  }
}

/** Ends every session of an account: its access tokens stop at once, its refresh tokens are gone. */
export async function endAllSessions(tx: Transaction, user_id: string): Promise<void> {
  await tx.delete(sessions).where(eq(sessions.user_id, user_id));
}
