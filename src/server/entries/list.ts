import { and, desc, eq, getTableColumns, type SQLWrapper, sql } from "drizzle-orm";
import { LIMITS } from "../../contract/limits.ts";
import { Problem } from "../../contract/problems.ts";
import type { Caller } from "../auth/session.ts";
import { prepared } from "../db/database.ts";
import { entries } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import { about, type Entry } from "./entries.ts";

/** The position behind an entry in the order "newest first": time of creation, then id. */
type Position = { created_ms: number; id: string };

/** Before everything, at the end of the last year that RFC 3339 can write: the first page. */
const START: Position = { created_ms: Date.UTC(10_000, 0) - 1, id: "ffffffff-ffff-ffff-ffff-ffffffffffff" };

/**
 * One page of the caller's entries, newest first. A page ends at `limit` entries or when it has 4 MiB, and has at least
 * one. The order never changes for an entry, so that pages skip none that was there before the first of them, and repeat none.
 */
export async function list(
  deps: Deps,
  caller: Caller,
  query: { limit?: number | undefined; cursor?: string | undefined },
): Promise<{ entries: Entry[]; next_cursor: string | null }> {
  const limit = query.limit ?? LIMITS.page_entries_max;
  const after = query.cursor === undefined ? START : openCursor(query.cursor);
  const rows = await statements(deps.db).page.execute({
    user_id: caller.user_id,
    created_at: new Date(after.created_ms).toISOString(),
    id: after.id,
    // One more than asked for tells whether there is a next page.
    rows: limit + 1,
  });
  deps.audit.note({ type: "entries-listed", ...about(caller) });
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const more = last !== undefined && shown.length < last.found;
  return { entries: shown, next_cursor: more ? sealCursor(last) : null };
}

/** What an entry takes in the answer: base64 of its ciphertext, what is readable with its escapes, and the rest of its JSON. */
const size_bytes = sql`octet_length(${entries.ciphertext}) * 4 / 3 + coalesce(octet_length(to_json(${entries.name})::text), 0) + coalesce(octet_length(${entries.meta}), 0) + 400`;

const statements = prepared((db) => {
  const newest_first = (table: { created_at: SQLWrapper; id: SQLWrapper }) => [
    desc(table.created_at),
    desc(table.id),
  ];
  const found = db
    .select({ ...getTableColumns(entries), size_bytes: sql<number>`${size_bytes}`.as("size_bytes") })
    .from(entries)
    .where(
      and(
        eq(entries.user_id, sql.placeholder("user_id")),
        sql`(${entries.created_at}, ${entries.id}) < (${sql.placeholder("created_at")}::timestamptz, ${sql.placeholder("id")}::uuid)`,
      ),
    )
    .orderBy(...newest_first(entries))
    .limit(sql.placeholder("rows"))
    .as("found");
  // Sizes are added up in the database, so that a page of large entries is never read as a whole.
  const measured = db
    .select({
      ...columnsOf(found),
      size_bytes: found.size_bytes,
      page_bytes:
        sql<number>`sum(${found.size_bytes}) over (order by ${found.created_at} desc, ${found.id} desc rows unbounded preceding)`.as(
          "page_bytes",
        ),
      found: sql<number>`(count(*) over ())::int`.as("found_rows"),
    })
    .from(found)
    .as("measured");
  return {
    page: db
      .select({ ...columnsOf(measured), found: measured.found })
      .from(measured)
      .where(
        sql`${measured.page_bytes} <= ${sql.raw(String(LIMITS.page_bytes_max))} or ${measured.page_bytes} = ${measured.size_bytes}`,
      )
      .orderBy(...newest_first(measured))
      .prepare("entry_page"),
  };
});

function columnsOf<Columns extends Record<keyof Entry, unknown>>(query: Columns): Pick<Columns, keyof Entry> {
  const { id, name, ciphertext, iv, tag, meta, version, created_at, updated_at } = query;
  return { id, name, ciphertext, iv, tag, meta, version, created_at, updated_at };
}

/** A cursor is the position of the last entry shown: time and id, both of which the caller has seen. */
function sealCursor(entry: Entry): string {
  const bytes = Buffer.alloc(24);
  bytes.writeBigInt64BE(BigInt(entry.created_at.getTime()));
  bytes.write(entry.id.replaceAll("-", ""), 8, "hex");
  return bytes.toString("base64url");
}

function openCursor(cursor: string): Position {
  const bytes = Buffer.from(cursor, "base64url");
  const created_ms = bytes.length === 24 ? Number(bytes.readBigInt64BE()) : Number.NaN;
  if (!(created_ms >= 0 && created_ms <= START.created_ms) || bytes.toString("base64url") !== cursor) {
    throw new Problem("request-invalid", {
      errors: [{ path: "query.cursor", reason: "must be a cursor of an earlier page" }],
    });
  }
  const id = bytes.toString("hex", 8).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  return { created_ms, id };
}
