import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApp } from "../../src/server/app.ts";
import { type Config, loadConfig } from "../../src/server/config.ts";
import { lockDataDirectory } from "../../src/server/db/data-directory.ts";
import type { Database } from "../../src/server/db/database.ts";
import { type OpenDatabase, openDatabase } from "../../src/server/db/open.ts";
import type { Clock, Deps, Lifecycle } from "../../src/server/deps.ts";
import type { Site } from "../../src/server/http/docs.ts";
import { openListener } from "../../src/server/listener.ts";
import { type Log, makeLog } from "../../src/server/log.ts";
import type { Environment } from "../../src/server/settings.ts";
import { makeDeps } from "../../src/server/start.ts";
import { createTestDatabase } from "./postgres.ts";

/** Every test of the server runs on both. */
export const ENGINES = ["embedded", "postgresql"] as const;
export type Engine = (typeof ENGINES)[number];

/** Random in each run, so that no fixture looks like a secret of anybody's. */
export const JWT_SECRET = Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString("base64url");

export type TestClock = Clock & { advance(ms: number): void };

export type TestServer = {
  url: string;
  deps: Deps;
  clock: TestClock;
  lifecycle: Lifecycle;
  /** Every line that the server has logged. */
  logged: string[];
  stop(): Promise<void>;
};

/**
 * A server like the real one: the same listener, the same application, a real database. It shares the database of its
 * engine with the other tests of the process, so tests keep to accounts of their own.
 */
export async function startTestServer(
  engine: Engine,
  settings: Environment = {},
  site?: Site,
): Promise<TestServer> {
  const { database, environment } = await sharedDatabase(engine);
  return startServerOn(database.db, loadConfig({ ...environment, ...FAST, JWT_SECRET, ...settings }), site);
}

/** The same on a database that the caller has opened. */
export function startServerOn(db: Database, config: Config, site?: Site): TestServer {
  const clock = makeTestClock();
  const { log, logged } = makeTestLog();
  const lifecycle: Lifecycle = { state: "ready" };
  const deps = makeDeps(config, db, clock, log);
  const app = createApp(deps, lifecycle, (request) => listener.peer(request), site ? { site } : {});
  const listener = openListener(config, (request) => app.fetch(request));
  return {
    url: listener.url.origin,
    deps,
    clock,
    lifecycle,
    logged,
    async stop() {
      await listener.abort();
      await deps.audit.flush();
    },
  };
}

/** The weakest allowed cost, and no limits but where a test is about them. */
const FAST: Environment = {
  PORT: "0",
  ARGON2_MEMORY_KIB: "19456",
  ARGON2_ITERATIONS: "2",
  RATE_LIMIT_AUTH: "off",
  RATE_LIMIT_API: "off",
};

export function makeTestClock(): TestClock {
  let offset_ms = 0;
  return {
    now_ms: () => Date.now() + offset_ms,
    monotonic_ms: () => performance.now() + offset_ms,
    advance(ms) {
      offset_ms += ms;
    },
  };
}

export function makeTestLog(): { log: Log; logged: string[] } {
  const logged: string[] = [];
  return { log: makeLog("debug", { write: (line: string) => void logged.push(line) }), logged };
}

type Shared = { database: OpenDatabase; environment: Environment };
const shared = new Map<Engine, Promise<Shared>>();

function sharedDatabase(engine: Engine): Promise<Shared> {
  const known = shared.get(engine);
  if (known !== undefined) return known;
  const opening = engine === "embedded" ? openEmbedded() : openPostgres();
  shared.set(engine, opening);
  return opening;
}

async function openPostgres(): Promise<Shared> {
  const { url } = await createTestDatabase();
  return open({ DATABASE_URL: url });
}

async function openEmbedded(): Promise<Shared> {
  const directory = temporaryDirectory();
  lockDataDirectory(directory);
  return open({ DATA_DIR: directory });
}

async function open(environment: Environment): Promise<Shared> {
  const config = loadConfig({ ...environment, JWT_SECRET });
  return { environment, database: await openDatabase(config, makeTestLog().log) };
}

/** A directory that is gone when the test process has ended in order. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "blindvault-test-"));
  directories.add(path);
  return path;
}

const directories = new Set<string>();

/** Called by the preload when every file has run: `bun test` fires neither "exit" nor "beforeExit". */
export function removeTemporaryDirectories(): void {
  for (const path of directories) rmSync(path, { recursive: true, force: true });
}
