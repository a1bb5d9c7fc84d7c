import type { Clock } from "../deps.ts";
import type { Log } from "../log.ts";
import { originOf } from "./origin.ts";

/** What is told of a request when it has been answered. `route` is a pattern, or "unmatched". */
export type Observation = {
  request_id: string;
  address: string;
  method: string;
  route: string;
  status: number;
  duration_ms: number;
};

/** How a request is answered. */
export type Fetch = (request: Request) => Response | Promise<Response>;

/** `fetch`, telling each observer of every request. */
export function observed(
  fetch: Fetch,
  clock: Clock,
  observers: readonly ((seen: Observation) => void)[],
): Fetch {
  if (observers.length === 0) return fetch;
  return async (request) => {
    const started_ms = clock.monotonic_ms();
    const response = await fetch(request);
    const { request_id, address, route = "unmatched" } = originOf(request);
    const duration_ms = clock.monotonic_ms() - started_ms;
    const method = METHODS.has(request.method) ? request.method : "OTHER";
    for (const observe of observers)
      observe({ request_id, address, method, route, status: response.status, duration_ms });
    return response;
  };
}

/** A client may invent methods; a log and a metric need not repeat them. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);

/** Checks of orchestrators come every few seconds and tell nothing: they are logged at `debug` only. */
const CHECKS = new Set(["/health", "/ready"]);

/** One line a request. */
export function requestLog(log: Log): (seen: Observation) => void {
  return (seen) => {
    const line = { ...seen, duration_ms: Math.round(seen.duration_ms * 100) / 100 };
    if (CHECKS.has(seen.route)) log.debug(line, "request");
    else log.info(line, "request");
  };
}
