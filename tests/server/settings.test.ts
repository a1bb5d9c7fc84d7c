import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Config, loadConfig } from "../../src/server/config.ts";
import type { Environment } from "../../src/server/settings.ts";
import { temporaryDirectory } from "../support/server.ts";

const SECRET = Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString("base64url");
const load = (settings: Environment) => loadConfig({ JWT_SECRET: SECRET, ...settings });

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const URL_OF_DATABASE = "postgresql://bv:p%40ss@db.example/bv?sslmode=require";

type Good = {
  of: (config: Config) => unknown;
  /** Without a word. */
  otherwise: unknown;
  takes: Record<string, unknown>;
};

const GOOD: Record<string, Good> = {
  DATABASE_URL: {
    of: (config) => config.database_url,
    otherwise: undefined,
    takes: { "postgres://bv@127.0.0.1/bv": "postgres://bv@127.0.0.1/bv", [URL_OF_DATABASE]: URL_OF_DATABASE },
  },
  DATA_DIR: { of: (config) => config.data_dir, otherwise: "./data", takes: { "/var/lib/bv": "/var/lib/bv" } },
  JWT_ISSUER: {
    of: (config) => config.jwt.issuer,
    otherwise: "secure-password-manager-api",
    takes: { mine: "mine" },
  },
  JWT_AUDIENCE: {
    of: (config) => config.jwt.audience,
    otherwise: "secure-password-manager-clients",
    takes: { theirs: "theirs" },
  },
  ACCESS_TOKEN_EXPIRES_IN: {
    of: (config) => config.access_token_ms,
    otherwise: 35 * MINUTE,
    takes: { "10s": 10_000, "90m": 90 * MINUTE, "24h": DAY, "1d": DAY },
  },
  REFRESH_TOKEN_EXPIRES_IN: {
    of: (config) => config.refresh_token_ms,
    otherwise: 7 * DAY,
    takes: { "60s": MINUTE, "1m": MINUTE, "365d": 365 * DAY },
  },
  MAX_FAILED_LOGINS: { of: (config) => config.failed_logins_max, otherwise: 5, takes: { 1: 1, 100: 100 } },
  LOCKOUT_MINUTES: {
    of: (config) => config.lockout_ms,
    otherwise: 15 * MINUTE,
    takes: { 1: MINUTE, 1440: DAY },
  },
  PORT: { of: (config) => config.port, otherwise: 4000, takes: { 0: 0, 1: 1, 65534: 65_534, 65535: 65_535 } },
  HOST: { of: (config) => config.host, otherwise: "127.0.0.1", takes: { "::": "::", "0.0.0.0": "0.0.0.0" } },
  LOG_LEVEL: {
    of: (config) => config.log_level,
    otherwise: "info",
    takes: { DEBUG: "debug", info: "info", Warn: "warn", WARNING: "warn", error: "error" },
  },
  RATE_LIMIT_AUTH: {
    of: (config) => config.rate_limit_auth,
    otherwise: { capacity: 10, period_s: 60 },
    takes: { off: "off", "1/s": { capacity: 1, period_s: 1 } },
  },
  RATE_LIMIT_API: {
    of: (config) => config.rate_limit_api,
    otherwise: { capacity: 600, period_s: 60 },
    takes: { off: "off", "1000000/h": { capacity: 1_000_000, period_s: 3600 } },
  },
  TRUSTED_PROXIES: {
    of: (config) => config.trusted_proxies.length,
    otherwise: 0,
    takes: { "127.0.0.1": 1, "10.0.0.0/8, ::1": 2 },
  },
  CORS_ORIGINS: {
    of: (config) => config.cors_origins,
    otherwise: [],
    takes: {
      "https://a.example": ["https://a.example"],
      "https://a.example, http://localhost:5173,": ["https://a.example", "http://localhost:5173"],
    },
  },
  REGISTRATION: {
    of: (config) => config.registration,
    otherwise: "open",
    takes: { open: "open", closed: "closed" },
  },
  MAX_ENTRIES_PER_USER: {
    of: (config) => config.entries_per_user_max,
    otherwise: 10_000,
    takes: { 1: 1, 1000000: 1_000_000 },
  },
  ARGON2_MEMORY_KIB: {
    of: (config) => config.argon2.memory_kib,
    otherwise: 65_536,
    takes: { 19456: 19_456, 1048576: 1_048_576 },
  },
  ARGON2_ITERATIONS: { of: (config) => config.argon2.iterations, otherwise: 3, takes: { 2: 2, 10: 10 } },
  HASH_CONCURRENCY: {
    of: (config) => config.hash_concurrency,
    otherwise: Math.max(1, Math.min(64, navigator.hardwareConcurrency - 1)),
    takes: { 1: 1, 64: 64 },
  },
  HASH_QUEUE_MAX: { of: (config) => config.hash_queue_max, otherwise: 64, takes: { 0: 0, 10000: 10_000 } },
  DATABASE_POOL_MAX: { of: (config) => config.database_pool_max, otherwise: 4, takes: { 1: 1, 100: 100 } },
  AUDIT_RETENTION_DAYS: {
    of: (config) => config.audit_retention_ms,
    otherwise: 365 * DAY,
    takes: { 1: DAY, 3650: 3650 * DAY },
  },
};

