/** What a page of another origin may read besides the body. */
const EXPOSED = "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-Id";

type Headers = Record<string, string | number>;

/**
 * Cross-origin access (Fetch standard, section 3.2) for origins that the operator lists to the letter; the
 * given one is compared and never reflected otherwise. No credentials: tokens travel in a header, not in cookies.
 */
export function allowOrigin(origins: readonly string[], request: Request, headers: Headers): boolean {
  if (origins.length === 0) return false;
  headers.vary = "Origin";
  const origin = request.headers.get("origin");
  if (origin === null || !origins.includes(origin)) return false;
  headers["access-control-allow-origin"] = origin;
  headers["access-control-expose-headers"] = EXPOSED;
  headers["cross-origin-resource-policy"] = "cross-origin";
  return true;
}

/** Answers the question that a browser asks before a request of another origin; null for any other request. */
export function answerPreflight(request: Request, allowed: boolean): Response | null {
  const wanted = request.headers.get("access-control-request-method");
  if (!allowed || request.method !== "OPTIONS" || wanted === null) return null;
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST, PUT, DELETE",
      "access-control-allow-headers": "Authorization, Content-Type, If-Match, If-None-Match, X-Request-Id",
      "access-control-max-age": "600",
    },
  });
}
