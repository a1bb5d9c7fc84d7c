import type { Server } from "bun";
import { LIMITS } from "../contract/limits.ts";
import { createApp, createStartingApp } from "./app.ts";
import { makeAuditBuffer } from "./audit/buffer.ts";
import { makeCredentials } from "./auth/credentials.ts";
import { makeHashing } from "./auth/hashing.ts";
import { makeSessionLookup } from "./auth/living.ts";
import { deriveSecrets } from "./auth/secrets.ts";
import { makeTokens } from "./auth/tokens.ts";
import type { Config } from "./config.ts";
import { lockDataDirectory } from "./db/data-directory.ts";
import type { Database } from "./db/database.ts";
import { type OpenDatabase, openDatabase } from "./db/open.ts";
import { type Clock, type Deps, type Lifecycle, systemClock } from "./deps.ts";
import { EXIT, operatorFault } from "./exit.ts";
import type { Log } from "./log.ts";
import { startPurging } from "./purge.ts";

export type RunningServer = {
  url: URL;
  deps: Deps;
  /** Drains, lets requests in flight finish, flushes and closes. Resolves when all of it is done. */
  stop(): Promise<void>;
};

/**
 * Starts the server. It listens first, so that /health answers at once and /ready tells that the database is being
 * opened; it takes the lock of DATA_DIR before that, so that a second process changes nothing and disturbs nobody.
 */
export async function startServer(
  config: Config,
  log: Log,
  clock: Clock = systemClock,
): Promise<RunningServer> {
  const lock = config.database_url === undefined ? lockDataDirectory(config.data_dir) : undefined;
  const lifecycle: Lifecycle = { state: "starting" };
  let server: Server<undefined> | undefined;
  const peer = (request: Request) => server?.requestIP(request)?.address ?? "0.0.0.0";
  try {
    const starting = createStartingApp({ config, clock, log }, lifecycle, peer);
    server = listen(config, (request) => starting.fetch(request));
    const database = await openDatabase(config, log);
    const deps = makeDeps(config, database.db, clock, log);
    const app = createApp(deps, lifecycle, peer);
    const purging = startPurging(deps);
    server.reload({ fetch: (request: Request) => app.fetch(request) });
    lifecycle.state = "ready";
    log.info({ url: server.url.href, engine: database.engine, migrations: database.migrated }, "ready");
    const stop = once(() => shutDown(server as Server<undefined>, lifecycle, purging, deps, database, lock));
    return { url: server.url, deps, stop };
  } catch (error) {
    await server?.stop(true);
    lock?.release();
    throw error;
  }
}

/** Everything that the features share, made from the configuration and an open database. */
export function makeDeps(config: Config, db: Database, clock: Clock, log: Log): Deps {
  const secrets = deriveSecrets(config.jwt);
  const hashing = makeHashing(config);
  return {
    db,
    config,
    clock,
    log,
    secrets,
    tokens: makeTokens(config, secrets, clock),
    isLiving: makeSessionLookup(db, clock),
    hashing,
    credentials: makeCredentials(config, hashing),
    audit: makeAuditBuffer(db, clock, log),
  };
}

/** Listens for `fetch` as the configuration says. Throws a fault that names what to mend. */
export function listen(
  config: Config,
  fetch: (request: Request) => Response | Promise<Response>,
): Server<undefined> {
  const { tls } = config;
  try {
    return Bun.serve({
      hostname: config.host,
      port: config.port,
      // Two servers on one port would share its connections in silence.
      reusePort: false,
      idleTimeout: LIMITS.request_idle_s,
      // Bodies are counted as they are read, so that too large a one gets an answer of ours; Bun's own is bare.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      development: false,
      fetch,
      ...(tls && { tls: { cert: Bun.file(tls.certificate_file), key: Bun.file(tls.key_file) } }),
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const where = `${config.host}:${config.port}`;
    if (code === "EADDRINUSE") {
      throw operatorFault(
        EXIT.unavailable,
        `${where} is in use by another program: stop it, or set PORT to another number`,
      );
    }
    throw operatorFault(
      EXIT.unavailable,
      `Cannot listen on ${where} (${code ?? (error as Error).message}): check HOST, PORT and the TLS files`,
    );
  }
}

async function shutDown(
  server: Server<undefined>,
  lifecycle: Lifecycle,
  purging: { stop(): Promise<void> },
  deps: Deps,
  database: OpenDatabase,
  lock: { release(): void } | undefined,
): Promise<void> {
  lifecycle.state = "draining";
  await Bun.sleep(LIMITS.drain_ms);
  // Closes the listener and idle connections at once, and waits for requests in flight.
  await server.stop(false);
  await purging.stop();
  await deps.audit.flush();
  await database.close();
  lock?.release();
}

function once<Result>(work: () => Promise<Result>): () => Promise<Result> {
  let result: Promise<Result> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}