/** What is refused, and what the message says to mend it. */
const BAD: Record<string, { values: string[]; says: string }> = {
  DATABASE_URL: {
    values: ["localhost", "mysql://x/y", "http://x", "file:///x"],
    says: "must be a URL such as postgresql://user:password@host:5432/blindvault",
  },
  DATA_DIR: { values: ["/a\nb", "\x07"], says: "has control characters: delete them" },
  HOST: { values: ["local\thost"], says: "has control characters: delete them" },
  JWT_ISSUER: { values: ["a\0b"], says: "has control characters: delete them" },
  ACCESS_TOKEN_EXPIRES_IN: {
    values: [
      "9s",
      "25h",
      "86401s",
      "2d",
      "35",
      "m",
      "35 m",
      "35M",
      "-1m",
      "1.5h",
      "1h30m",
      "∞",
      "9999999999s",
    ],
    says: "must be a number and s, m, h or d, such as 35m, from 10s to 86400s",
  },
  REFRESH_TOKEN_EXPIRES_IN: { values: ["59s", "0d", "366d", "8761h"], says: "from 60s to 31536000s" },
  MAX_FAILED_LOGINS: { values: ["0", "101", "-1", "1.5", "5x", "1e1", "0x5", "five"], says: "from 1 to 100" },
  LOCKOUT_MINUTES: { values: ["0", "1441", "15m"], says: "must be a whole number from 1 to 1440" },
  PORT: { values: ["65536", "-1", "http", "80 ", "4000.0", "99999999999"], says: "from 0 to 65535" },
  LOG_LEVEL: { values: ["trace", "verbose", "warnings"], says: "must be debug or info or warn or error" },
  RATE_LIMIT_AUTH: {
    values: ["0/m", "10", "10/d", "10 / m", "-1/m", "1000001/h", "OFF", "none", "1.5/s"],
    says: "must be off, or a number, / and s, m or h, such as 10/m",
  },
  RATE_LIMIT_API: { values: ["0", "∞/s"], says: "must be off, or a number" },
  TRUSTED_PROXIES: {
    values: ["localhost", "0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0.1/8", "*", "127.0.0.1, x"],
    says: '"',
  },
  CORS_ORIGINS: {
    values: [
      "*",
      "null",
      "https://a.example/",
      "https://A.example",
      "https://a.example:443",
      "a.example",
      "https://*.a.example",
      "https://a.example/x",
      "https://u:p@a.example",
      "https://a.example https://b.example",
      "ws://a.example",
      "file://",
    ],
    says: "must be exact origins, such as https://vault.example.com, without * or a path",
  },
  REGISTRATION: { values: ["OPEN", "yes", "true", "0"], says: "must be open or closed" },
  MAX_ENTRIES_PER_USER: { values: ["0", "1000001"], says: "from 1 to 1000000" },
  ARGON2_MEMORY_KIB: { values: ["19455", "1048577", "0", "64MiB"], says: "from 19456 to 1048576" },
  ARGON2_ITERATIONS: { values: ["1", "11"], says: "from 2 to 10" },
  HASH_CONCURRENCY: { values: ["0", "65"], says: "from 1 to 64" },
  HASH_QUEUE_MAX: { values: ["-1", "10001"], says: "from 0 to 10000" },
  DATABASE_POOL_MAX: { values: ["0", "101"], says: "from 1 to 100" },
  AUDIT_RETENTION_DAYS: { values: ["0", "3651"], says: "from 1 to 3650" },
  TLS_CERT_FILE: { values: ["/not-there/certificate.pem"], says: "cannot be read (ENOENT)" },
};

const key = join(temporaryDirectory(), "key.pem");
writeFileSync(key, "a key");

for (const [setting, { of, otherwise, takes }] of Object.entries(GOOD)) {
  test(`${setting} has its default, empty or not set, and takes its good values`, () => {
    expect(of(load({}))).toEqual(otherwise);
    expect(of(load({ [setting]: "" }))).toEqual(otherwise);
    for (const [value, becomes] of Object.entries(takes))
      expect([value, of(load({ [setting]: value }))]).toEqual([value, becomes]);
  });
}

for (const [setting, { values, says }] of Object.entries(BAD)) {
  test(`${setting} refuses what it cannot be, and says what it may be`, () => {
    const other = setting === "TLS_CERT_FILE" ? { TLS_KEY_FILE: key } : {};
    for (const value of values) {
      const refused = () => load({ ...other, [setting]: value });
      expect(refused).toThrow(`The configuration has one fault:\n  - ${setting} `);
      expect(refused).toThrow(says);
    }
  });
}
