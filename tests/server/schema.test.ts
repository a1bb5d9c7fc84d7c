import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eq, getTableColumns, getTableName } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import { type Database, databaseErrorCode } from "../../src/server/db/database.ts";
import {
  accountTombstones,
  auditEvents,
  entries,
  entryTombstones,
  entryUsage,
  lockouts,
  refreshTokens,
  serverKeys,
  sessions,
  users,
} from "../../src/server/db/schema.ts";
import { randomName } from "../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../support/server.ts";

const TABLES = {
  ...{ users, accountTombstones, sessions, refreshTokens, lockouts, entries, entryTombstones, entryUsage },
  ...{ auditEvents, serverKeys },
};
type Table = keyof typeof TABLES;
const TABLE_NAMES = Object.keys(TABLES) as Table[];
type Values = Record<string, unknown>;
type Row = [what: string, table: Table, values: Values];
type RefusedRow = [constraint: string, table: Table, values: Values];

const bytes = (length: number) => crypto.getRandomValues(new Uint8Array(length));
const now = new Date();
const owner = crypto.randomUUID();
const session = crypto.randomUUID();
const name = randomName();

/** A row of each table that the database takes, below the account `owner` with the session `session`. */
const VALID = {
  users: () => ({
    ...{ id: crypto.randomUUID(), username: randomName(), credential_kind: "password" },
    ...{ credential_hash: "$argon2id$", encryption_salt: bytes(32), created_at: now, updated_at: now },
    ...{ kdf_memory_kib: 65_536, kdf_iterations: 3, kdf_parallelism: 4 },
  }),
  accountTombstones: () => ({ user_id: crypto.randomUUID() }),
  sessions: () => ({
    ...{ id: crypto.randomUUID(), user_id: owner, address: "", created_at: now },
    ...{ last_used_at: now, expires_at: now },
  }),
  refreshTokens: () => ({ token_hash: bytes(32), session_id: session, expires_at: now }),
  lockouts: () => ({ name_hash: bytes(32), address: "", attempts: 0, expires_at: now }),
  entries: () => ({
    ...{ user_id: owner, id: crypto.randomUUID(), ciphertext: bytes(1), iv: bytes(12), tag: bytes(16) },
    ...{ version: 1, created_at: now, updated_at: now },
  }),
  entryTombstones: () => ({ user_id: owner, entry_id: crypto.randomUUID(), deleted_at: now }),
  entryUsage: () => ({ user_id: owner, entries: 0, tombstones: 0 }),
  auditEvents: () => ({
    ...{ id: Bun.randomUUIDv7(), at: now, type: "entry-read", success: true },
    ...{ address: "", request_id: "", count: 1 },
  }),
  serverKeys: () => ({ name: crypto.randomUUID(), key: bytes(32) }),
} satisfies Record<Table, () => Values>;

const wrapped = {
  ...{ protected_key_ciphertext: bytes(32), protected_key_iv: bytes(12) },
  ...{ protected_key_tag: bytes(16), protected_key_commitment: bytes(32) },
};
const withKey = (values: Values = {}) => ({ credential_kind: "auth_key", ...wrapped, ...values });

const accepted: Row[] = [
  ...TABLE_NAMES.map((table): Row => ["the smallest row", table, {}]),
  ...["abc", "a".repeat(30), "___", "123"].map(
    (username): Row => [`username ${username}`, "users", { username }],
  ),
  ["kdf at its least", "users", { kdf_memory_kib: 19_456, kdf_iterations: 2, kdf_parallelism: 1 }],
  ["kdf at its most", "users", { kdf_memory_kib: 1_048_576, kdf_iterations: 10, kdf_parallelism: 16 }],
  ["an auth_key with its wrapped key", "users", withKey()],
  ...[1, 65_536].map((n): Row => [`ciphertext of ${n} bytes`, "entries", { ciphertext: bytes(n) }]),
  ...[0, 256].map((n): Row => [`name of ${n} characters`, "entries", { name: "🔑".repeat(n) }]),
  ["meta {}", "entries", { meta: "{}" }],
  ["meta of 4096 bytes", "entries", { meta: `{"a":"${"x".repeat(4088)}"}` }],
  ["a tombstone beside the entry of another account", "entryTombstones", {}],
  ...[1, 64].map((n): Row => [`device name of ${n}`, "sessions", { device_name: "é".repeat(n) }]),
  ["a name's hash", "auditEvents", { name_hash: bytes(32) }],
];

