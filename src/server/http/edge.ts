import { Elysia } from "elysia";
import { LIMITS } from "../../contract/limits.ts";
import { retryLater } from "../../contract/problems.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../deps.ts";
import { clientAddress, networkOf } from "./client-address.ts";
import { allowOrigin, answerPreflight } from "./cors.ts";
import { SECURITY_HEADERS } from "./headers.ts";
import { makeLimiter, type Rate, rateLimitHeaders } from "./limiter.ts";
import { originOf, requestId, setOrigin } from "./origin.ts";

/** The address of the other end of a request's connection. */
export type Peer = (request: Request) => string;

type Headers = Record<string, string | number>;

/** Checks of orchestrators and balancers: limiting them would take a healthy server out of service. */
const UNLIMITED = new Set(["/health", "/health/", "/ready", "/ready/"]);

/** What comes before every route and holds for every answer: request id, headers, origin, CORS and the wide rate limit. */
export function edgePlugin(config: Config, clock: Clock, peer: Peer) {
  const limit = makeLimit("api", config.rate_limit_api, clock);
  return new Elysia({ name: "edge" }).onRequest(({ request, set }) => {
    const headers = set.headers as Headers;
    const request_id = requestId(request.headers.get("x-request-id"));
    Object.assign(headers, SECURITY_HEADERS);
    headers["x-request-id"] = request_id;
    const address = clientAddress(
      peer(request),
      request.headers.get("x-forwarded-for"),
      config.trusted_proxies,
    );
    const origin = { request_id, address, network: networkOf(address) };
    setOrigin(request, origin);
    const preflight = answerPreflight(request, allowOrigin(config.cors_origins, request, headers));
    if (preflight !== null) return preflight;
    if (!UNLIMITED.has(pathOf(request.url))) limit?.(origin.network, headers);
  });
}

/**
 * The narrow limit of routes that test or take a secret: a bucket for each route and client network. A `derive`,
 * so that it comes before the session, the body and the hash.
 */
export function authLimitPlugin(config: Config, clock: Clock) {
  const limit = makeLimit("auth", config.rate_limit_auth, clock);
  return new Elysia().derive({ as: "scoped" }, ({ request, route, set }) => {
    limit?.(`${request.method} ${route} ${originOf(request).network}`, set.headers as Headers);
    return {};
  });
}

function makeLimit(policy: string, rate: Rate | "off", clock: Clock) {
  if (rate === "off") return undefined;
  const limiter = makeLimiter({
    rate,
    monotonic_ms: clock.monotonic_ms,
    buckets_max: LIMITS.rate_limit_buckets_max,
  });
  return (key: string, headers: Headers): void => {
    const decision = limiter.take(key);
    Object.assign(headers, rateLimitHeaders(policy, rate, decision));
    if (!decision.allowed) throw retryLater("rate-limited", decision.retry_after_s * 1000);
  };
}

/** The path of an absolute URL without parsing all of it. */
function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  const end = url.indexOf("?", start);
  return start === -1 ? "/" : url.slice(start, end === -1 ? undefined : end);
}
