import { readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseEnv } from "node:util";
import { DURATION_MS, LIMITS } from "../contract/limits.ts";
import { EXIT, operatorFault } from "../exit.ts";
import { parseTrustedProxies, type TrustedProxies } from "./http/client-address.ts";
import type { Rate } from "./http/limiter.ts";
import {
  databaseUrl,
  duration,
  type Environment,
  jwtSecret,
  listenAddress,
  logLevel,
  metricsToken,
  oneOf,
  origins,
  type Reader,
  rate,
  readableFile,
  reader,
  text,
  whole,
} from "./settings.ts";

export type Config = Readonly<{
  database_url: string | undefined;
  data_dir: string;
  jwt: Readonly<{ secret: string; secret_previous: string | undefined; issuer: string; audience: string }>;
  access_token_ms: number;
  refresh_token_ms: number;
  failed_logins_max: number;
  lockout_ms: number;
  port: number;
  host: string;
  log_level: "debug" | "info" | "warn" | "error";
  rate_limit_auth: Rate | "off";
  rate_limit_api: Rate | "off";
  trusted_proxies: TrustedProxies;
  cors_origins: readonly string[];
  tls: Readonly<{ certificate_file: string; key_file: string }> | undefined;
  registration: "open" | "closed";
  entries_per_user_max: number;
  argon2: Readonly<{ memory_kib: number; iterations: number }>;
  hash_concurrency: number;
  hash_queue_max: number;
  database_pool_max: number;
  audit_retention_ms: number;
  metrics: Readonly<{ token: string | undefined; address: { host: string; port: number } | undefined }>;
}>;

/** Where the settings come from when neither an option nor the environment says otherwise. */
export const DATA_DIR_DEFAULT = "./data";
const PORT_DEFAULT = "4000";
const HOST_DEFAULT = "127.0.0.1";
export const CONFIG_FILE_NAME = "blindvault.env";

/** Every setting that a configuration file may hold; a secret may be given as NAME_FILE as well. */
const SECRETS = ["DATABASE_URL", "JWT_SECRET", "JWT_SECRET_PREVIOUS", "METRICS_TOKEN"] as const;
const SETTINGS = [
  "DATA_DIR",
  "JWT_ISSUER",
  "JWT_AUDIENCE",
  "ACCESS_TOKEN_EXPIRES_IN",
  "REFRESH_TOKEN_EXPIRES_IN",
  "MAX_FAILED_LOGINS",
  "LOCKOUT_MINUTES",
  "PORT",
  "HOST",
  "LOG_LEVEL",
  "RATE_LIMIT_AUTH",
  "RATE_LIMIT_API",
  "TRUSTED_PROXIES",
  "CORS_ORIGINS",
  "TLS_CERT_FILE",
  "TLS_KEY_FILE",
  "REGISTRATION",
  "MAX_ENTRIES_PER_USER",
  "ARGON2_MEMORY_KIB",
  "ARGON2_ITERATIONS",
  "HASH_CONCURRENCY",
  "HASH_QUEUE_MAX",
  "DATABASE_POOL_MAX",
  "AUDIT_RETENTION_DAYS",
  "METRICS_ADDRESS",
] as const;

/**
 * Reads the whole configuration, or throws one fault (exit code 78, EX_CONFIG) that lists everything that
 * is wrong with it, each with its mend. No message ever holds the value of a secret.
 */
export function loadConfig(environment: Environment): Config {
  const faults: string[] = [];
  const settings = reader(environment, faults);
  const config = readAll(settings);
  if (faults.length > 0) {
    const list = faults.map((fault) => `  - ${fault}`).join("\n");
    throw operatorFault(EXIT.config, `The configuration has ${count(faults.length, "fault")}:\n${list}`);
  }
  return deepFreeze(config);
}

/**
 * The environment with a configuration file beneath it: what the environment sets wins. Without `file` the
 * one that `init` writes into DATA_DIR is read where it is.
 */
export function withConfigFile(environment: Environment, file: string | undefined): Environment {
  const path = file ?? `${environment.DATA_DIR || DATA_DIR_DEFAULT}/${CONFIG_FILE_NAME}`;
  const content = readConfigFile(path, file !== undefined);
  if (content === undefined) return environment;
  const settings = parseEnv(content);
  const known = new Set<string>([...SETTINGS, ...SECRETS, ...SECRETS.map((name) => `${name}_FILE`)]);
  const unknown = Object.keys(settings).filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw operatorFault(
      EXIT.config,
      `${path} holds ${unknown.join(", ")}, which is no setting of blindvault: correct or delete the line`,
    );
  }
  const set = Object.entries(environment).filter(([, value]) => value !== undefined && value !== "");
  const wins = new Set(set.map(([name]) => name));
  // A secret has two names, and the environment wins over the file under either of them.
  for (const name of SECRETS)
    if (wins.has(name) || wins.has(`${name}_FILE`)) settings[name] = settings[`${name}_FILE`] = "";
  return { ...settings, ...Object.fromEntries(set) };
}

/** Where a server with this environment can be reached from its own machine; needs no secret to tell. */
export function localUrl(environment: Environment): URL {
  const settings = reader(environment, []);
  const host = settings.get("HOST", HOST_DEFAULT, text);
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const name = reachable.includes(":") ? `[${reachable}]` : reachable;
  const scheme = settings.has("TLS_CERT_FILE") ? "https" : "http";
  const url = `${scheme}://${name}:${settings.get("PORT", PORT_DEFAULT, whole(0, 65_535))}`;
  if (!URL.canParse(url))
    throw operatorFault(EXIT.config, "HOST is neither an address nor a name: correct it");
  return new URL(url);
}

