import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXIT } from "../../src/exit.ts";
import { lockDataDirectory } from "../../src/server/db/data-directory.ts";
import { type EmbeddedDatabase, openEmbedded } from "../../src/server/db/embedded.ts";
import { POSTGRES_MAJOR } from "../../src/server/db/engine.ts";
import { startMaintenance } from "../../src/server/db/maintenance.ts";
import { acknowledged, child, digest, everything, start } from "../support/embedded.ts";

const CYCLES = process.env.SLOW ? 20 : 3;

const traces = spawnSync("strace", ["-o", "/dev/null", "true"]).status === 0;
if (!traces) console.warn("SKIPPED: the tests that count system calls need strace, which is missing here");

// Each round of the maintenance test writes some twenty megabytes of log and eight of table.
const ROUNDS = 12;

let root = "";
let made_once = "";

// To make a cluster takes seconds: one is made here, by the code under test, and copied for each test.
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "blindvault-embedded-"));
  made_once = join(root, "made-once");
  const database = await open(made_once);
  await database.close();
}, 60_000);

afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("durability", () => {
  test.skipIf(!traces)(
    "syncs the log once a commit at least, and writes nowhere but below DATA_DIR",
    () => {
      const data_dir = join(root, "traced-from-the-first-start");
      const trace = join(root, "trace");
      const calls =
        "trace=fsync,fdatasync,/^(open|openat|creat|mkdir|mkdirat|rename.*|link.*|symlink.*|unlink.*)$";
      const run = child(data_dir, ["write", "100"], ["strace", "-f", "-y", "-o", trace, "-e", calls]);
      expect(run.status).toBe(0);
      expect(acknowledged(run.stdout)).toHaveLength(100);
      const lines = readFileSync(trace, "utf8").split("\n");
      const synced = lines.filter((line) =>
        / f(data)?sync\(\d+<[^>]*\/pg_wal\/[0-9A-F]{24}>\) += 0/.test(line),
      );
      expect(synced.length).toBeGreaterThanOrEqual(100);
      const written = lines.filter((line) =>
        /O_(WRONLY|RDWR|CREAT)|(creat|mkdir|rename|link|symlink|unlink)\w*\(/.test(line),
      );
      expect(written.length).toBeGreaterThan(0);
      expect(written.filter((line) => !line.includes(data_dir))).toEqual([]);
    },
    60_000,
  );

  test("loses no acknowledged row to kill -9", async () => {
    const data_dir = copy();
    const expected: number[] = [];
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const writer = start(data_dir, "write", "1000000");
      await writer.until((lines) => lines.length > 20 + cycle * 17);
      expected.push(...(await writer.kill()).filter((line) => line !== "open").map(Number));
    }
    expect(expected.length).toBeGreaterThan(20 * CYCLES);
    const database = await open(data_dir);
    const { rows } = await database.client.query<{ id: number }>("SELECT id FROM kept");
    await database.close();
    const found = new Set(rows.map((row) => row.id));
    expect(expected.filter((id) => !found.has(id))).toEqual([]);
  }, 120_000);

  test.skipIf(!traces)(
    "ends the process on a failed fsync, with every acknowledged row kept",
    async () => {
      const data_dir = copy();
      const failing = ["strace", "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=60+"];
      const run = child(data_dir, ["write", "1000"], failing);
      expect(run.status).toBe(EXIT.unavailable);
      expect(run.stderr).toContain("the embedded database has died: could not fsync file");
      const expected = acknowledged(run.stdout);
      expect(expected.length).toBeGreaterThan(0);
      expect(expected.length).toBeLessThan(1000);
      const database = await open(data_dir);
      const { rows } = await database.client.query<{ id: number }>("SELECT id FROM kept");
      await database.close();
      const found = new Set(rows.map((row) => row.id));
      expect(expected.filter((id) => !found.has(id))).toEqual([]);
    },
    60_000,
  );
});

describe("the first start", () => {
  test("begins anew when it was killed half-way", async () => {
    const data_dir = join(root, "killed");
    const unfinished = join(data_dir, "postgres.new");
    for (const sign of [unfinished, join(unfinished, "base")]) {
      const starting = start(data_dir, "write", "0");
      while (!existsSync(sign)) await Bun.sleep(1);
      await starting.kill();
      expect(existsSync(unfinished)).toBe(true);
      expect(existsSync(join(data_dir, "postgres"))).toBe(false);
    }
    const run = child(data_dir, ["write", "3"]);
    expect({ status: run.status, ids: acknowledged(run.stdout) }).toEqual({ status: 0, ids: [1, 2, 3] });
    expect(readdirSync(data_dir).sort()).toEqual(["lock", "postgres"]);
  }, 120_000);

  test("gives directories 0700 and files no bit for group or others", () => {
    const data_dir = copy();
    expect(statSync(made_once).mode & 0o777).toBe(0o700);
    expect(child(data_dir, ["write", "5"]).status).toBe(0);
    const open_to_others = everything(data_dir).filter((path) => (statSync(path).mode & 0o077) !== 0);
    expect(open_to_others).toEqual([]);
    expect(everything(data_dir).length).toBeGreaterThan(900);
  }, 60_000);
});

