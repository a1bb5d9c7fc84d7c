import { inArray, sql } from "drizzle-orm";
import { LIMITS } from "../../contract/limits.ts";
import { type Database, prepared } from "../db/database.ts";
import { sessions } from "../db/schema.ts";
import { withinTime } from "../deadline.ts";
import type { Clock } from "../deps.ts";
import type { Claims } from "./tokens.ts";

export type SessionLookup = (claims: Claims) => Promise<boolean>;

type Waiting = { claims: Claims; resolve: (living: boolean) => void; reject: (error: unknown) => void };

/** Far above what arrives while a statement is under way; bounds its parameter. */
const BATCH_MAX = 1000;

/**
 * Whether a session lives, asked of the database for every request. Requests that arrive while a statement is under
 * way share the next one, which is sent after the last of them has arrived: an answer is never older than its
 * request, so a session that ended before it is seen to have ended.
 */
export function makeSessionLookup(db: Database, clock: Clock): SessionLookup {
  let waiting: Waiting[] = [];
  let busy = false;

  function send(): void {
    const batch = waiting.slice(0, BATCH_MAX);
    waiting = waiting.slice(BATCH_MAX);
    void answer(db, clock, batch).then(() => {
      busy = waiting.length > 0;
      if (busy) send();
    });
  }

  return (claims) =>
    new Promise((resolve, reject) => {
      waiting.push({ claims, resolve, reject });
      if (busy) return;
      busy = true;
      // What else arrives in this turn of the event loop comes along.
      setImmediate(send);
    });
}

/** Never rejects: a failure goes to those who wait for the answer. */
async function answer(db: Database, clock: Clock, batch: Waiting[]): Promise<void> {
  try {
    const rows = await withinTime(
      statements(db).living.execute({
        ids: batch.map(({ claims }) => claims.session_id).join(),
        now: new Date(clock.now_ms()).toISOString(),
      }),
      LIMITS.session_lookup_ms,
      lookupLate,
    );
    const owners = new Map(rows.map((row) => [row.id, row.user_id]));
    for (const { claims, resolve } of batch) resolve(owners.get(claims.session_id) === claims.user_id);
  } catch (error) {
    for (const { reject } of batch) reject(error);
  }
}

/**
 * PostgreSQL's own timeout does not help where the connection itself hangs, and all requests would wait behind this one:
 * a lookup that is late counts as a database that is away.
 */
function lookupLate(): Error {
  return Object.assign(new Error("no answer in time"), { code: "ETIMEDOUT" });
}

const statements = prepared((db) => ({
  living: db
    .select({ id: sessions.id, user_id: sessions.user_id })
    .from(sessions)
    .where(
      // One text parameter: the drivers disagree on how to send an array.
      sql`${inArray(sessions.id, sql`(select unnest(string_to_array(${sql.placeholder("ids")}, ',')::uuid[]))`)}
        and ${sessions.expires_at} > ${sql.placeholder("now")}::timestamptz`,
    )
    .prepare("session_living"),
}));
