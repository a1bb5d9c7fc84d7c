/** Where a request came from: what audit lines, limits and log lines are about. */
export type Origin = {
  request_id: string;
  /** The client's address in canonical text, behind trusted proxies the one that they tell of. */
  address: string;
  /** What limits count by: the address, for IPv6 its /64. */
  network: string;
  /** The route's pattern once it is known; a path itself may hold what nobody should read in a log. */
  route?: string;
};

const origins = new WeakMap<Request, Origin>();

/** Notes the origin of a request; done once, before anything else looks at it. */
export function setOrigin(request: Request, origin: Origin): void {
  origins.set(request, origin);
}

export function originOf(request: Request): Origin {
  return origins.get(request) ?? { request_id: "unknown", address: "unknown", network: "unknown" };
}

/** The client's own id where it is harmless in a log line, or a fresh one. */
export function requestId(given: string | null): string {
  return given !== null && /^[A-Za-z0-9_-]{8,64}$/.test(given) ? given : crypto.randomUUID();
}
