import { sql } from "drizzle-orm";
import { Elysia } from "elysia";
import { LIMITS } from "../contract/limits.ts";
import { retryLater } from "../contract/problems.ts";
import { accountRoutes } from "./account/routes.ts";
import { auditRoutes } from "./audit/routes.ts";
import { authRoutes, passwordRoutes } from "./auth/routes.ts";
import type { Deps, Lifecycle } from "./deps.ts";
import { entryRoutes } from "./entries/routes.ts";
import { healthRoutes } from "./health/routes.ts";
import { docsRoutes, type Site } from "./http/docs.ts";
import { edgePlugin, type Peer } from "./http/edge.ts";
import { errorsPlugin } from "./http/errors.ts";
import type { Metrics } from "./metrics/metrics.ts";
import { metricsRoutes } from "./metrics/routes.ts";
import { sessionRoutes } from "./sessions/routes.ts";

/** A request's whole way, in order: errors, what holds for every request, public routes, signed-in routes. */
export function createApp(deps: Deps, lifecycle: Lifecycle, peer: Peer, { metrics, site }: Extras = {}) {
  const ping = async () => void (await deps.db.execute(sql`select 1`));
  let routes: readonly Route[] = [];
  const app = base(deps, lifecycle, peer, () => routes)
    // Public: no access token.
    .use(healthRoutes(deps.clock, lifecycle, ping))
    .use(authRoutes(deps))
    .use(docsRoutes(site))
    // Signed in: an access token of a living session, checked before anything of the request is read.
    .use(passwordRoutes(deps))
    .use(sessionRoutes(deps))
    .use(entryRoutes(deps))
    .use(accountRoutes(deps))
    .use(auditRoutes(deps));
  if (metrics !== undefined) app.use(metricsRoutes(metrics, deps.config.metrics.token));
  routes = app.routes;
  return app.compile();
}

/** What not every server has: metrics where they are asked for, pages where somebody has made them. */
type Extras = { metrics?: Metrics | undefined; site?: Site | undefined };

/** What answers while the database is being opened: health, and 503 for everything else. */
export function createStartingApp(edge: Edge, lifecycle: Lifecycle, peer: Peer) {
  const notReady = () => {
    throw retryLater("not-ready", LIMITS.retry_after_s * 1000);
  };
  return base(edge, lifecycle, peer, () => [])
    .use(healthRoutes(edge.clock, lifecycle, () => Promise.reject(new Error("no database yet"))))
    .all("/*", notReady)
    .compile();
}

/** The metrics alone, for an address of their own. */
export function createMetricsApp(edge: Edge, metrics: Metrics, peer: Peer) {
  return base(edge, { state: "ready" }, peer, () => [])
    .use(metricsRoutes(metrics, edge.config.metrics.token))
    .compile();
}

type Edge = Pick<Deps, "config" | "clock" | "log" | "limiters">;

type Route = { method: string; path: string };

function base(
  { config, log, limiters }: Edge,
  lifecycle: Lifecycle,
  peer: Peer,
  routes: () => readonly Route[],
) {
  // A short Host header would make Elysia mistake where the path begins (see its `standardHostname`).
  return new Elysia({ name: "blindvault", handler: { standardHostname: false }, normalize: false })
    .use(errorsPlugin(log, routes))
    .use(edgePlugin(config, limiters, lifecycle, peer));
}
