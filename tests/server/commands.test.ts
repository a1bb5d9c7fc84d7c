import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import journal from "../../drizzle/meta/_journal.json";
import { isOperatorFault } from "../../src/exit.ts";
import { health } from "../../src/server/commands/health.ts";
import { init } from "../../src/server/commands/init.ts";
import { migrate } from "../../src/server/commands/migrate.ts";
import { loadConfig, withConfigFile } from "../../src/server/config.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { run } from "../support/process.ts";
import { JWT_SECRET, startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";

const blindvault = [process.execPath, resolve(import.meta.dir, "../../src/main.ts")];

describe("init", () => {
  test("writes a file with a strong secret of its own, for nobody else's eyes", () => {
    const DATA_DIR = join(temporaryDirectory(), "new/data");
    const path = join(DATA_DIR, "blindvault.env");
    expect(init({ DATA_DIR }, {})).toContain(`Wrote ${path} with a fresh JWT_SECRET`);
    expect(modeOf(path)).toBe("600");
    expect(modeOf(DATA_DIR)).toBe("700");
    const [, secret = ""] = /^JWT_SECRET=([A-Za-z0-9_-]{64})$/m.exec(readFileSync(path, "utf8")) ?? [];
    expect(loadConfig(withConfigFile({ DATA_DIR }, undefined)).jwt.secret).toBe(secret);

    const other = join(temporaryDirectory(), "other.env");
    init({}, { config: other });
    expect(readFileSync(other, "utf8")).not.toContain(secret);
  });

  test("writes the same mode whatever the umask, and never says the secret", () => {
    const umask = process.umask(0);
    try {
      const path = join(temporaryDirectory(), "blindvault.env");
      const said = init({}, { config: path });
      expect(modeOf(path)).toBe("600");
      expect(said).not.toContain(/^JWT_SECRET=(.+)$/m.exec(readFileSync(path, "utf8"))?.[1] as string);
    } finally {
      process.umask(umask);
    }
  });

  test("offers every other setting as a comment that is none until it is taken", () => {
    const path = join(temporaryDirectory(), "blindvault.env");
    init({}, { config: path });
    const content = readFileSync(path, "utf8");
    expect(loadConfig(withConfigFile({}, path))).toMatchObject({ port: 4000, registration: "open" });
    writeFileSync(path, content.replaceAll(/^#(?=[A-Z_]+=)/gm, ""));
    expect(loadConfig(withConfigFile({}, path))).toMatchObject({ port: 4000, registration: "closed" });
  });

  for (const what of ["a file", "an empty file", "a link to nowhere", "a directory"]) {
    test(`never touches ${what} that is there`, () => {
      const DATA_DIR = temporaryDirectory();
      const path = join(DATA_DIR, "blindvault.env");
      const elsewhere = join(DATA_DIR, "elsewhere");
      if (what === "a link to nowhere") symlinkSync(elsewhere, path);
      else if (what === "a directory") init({}, { config: join(path, "x") });
      else writeFileSync(path, what === "a file" ? "PORT=1\n" : "");
      const before = existsSync(path) && statSync(path).isFile() ? readFileSync(path, "utf8") : what;
      expect(faultOf(() => init({ DATA_DIR }, {}))).toEqual([
        73,
        `${path} exists and is left as it is: delete it first, or name another with --config`,
      ]);
      expect(init({ DATA_DIR }, { ifMissing: true })).toBe(`${path} is there already; left as it is.`);
      const after = existsSync(path) && statSync(path).isFile() ? readFileSync(path, "utf8") : what;
      expect(after).toBe(before);
      expect(existsSync(elsewhere)).toBe(false);
    });
  }

  test("says where it may not write", () => {
    const file = join(temporaryDirectory(), "file");
    writeFileSync(file, "");
    const [code, message] = faultOf(() => init({ DATA_DIR: join(file, "data") }, {}));
    expect(code).toBe(73);
    expect(message).toContain("cannot be written (ENOTDIR): check that you may write to");
  });

  test("leaves a directory that was there as open as it was", () => {
    const DATA_DIR = temporaryDirectory();
    chmodSync(DATA_DIR, 0o755);
    init({ DATA_DIR }, {});
    expect(modeOf(DATA_DIR)).toBe("755");
  });
});

describe("health", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer("embedded");
  }, 30_000);
  afterAll(() => server.stop());

  test("says that a server answers", async () => {
    expect(await health({}, { url: server.url })).toBe(`${server.url}/health answers 200`);
    expect(await health({}, { url: `${server.url}/some/path`, ready: true })).toBe(
      `${server.url}/ready answers 200`,
    );
  });

  test("finds it by the configuration, and needs no secret for it", async () => {
    const { port } = new URL(server.url);
    const config = join(temporaryDirectory(), "blindvault.env");
    writeFileSync(config, `PORT=${port}\n`, { mode: 0o600 });
    expect(await health({ PORT: port }, {})).toBe(`http://127.0.0.1:${port}/health answers 200`);
    expect(await health({}, { config })).toBe(`http://127.0.0.1:${port}/health answers 200`);
    expect(await health({ PORT: port, HOST: "0.0.0.0" }, {})).toContain("answers 200");
  });

  test("tells alive from ready", async () => {
    server.lifecycle.state = "draining";
    expect(await health({}, { url: server.url })).toContain("answers 200");
    expect(await rejection(health({}, { url: server.url, ready: true }))).toEqual([
      69,
      `${server.url}/ready answers 503`,
    ]);
    server.lifecycle.state = "ready";
  });

  test("is 69 when nobody answers, or somebody else, and says so", async () => {
    const [code, message] = await rejection(health({ PORT: "1" }, {}));
    expect([code, message]).toEqual([69, "http://127.0.0.1:1/health does not answer (ECONNREFUSED)"]);
    const other = Bun.serve({ port: 0, fetch: () => Response.redirect("http://127.0.0.1:1/") });
    try {
      expect((await rejection(health({}, { url: other.url.origin })))[0]).toBe(69);
    } finally {
      await other.stop(true);
    }
  });

  test("takes no address that is none", async () => {
    for (const url of ["nonsense", "", "127.0.0.1:4000", "file:///etc/passwd"])
      expect(await rejection(health({}, { url }))).toEqual([
        64,
        "--url must be an address such as http://127.0.0.1:4000",
      ]);
  });
});

