import { sql } from "drizzle-orm";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Deps } from "../deps.ts";
import type { Observation } from "../http/observe.ts";

export type Metrics = ReturnType<typeof makeMetrics>;

/** From what a cached answer takes to what makes a client give up; an Argon2id hash lies in the middle. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** What the server tells Prometheus of itself: of requests as they come, of everything else when it is asked. */
export function makeMetrics(deps: Deps) {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: "blindvault_requests_total",
    help: "Requests answered, by method, route and status.",
    labelNames: ["method", "route", "status"] as const,
    registers,
  });
  const duration = new Histogram({
    name: "blindvault_request_duration_seconds",
    help: "Time to answer, by method and route.",
    labelNames: ["method", "route"] as const,
    buckets: BUCKETS_S,
    registers,
  });
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `blindvault_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("hashing_running", "Argon2id hashes that run.", () => deps.hashing.running);
  gauge("hashing_waiting", "Argon2id hashes that wait for their turn.", () => deps.hashing.waiting);
  gauge("audit_buffer_lines", "Audit lines that wait to be written.", () => deps.audit.size);
  gauge("limiter_auth_buckets", "Token buckets of the narrow limit.", () => deps.limiters.auth?.size ?? 0);
  gauge("limiter_api_buckets", "Token buckets of the wide limit.", () => deps.limiters.api?.size ?? 0);
  gauge("process_resident_memory_bytes", "Memory of the process.", () => process.memoryUsage.rss());
  gauge("process_cpu_seconds_total", "Processor time of the process, its threads' included.", cpuSeconds);
  gauge("process_uptime_seconds", "Time since the process began.", () => process.uptime());
  const database = new Gauge({
    name: "blindvault_database_size_bytes",
    help: "Size of the database on disk.",
    registers,
  });
  const connections = new Gauge({
    name: "blindvault_database_connections",
    help: "Connections of all servers to PostgreSQL, by state.",
    labelNames: ["state"] as const,
    registers,
  });
  const up = new Gauge({ name: "blindvault_database_up", help: "1 when the database answers.", registers });

  async function askDatabase(): Promise<void> {
    try {
      const { size_bytes, states } = await databaseFacts(deps);
      up.set(1);
      database.set(size_bytes);
      connections.reset();
      for (const { state, count } of states) connections.set({ state }, count);
    } catch {
      up.set(0);
    }
  }

  return {
    content_type: registry.contentType,
    observe({ method, route, status, duration_ms }: Observation): void {
      requests.inc({ method, route, status });
      duration.observe({ method, route }, duration_ms / 1000);
    },
    async render(): Promise<string> {
      await askDatabase();
      return registry.metrics();
    },
  };
}

type Facts = { size_bytes: number; states: { state: string; count: number }[] };

async function databaseFacts({ db }: Deps): Promise<Facts> {
  const activity = sql`pg_stat_activity`;
  const [size] = await db
    .select({ bytes: sql<number>`bytes::float8` })
    .from(sql`pg_database_size(current_database()) as bytes`);
  const states = await db
    .select({ state: sql<string>`coalesce(state, 'unknown')`, count: sql<number>`count(*)::int` })
    .from(activity)
    .where(sql`application_name = 'blindvault' and datname = current_database()`)
    .groupBy(sql`1`);
  return { size_bytes: size?.bytes ?? 0, states };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000_000;
}
