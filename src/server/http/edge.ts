import { Elysia } from "elysia";
import type { Config } from "../config.ts";
import type { Lifecycle } from "../deps.ts";
import { clientAddress, networkOf } from "./client-address.ts";
import { allowOrigin, answerPreflight } from "./cors.ts";
import { SECURITY_HEADERS } from "./headers.ts";
import type { Headers, Limiters } from "./limits.ts";
import { originOf, requestId, setOrigin } from "./origin.ts";

/** The address of the other end of a request's connection. */
export type Peer = (request: Request) => string;

/** Checks of orchestrators and balancers: limiting them would take a healthy server out of service. */
const UNLIMITED = new Set(["/health", "/health/", "/ready", "/ready/"]);

/** What comes before every route and holds for every answer: request id, headers, origin, CORS and the wide rate limit. */
export function edgePlugin(config: Config, limiters: Limiters, lifecycle: Lifecycle, peer: Peer) {
  return new Elysia({ name: "edge" })
    .onTransform({ as: "global" }, ({ request, route }) => {
      originOf(request).route = route;
    })
    .onRequest(({ request, set }) => {
      const headers = set.headers as Headers;
      const request_id = requestId(request.headers.get("x-request-id"));
      Object.assign(headers, SECURITY_HEADERS);
      headers["x-request-id"] = request_id;
      // A client that sends its next request here would meet a closed door.
      if (lifecycle.state === "draining") headers.connection = "close";
      const address = clientAddress(
        peer(request),
        request.headers.get("x-forwarded-for"),
        config.trusted_proxies,
      );
      const origin = { request_id, address, network: networkOf(address) };
      setOrigin(request, origin);
      const preflight = answerPreflight(request, allowOrigin(config.cors_origins, request, headers));
      if (preflight !== null) return preflight;
      if (!UNLIMITED.has(pathOf(request.url))) limiters.api?.take(origin.network, headers);
    });
}

/**
 * The narrow limit of routes that test or take a secret: a bucket for each route and client network. A `derive`,
 * so that it comes before the session, the body and the hash.
 */
export function authLimitPlugin(limiters: Limiters) {
  return new Elysia().derive({ as: "scoped" }, ({ request, route, set }) => {
    limiters.auth?.take(`${request.method} ${route} ${originOf(request).network}`, set.headers as Headers);
    return {};
  });
}

/** The path of an absolute URL without parsing all of it. */
function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  const end = url.indexOf("?", start);
  return start === -1 ? "/" : url.slice(start, end === -1 ? undefined : end);
}
