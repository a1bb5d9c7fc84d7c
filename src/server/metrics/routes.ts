import { createHash, timingSafeEqual } from "node:crypto";
import { Elysia } from "elysia";
import { Problem } from "../../contract/problems.ts";
import type { Metrics } from "./metrics.ts";

/** GET /metrics in Prometheus' text format; with a `token` only for who sends it as a bearer. */
export function metricsRoutes(metrics: Metrics, token: string | undefined) {
  return new Elysia({ name: "metrics" }).get(
    "/metrics",
    async ({ request, set }) => {
      if (token !== undefined && !isBearer(request.headers.get("authorization"), token)) {
        throw new Problem("token-invalid", { headers: { "www-authenticate": 'Bearer realm="metrics"' } });
      }
      set.headers["content-type"] = metrics.content_type;
      return metrics.render();
    },
    // For the operator: no part of the interface that the OpenAPI document tells of.
    { detail: { hide: true } },
  );
}

/** Digests have one length, so that the comparison tells nothing of the token's. */
function isBearer(authorization: string | null, token: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(authorization ?? ""), digest(`Bearer ${token}`));
}