const refused: RefusedRow[] = [
  ["users_pkey", "users", { id: owner }],
  ["users_username_unique", "users", { username: name.toUpperCase() }],
  ["users_username_unique", "users", { username: name }],
  ...["", "ab", "a".repeat(31), "a b", "a-b", "abc\n", "é_é_é", "abc;"].map(
    (username): RefusedRow => ["users_username_form", "users", { username }],
  ),
  ...["", "hunter2", "$argon2i$", "x$argon2id$"].map(
    (credential_hash): RefusedRow => ["users_credential_hash_form", "users", { credential_hash }],
  ),
  ["users_credential_kind", "users", withKey({ credential_kind: "Password" })],
  ["users_credential_kind", "users", withKey({ credential_kind: "" })],
  ...[0, 31, 33].map(
    (n): RefusedRow => ["users_encryption_salt_length", "users", { encryption_salt: bytes(n) }],
  ),
  ...[{ kdf_memory_kib: 19_455 }, { kdf_memory_kib: 1_048_577 }, { kdf_iterations: 1 }].map(
    (kdf): RefusedRow => ["users_kdf_bounds", "users", kdf],
  ),
  ...[{ kdf_iterations: 11 }, { kdf_parallelism: 0 }, { kdf_parallelism: 17 }].map(
    (kdf): RefusedRow => ["users_kdf_bounds", "users", kdf],
  ),
  ["users_protected_key_whole", "users", { credential_kind: "auth_key" }],
  ["users_protected_key_whole", "users", wrapped],
  ...Object.entries(wrapped).flatMap(([column, value]): RefusedRow[] => [
    ["users_protected_key_whole", "users", withKey({ [column]: null })],
    ["users_protected_key_whole", "users", { [column]: value }],
    [`users_${column}_length`, "users", withKey({ [column]: bytes(value.length - 1) })],
    [`users_${column}_length`, "users", withKey({ [column]: bytes(value.length + 1) })],
  ]),
  ["sessions_user_id_users_id_fk", "sessions", { user_id: crypto.randomUUID() }],
  ...[0, 65].map(
    (n): RefusedRow => ["sessions_device_name_length", "sessions", { device_name: "x".repeat(n) }],
  ),
  ["refresh_tokens_session_id_sessions_id_fk", "refreshTokens", { session_id: crypto.randomUUID() }],
  ...[0, 31, 33].map(
    (n): RefusedRow => ["refresh_tokens_hash_length", "refreshTokens", { token_hash: bytes(n) }],
  ),
  ...[0, 31, 33].map((n): RefusedRow => ["lockouts_hash_length", "lockouts", { name_hash: bytes(n) }]),
  ["lockouts_attempts", "lockouts", { attempts: -1 }],
  ["entries_user_id_users_id_fk", "entries", { user_id: crypto.randomUUID() }],
  ...[0, 65_537].map(
    (n): RefusedRow => ["entries_ciphertext_length", "entries", { ciphertext: new Uint8Array(n) }],
  ),
  ...[0, 11, 13].map((n): RefusedRow => ["entries_iv_length", "entries", { iv: bytes(n) }]),
  ...[0, 15, 17].map((n): RefusedRow => ["entries_tag_length", "entries", { tag: bytes(n) }]),
  ["entries_name_length", "entries", { name: "x".repeat(257) }],
  ...["[]", "null", '"x"', "1", "true", `{"a":"${"x".repeat(4089)}"}`].map(
    (meta): RefusedRow => ["entries_meta_form", "entries", { meta }],
  ),
  ...["", "{", "x", "{'a':1}"].map((meta): RefusedRow => ["22P02", "entries", { meta }]),
  ...[0, -1].map((version): RefusedRow => ["entries_version", "entries", { version }]),
  ["entry_tombstones_user_id_users_id_fk", "entryTombstones", { user_id: crypto.randomUUID() }],
  ["entry_usage_user_id_users_id_fk", "entryUsage", { user_id: crypto.randomUUID() }],
  ["entry_usage_counts", "entryUsage", { entries: -1 }],
  ["entry_usage_counts", "entryUsage", { tombstones: -1 }],
  ...["", "ab", "Entry-read", "entry_read", "a".repeat(41), "entry-read\n"].map(
    (type): RefusedRow => ["audit_events_type_form", "auditEvents", { type }],
  ),
  ...[0, 31, 33].map(
    (n): RefusedRow => ["audit_events_name_hash_length", "auditEvents", { name_hash: bytes(n) }],
  ),
  ["audit_events_count", "auditEvents", { count: 0 }],
  ...[0, 31, 33].map((n): RefusedRow => ["server_keys_key_length", "serverKeys", { key: bytes(n) }]),
];

