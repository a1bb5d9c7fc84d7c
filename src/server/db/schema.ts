import { type SQL, sql } from "drizzle-orm";
import {
  boolean,
  check,
  customType,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import type { AuditEventType } from "../../contract/audit.ts";
import { LIMITS } from "../../contract/limits.ts";

/**
 * The one schema. The rules of input stand here a second time as constraints: what a bug in the code lets
 * through, the database still refuses.
 */

const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => "bytea" });

/** Milliseconds are all that a JavaScript Date and the wire can hold: keeping more would break cursors. */
const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: "date" });

const owner = () => uuid("user_id").notNull();

export const users = pgTable(
  "users",
  {
    id: uuid("id").primaryKey(),
    username: text("username").notNull(),
    credential_kind: text("credential_kind", { enum: ["password", "auth_key"] }).notNull(),
    /** PHC string of Argon2id over the password or the auth_key. */
    credential_hash: text("credential_hash").notNull(),
    encryption_salt: bytes("encryption_salt").notNull(),
    kdf_memory_kib: integer("kdf_memory_kib").notNull(),
    kdf_iterations: integer("kdf_iterations").notNull(),
    kdf_parallelism: integer("kdf_parallelism").notNull(),
    protected_key_ciphertext: bytes("protected_key_ciphertext"),
    protected_key_iv: bytes("protected_key_iv"),
    protected_key_tag: bytes("protected_key_tag"),
    protected_key_commitment: bytes("protected_key_commitment"),
    created_at: instant("created_at").notNull(),
    updated_at: instant("updated_at").notNull(),
  },
  (table) => [
    // The collation is fixed so that a Turkish database does not lower "I" to a dotless one.
    uniqueIndex("users_username_unique").on(lowerName(table.username)),
    check("users_username_form", sql`${table.username} ~ '^[A-Za-z0-9_]{3,30}$'`),
    check("users_credential_hash_form", sql`${table.credential_hash} like '$argon2id$%'`),
    check("users_credential_kind", sql`${table.credential_kind} in ('password', 'auth_key')`),
    check("users_encryption_salt_length", lengthIs(table.encryption_salt, LIMITS.encryption_salt_bytes)),
    check(
      "users_kdf_bounds",
      sql`${between(table.kdf_memory_kib, LIMITS.kdf_memory_kib_min, LIMITS.kdf_memory_kib_max)}
        and ${between(table.kdf_iterations, LIMITS.kdf_iterations_min, LIMITS.kdf_iterations_max)}
        and ${between(table.kdf_parallelism, LIMITS.kdf_parallelism_min, LIMITS.kdf_parallelism_max)}`,
    ),
    check(
      "users_protected_key_whole",
      sql`case ${table.credential_kind}
        when 'password' then num_nonnulls(${table.protected_key_ciphertext}, ${table.protected_key_iv},
          ${table.protected_key_tag}, ${table.protected_key_commitment}) = 0
        else num_nulls(${table.protected_key_ciphertext}, ${table.protected_key_iv},
          ${table.protected_key_tag}, ${table.protected_key_commitment}) = 0 end`,
    ),
    check(
      "users_protected_key_ciphertext_length",
      lengthIs(table.protected_key_ciphertext, LIMITS.vault_key_bytes),
    ),
    check("users_protected_key_iv_length", lengthIs(table.protected_key_iv, LIMITS.iv_bytes)),
    check("users_protected_key_tag_length", lengthIs(table.protected_key_tag, LIMITS.tag_bytes)),
    check(
      "users_protected_key_commitment_length",
      lengthIs(table.protected_key_commitment, LIMITS.commitment_bytes),
    ),
  ],
);

/** Ids of deleted accounts, bare: an id that a client has pinned must never come to mean somebody else. */
export const accountTombstones = pgTable("account_tombstones", { user_id: uuid("user_id").primaryKey() });

export const sessions = pgTable(
  "sessions",
  {
    id: uuid("id").primaryKey(),
    user_id: owner().references(() => users.id, { onDelete: "cascade" }),
    device_name: text("device_name"),
    address: text("address").notNull(),
    created_at: instant("created_at").notNull(),
    last_used_at: instant("last_used_at").notNull(),
    expires_at: instant("expires_at").notNull(),
  },
  (table) => [
    index("sessions_user_last_used").on(table.user_id, table.last_used_at),
    index("sessions_expires").on(table.expires_at),
    check(
      "sessions_device_name_length",
      between(sql`char_length(${table.device_name})`, 1, LIMITS.device_name_characters_max),
    ),
  ],
);

/** One row a token of a session's family; a used one stays until it expires, so that reuse is seen. */
export const refreshTokens = pgTable(
  "refresh_tokens",
  {
    token_hash: bytes("token_hash").primaryKey(),
    session_id: uuid("session_id")
      .notNull()
      .references(() => sessions.id, { onDelete: "cascade" }),
    used_at: instant("used_at"),
    expires_at: instant("expires_at").notNull(),
  },
  (table) => [
    index("refresh_tokens_session").on(table.session_id),
    index("refresh_tokens_expires").on(table.expires_at),
    check("refresh_tokens_hash_length", lengthIs(table.token_hash, 32)),
  ],
);

