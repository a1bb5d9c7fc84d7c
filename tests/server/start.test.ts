import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { eq } from "drizzle-orm";
import { isOperatorFault } from "../../src/exit.ts";
import { auditEvents } from "../../src/server/db/schema.ts";
import type { Environment } from "../../src/server/settings.ts";
import {
  call,
  createEntry,
  expectProblem,
  randomHex,
  sealedEntry,
  signIn,
  signUp,
} from "../support/client.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { type PrivateServer, privateEnvironment, startPrivateServer } from "../support/private-server.ts";
import { startRelay } from "../support/relay.ts";
import { ENGINES, JWT_SECRET, startTestServer, temporaryDirectory } from "../support/server.ts";
import { expectPromisedHeaders, head, openConnection } from "../support/wire.ts";

const PATIENCE_MS = 30_000;

for (const engine of ENGINES) {
  describe(`a server on ${engine}`, () => {
    let environment: Environment;
    let server: PrivateServer;
    const DATA_DIR = join(temporaryDirectory(), "data");
    const start = async () => {
      server = await startPrivateServer(environment);
    };
    beforeAll(async () => {
      environment = await privateEnvironment(engine, { DATA_DIR });
    });

    test("leaves a port in use to its owner, says what to do, and lets go of DATA_DIR", async () => {
      const [port, free] = await takePort();
      expect(await startFault({ ...environment, PORT: String(port) })).toEqual([
        69,
        `127.0.0.1:${port} is in use by another program: stop it, or set PORT to another number`,
      ]);
      await free();
    });

    test(
      "says where it listens, on what, and how many migrations ran",
      async () => {
        await start();
        const ready = server.logged.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "ready");
        expect(ready).toMatchObject([{ level: "info", url: `${server.url}/`, engine }]);
        expect(ready[0].migrations).toBeGreaterThan(0);
        expect(server.logged.join("")).not.toContain(JWT_SECRET);
        expect((await call(server, "GET /ready")).status).toBe(200);
      },
      PATIENCE_MS,
    );

    if (engine === "embedded") {
      test("has DATA_DIR for itself: a second one changes nothing and says why", async () => {
        expect((statSync(DATA_DIR).mode & 0o777).toString(8)).toBe("700");
        expect(await startFault(environment)).toEqual([
          75,
          expect.stringContaining("is in use: another process has its lock"),
        ]);
        expect((await call(server, "GET /ready")).status).toBe(200);
      });
    } else {
      test("makes no DATA_DIR", () => expect(existsSync(DATA_DIR)).toBe(false));
    }

    test(
      "drains, finishes what is in flight, flushes, and keeps everything for the next start",
      async () => {
        const user = await signUp(server);
        const entry = await createEntry(server, user);
        await call(server, `GET /entries/${entry.id}`, { token: user.token });
        const request_id = `request-${randomHex(8)}`;
        const slow = await beginRequest(server, "POST /entries", sealedEntry(), [
          `Authorization: Bearer ${user.token}`,
        ]);
        const refused = await beginRequest(server, "POST /auth/token", { refreshToken: "unknown" }, [
          `X-Request-Id: ${request_id}`,
        ]);

        const stopping = server.stop();
        const progress = { stopped: false };
        void stopping.then(() => Object.assign(progress, { stopped: true }));
        expect(server.stop()).toBe(stopping);
        // A balancer is told first, and whoever comes meanwhile is served.
        expectProblem(await call(server, "GET /ready"), 503, "not-ready");
        expect((await call(server, "GET /health")).status).toBe(200);
        expect((await call(server, "GET /account", { token: user.token })).status).toBe(200);
        await untilRefused(server);
        expect(progress.stopped).toBe(false);
        const late = await slow.finish();
        expect(late.status).toBe(201);
        expect((await refused.finish()).status).toBe(401);
        await stopping;

        await start();
        const { body } = await call(server, "GET /entries", { token: user.token });
        expect(body.entries).toEqual([JSON.parse(late.text), entry]);
        const { events } = (await call(server, "GET /audit", { token: user.token })).body;
        expect(events.map(({ type }: { type: string }) => type)).toContain("entry-read");
        // Gathered in memory after all listening had ended, and written all the same.
        const last = await server.deps.db
          .select()
          .from(auditEvents)
          .where(eq(auditEvents.request_id, request_id));
        expect(last.map(({ type }) => type)).toEqual(["refresh-refused"]);
        await signIn(server, user);
        await server.stop();
      },
      PATIENCE_MS,
    );
  });
}

