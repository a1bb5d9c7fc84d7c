/** A port of 127.0.0.1 that was free a moment ago, for a program that cannot choose one itself. */
export function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}