/** Attempts at a name (a keyed hash of it) from one network, or from everywhere where `address` is empty. */
export const lockouts = pgTable(
  "lockouts",
  {
    name_hash: bytes("name_hash").notNull(),
    address: text("address").notNull(),
    attempts: integer("attempts").notNull(),
    expires_at: instant("expires_at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.name_hash, table.address] }),
    index("lockouts_expires").on(table.expires_at),
    check("lockouts_hash_length", lengthIs(table.name_hash, 32)),
    check("lockouts_attempts", sql`${table.attempts} >= 0`),
  ],
);

/** The owner comes first in the key, so no query can reach an entry by its id alone. */
export const entries = pgTable(
  "entries",
  {
    user_id: owner().references(() => users.id, { onDelete: "cascade" }),
    id: uuid("id").notNull(),
    name: text("name"),
    ciphertext: bytes("ciphertext").notNull(),
    iv: bytes("iv").notNull(),
    tag: bytes("tag").notNull(),
    /** Compact JSON as text: jsonb would reorder keys and rewrite numbers. */
    meta: text("meta"),
    version: integer("version").notNull(),
    created_at: instant("created_at").notNull(),
    updated_at: instant("updated_at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.user_id, table.id] }),
    // Ascending: read backwards it gives "newest first" with NULLS FIRST, which is what plain DESC asks for.
    index("entries_user_created").on(table.user_id, table.created_at, table.id),
    check(
      "entries_ciphertext_length",
      between(
        sql`octet_length(${table.ciphertext})`,
        LIMITS.ciphertext_bytes_min,
        LIMITS.ciphertext_bytes_max,
      ),
    ),
    check("entries_iv_length", lengthIs(table.iv, LIMITS.iv_bytes)),
    check("entries_tag_length", lengthIs(table.tag, LIMITS.tag_bytes)),
    check("entries_name_length", between(sql`char_length(${table.name})`, 0, LIMITS.name_characters_max)),
    check(
      "entries_meta_form",
      sql`json_typeof(${table.meta}::json) = 'object' and octet_length(${table.meta}) <= ${sql.raw(String(LIMITS.meta_bytes_max))}`,
    ),
    check("entries_version", sql`${table.version} >= 1`),
  ],
);

/** Ids of deleted entries: a hostile server must not be able to pass a new entry off as an old one, nor may we. */
export const entryTombstones = pgTable(
  "entry_tombstones",
  {
    user_id: owner().references(() => users.id, { onDelete: "cascade" }),
    entry_id: uuid("entry_id").notNull(),
    deleted_at: instant("deleted_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.user_id, table.entry_id] })],
);

/** Counters that make the quota exact under races: the row's lock puts one account's changes in a queue. */
export const entryUsage = pgTable(
  "entry_usage",
  {
    user_id: owner().primaryKey(),
    entries: integer("entries").notNull(),
    tombstones: integer("tombstones").notNull(),
  },
  (table) => [
    foreignKey({ columns: [table.user_id], foreignColumns: [users.id] }).onDelete("cascade"),
    check("entry_usage_counts", sql`${table.entries} >= 0 and ${table.tombstones} >= 0`),
  ],
);

/**
 * The audit log. No foreign keys: it outlives what it tells of. `id` is a UUIDv7 (RFC 9562, section 5.7),
 * so one index serves order, pages and retention.
 */
export const auditEvents = pgTable(
  "audit_events",
  {
    id: uuid("id").primaryKey(),
    at: instant("at").notNull(),
    type: text("type").$type<AuditEventType>().notNull(),
    success: boolean("success").notNull(),
    reason: text("reason"),
    user_id: uuid("user_id"),
    session_id: uuid("session_id"),
    entry_id: uuid("entry_id"),
    /** Keyed hash of a name that nobody has: people type passwords into that field. */
    name_hash: bytes("name_hash"),
    address: text("address").notNull(),
    request_id: text("request_id").notNull(),
    count: integer("count").notNull(),
  },
  (table) => [
    index("audit_events_user").on(table.user_id, table.id),
    check("audit_events_type_form", sql`${table.type} ~ '^[a-z-]{3,40}$'`),
    check("audit_events_name_hash_length", lengthIs(table.name_hash, 32)),
    check("audit_events_count", sql`${table.count} >= 1`),
  ],
);

/** Random keys that belong to the data and not to an operator's secret; made by the first migration. */
export const serverKeys = pgTable(
  "server_keys",
  {
    name: text("name").primaryKey(),
    key: bytes("key").notNull(),
  },
  (table) => [check("server_keys_key_length", lengthIs(table.key, 32))],
);

/** How names are compared: the expression of the unique index, so that queries can use it. */
export function lowerName(name: unknown): SQL<string> {
  return sql`lower(${name} collate "C")`;
}

function lengthIs(column: unknown, length_bytes: number): SQL {
  return sql`octet_length(${column}) = ${sql.raw(String(length_bytes))}`;
}

function between(value: unknown, min: number, max: number): SQL {
  return sql`${value} between ${sql.raw(String(min))} and ${sql.raw(String(max))}`;
}
