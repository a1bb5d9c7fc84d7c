import { LIMITS } from "../contract/limits.ts";
import { createApp, createMetricsApp, createStartingApp } from "./app.ts";
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
import type { Site } from "./http/docs.ts";
import { type Limiters, makeLimiters } from "./http/limits.ts";
import { type Observation, observed, requestLog } from "./http/observe.ts";
import { type Listener, openListener } from "./listener.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics/metrics.ts";
import { startPurging } from "./purge.ts";

export type RunningServer = {
  url: URL;
  deps: Deps;
  /** Reads the TLS certificate and its key anew. Throws a fault, and goes on with the old pair, when they are no pair. */
  reloadTls(): void;
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
  site?: Site,
): Promise<RunningServer> {
  const lock = config.database_url === undefined ? lockDataDirectory(config.data_dir) : undefined;
  const lifecycle: Lifecycle = { state: "starting" };
  const limiters = makeLimiters(config, clock);
  const listeners: Listener[] = [];
  try {
    const starting = createStartingApp({ config, clock, log, limiters }, lifecycle, (request) =>
      listener.peer(request),
    );
    const listener = openListener(config, (request) => starting.fetch(request));
    listeners.push(listener);
    const database = await openDatabase(config, log);
    const deps = makeDeps(config, database.db, clock, log, limiters);
    const metrics = await makeMetricsOf(deps, listeners);
    const routed = config.metrics.address === undefined ? metrics : undefined;
    const app = createApp(deps, lifecycle, listener.peer, { metrics: routed, site });
    const purging = startPurging(deps);
    listener.serve(observed((request) => app.fetch(request), clock, observersOf(deps, metrics)));
    lifecycle.state = "ready";
    log.info({ url: listener.url.href, engine: database.engine, migrations: database.migrated }, "ready");
    const stop = once(() => shutDown(listeners, lifecycle, purging, deps, database, lock));
    return { url: listener.url, deps, reloadTls: listener.reloadTls, stop };
  } catch (error) {
    for (const listener of listeners) await listener.abort();
    lock?.release();
    throw error;
  }
}

/** The metrics where they are asked for, on an address of their own where one is set. The library is loaded only then. */
async function makeMetricsOf(deps: Deps, listeners: Listener[]): Promise<Metrics | undefined> {
  const { token, address } = deps.config.metrics;
  if (token === undefined && address === undefined) return undefined;
  const { makeMetrics } = await import("./metrics/metrics.ts");
  const metrics = makeMetrics(deps);
  if (address !== undefined) {
    const app = createMetricsApp(deps, metrics, (request) => listener.peer(request));
    const listener = openListener({ ...address, tls: undefined }, (request) => app.fetch(request));
    listeners.push(listener);
  }
  return metrics;
}

/** Everything that the features share, made from the configuration and an open database. */
export function makeDeps(
  config: Config,
  db: Database,
  clock: Clock,
  log: Log,
  limiters: Limiters = makeLimiters(config, clock),
): Deps {
  const secrets = deriveSecrets(config.jwt);
  const hashing = makeHashing(config);
  return {
    db,
    config,
    clock,
    log,
    limiters,
    secrets,
    tokens: makeTokens(config, secrets, clock),
    isLiving: makeSessionLookup(db, clock),
    hashing,
    credentials: makeCredentials(config, hashing),
    audit: makeAuditBuffer(db, clock, log),
  };
}

/** Who is told of every request; a log that would drop the line is not asked to write it. */
export function observersOf(deps: Deps, metrics?: Metrics): ((seen: Observation) => void)[] {
  return [
    ...(deps.log.isLevelEnabled("info") ? [requestLog(deps.log)] : []),
    ...(metrics === undefined ? [] : [metrics.observe]),
  ];
}

async function shutDown(
  listeners: Listener[],
  lifecycle: Lifecycle,
  purging: { stop(): Promise<void> },
  deps: Deps,
  database: OpenDatabase,
  lock: { release(): void } | undefined,
): Promise<void> {
  lifecycle.state = "draining";
  await Bun.sleep(LIMITS.drain_ms);
  // Closes the listener and idle connections at once, and waits for requests in flight.
  const finished = Promise.all(listeners.map((listener) => listener.stop()));
  await Promise.race([finished, Bun.sleep(LIMITS.finish_ms)]);
  await Promise.all(listeners.map((listener) => listener.abort()));
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
