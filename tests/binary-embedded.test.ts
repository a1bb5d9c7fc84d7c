import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Binary, makeDirectory, takeBinary } from "./support/binary.ts";
import {
  call,
  createEntry,
  expectProblem,
  randomPassword,
  sealedEntry,
  signIn,
  signUp,
  type TestUser,
} from "./support/client.ts";
import type { ServerProcess } from "./support/process.ts";
import { head, openConnection } from "./support/wire.ts";

let binary: Binary;
const PATIENCE_MS = 60_000;

beforeAll(async () => {
  binary = await takeBinary();
}, PATIENCE_MS);
afterAll(() => binary.end());

describe("the binary on the embedded database", () => {
  let DATA_DIR: string;
  let file: string;
  let server: ServerProcess;
  let user: TestUser;
  const kept: Record<string, unknown>[] = [];
  const at = async () => ({ url: await server.url });
  const entries = async () =>
    (await call(await at(), "GET /entries", { token: user.token })).body.entries as Record<string, unknown>[];

  beforeAll(() => {
    DATA_DIR = join(makeDirectory("home"), "data");
    file = join(DATA_DIR, "blindvault.env");
  });

  test("init writes a secret for its owner's eyes, once", async () => {
    expect(await binary.run(["init"], { DATA_DIR })).toMatchObject({ code: 0, stderr: "" });
    const content = readFileSync(file, "utf8");
    expect(content).toMatch(/^JWT_SECRET=[A-Za-z0-9_-]{64}$/m);
    expect((statSync(file).mode & 0o777).toString(8)).toBe("600");
    expect(await binary.run(["init"], { DATA_DIR })).toMatchObject({ code: 73, stdout: "" });
    expect(await binary.run(["init", "--if-missing"], { DATA_DIR })).toMatchObject({ code: 0, stderr: "" });
    expect(readFileSync(file, "utf8")).toBe(content);
  });

  test(
    "migrate makes the database, and then has nothing to do",
    async () => {
      const first = await binary.run(["migrate"], { DATA_DIR });
      expect([first.code, first.stdout, first.stderr]).toEqual([
        0,
        expect.stringMatching(/^Migrations applied: \d+\.\n$/),
        "",
      ]);
      expect(await binary.run(["migrate"], { DATA_DIR })).toEqual({
        code: 0,
        stdout: "The schema is up to date.\n",
        stderr: "",
      });
    },
    PATIENCE_MS,
  );

  test(
    "serve registers, logs in, stores, lists, reads, refreshes and logs out",
    async () => {
      server = binary.serve({ DATA_DIR });
      const api = await at();
      user = await signUp(api);
      const entry = await createEntry(api, user);
      kept.unshift(entry);
      expect(await entries()).toEqual(kept);
      expect((await call(api, `GET /entries/${entry.id}`, { token: user.token })).body).toEqual(entry);
      const second = await signIn(api, user);
      const refreshed = await call(api, "POST /auth/token", { body: { refreshToken: second.refresh_token } });
      expect(refreshed.status).toBe(200);
      const { accessToken, refreshToken } = refreshed.body;
      expect((await call(api, "GET /account", { token: accessToken })).body.username).toBe(user.username);
      expect((await call(api, "POST /auth/logout", { body: { refreshToken } })).status).toBe(204);
      expectProblem(await call(api, "GET /account", { token: accessToken }), 401, "token-invalid");
      expectProblem(await call(api, "GET /nothing-here"), 404, "not-found");
      expectProblem(
        await call(api, "POST /entries", { token: user.token, body: {} }),
        422,
        "request-invalid",
      );
    },
    PATIENCE_MS,
  );

  test("every other route works in the compiled binary as well", async () => {
    const api = await at();
    const other = await signUp(api);
    const { id } = await createEntry(api, other);
    const password = randomPassword();
    const change = { current_password: other.password, new_password: password };
    const prelogin = await call(api, "POST /auth/prelogin", { body: { username: other.username } });
    const changed = await call(api, "PUT /auth/password", { token: other.token, body: change });
    const token = changed.body.accessToken;
    const answers = [
      prelogin,
      changed,
      await call(api, "GET /auth/sessions", { token }),
      await call(api, "DELETE /auth/sessions", { token }),
      await call(api, `DELETE /auth/sessions/${crypto.randomUUID()}`, { token }),
      await call(api, `PUT /entries/${id}`, { token, body: sealedEntry(), headers: { "if-match": '"1"' } }),
      await call(api, `DELETE /entries/${id}`, { token }),
      await call(api, "GET /audit", { token }),
      await call(api, "GET /ready"),
      await call(api, "DELETE /account", { token, body: { current_password: password } }),
      await call(api, "GET /account", { token }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([
      200, 200, 200, 204, 404, 200, 204, 200, 200, 204, 401,
    ]);
  });

  test("health tells that it answers, and that it is ready", async () => {
    const { url } = await at();
    const up = await binary.run(["health", "--url", url]);
    expect(up).toEqual({ code: 0, stdout: `${url}/health answers 200\n`, stderr: "" });
    const { port } = new URL(url);
    expect(await binary.run(["health", "--ready"], { DATA_DIR, PORT: port })).toMatchObject({ code: 0 });
  });

  test("a second process on DATA_DIR ends at once with 75 and changes nothing", async () => {
    const before = readdirSync(DATA_DIR, { recursive: true }).length;
    for (const command of ["serve", "migrate"]) {
      const { code, stderr } = await binary.run([command], { DATA_DIR, PORT: "0" });
      expect([code, stderr]).toEqual([
        75,
        expect.stringContaining("is in use: another process has its lock"),
      ]);
    }
    expect(readdirSync(DATA_DIR, { recursive: true }).length).toBe(before);
    expect(await entries()).toEqual(kept);
  });

  test(
    "nothing that was acknowledged is lost by kill -9",
    async () => {
      const api = await at();
      for (let index = 0; index < 5; index++) kept.unshift(await createEntry(api, user));
      expect(await server.stop("SIGKILL")).toBe(128 + 9);
      server = binary.serve({ DATA_DIR });
      await server.url;
      expect(await entries()).toEqual(kept);
      await signIn(await at(), user);
    },
    PATIENCE_MS,
  );

  test("what it writes is its own, and in DATA_DIR alone", () => {
    for (const path of ["", ...readdirSync(DATA_DIR, { recursive: true }).map(String)])
      expect([path, statSync(join(DATA_DIR, path)).mode & 0o077]).toEqual([path, 0]);
    expect(readdirSync(binary.directory)).toEqual(["blindvault"]);
  });

  test(
    "SIGTERM turns /ready to 503, lets a request in flight finish, and ends with 0",
    async () => {
      const api = await at();
      const body = JSON.stringify(sealedEntry());
      const connection = openConnection(api);
      const lines = [`Authorization: Bearer ${user.token}`, "Content-Type: application/json"];
      connection.write(head(api, ["POST /entries HTTP/1.1", ...lines, `Content-Length: ${body.length}`]));
      await call(api, "GET /health");
      const signalled = performance.now();
      server.signal("SIGTERM");
      await server.said('"msg":"stopping"');
      expectProblem(await call(api, "GET /ready"), 503, "not-ready");
      while (await fetch(`${api.url}/health`).catch(() => undefined)) await Bun.sleep(20);
      connection.write(body);
      const late = await connection.answered;
      expect(late.status).toBe(201);
      kept.unshift(JSON.parse(late.text));
      expect(await server.exited).toBe(0);
      expect(performance.now() - signalled).toBeLessThan(9000);
      expect(server.output()).toContain('"msg":"stopped"');
      const { port } = new URL(api.url);
      expect(await binary.run(["health"], { PORT: port })).toMatchObject({ code: 69, stdout: "" });
    },
    PATIENCE_MS,
  );

  test("the log never holds the secret, nor a token", async () => {
    const secret = /^JWT_SECRET=(.+)$/m.exec(readFileSync(file, "utf8"))?.[1] as string;
    const log = server.output();
    expect(log).toContain('"msg":"ready"');
    for (const word of [secret, user.token, user.refresh_token, user.password])
      expect(log).not.toContain(word);
    for (const line of log.trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("msg");
  });
});