describe("a PostgreSQL that is not up yet", () => {
  test(
    "is waited for, alive and not ready meanwhile",
    async () => {
      const { url } = await createTestDatabase();
      const relay = await startRelay(url);
      await relay.cut();
      const [port, free] = await takePort();
      await free();
      const environment = await privateEnvironment("postgresql", {
        PORT: String(port),
        DATABASE_URL: relay.url,
        CORS_ORIGINS: "https://vault.example",
      });
      const starting = startPrivateServer(environment);
      const early = { url: `http://127.0.0.1:${port}` };
      expect((await untilAnswered(early, "GET /health")).body.status).toBe("ok");
      const routes = [
        "GET /ready",
        "GET /entries",
        "POST /auth/login",
        "PUT /entries/x",
        "GET /nothing-here",
      ];
      for (const route of routes) {
        const body = route.startsWith("P") ? { body: sealedEntry() } : {};
        const answer = await call(early, route, body);
        expectProblem(answer, 503, "not-ready");
        expectPromisedHeaders(answer);
        expect(answer.headers.get("retry-after")).toBe("1");
      }
      await relay.restore();
      const server = await starting;
      try {
        expect(server.url).toBe(early.url);
        expect((await call(server, "GET /ready")).status).toBe(200);
        expectProblem(await call(server, "GET /nothing-here"), 404, "not-found");
        await signUp(server);
      } finally {
        await server.stop();
        await relay.cut();
      }
    },
    PATIENCE_MS,
  );

  test("is not waited for when it refuses the login or the database", async () => {
    const { url } = await createTestDatabase();
    const elsewhere = new URL(url);
    elsewhere.pathname = "/no_such_database";
    const [code, message] = await startFault(
      await privateEnvironment("postgresql", { DATABASE_URL: elsewhere.href }),
    );
    expect([code, message]).toEqual([
      69,
      "PostgreSQL refuses the login or has no such database (3D000): check DATABASE_URL",
    ]);
  });
});

describe("TLS", () => {
  const directory = temporaryDirectory();
  const TLS_KEY_FILE = join(directory, "key.pem");
  const TLS_CERT_FILE = join(directory, "certificate.pem");

  test.skipIf(Bun.which("openssl") === null)(
    "serves every route over HTTPS, whatever Host says",
    async () => {
      const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
      const files = ["-keyout", TLS_KEY_FILE, "-out", TLS_CERT_FILE, "-days", "2", "-nodes"];
      const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
      await Bun.spawn(["openssl", "req", "-x509", ...curve, ...files, ...subject], { stderr: "ignore" })
        .exited;
      const server = await startTestServer("postgresql", { TLS_CERT_FILE, TLS_KEY_FILE });
      try {
        expect(server.url).toStartWith("https://127.0.0.1:");
        const tls = { ca: Bun.file(TLS_CERT_FILE) };
        const answer = await fetch(`${server.url}/health`, { tls });
        expect(answer.status).toBe(200);
        expectPromisedHeaders(answer);
        const entries = await fetch(`${server.url}/entries/?limit=1`, { tls });
        expect(entries.status).toBe(401);
        for (const host of ["127.0.0.1", "a", "ab", "vault.example"])
          expect([host, await statusOverTls(server, `GET /health HTTP/1.1\r\nHost: ${host}`)]).toEqual([
            host,
            200,
          ]);
        const plain = await fetch(`${server.url.replace("https", "http")}/health`).catch(() => undefined);
        expect(plain?.ok ?? false).toBe(false);
      } finally {
        await server.stop();
      }
    },
  );

  test("is refused with files that are none, and says where to look", async () => {
    const [certificate, key] = [join(directory, "no-certificate"), join(directory, "no-key")];
    writeFileSync(certificate, "no certificate");
    writeFileSync(key, "no key");
    const settings = { TLS_CERT_FILE: certificate, TLS_KEY_FILE: key };
    const [code, message] = await startFault(await privateEnvironment("postgresql", settings));
    expect([69, 78]).toContain(code);
    expect(message).toContain("TLS");
  });
});

function statusOverTls(server: { url: string }, request: string): Promise<number> {
  const { port, hostname } = new URL(server.url);
  const socket = connectTls({ port: Number(port), host: hostname, rejectUnauthorized: false });
  socket.write(`${request}\r\nConnection: close\r\n\r\n`);
  return new Promise((resolve, reject) => {
    socket.once("data", (data: Buffer) => resolve(Number(data.toString().split(" ")[1])));
    socket.once("error", reject);
  });
}

/** A request whose body has not arrived as a whole. */
async function beginRequest(server: PrivateServer, route: string, sent: object, headers: string[]) {
  const body = JSON.stringify(sent);
  const connection = openConnection(server);
  const lines = ["Content-Type: application/json", `Content-Length: ${body.length}`];
  connection.write(head(server, [`${route} HTTP/1.1`, ...headers, ...lines]));
  connection.write(body.slice(0, 10));
  // Answered on another connection only after the server has read this one.
  await call(server, "GET /health");
  return {
    finish() {
      connection.write(body.slice(10));
      return connection.answered;
    },
  };
}

async function untilRefused(server: { url: string }): Promise<void> {
  while (await fetch(`${server.url}/health`).catch(() => undefined)) await Bun.sleep(20);
}

async function untilAnswered(server: { url: string }, route: string) {
  for (;;) {
    const answer = await call(server, route).catch(() => undefined);
    if (answer !== undefined) return answer;
    await Bun.sleep(10);
  }
}

/** Exit code and message of a start that fails. */
async function startFault(environment: Environment): Promise<[code: number, message: string]> {
  const error = await startPrivateServer(environment).then(
    async (server) => {
      await server.stop();
      return new Error("started");
    },
    (reason) => reason,
  );
  if (isOperatorFault(error)) return [error.exit_code, error.message];
  throw error;
}

/** A port of 127.0.0.1 that is taken until `free` is called. */
async function takePort(): Promise<[port: number, free: () => Promise<void>]> {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", () => resolve()));
  const { port } = holder.address() as AddressInfo;
  return [port, () => new Promise((resolve) => holder.close(() => resolve()))];
}
