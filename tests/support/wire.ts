import { expect } from "bun:test";
import { connect } from "node:net";

/** An answer as it stood on the wire; status 0 when the connection was closed without one. */
export type WireAnswer = { status: number; headers: Headers; text: string };

export type Connection = {
  write(data: string | Uint8Array): void;
  /** Resolves when the server has closed the connection. */
  answered: Promise<WireAnswer>;
  close(): void;
};

/** A connection of its own, for requests that no HTTP client would send. */
export function openConnection(server: { url: string }): Connection {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  // A server that refuses a body may close while the rest is still being sent.
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  return {
    write: (data) => void socket.write(data),
    answered: closed.then(() => parseAnswer(Buffer.concat(chunks).toString("utf8"))),
    close: () => void socket.destroy(),
  };
}

/**
 * Sends a request line and headers to the letter; `Host` and `Connection: close` are added unless `lines` has a
 * Host of its own.
 */
export function exchange(
  server: { url: string },
  lines: string[],
  body: string | Uint8Array = "",
): Promise<WireAnswer> {
  const connection = openConnection(server);
  connection.write(head(server, lines));
  if (body.length > 0) connection.write(body);
  return connection.answered;
}

/** The head of a request, ready to be written. */
export function head(server: { url: string }, lines: string[]): string {
  const host = lines.some((line) => /^host:/i.test(line)) ? [] : [`Host: ${new URL(server.url).host}`];
  return [...lines, ...host, "Connection: close", "", ""].join("\r\n");
}

function parseAnswer(text: string): WireAnswer {
  const end = text.indexOf("\r\n\r\n");
  const [status_line = "", ...lines] = text.slice(0, Math.max(0, end)).split("\r\n");
  const headers = new Headers(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(status_line.split(" ")[1] ?? 0), headers, text: text.slice(end + 4) };
}

/** The headers that the contract promises for every answer, to the letter. */
const PROMISED = {
  "cache-control": "no-store",
  "content-security-policy":
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "strict-transport-security": "max-age=31536000; includeSubDomains",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** Asserts what holds for every answer of the server, whatever it says. */
export function expectPromisedHeaders(answer: { headers: Headers }): void {
  const names = [...Object.keys(PROMISED), "server", "x-powered-by"];
  const present = names.map((name) => [name, answer.headers.get(name)]).filter(([, value]) => value !== null);
  expect(Object.fromEntries(present)).toEqual(PROMISED);
  expect(answer.headers.get("x-request-id")).toMatch(/^[A-Za-z0-9_-]{8,64}$/);
}
