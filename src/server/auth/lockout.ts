import { and, eq, inArray, lte, sql } from "drizzle-orm";
import { LIMITS } from "../../contract/limits.ts";
import { retryLater } from "../../contract/problems.ts";
import type { Config } from "../config.ts";
import type { Database, Transaction } from "../db/database.ts";
import { lockouts } from "../db/schema.ts";

/** The name that is tried, as its keyed hash, and the network (an IPv4 address, an IPv6 /64) it is tried from. */
export type Target = { name_hash: Uint8Array; network: string };

type Settings = Pick<Config, "failed_logins_max" | "lockout_ms">;

/** The row of a name that counts attempts from everywhere. */
const EVERYWHERE = "";

/**
 * Counts an attempt before its secret is tested, so that guesses sent in parallel gain nothing, and returns
 * whether this one, should it fail, locks the pair or the name. A name that nobody has counts like any other.
 *
 * Throws the problem `login-locked` when no attempt is left; nothing is counted then.
 */
export async function countAttempt(
  db: Database,
  settings: Settings,
  target: Target,
  now_ms: number,
): Promise<{ last: boolean }> {
  const everywhere_max = settings.failed_logins_max * LIMITS.failed_logins_everywhere_factor;
  return db.transaction(async (tx) => {
    const pair = await take(
      tx,
      target.name_hash,
      target.network,
      settings.failed_logins_max,
      settings,
      now_ms,
    );
    const name = await take(tx, target.name_hash, EVERYWHERE, everywhere_max, settings, now_ms);
    return { last: pair === settings.failed_logins_max || name === everywhere_max };
  });
}

/** After a correct secret: the pair starts afresh, and the attempt is taken back from the name's count. */
export async function forgiveAttempts(tx: Transaction, target: Target): Promise<void> {
  await tx
    .delete(lockouts)
    .where(and(eq(lockouts.name_hash, target.name_hash), eq(lockouts.address, target.network)));
  await giveBack(tx, target.name_hash, EVERYWHERE);
}

/** Deletes every count of a name, from wherever: there is nobody left to be guessed at. */
export async function forgetAttempts(tx: Transaction, name_hash: Uint8Array): Promise<void> {
  await tx.delete(lockouts).where(eq(lockouts.name_hash, name_hash));
}

/** Takes an attempt back whose secret was not tested after all, or led to nothing though right: it is no failure. */
export async function takeBackAttempt(db: Database, target: Target): Promise<void> {
  await db.transaction(async (tx) => {
    // In the order in which attempts are counted: the other one could deadlock.
    await giveBack(tx, target.name_hash, target.network);
    await giveBack(tx, target.name_hash, EVERYWHERE);
  });
}

/** Deletes counts that have expired, `rows_max` at most; returns how many went. */
export async function purgeLockouts(db: Database, now_ms: number, rows_max: number): Promise<number> {
  const expired = db
    .select({ name_hash: lockouts.name_hash, address: lockouts.address })
    .from(lockouts)
    .where(lte(lockouts.expires_at, new Date(now_ms)))
    .limit(rows_max)
    .for("update", { skipLocked: true });
  const gone = await db
    .delete(lockouts)
    .where(inArray(sql`(${lockouts.name_hash}, ${lockouts.address})`, expired))
    .returning({ attempts: lockouts.attempts });
  return gone.length;
}

async function giveBack(tx: Transaction, name_hash: Uint8Array, address: string): Promise<void> {
  await tx
    .update(lockouts)
    .set({ attempts: sql`greatest(${lockouts.attempts} - 1, 0)` })
    .where(and(eq(lockouts.name_hash, name_hash), eq(lockouts.address, address)));
}

/**
 * One more attempt, in one statement whose row lock makes the count exact. The window begins with its first attempt, so
 * that rare failures of a busy name never add up to a lock, and with the last one that is allowed, so that a lock
 * has its whole length; a locked row is not touched, and an expired one starts at 1.
 */
async function take(
  tx: Transaction,
  name_hash: Uint8Array,
  address: string,
  attempts_max: number,
  settings: Settings,
  now_ms: number,
): Promise<number> {
  const now = new Date(now_ms);
  const expires_at = new Date(now_ms + settings.lockout_ms);
  // An end that no window can have comes from a clock that has been set back since: it must not lengthen a lock.
  const absurd = new Date(now_ms + 2 * settings.lockout_ms);
  const expired = sql`(${lockouts.expires_at} <= ${now.toISOString()}::timestamptz
    or ${lockouts.expires_at} > ${absurd.toISOString()}::timestamptz)`;
  const [counted] = await tx
    .insert(lockouts)
    .values({ name_hash, address, attempts: 1, expires_at })
    .onConflictDoUpdate({
      target: [lockouts.name_hash, lockouts.address],
      set: {
        attempts: sql`case when ${expired} then 1 else ${lockouts.attempts} + 1 end`,
        expires_at: sql`case when ${expired} or ${lockouts.attempts} + 1 >= ${attempts_max}
          then excluded.expires_at else ${lockouts.expires_at} end`,
      },
      setWhere: sql`${expired} or ${lockouts.attempts} < ${attempts_max}`,
    })
    .returning({ attempts: lockouts.attempts });
  if (counted !== undefined) return counted.attempts;
  const [locked] = await tx
    .select({ expires_at: lockouts.expires_at })
    .from(lockouts)
    .where(and(eq(lockouts.name_hash, name_hash), eq(lockouts.address, address)));
  throw retryLater("login-locked", (locked?.expires_at.getTime() ?? now_ms) - now_ms);
}