describe("migrate", () => {
  test("brings a PostgreSQL up to date, once, also when two do so at the same moment", async () => {
    const { url: DATABASE_URL } = await createTestDatabase();
    const environment = { DATABASE_URL, JWT_SECRET };
    const umask = process.umask();
    try {
      const answers = await Promise.all([migrate(environment, {}), migrate(environment, {})]);
      const applied = answers.map((answer) => Number(/^Migrations applied: (\d+)\.$/.exec(answer)?.[1] ?? 0));
      expect((applied[0] ?? 0) + (applied[1] ?? 0)).toBe(journal.entries.length);
      expect(await migrate(environment, {})).toBe("The schema is up to date.");
    } finally {
      process.umask(umask);
    }
  });

  test("needs a whole configuration", async () => {
    expect((await rejection(migrate({}, {})))[0]).toBe(78);
  });
});

describe("as a process", () => {
  test("init, --if-missing and again end with 0, 0 and 73", async () => {
    const env = { DATA_DIR: join(temporaryDirectory(), "data") };
    const first = await run([...blindvault, "init"], { env });
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout).toStartWith("Wrote ");
    expect(await run([...blindvault, "init", "--if-missing"], { env })).toMatchObject({
      code: 0,
      stderr: "",
    });
    const again = await run([...blindvault, "init"], { env });
    expect(again).toMatchObject({ code: 73, stdout: "" });
    expect(again.stderr).toMatch(/^blindvault: .* exists and is left as it is: .*\n$/);
  });

  test("health ends with 69 when nobody answers, in one line and without a stack", async () => {
    const down = await run([...blindvault, "health", "--url", "http://127.0.0.1:1"]);
    expect(down).toEqual({
      code: 69,
      stdout: "",
      stderr: "blindvault: http://127.0.0.1:1/health does not answer (ECONNREFUSED)\n",
    });
  });

  test("migrate ends with 69 where PostgreSQL refuses the login, and says nothing of the address", async () => {
    const { url } = await createTestDatabase();
    const wrong = new URL(url);
    wrong.pathname = "/no_such_database";
    const refused = await run([...blindvault, "migrate"], { env: { JWT_SECRET, DATABASE_URL: wrong.href } });
    expect(refused).toMatchObject({ code: 69, stdout: "" });
    expect(refused.stderr).toContain("check DATABASE_URL");
    expect(refused.stderr).not.toContain(wrong.port);
  });
});

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

function faultOf(work: () => unknown): [code: number, message: string] {
  try {
    work();
  } catch (error) {
    if (isOperatorFault(error)) return [error.exit_code, error.message];
    throw error;
  }
  throw new Error("did not fail");
}

async function rejection(work: Promise<unknown>): Promise<[code: number, message: string]> {
  const error = await work.then(
    () => new Error("did not fail"),
    (reason) => reason,
  );
  return faultOf(() => {
    throw error;
  });
}
