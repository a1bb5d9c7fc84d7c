import { and, eq, gt, inArray, isNull, lte, sql } from "drizzle-orm";
import type { TokenResponse } from "../../contract/auth.ts";
import { LIMITS } from "../../contract/limits.ts";
import { Problem } from "../../contract/problems.ts";
import { record } from "../audit/audit.ts";
import type { Database, Transaction } from "../db/database.ts";
import { refreshTokens, sessions } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import type { Origin } from "../http/origin.ts";
import { hmac, type SubKeys } from "./secrets.ts";

/**
 * Refresh tokens: 256 random bits, stored only as a keyed hash, single use, rotated (RFC 9700, section 4.14.2).
 * A session is the family of its tokens. The successor of a token is derived from it by a keyed hash, so a
 * client whose answer was lost gets the same one again without its ever being stored.
 */

type Family = { session_id: string; user_id: string };
type Rotation =
  | { outcome: "rotated"; family: Family; refreshToken: string }
  | { outcome: "reused" | "unusable" };

/** Exchanges a refresh token for new tokens. Throws `refresh-token-invalid`; reuse ends the whole session. */
export async function refresh(deps: Deps, token: string, origin: Origin): Promise<TokenResponse> {
  const rotation = await deps.db.transaction((tx) => rotate(deps, tx, token, origin));
  if (rotation.outcome === "rotated") {
    const { family, refreshToken } = rotation;
    return { ...(await deps.tokens.issue(family)), refreshToken, token_type: "Bearer" };
  }
  if (rotation.outcome === "unusable") {
    deps.audit.note({ type: "refresh-refused", origin, success: false, reason: "unknown-or-expired" });
  }
  throw new Problem("refresh-token-invalid");
}

/** Ends the session of a refresh token, whichever of its family it is. A token nobody knows is no error. */
export async function logout(deps: Deps, token: string, origin: Origin): Promise<void> {
  await deps.db.transaction(async (tx) => {
    const known = await find(deps, tx, token);
    if (known === undefined) return;
    await tx.delete(sessions).where(eq(sessions.id, known.session_id));
    const { user_id, session_id } = known;
    await record(tx, { type: "logout", origin, user_id, session_id }, deps.clock.now_ms());
  });
}

/** The first token of a session. */
export async function addRefreshToken(deps: Deps, tx: Transaction, session_id: string): Promise<string> {
  const token = crypto.getRandomValues(new Uint8Array(LIMITS.refresh_token_bytes));
  await store(deps, tx, session_id, token);
  return Buffer.from(token).toString("base64url");
}

/** Deletes tokens and sessions that have expired, `rows_max` each at most; returns how many went. */
export async function purgeSessions(db: Database, now_ms: number, rows_max: number): Promise<number> {
  const now = new Date(now_ms);
  const lock = { skipLocked: true } as const;
  const oldSessions = db
    .select({ id: sessions.id })
    .from(sessions)
    .where(lte(sessions.expires_at, now))
    .limit(rows_max)
    .for("update", lock);
  const ended = await db.delete(sessions).where(inArray(sessions.id, oldSessions)).returning({ one: sql`1` });
  const oldTokens = db
    .select({ token_hash: refreshTokens.token_hash })
    .from(refreshTokens)
    .where(lte(refreshTokens.expires_at, now))
    .limit(rows_max)
    .for("update", lock);
  const gone = await db
    .delete(refreshTokens)
    .where(inArray(refreshTokens.token_hash, oldTokens))
    .returning({ one: sql`1` });
  return ended.length + gone.length;
}

async function rotate(deps: Deps, tx: Transaction, text: string, origin: Origin): Promise<Rotation> {
  const known = await find(deps, tx, text);
  if (known === undefined) return { outcome: "unusable" };
  const { token_hash, ...family } = known;
  const now_ms = deps.clock.now_ms();
  const parent = Buffer.from(text, "base64url");
  // One of any number of parallel requests gets this row; the others wait for its lock and then see it used.
  const [taken] = await tx
    .update(refreshTokens)
    .set({ used_at: new Date(now_ms) })
    .where(
      and(
        eq(refreshTokens.token_hash, token_hash),
        isNull(refreshTokens.used_at),
        gt(refreshTokens.expires_at, new Date(now_ms)),
      ),
    )
    .returning({ session_id: refreshTokens.session_id });
  if (taken !== undefined) return advance(deps, tx, family, parent, origin);
  return repeat(deps, tx, family, parent, origin);
}

