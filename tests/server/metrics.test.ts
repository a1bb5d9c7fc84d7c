import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { loadConfig } from "../../src/server/config.ts";
import { type RunningServer, startServer } from "../../src/server/start.ts";
import { call, expectProblem, randomHex } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { JWT_SECRET, makeTestLog, startTestServer, temporaryDirectory } from "../support/server.ts";

const TOKEN = randomHex(24);
const ENGINES = {
  embedded: async () => ({ DATA_DIR: temporaryDirectory() }),
  postgresql: async () => ({ DATABASE_URL: (await createTestDatabase()).url }),
};

for (const [engine, environment] of Object.entries(ENGINES)) {
  describe(`the metrics of a server on ${engine}`, () => {
    let server: RunningServer;
    let url: string;

    beforeAll(async () => {
      const settings = { JWT_SECRET, PORT: "0", METRICS_TOKEN: TOKEN, ...(await environment()) };
      server = await startServer(loadConfig(settings), makeTestLog().log);
      url = server.url.origin;
    }, 30_000);
    afterAll(() => server.stop(), 30_000);

    test("are for who has the token", async () => {
      for (const authorization of [
        undefined,
        "Bearer",
        `Bearer ${TOKEN}x`,
        `Bearer ${TOKEN.slice(1)}`,
        TOKEN,
        `bearer ${TOKEN}`,
      ]) {
        const answer = await call({ url }, "GET /metrics", {
          headers: { ...(authorization && { authorization }) },
        });
        expectProblem(answer, 401, "token-invalid");
        expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="metrics"');
      }
      const answer = await scrape(url);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    });

    test("count requests by route pattern and never by path", async () => {
      const made_up = randomHex(16);
      await call({ url }, `GET /entries/${made_up}`);
      await call({ url }, `GET /${made_up}`);
      await call({ url }, "GET /health");
      const { text } = await scrape(url);
      expect(text).toContain('blindvault_requests_total{method="GET",route="/entries/:id",status="401"} 1\n');
      expect(text).toContain('blindvault_requests_total{method="GET",route="unmatched",status="404"} 1\n');
      expect(text).toContain('blindvault_request_duration_seconds_count{method="GET",route="/health"} 1\n');
      expect(text).not.toContain(made_up);
    });

    test("tell of queue, buffer, limits, database and process", async () => {
      const { text } = await scrape(url);
      const value = (name: string) => Number(new RegExp(`^blindvault_${name} (\\S+)$`, "m").exec(text)?.[1]);
      expect(value("database_up")).toBe(1);
      expect(value("database_size_bytes")).toBeGreaterThan(1_000_000);
      expect(value("process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
      expect(value("process_cpu_seconds_total")).toBeGreaterThan(0);
      expect(value("process_uptime_seconds")).toBeGreaterThan(0);
      expect(value("limiter_api_buckets")).toBe(1);
      for (const name of [
        "hashing_running",
        "hashing_waiting",
        "audit_buffer_lines",
        "limiter_auth_buckets",
      ]) {
        expect(value(name)).toBeGreaterThanOrEqual(0);
      }
      if (engine === "postgresql")
        expect(text).toMatch(/blindvault_database_connections\{state="active"\} [1-9]/);
    });
  });
}

describe("metrics", () => {
  test("are off unless they are asked for", async () => {
    const server = await startTestServer("embedded");
    expectProblem(await call(server, "GET /metrics", { token: TOKEN }), 404, "not-found");
    await server.stop();
  });

  test("on an address of their own need no token, and are not on the public one", async () => {
    const port = freePort();
    const settings = {
      JWT_SECRET,
      PORT: "0",
      METRICS_ADDRESS: `127.0.0.1:${port}`,
      DATABASE_URL: (await createTestDatabase()).url,
    };
    const server = await startServer(loadConfig(settings), makeTestLog().log);
    try {
      expect((await call({ url: server.url.origin }, "GET /metrics")).status).toBe(404);
      const own = { url: `http://127.0.0.1:${port}` };
      expect((await call(own, "GET /metrics")).text).toContain("blindvault_database_up 1");
      expectProblem(await call(own, "GET /entries"), 404, "not-found");
    } finally {
      await server.stop();
    }
    expect(fetch(`http://127.0.0.1:${port}/metrics`)).rejects.toThrow();
  }, 30_000);
});

function scrape(url: string) {
  return call({ url }, "GET /metrics", { token: TOKEN });
}