function readConfigFile(path: string, required: boolean): string | undefined {
  try {
    const content = readFileSync(path, "utf8");
    const mode = process.platform === "win32" ? 0 : statSync(path).mode;
    if ((mode & 0o022) === 0) return content;
    throw operatorFault(EXIT.config, `${path} can be written by others: run chmod 600 ${path}`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    if (code === "ENOENT" && !required) return undefined;
    throw operatorFault(EXIT.config, `The configuration file ${path} cannot be read (${code})`);
  }
}

function readAll(settings: Reader): Config {
  const secret = settings.secret("JWT_SECRET", jwtSecret) ?? "";
  if (!settings.has("JWT_SECRET"))
    settings.fault("JWT_SECRET", "is missing: run `blindvault init`, which makes one");
  const secret_previous = settings.secret("JWT_SECRET_PREVIOUS", jwtSecret);
  if (secret_previous !== undefined && secret_previous === secret) {
    settings.fault("JWT_SECRET_PREVIOUS", "is the same as JWT_SECRET: set it to the secret from before");
  }
  return {
    database_url: settings.secret("DATABASE_URL", databaseUrl),
    data_dir: settings.get("DATA_DIR", DATA_DIR_DEFAULT, text),
    jwt: {
      secret,
      secret_previous,
      issuer: settings.get("JWT_ISSUER", "secure-password-manager-api", text),
      audience: settings.get("JWT_AUDIENCE", "secure-password-manager-clients", text),
    },
    access_token_ms: settings.get(
      "ACCESS_TOKEN_EXPIRES_IN",
      "35m",
      duration(LIMITS.access_token_ms_min, LIMITS.access_token_ms_max),
    ),
    refresh_token_ms: settings.get(
      "REFRESH_TOKEN_EXPIRES_IN",
      "7d",
      duration(LIMITS.refresh_token_ms_min, LIMITS.refresh_token_ms_max),
    ),
    failed_logins_max: settings.get(
      "MAX_FAILED_LOGINS",
      String(LIMITS.failed_logins_default),
      whole(1, LIMITS.failed_logins_max),
    ),
    lockout_ms:
      DURATION_MS.m *
      settings.get(
        "LOCKOUT_MINUTES",
        String(LIMITS.lockout_minutes_default),
        whole(1, LIMITS.lockout_minutes_max),
      ),
    port: settings.get("PORT", PORT_DEFAULT, whole(0, 65_535)),
    host: settings.get("HOST", HOST_DEFAULT, text),
    log_level: settings.get("LOG_LEVEL", "INFO", logLevel),
    rate_limit_auth: settings.get("RATE_LIMIT_AUTH", "10/m", rate),
    rate_limit_api: settings.get("RATE_LIMIT_API", "600/m", rate),
    trusted_proxies: settings.get("TRUSTED_PROXIES", "", parseTrustedProxies),
    cors_origins: settings.get("CORS_ORIGINS", "", origins),
    tls: readTls(settings),
    registration: settings.get("REGISTRATION", "open", oneOf("open", "closed")),
    entries_per_user_max: settings.get(
      "MAX_ENTRIES_PER_USER",
      String(LIMITS.entries_per_user_default),
      whole(1, LIMITS.tombstones_per_user_max),
    ),
    argon2: {
      memory_kib: settings.get(
        "ARGON2_MEMORY_KIB",
        String(LIMITS.argon2_memory_kib_default),
        whole(LIMITS.argon2_memory_kib_floor, LIMITS.argon2_memory_kib_max),
      ),
      iterations: settings.get(
        "ARGON2_ITERATIONS",
        String(LIMITS.argon2_iterations_default),
        whole(LIMITS.argon2_iterations_floor, LIMITS.argon2_iterations_max),
      ),
    },
    // One core stays free for everybody who is not logging in: hashing and WebCrypto share one thread pool.
    hash_concurrency: settings.get(
      "HASH_CONCURRENCY",
      String(Math.max(1, Math.min(LIMITS.hash_concurrency_max, availableParallelism() - 1))),
      whole(1, LIMITS.hash_concurrency_max),
    ),
    hash_queue_max: settings.get(
      "HASH_QUEUE_MAX",
      String(LIMITS.hash_queue_default),
      whole(0, LIMITS.hash_queue_max),
    ),
    database_pool_max: settings.get(
      "DATABASE_POOL_MAX",
      String(LIMITS.database_pool_default),
      whole(1, LIMITS.database_pool_max),
    ),
    audit_retention_ms:
      DURATION_MS.d *
      settings.get(
        "AUDIT_RETENTION_DAYS",
        String(LIMITS.audit_retention_days_default),
        whole(1, LIMITS.audit_retention_days_max),
      ),
    metrics: {
      token: settings.secret("METRICS_TOKEN", metricsToken),
      address: settings.get("METRICS_ADDRESS", "", listenAddress),
    },
  };
}

function readTls(settings: Reader): Config["tls"] {
  const certificate_file = settings.get("TLS_CERT_FILE", "", readableFile);
  const key_file = settings.get("TLS_KEY_FILE", "", readableFile);
  if (settings.has("TLS_CERT_FILE") !== settings.has("TLS_KEY_FILE")) {
    settings.fault("TLS_CERT_FILE", "and TLS_KEY_FILE belong together: set both or none");
  }
  return certificate_file && key_file ? { certificate_file, key_file } : undefined;
}

function count(number: number, noun: string): string {
  return number === 1 ? `one ${noun}` : `${number} ${noun}s`;
}

function deepFreeze<Value extends object>(value: Value): Value {
  for (const part of Object.values(value)) {
    if (typeof part === "object" && part !== null && !Object.isFrozen(part)) deepFreeze(part);
  }
  return Object.freeze(value);
}