async function advance(
  deps: Deps,
  tx: Transaction,
  family: Family,
  parent: Uint8Array,
  origin: Origin,
): Promise<Rotation> {
  const { user_id, session_id } = family;
  const now_ms = deps.clock.now_ms();
  const successor = successorOf(deps.secrets[0], parent);
  await store(deps, tx, session_id, successor);
  await tx
    .update(sessions)
    .set({
      last_used_at: new Date(now_ms),
      expires_at: new Date(now_ms + deps.config.refresh_token_ms),
      address: origin.address,
    })
    .where(eq(sessions.id, session_id));
  await record(tx, { type: "session-refreshed", origin, user_id, session_id }, now_ms);
  return { outcome: "rotated", family, refreshToken: Buffer.from(successor).toString("base64url") };
}

/** A token that was used before: a retry of the direct parent within the grace, or a sign of theft. */
async function repeat(
  deps: Deps,
  tx: Transaction,
  family: Family,
  parent: Uint8Array,
  origin: Origin,
): Promise<Rotation> {
  const now_ms = deps.clock.now_ms();
  const [row] = await tx
    .select({ used_at: refreshTokens.used_at })
    .from(refreshTokens)
    .where(inArray(refreshTokens.token_hash, hashes(deps, parent)));
  if (row?.used_at == null) return { outcome: "unusable" };
  const age_ms = now_ms - row.used_at.getTime();
  // Below zero by more than clocks differ, the clock was set back: what cannot be told is no retry.
  if (age_ms >= -LIMITS.clock_skew_ms_max && age_ms <= LIMITS.refresh_grace_ms) {
    const successor = await unusedSuccessor(deps, tx, parent, now_ms);
    if (successor !== undefined) {
      deps.audit.note({ type: "session-refreshed", origin, reason: "repeated", ...family });
      return { outcome: "rotated", family, refreshToken: Buffer.from(successor).toString("base64url") };
    }
  }
  const { user_id, session_id } = family;
  await tx.delete(sessions).where(eq(sessions.id, session_id));
  await record(
    tx,
    { type: "refresh-reused", origin, success: false, reason: "family-ended", user_id, session_id },
    now_ms,
  );
  return { outcome: "reused" };
}

async function unusedSuccessor(
  deps: Deps,
  tx: Transaction,
  parent: Uint8Array,
  now_ms: number,
): Promise<Uint8Array | undefined> {
  // While a secret is being rotated the successor may have been derived under the previous one.
  for (const keys of deps.secrets) {
    const successor = successorOf(keys, parent);
    const [unused] = await tx
      .select({ one: sql`1` })
      .from(refreshTokens)
      .where(
        and(
          inArray(refreshTokens.token_hash, hashes(deps, successor)),
          isNull(refreshTokens.used_at),
          gt(refreshTokens.expires_at, new Date(now_ms)),
        ),
      );
    if (unused !== undefined) return successor;
  }
  return undefined;
}

/** The row of a token and whose it is; undefined when the text is no token of ours. */
async function find(
  deps: Deps,
  tx: Transaction,
  text: string,
): Promise<(Family & { token_hash: Uint8Array }) | undefined> {
  if (!REFRESH_TOKEN_FORM.test(text)) return undefined;
  const [row] = await tx
    .select({ token_hash: refreshTokens.token_hash, session_id: sessions.id, user_id: sessions.user_id })
    .from(refreshTokens)
    .innerJoin(sessions, eq(sessions.id, refreshTokens.session_id))
    .where(inArray(refreshTokens.token_hash, hashes(deps, Buffer.from(text, "base64url"))))
    // Sessions before tokens, as a deleted session's cascade locks them: the other order would deadlock.
    .for("update", { of: sessions });
  return row;
}

/** 32 bytes of canonical base64url: one token has one spelling. */
const REFRESH_TOKEN_FORM = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

async function store(deps: Deps, tx: Transaction, session_id: string, token: Uint8Array): Promise<void> {
  await tx.insert(refreshTokens).values({
    token_hash: hmac(deps.secrets[0].refresh, token),
    session_id,
    expires_at: new Date(deps.clock.now_ms() + deps.config.refresh_token_ms),
  });
}

function hashes(deps: Deps, token: Uint8Array): Uint8Array[] {
  return deps.secrets.map((keys) => hmac(keys.refresh, token));
}

function successorOf(keys: SubKeys, parent: Uint8Array): Uint8Array {
  return hmac(keys.successor, parent);
}
