import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import {
  authKey,
  encryptionSalt,
  KDF_DEFAULT,
  kdf,
  loginRequest,
  newPassword,
  protectedKey,
  username,
} from "../../src/contract/auth.ts";
import { createEntriesRequest, createEntryRequest } from "../../src/contract/entries.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { loadConfig } from "../../src/server/config.ts";

const KIB = 1024;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

/** Every number that the HTTP contract and the protocol name, as they name it. */
const PROMISED: Partial<Record<keyof typeof LIMITS, number>> = {
  username_characters_min: 3,
  username_characters_max: 30,
  password_code_points_min: 20,
  password_code_points_max: 256,
  password_bytes_max: 1024,
  auth_key_bytes: 32,
  encryption_salt_bytes: 32,
  iv_bytes: 12,
  tag_bytes: 16,
  ciphertext_bytes_min: 1,
  ciphertext_bytes_max: 64 * KIB,
  name_characters_max: 256,
  meta_bytes_max: 4096,
  batch_entries_max: 500,
  batch_body_bytes_max: 8 * KIB * KIB,
  entries_per_user_default: 10_000,
  page_entries_max: 1000,
  page_bytes_max: 4 * KIB * KIB,
  body_bytes_max: 256 * KIB,
  access_token_ms_default: 35 * MINUTE,
  refresh_token_ms_default: 7 * DAY,
  refresh_token_bytes: 32,
  refresh_grace_ms: 10 * SECOND,
  jwt_secret_characters_min: 32,
  failed_logins_default: 5,
  failed_logins_everywhere_factor: 10,
  lockout_minutes_default: 15,
  argon2_memory_kib_floor: 19 * KIB,
  argon2_memory_kib_default: 64 * KIB,
  argon2_iterations_floor: 2,
  argon2_iterations_default: 3,
  kdf_memory_kib_min: 19_456,
  kdf_memory_kib_default: 65_536,
  kdf_memory_kib_max: 1_048_576,
  kdf_iterations_min: 2,
  kdf_iterations_default: 3,
  kdf_iterations_max: 10,
  kdf_parallelism_min: 1,
  kdf_parallelism_default: 4,
  kdf_parallelism_max: 16,
  vault_key_bytes: 32,
};

test("the limits are the numbers of the contract", () => {
  expect(LIMITS).toMatchObject(PROMISED);
});

test("every limit is a positive whole number", () => {
  for (const [name, value] of Object.entries(LIMITS))
    expect([name, Number.isSafeInteger(value) && value > 0]).toEqual([name, true]);
});

test("every default lies between its bounds", () => {
  const names = Object.keys(LIMITS) as (keyof typeof LIMITS)[];
  const defaults = names.filter((name) => name.endsWith("_default"));
  expect(defaults.length).toBeGreaterThan(8);
  for (const name of defaults) {
    const stem = name.slice(0, -"default".length);
    const bound = (end: string) => LIMITS[`${stem}${end}` as keyof typeof LIMITS] as number | undefined;
    expect([name, LIMITS[name] >= (bound("min") ?? bound("floor") ?? 0)]).toEqual([name, true]);
    expect([name, LIMITS[name] <= (bound("max") ?? Number.POSITIVE_INFINITY)]).toEqual([name, true]);
  }
});

test("the configuration's defaults are those of the limits", () => {
  const config = loadConfig({ JWT_SECRET: randomBytes(48).toString("base64url") });
  expect(config).toMatchObject({
    access_token_ms: LIMITS.access_token_ms_default,
    refresh_token_ms: LIMITS.refresh_token_ms_default,
    failed_logins_max: LIMITS.failed_logins_default,
    lockout_ms: LIMITS.lockout_minutes_default * MINUTE,
    entries_per_user_max: LIMITS.entries_per_user_default,
    argon2: { memory_kib: LIMITS.argon2_memory_kib_default, iterations: LIMITS.argon2_iterations_default },
  });
});

describe("what fits together", () => {
  test("the largest entry fits into a body, with room for its readable parts in any spelling", () => {
    const ciphertext = Math.ceil(LIMITS.ciphertext_bytes_max / 3) * 4;
    const escaped = 12 * LIMITS.name_characters_max + 6 * LIMITS.meta_bytes_max;
    expect(ciphertext + escaped + 1000).toBeLessThan(LIMITS.body_bytes_max);
    expect(ciphertext + escaped + 1000).toBeLessThan(LIMITS.page_bytes_max);
  });

  test("a whole batch of entries as they usually are fits into its body, and into the quota", () => {
    const entry_bytes = Math.ceil((4 * KIB) / 3) * 4 + 1000;
    expect(LIMITS.batch_entries_max * entry_bytes).toBeLessThan(LIMITS.batch_body_bytes_max);
    expect(LIMITS.batch_entries_max).toBeLessThan(LIMITS.entries_per_user_default);
    expect(LIMITS.batch_body_bytes_max).toBeGreaterThan(2 * LIMITS.body_bytes_max);
  });

  test("no body of the usual size can have too many marks", () => {
    expect(LIMITS.json_marks_max).toBeGreaterThanOrEqual(LIMITS.body_bytes_max);
  });

  test("the longest password in code points is never too long in bytes", () => {
    expect(LIMITS.password_code_points_max * 4).toBeLessThanOrEqual(LIMITS.password_bytes_max);
  });

  test("a request's deadlines end before the server's own", () => {
    expect(LIMITS.database_statement_ms).toBeLessThan(LIMITS.request_idle_s * SECOND);
    expect(LIMITS.hash_wait_ms).toBeLessThan(LIMITS.request_idle_s * SECOND);
    expect(LIMITS.batch_wait_ms).toBeLessThan(LIMITS.request_idle_s * SECOND);
    expect(LIMITS.drain_ms).toBeLessThan(LIMITS.shutdown_ms);
  });
});

