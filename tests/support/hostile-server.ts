import { type AddressInfo, createServer, type Socket } from "node:net";

/** A request as the server in the middle sees it. */
// biome-ignore lint/suspicious/noExplicitAny: whatever a client sent, a test looks into it
export type Seen = { route: string; path: string; method: string; headers: Headers; text: string; body: any };

/** An answer to be given. What is no text is sent as JSON, and undefined as nothing at all. */
// biome-ignore lint/suspicious/noExplicitAny: an attack puts anything in the place of anything
export type Answer = { status: number; headers?: Record<string, string>; body?: any };

/** What is written on the connection to the letter; the connection is closed when it resolves. */
export type Raw = (socket: Socket) => unknown;

/** What the real server says, to this request or to the same on another path. */
export type Pass = (path?: string) => Promise<Answer>;

export type Attack = (seen: Seen, pass: Pass) => Promise<Answer | Raw> | Answer | Raw;

/** A server in the middle: what it does not tamper with is the real server's answer. */
export type HostileServer = {
  url: string;
  /** What it does to every request, until it is told otherwise; undefined: it behaves. */
  attack: Attack | undefined;
  /** Every request since the list was emptied. */
  seen: Seen[];
  stop(): Promise<void>;
};

/** Starts a real HTTP server on loopback before a real one. It speaks HTTP/1.1 by hand, so that it can also speak it badly. */
export async function startHostileServer(target: { url: string }): Promise<HostileServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    void readRequest(socket).then((seen) => answer(socket, seen));
  });

  async function answer(socket: Socket, seen: Seen): Promise<void> {
    hostile.seen.push(seen);
    const pass: Pass = (path = seen.path) => forward(target.url, { ...seen, path });
    const given = await (hostile.attack === undefined ? pass() : hostile.attack(seen, pass));
    if (typeof given === "function") await given(socket);
    else socket.write(spell(given));
    socket.end();
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const hostile: HostileServer = {
    url: `http://127.0.0.1:${port}`,
    attack: undefined,
    seen: [],
    stop() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return hostile;
}

/** An attack on one route alone, like "GET /entries/:id"; its query does not count. */
export function on(route: string, attack: Attack): Attack {
  return (seen, pass) => (seen.route === route ? attack(seen, pass) : pass());
}

/** An attack that changes the body of what the real server says. */
// biome-ignore lint/suspicious/noExplicitAny: an attack puts anything in the place of anything
export function changing(route: string, change: (body: any, seen: Seen) => unknown): Attack {
  return on(route, async (seen, pass) => {
    const real = await pass();
    return { ...real, body: change(real.body, seen) };
  });
}

/** Does something under an attack; afterwards the server behaves again. */
export async function under<Result>(
  hostile: HostileServer,
  attack: Attack,
  action: () => Promise<Result>,
): Promise<Result> {
  hostile.attack = attack;
  return action().finally(() => {
    hostile.attack = undefined;
  });
}

/** What the real server says on a route while something is done: the last of it. */
export async function record(
  hostile: HostileServer,
  route: string,
  action: () => Promise<unknown>,
): Promise<Answer> {
  let recorded: Answer = { status: 0 };
  const recording = on(route, async (_, pass) => {
    recorded = await pass();
    return recorded;
  });
  await under(hostile, recording, action);
  return recorded;
}

/** A problem of the contract, or nearly one. */
export function problem(status: number, code: string, headers: Record<string, string> = {}): Answer {
  const body = { type: "about:blank", title: "A title", status, code, request_id: "request-1" };
  return { status, headers, body };
}

/** An answer with one header, and behind it whatever is to follow. */
export function head(header: string, rest: string | Uint8Array = "", status = 200): Raw {
  return (socket) => {
    socket.write(`HTTP/1.1 ${status} Answer\r\ncontent-type: application/json\r\n${header}\r\n\r\n`);
    socket.write(rest);
  };
}

/** An answer on the wire. */
export function spell({ status, headers = {}, body }: Answer): string {
  const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
  const all = {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    connection: "close",
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Answer\r\n${lines.join("")}\r\n${text}`;
}

function readRequest(socket: Socket): Promise<Seen> {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf("\r\n\r\n");
      if (end < 0) return;
      const [first = "", ...lines] = received.toString("latin1", 0, end).split("\r\n");
      const headers = new Headers(lines.map((line) => line.split(/:\s*(.*)/s, 2) as [string, string]));
      const body = received.subarray(end + 4);
      if (body.length < Number(headers.get("content-length") ?? 0)) return;
      resolve(toSeen(first, headers, body.toString("utf8")));
    });
  });
}

function toSeen(first: string, headers: Headers, text: string): Seen {
  const [method = "", path = ""] = first.split(" ");
  const name = path.replace(/\?.*/, "").replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, ":id");
  const body = text === "" ? undefined : JSON.parse(text);
  return { route: `${method} ${name}`, path, method, headers, text, body };
}

async function forward(target: string, { method, path, headers, text }: Seen): Promise<Answer> {
  const passed = ["content-type", "authorization", "if-match"].flatMap((name) => {
    const value = headers.get(name);
    return value === null ? [] : [[name, value] as [string, string]];
  });
  const response = await fetch(target + path, {
    method,
    headers: passed,
    ...(text !== "" && { body: text }),
  });
  const given = await response.text();
  return { status: response.status, body: given === "" ? undefined : JSON.parse(given) };
}