const ROLLBACK = new Error("rolled back");

/** "accepted", or the name of the constraint that refused, or where it has none the SQLSTATE; nothing is kept. */
async function attempt(db: Database, table: PgTable, values: Values[]): Promise<string> {
  try {
    return await db.transaction(async (tx) => {
      for (const row of values) await tx.insert(table).values(row as never);
      throw ROLLBACK;
    });
  } catch (error) {
    if (error === ROLLBACK) return "accepted";
    const { constraint_name, constraint } = (error as Error).cause as Record<string, string>;
    return constraint_name ?? constraint ?? databaseErrorCode(error) ?? String(error);
  }
}

for (const engine of ENGINES) {
  describe(`the schema on ${engine}`, () => {
    let server: TestServer;
    let db: Database;
    const insert = (table: Table, values: Values) =>
      db.insert(TABLES[table] as PgTable).values({ ...VALID[table](), ...values } as never);
    beforeAll(async () => {
      server = await startTestServer(engine);
      db = server.deps.db;
      await insert("users", { id: owner, username: name });
      await insert("sessions", { id: session });
    });
    afterAll(() => server.stop());

    test.each(accepted)("takes %s in %s", async (_, table, values) => {
      expect(await attempt(db, TABLES[table], [{ ...VALID[table](), ...values }])).toBe("accepted");
    });

    test.each(refused)(
      "refuses by %s, in %s, what the code should never send",
      async (constraint, table, values) => {
        expect(await attempt(db, TABLES[table], [{ ...VALID[table](), ...values }])).toBe(constraint);
      },
    );

    test.each(TABLE_NAMES)("refuses the same row of %s twice", async (table) => {
      const row = VALID[table]();
      expect(await attempt(db, TABLES[table], [row, row])).toMatch(/_(pk|pkey)$/);
    });

    test.each(TABLE_NAMES)("refuses %s without what it must have", async (table) => {
      const columns = Object.entries(getTableColumns(TABLES[table] as PgTable));
      const required = columns.filter(([, column]) => column.notNull).map(([key]) => key);
      expect(required.sort()).toEqual(Object.keys(VALID[table]()).sort());
      for (const key of required) {
        expect(await attempt(db, TABLES[table], [{ ...VALID[table](), [key]: null }])).toBe("23502");
      }
    });

    test("lets two accounts have entries and tombstones of the same id", async () => {
      const other = crypto.randomUUID();
      await insert("users", { id: other });
      const entry = VALID.entries();
      const tombstone = VALID.entryTombstones();
      expect(await attempt(db, entries, [entry, { ...entry, user_id: other }])).toBe("accepted");
      expect(await attempt(db, entryTombstones, [tombstone, { ...tombstone, user_id: other }])).toBe(
        "accepted",
      );
    });

    test("an account takes all that is its own with it, and leaves the audit log and its tombstone", async () => {
      const user_id = crypto.randomUUID();
      const session_id = crypto.randomUUID();
      await insert("users", { id: user_id });
      await insert("sessions", { id: session_id, user_id });
      for (const table of ["entries", "entryTombstones", "entryUsage"] as const)
        await insert(table, { user_id });
      await insert("refreshTokens", { session_id });
      for (const table of ["auditEvents", "accountTombstones"] as const) await insert(table, { user_id });
      const before = await rowsOf(user_id, session_id);
      expect(new Set(Object.values(before))).toEqual(new Set([1]));
      await db.delete(users).where(eq(users.id, user_id));
      expect(await rowsOf(user_id, session_id)).toEqual({
        ...{ sessions: 0, entries: 0, entry_tombstones: 0, entry_usage: 0, refresh_tokens: 0 },
        ...{ audit_events: 1, account_tombstones: 1 },
      });
    });

    async function rowsOf(user_id: string, session_id: string): Promise<Record<string, number>> {
      const tables = [sessions, entries, entryTombstones, entryUsage, auditEvents, accountTombstones];
      const counts: Record<string, number> = {};
      for (const table of tables) {
        counts[getTableName(table)] = await db.$count(table as PgTable, eq(table.user_id, user_id));
      }
      counts.refresh_tokens = await db.$count(refreshTokens, eq(refreshTokens.session_id, session_id));
      return counts;
    }
  });
}
