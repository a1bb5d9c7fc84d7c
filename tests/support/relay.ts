import { connect, createServer, type Socket } from "node:net";

/** A TCP relay before a PostgreSQL, so that a test can take the database away and bring it back. */
export type Relay = {
  /** The database's URL by way of the relay. */
  url: string;
  /** Ends every connection at once. */
  drop(): void;
  /** The same, and new ones are refused until `restore`. */
  cut(): Promise<void>;
  restore(): Promise<void>;
};

export async function startRelay(database_url: string): Promise<Relay> {
  const target = new URL(database_url);
  const sockets = new Set<Socket>();
  let server = listener();
  await listen(0);
  const { port } = server.address() as { port: number };
  const url = new URL(database_url);
  url.hostname = "127.0.0.1";
  url.port = String(port);

  function listener() {
    return createServer((client) => {
      const upstream = connect(Number(target.port), target.hostname);
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        sockets.add(from);
        from.on("data", (chunk) => to.write(chunk));
        from.on("error", () => {});
        from.on("close", () => {
          sockets.delete(from);
          to.destroy();
        });
      }
    });
  }

  function listen(on_port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(on_port, "127.0.0.1", resolve);
    });
  }

  function drop(): void {
    for (const socket of sockets) socket.destroy();
  }

  return {
    url: url.href,
    drop,
    cut() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      drop();
      return closed;
    },
    async restore() {
      server = listener();
      await listen(port);
    },
  };
}
