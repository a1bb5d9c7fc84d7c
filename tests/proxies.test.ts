import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { type RequestOptions, request } from "node:https";
import { join } from "node:path";
import { site } from "../src/web/docs/site.ts";
import { randomName, randomPassword } from "./support/client.ts";
import { freePort } from "./support/ports.ts";
import { startTestServer, type TestServer, temporaryDirectory } from "./support/server.ts";

/** Behind the proxies that people use, as the README sets them up: addresses, HTTPS and limits come out right. */
const directory = temporaryDirectory();
const certificate = join(directory, "certificate.pem");
const key = join(directory, "key.pem");

type Proxy = {
  command(port: number, upstream: string): string[];
  config(port: number, upstream: string): string;
};

const PROXIES: Record<string, Proxy> = {
  nginx: {
    command: () => ["nginx", "-e", "stderr", "-p", directory, "-c", join(directory, "nginx.config")],
    config: (port, upstream) => `
      daemon off; pid ${directory}/nginx.pid; worker_processes 1;
      events { worker_connections 64; }
      http {
        access_log off;
        client_body_buffer_size 512k; client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy;
        fastcgi_temp_path ${directory}/fastcgi; uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
        server {
          listen 127.0.0.1:${port} ssl;
          ssl_certificate ${certificate}; ssl_certificate_key ${key};
          location / {
            proxy_pass ${upstream};
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          }
        }
      }`,
  },
  caddy: {
    command: () => ["caddy", "run", "--adapter", "caddyfile", "--config", join(directory, "caddy.config")],
    config: (port, upstream) => `
      {
        admin off
        auto_https off
      }
      https://localhost:${port}, https://127.0.0.1:${port} {
        bind 127.0.0.1
        tls ${certificate} ${key}
        reverse_proxy ${upstream.replace("http://", "")}
      }`,
  },
};

for (const [name, proxy] of Object.entries(PROXIES)) {
  const missing = Bun.which(name) === null || Bun.which("openssl") === null;
  if (missing) console.log(`SKIPPED: behind ${name}, which is not on this machine (apt-get install ${name})`);

  describe.skipIf(missing)(`behind ${name}`, () => {
    let server: TestServer;
    let child: ReturnType<typeof Bun.spawn>;
    let port: number;

    beforeAll(async () => {
      await makeCertificate();
      server = await startTestServer(
        "postgresql",
        { TRUSTED_PROXIES: "127.0.0.1", RATE_LIMIT_AUTH: "4/m" },
        site,
      );
      port = freePort();
      writeFileSync(join(directory, `${name}.config`), proxy.config(port, server.url));
      const env = {
        PATH: process.env.PATH ?? "",
        HOME: directory,
        XDG_DATA_HOME: directory,
        XDG_CONFIG_HOME: directory,
      };
      child = Bun.spawn(proxy.command(port, server.url), { env, stdout: "ignore", stderr: "ignore" });
      await until(() => ask(port, "127.0.0.2", "GET", "/health"));
    }, 30_000);

    afterAll(async () => {
      child.kill("SIGTERM");
      await child.exited;
      await server.stop();
    }, 30_000);

    test("a session is noted with the client's own address, whatever the client claims", async () => {
      const { token } = await signUpFrom(port, "127.0.0.2", { "x-forwarded-for": "203.0.113.9, 127.0.0.1" });
      const sessions = await ask(port, "127.0.0.2", "GET", "/auth/sessions", {
        authorization: `Bearer ${token}`,
      });
      expect(JSON.parse(sessions.text).sessions).toMatchObject([{ address: "127.0.0.2", current: true }]);
    });

    test("the docs are whole: pages, what they load and the document", async () => {
      for (const page of ["/docs", "/redoc"]) {
        const { status, text } = await ask(port, "127.0.0.2", "GET", page);
        expect(status).toBe(200);
        const loaded = [...text.matchAll(/(?:src|href)="(\/docs\/assets\/[^"]+)"/g)].map(
          ([, path]) => path as string,
        );
        expect(loaded.length).toBeGreaterThan(2);
        for (const path of loaded) expect((await ask(port, "127.0.0.2", "GET", path)).status).toBe(200);
      }
      const document = JSON.parse((await ask(port, "127.0.0.2", "GET", "/openapi.json")).text);
      expect(Object.keys(document.paths)).toContain("/entries/{id}");
    });

    test("the limit is each client's own and cannot be talked away", async () => {
      const attempt = (from: string, claim: string) =>
        ask(port, from, "POST", "/auth/prelogin", { "x-forwarded-for": claim }, { username: randomName() });
      const statuses: number[] = [];
      for (let i = 0; i < 6; i++) statuses.push((await attempt("127.0.0.3", `198.51.100.${i}`)).status);
      expect(statuses).toEqual([200, 200, 200, 200, 429, 429]);
      expect((await attempt("127.0.0.4", "127.0.0.3")).status).toBe(200);
    });

    test("headers, problems and large bodies come through as they are", async () => {
      const answer = await ask(port, "127.0.0.2", "GET", "/entries", {
        "x-request-id": "request_from_outside",
      });
      expect(answer.status).toBe(401);
      expect(answer.headers).toMatchObject({
        "content-type": "application/problem+json",
        "x-request-id": "request_from_outside",
        "strict-transport-security": "max-age=31536000; includeSubDomains",
        "www-authenticate": 'Bearer realm="blindvault"',
      });
      const large = await ask(
        port,
        "127.0.0.5",
        "POST",
        "/auth/logout",
        {},
        { refreshToken: "x".repeat(300_000) },
      );
      expect(large.status).toBe(413);
    });
  });
}

async function makeCertificate(): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const command = ["openssl", "req", "-x509", ...curve, "-keyout", key, "-out", certificate, ...names];
  expect(await Bun.spawn(command, { stderr: "ignore" }).exited).toBe(0);
}

type Reply = { status: number; headers: Record<string, unknown>; text: string };

/** A request from a loopback address of the test's choice, so that clients have addresses of their own. */
function ask(
  port: number,
  localAddress: string,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: object,
): Promise<Reply> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const options: RequestOptions = {
    host: "127.0.0.1",
    port,
    method,
    path,
    localAddress,
    rejectUnauthorized: false,
    agent: false,
    headers: {
      host: "localhost",
      ...(payload && { "content-type": "application/json", "content-length": Buffer.byteLength(payload) }),
      ...headers,
    },
  };
  return new Promise((resolve, reject) => {
    const sent = request(options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part) => {
        text += part;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    sent.on("error", reject);
    sent.end(payload);
  });
}

async function signUpFrom(
  port: number,
  from: string,
  headers: Record<string, string>,
): Promise<{ token: string }> {
  const body = { username: randomName(), password: randomPassword() };
  expect((await ask(port, from, "POST", "/auth/register", headers, body)).status).toBe(201);
  const login = await ask(port, from, "POST", "/auth/login", headers, body);
  return { token: JSON.parse(login.text).accessToken };
}

async function until(work: () => Promise<Reply>): Promise<void> {
  for (const deadline = performance.now() + 15_000; performance.now() < deadline; ) {
    const reply = await work().catch(() => undefined);
    if (reply?.status === 200) return;
    await Bun.sleep(50);
  }
  throw new Error("the proxy does not answer");
}