const accepts = (schema: z.ZodType, value: unknown) => schema.safeParse(value).success;
/** A good password of so many code points. */
const password = (code_points: number) => `Aa1!${"\u{1F600}".repeat(Math.max(0, code_points - 4))}`;
const base64 = (bytes: number) => randomBytes(bytes).toString("base64");
const entry = { ciphertext: base64(10), iv: base64(12), tag: base64(16) };
const wrapped = { ciphertext: base64(32), iv: base64(12), tag: base64(16), commitment: base64(32) };

type Bound = [schema: z.ZodType, make: (size: number) => unknown, min: number, max: number];
const BOUNDS: Record<string, Bound> = {
  username: [username, (size) => "a".repeat(size), 3, 30],
  password: [newPassword, password, 20, 256],
  auth_key: [authKey, base64, 32, 32],
  encryption_salt: [encryptionSalt, (size) => randomBytes(size).toString("hex"), 32, 32],
  "kdf memory": [kdf, (memory_kib) => ({ ...KDF_DEFAULT, memory_kib }), 19_456, 1_048_576],
  "kdf iterations": [kdf, (iterations) => ({ ...KDF_DEFAULT, iterations }), 2, 10],
  "kdf parallelism": [kdf, (parallelism) => ({ ...KDF_DEFAULT, parallelism }), 1, 16],
  "protected_key ciphertext": [protectedKey, (size) => ({ ...wrapped, ciphertext: base64(size) }), 32, 32],
  "protected_key commitment": [protectedKey, (size) => ({ ...wrapped, commitment: base64(size) }), 32, 32],
  ciphertext: [createEntryRequest, (size) => ({ ...entry, ciphertext: base64(size) }), 1, 65_536],
  batch: [createEntriesRequest, (size) => ({ entries: Array(size).fill(entry) }), 1, 500],
  iv: [createEntryRequest, (size) => ({ ...entry, iv: base64(size) }), 12, 12],
  tag: [createEntryRequest, (size) => ({ ...entry, tag: base64(size) }), 16, 16],
  name: [createEntryRequest, (size) => ({ ...entry, name: "n".repeat(size) }), 0, 256],
  "name in code points": [
    createEntryRequest,
    (size) => ({ ...entry, name: "\u{1F600}".repeat(size) }),
    0,
    256,
  ],
  "meta in bytes": [createEntryRequest, (size) => ({ ...entry, meta: { k: "m".repeat(size - 8) } }), 8, 4096],
  device_name: [
    loginRequest,
    (size) => ({ username: "alice", password: "x", device_name: "d".repeat(size) }),
    1,
    64,
  ],
};

for (const [what, [schema, make, min, max]] of Object.entries(BOUNDS)) {
  test(`${what} has from ${min} to ${max}, exactly`, () => {
    for (const size of new Set([min, Math.min(min + 1, max), Math.max(max - 1, min), max]))
      expect([size, accepts(schema, make(size))]).toEqual([size, true]);
    for (const size of [min - 1, max + 1].filter((one) => one >= 0 && (what !== "meta in bytes" || one >= 8)))
      expect([size, accepts(schema, make(size))]).toEqual([size, false]);
  });
}

test("the database's constraints are the same numbers", () => {
  const sql = readFileSync(join(import.meta.dir, "../../drizzle/0000_core.sql"), "utf8");
  for (const constraint of [
    `octet_length("entries"."ciphertext") between ${LIMITS.ciphertext_bytes_min} and ${LIMITS.ciphertext_bytes_max}`,
    `octet_length("entries"."iv") = ${LIMITS.iv_bytes}`,
    `octet_length("entries"."tag") = ${LIMITS.tag_bytes}`,
    `char_length("entries"."name") between 0 and ${LIMITS.name_characters_max}`,
    `octet_length("entries"."meta") <= ${LIMITS.meta_bytes_max}`,
    `char_length("sessions"."device_name") between 1 and ${LIMITS.device_name_characters_max}`,
    `'^[A-Za-z0-9_]{${LIMITS.username_characters_min},${LIMITS.username_characters_max}}$'`,
    `octet_length("users"."encryption_salt") = ${LIMITS.encryption_salt_bytes}`,
    `"kdf_memory_kib" between ${LIMITS.kdf_memory_kib_min} and ${LIMITS.kdf_memory_kib_max}`,
    `"kdf_iterations" between ${LIMITS.kdf_iterations_min} and ${LIMITS.kdf_iterations_max}`,
    `"kdf_parallelism" between ${LIMITS.kdf_parallelism_min} and ${LIMITS.kdf_parallelism_max}`,
    `octet_length("users"."protected_key_ciphertext") = ${LIMITS.vault_key_bytes}`,
    `octet_length("users"."protected_key_iv") = ${LIMITS.iv_bytes}`,
    `octet_length("users"."protected_key_tag") = ${LIMITS.tag_bytes}`,
    `octet_length("users"."protected_key_commitment") = ${LIMITS.commitment_bytes}`,
  ])
    expect(sql).toContain(constraint);
});
