import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import journal from "../drizzle/meta/_journal.json";
import { type Binary, giveAway, makeDirectory, takeBinary } from "./support/binary.ts";
import { call, createEntry, signUp } from "./support/client.ts";
import { createTestDatabase } from "./support/postgres.ts";
import { head, openConnection } from "./support/wire.ts";

let binary: Binary;
const PATIENCE_MS = 60_000;

beforeAll(async () => {
  binary = await takeBinary();
}, PATIENCE_MS);
afterAll(() => binary.end());

describe("the binary on a PostgreSQL", () => {
  const secret = {
    JWT_SECRET: Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString("base64url"),
  };

  test(
    "two instances that boot at once run each migration once, and are one server to a client",
    async () => {
      const { url: DATABASE_URL } = await createTestDatabase();
      const instances = [
        binary.serve({ ...secret, DATABASE_URL }),
        binary.serve({ ...secret, DATABASE_URL }),
      ];
      const [first = "", second = ""] = await Promise.all(instances.map(({ url }) => url));
      const applied = instances.map((one) => Number(/"migrations":(\d+)/.exec(one.output())?.[1]));
      expect((applied[0] ?? 0) + (applied[1] ?? 0)).toBe(journal.entries.length);
      const client = postgres(DATABASE_URL, { max: 1 });
      const rows = await client`select hash, count(*)::int from drizzle.__drizzle_migrations group by hash`;
      await client.end();
      expect(rows.map(({ count }) => count)).toEqual(journal.entries.map(() => 1));

      const user = await signUp({ url: first });
      const entry = await createEntry({ url: first }, user);
      const { body } = await call({ url: second }, "GET /entries", { token: user.token });
      expect(body.entries).toEqual([entry]);

      instances[0]?.signal("SIGINT");
      instances[1]?.signal("SIGTERM");
      expect(await Promise.all(instances.map(({ exited }) => exited))).toEqual([0, 0]);
      for (const one of instances)
        for (const word of [new URL(DATABASE_URL).password || DATABASE_URL, secret.JWT_SECRET, user.token])
          expect(one.output()).not.toContain(word);
    },
    PATIENCE_MS,
  );

  test("a port in use is 69, with a message that says what to do", async () => {
    const { url: DATABASE_URL } = await createTestDatabase();
    const holder = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    const { port } = holder;
    const { code, stderr } = await binary.run(["serve"], { ...secret, DATABASE_URL, PORT: String(port) });
    await holder.stop(true);
    expect([code, stderr]).toEqual([
      69,
      `blindvault: 127.0.0.1:${port} is in use by another program: stop it, or set PORT to another number\n`,
    ]);
  });

  test("a second signal ends it at once, whatever is in flight", async () => {
    const server = binary.serve({ ...secret, DATABASE_URL: (await createTestDatabase()).url });
    const api = { url: await server.url };
    const connection = openConnection(api);
    const lines = ["Content-Type: application/json", "Content-Length: 10"];
    connection.write(head(api, ["POST /auth/login HTTP/1.1", ...lines]));
    await call(api, "GET /health");
    const started = performance.now();
    server.signal("SIGTERM");
    await server.said('"msg":"stopping"');
    server.signal("SIGINT");
    expect(await server.exited).toBe(1);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test("a signal while the database is not there yet ends it with 0", async () => {
    const server = binary.serve({
      ...secret,
      DATABASE_URL: "postgresql://nobody@127.0.0.1:1/none",
      LOG_LEVEL: "INFO",
    });
    await server.said("the database is away");
    expect(await server.stop()).toBe(0);
    expect(server.output()).toContain("stopped while starting");
  });

  test("a configuration file that --config names is used, and one that others may write is not", async () => {
    const { url } = await createTestDatabase();
    const path = join(makeDirectory("settings"), "own.env");
    writeFileSync(path, `JWT_SECRET=${secret.JWT_SECRET}\nDATABASE_URL=${url}\n`, { mode: 0o600 });
    giveAway(path);
    expect(await binary.run(["migrate", "--config", path])).toMatchObject({ code: 0, stderr: "" });
    chmodSync(path, 0o666);
    const refused = await binary.run(["migrate", "--config", path]);
    expect(refused).toEqual({
      code: 78,
      stdout: "",
      stderr: `blindvault: ${path} can be written by others: run chmod 600 ${path}\n`,
    });
  });
});
