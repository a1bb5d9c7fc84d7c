/**
 * Every size, count and lifetime of the system, in one place. Units stand last in each name.
 * What an operator may set has its default here; the bounds of such a setting stand beside it.
 */

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const LIMITS = {
  username_characters_min: 3,
  username_characters_max: 30,
  password_code_points_min: 20,
  password_code_points_max: 256,
  password_bytes_max: 1024,
  auth_key_bytes: 32,
  encryption_salt_bytes: 32,
  vault_key_bytes: 32,
  commitment_bytes: 32,
  iv_bytes: 12,
  tag_bytes: 16,
  device_name_characters_max: 64,

  ciphertext_bytes_min: 1,
  ciphertext_bytes_max: 64 * KIB,
  /** The longest plaintext whose padding still fits: one byte of 0x80 follows it. */
  content_bytes_max: 64 * KIB - 1,
  /** How many addresses, fields or tags an entry of our own client has. */
  content_items_max: 1000,
  batch_entries_max: 500,
  batch_body_bytes_max: 8 * MIB,
  /** A batch takes about seven times its body in memory, and a place for as long as its sender takes to send it. */
  batches_at_once_max: 8,
  batches_waiting_max: 64,
  batch_wait_ms: 10 * SECOND,
  name_characters_max: 256,
  meta_bytes_max: 4096,
  entries_per_user_default: 10_000,
  /** Ids of deleted entries are never given again; this bounds what remembering them can cost. */
  tombstones_per_user_max: 1_000_000,
  page_entries_max: 1000,
  page_events_max: 200,
  page_bytes_max: 4 * MIB,
  cursor_characters_max: 128,

  body_bytes_max: 256 * KIB,
  body_read_ms_max: 30 * SECOND,
  json_depth_max: 32,
  /** Brackets and commas of one body, as many as the usual body could have bytes: a large one is large by its texts. */
  json_marks_max: 256 * KIB,
  validation_errors_max: 16,

  sessions_per_user_max: 100,
  access_token_ms_default: 35 * MINUTE,
  access_token_ms_min: 10 * SECOND,
  access_token_ms_max: DAY,
  access_token_characters_max: 1024,
  /** How far the clocks of servers with one secret may be apart before they refuse each other's fresh tokens. */
  clock_skew_ms_max: 5 * SECOND,
  refresh_token_ms_default: 7 * DAY,
  refresh_token_ms_min: MINUTE,
  refresh_token_ms_max: 365 * DAY,
  refresh_token_bytes: 32,
  refresh_token_characters_max: 512,
  /** A client whose answer was lost may repeat a refresh this long (RFC 9700, section 4.14.2 leaves it open). */
  refresh_grace_ms: 10 * SECOND,
  verified_tokens_max: 10_000,
  jwt_secret_characters_min: 32,

  failed_logins_default: 5,
  failed_logins_max: 100,
  /** Failures from everywhere that lock a name, as a multiple of those from one address that lock a pair. */
  failed_logins_everywhere_factor: 10,
  lockout_minutes_default: 15,
  lockout_minutes_max: 24 * 60,

  argon2_memory_kib_floor: 19_456,
  argon2_memory_kib_default: 65_536,
  argon2_memory_kib_max: 1_048_576,
  argon2_iterations_floor: 2,
  argon2_iterations_default: 3,
  argon2_iterations_max: 10,
  hash_queue_default: 64,
  hash_queue_max: 10_000,
  /** How long a hash may wait for its turn; a person at a login form gives up at about the same time. */
  hash_wait_ms: 10 * SECOND,
  hash_concurrency_max: 64,

  kdf_memory_kib_min: 19_456,
  kdf_memory_kib_default: 65_536,
  kdf_memory_kib_max: 1_048_576,
  kdf_iterations_min: 2,
  kdf_iterations_default: 3,
  kdf_iterations_max: 10,
  kdf_parallelism_min: 1,
  kdf_parallelism_default: 4,
  kdf_parallelism_max: 16,

  rate_limit_buckets_max: 65_536,

  database_pool_default: 4,
  database_pool_max: 100,
  database_connect_ms: 5 * SECOND,
  /** The pause between attempts to reach a database that was lost; requests that come meanwhile wait for it. */
  database_reconnect_ms: 100,
  database_statement_ms: 10 * SECOND,
  /** How long `serve` and `migrate` go on trying to reach a PostgreSQL that is not up yet. */
  database_start_ms: 60 * SECOND,
  readiness_ms: 2 * SECOND,
  /** A lookup by primary key that takes longer is lost: a connection can die without a word. */
  session_lookup_ms: 2 * SECOND,
  readiness_cache_ms: SECOND,

  audit_retention_days_default: 365,
  audit_retention_days_max: 3650,
  audit_buffer_events_max: 10_000,
  audit_flush_ms: SECOND,
  audit_flush_events: 500,
  purge_interval_ms: 5 * MINUTE,
  purge_batch_rows: 1000,

  /** How long the client waits for an answer, whole. */
  client_answer_ms: 30 * SECOND,
  client_answer_bytes_max: 16 * MIB,
  client_attempts_max: 4,
  client_backoff_ms: 200,
  client_backoff_ms_max: 5 * SECOND,
  /** How long the client goes on by itself where a server asks it to come back later. */
  client_wait_ms_max: 30 * SECOND,
  /** How long before its end an access token is renewed: a request must not die on its way. */
  client_refresh_early_ms: 15 * SECOND,
  client_merges_max: 5,
  /** How many entries that do not open a list may have before it is taken for one without an end. */
  client_forged_max: 1000,
  /** More entries than any server of ours lets an account have: where a list of pages is taken for one without an end. */
  client_entries_max: 1_000_000,

  retry_after_s: 1,
  request_idle_s: 30,
  /** /ready says 503 for so long before the listener closes, so that a balancer can look elsewhere. */
  drain_ms: SECOND,
  /** How long requests in flight may take to finish; a client that never ends its body must not hold a shutdown up. */
  finish_ms: 5 * SECOND,
  shutdown_ms: 9 * SECOND,
} as const;

export const DURATION_MS = { s: SECOND, m: MINUTE, h: HOUR, d: DAY } as const;