describe("the cluster", () => {
  test("is of the version that the program takes it for", async () => {
    const database = await open(copy());
    const { rows } = await database.client.query<{ number: string }>(
      "SELECT current_setting('server_version_num') AS number",
    );
    await database.close();
    expect(Math.floor(Number(rows[0]?.number) / 10_000)).toBe(POSTGRES_MAJOR);
  });

  test.each([
    ["of another major version", "17\n", /made by PostgreSQL 17 and this program has PostgreSQL 18$/],
    ["without a version", undefined, /PG_VERSION cannot be read$/],
  ])("%s is refused and left alone", async (_, version, message) => {
    const data_dir = join(root, `version-${version ?? "none"}`.trim());
    mkdirSync(join(data_dir, "postgres"), { recursive: true, mode: 0o700 });
    if (version !== undefined) writeFileSync(join(data_dir, "postgres/PG_VERSION"), version);
    const lock = lockDataDirectory(data_dir);
    const before = digest(data_dir);
    const fault = await openEmbedded(data_dir, unexpected).catch((error) => error);
    lock.release();
    expect(fault.exit_code).toBe(EXIT.data);
    expect(fault.message).toMatch(message);
    expect(digest(data_dir)).toEqual(before);
  });

  test("that is damaged is refused with PostgreSQL's own reason", async () => {
    const data_dir = copy();
    writeFileSync(join(data_dir, "postgres/global/pg_control"), "");
    const lock = lockDataDirectory(data_dir);
    const fault = await openEmbedded(data_dir, unexpected).catch((error) => error);
    lock.release();
    expect(fault.exit_code).toBe(EXIT.unavailable);
    expect(fault.message).toContain("pg_control");
  });

  test("is not opened without the lock", async () => {
    await expect(openEmbedded(copy(), unexpected)).rejects.toThrow("without its lock");
  });

  test("gives the lock back when it is closed, however often that is said", async () => {
    const data_dir = copy();
    const database = await open(data_dir);
    await Promise.all([database.close(), database.close()]);
    lockDataDirectory(data_dir).release();
  });

  test("leaves no handler, exit code or umask in the process, and does not keep it alive", () => {
    const run = child(copy(), ["leave"]);
    expect({ status: run.status, stderr: run.stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(run.stdout)).toEqual({ listeners: [], exit_code: null, umask: process.umask() });
  });
});

describe("a second process", () => {
  test("sends a second process away at once, and nothing has changed", async () => {
    const data_dir = copy();
    const writer = start(data_dir, "write", "1000000");
    await writer.until((lines) => lines.includes("open"));
    await writer.pause();
    chmodSync(data_dir, 0o755);
    const before = digest(data_dir);
    const started_at = performance.now();
    const second = child(data_dir, ["write", "1"]);
    expect(second.status).toBe(EXIT.temporary);
    expect(second.stderr).toBe(`the data directory ${data_dir} is in use: another process has its lock\n`);
    expect(second.stdout).toBe("");
    expect(performance.now() - started_at).toBeLessThan(5000);
    expect(digest(data_dir)).toEqual(before);
    await writer.kill();
  }, 60_000);
});

describe("maintenance", () => {
  test("keeps the log bounded and gives the room of dead rows back", async () => {
    const database = await open(copy());
    const { client } = database;
    const number = async (sql: string) => (await client.query<{ n: number }>(sql)).rows[0]?.n ?? Number.NaN;
    await client.exec("CREATE TABLE filled (value text)");
    const maintenance = startMaintenance(client, unexpected, {
      look_every_ms: 1,
      checkpoint_after_bytes: 8 * 1024 * 1024,
      checkpoint_every_ms: 60_000,
      vacuum_every_ms: 1,
    });
    const written_at_first = await number("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS n");
    const log_mib: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await client.exec("DELETE FROM filled");
      await client.exec("INSERT INTO filled SELECT repeat(md5(g::text), 50) FROM generate_series(1, 5000) g");
      await Bun.sleep(30);
      log_mib.push(await number("SELECT (sum(size) / 1048576)::float8 AS n FROM pg_ls_waldir()"));
    }
    await maintenance.stop();
    const written = await number("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS n");
    const table_mib = await number("SELECT (pg_table_size('filled') / 1048576)::int AS n");
    await database.close();
    expect((written - written_at_first) / 1048576).toBeGreaterThan(80);
    expect(Math.max(...log_mib)).toBeLessThanOrEqual(64);
    expect(table_mib).toBeLessThan(ROUNDS * 4);
  }, 60_000);

  test("tells its errors and goes on, and stops for good", async () => {
    const database = await open(copy());
    await database.close();
    const errors: unknown[] = [];
    const maintenance = startMaintenance(database.client, (error) => errors.push(error), {
      look_every_ms: 1,
      checkpoint_after_bytes: 1,
      checkpoint_every_ms: 1,
      vacuum_every_ms: 1,
    });
    while (errors.length < 3) await Bun.sleep(1);
    await maintenance.stop();
    const said = errors.length;
    await Bun.sleep(20);
    expect(errors).toHaveLength(said);
    expect(String(errors[0])).toContain("closed");
  });
});

let copies = 0;

/** A fresh data directory with the cluster that was made once. */
function copy(): string {
  const data_dir = join(root, `copy-${++copies}`);
  cpSync(join(made_once, "postgres"), join(data_dir, "postgres"), { recursive: true });
  chmodSync(join(data_dir, "postgres"), 0o700);
  return data_dir;
}

async function open(data_dir: string): Promise<EmbeddedDatabase> {
  lockDataDirectory(data_dir);
  return openEmbedded(data_dir, unexpected);
}

function unexpected(error: unknown): never {
  throw error;
}
