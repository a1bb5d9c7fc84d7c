import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXIT } from "../../src/exit.ts";
import { lockDataDirectory } from "../../src/server/db/data-directory.ts";
import { child, faultOf, start } from "../support/embedded.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "blindvault-data-directory-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("the lock", () => {
  test("outlasts the garbage collector and dies with its process", async () => {
    const data_dir = join(root, "locked");
    const holder = start(data_dir, "lock");
    await holder.until((lines) => lines.includes("locked"));
    expect(faultOf(() => lockDataDirectory(data_dir)).exit_code).toBe(EXIT.temporary);
    await holder.kill();
    lockDataDirectory(data_dir).release();
  }, 30_000);

  test("is one a process as well", () => {
    const data_dir = join(root, "one");
    const lock = lockDataDirectory(data_dir);
    expect(faultOf(() => lockDataDirectory(data_dir)).exit_code).toBe(EXIT.temporary);
    expect(child(data_dir, ["lock"]).status).toBe(EXIT.temporary);
    lock.release();
    lock.release();
    lockDataDirectory(data_dir).release();
  });

  test("says that the directory cannot be made", () => {
    const file = join(root, "a-file");
    writeFileSync(file, "");
    const fault = faultOf(() => lockDataDirectory(join(file, "data")));
    expect(fault.exit_code).toBe(EXIT.cannot_create);
    expect(fault.message).toStartWith(`cannot make the data directory ${file}/data: ENOTDIR`);
    expect(readFileSync(file, "utf8")).toBe("");
  });

  test("says that the directory cannot be written", () => {
    const data_dir = join(root, "unwritable");
    mkdirSync(join(data_dir, "lock"), { recursive: true });
    chmodSync(data_dir, 0o755);
    const fault = faultOf(() => lockDataDirectory(data_dir));
    expect(fault.exit_code).toBe(EXIT.cannot_create);
    expect(fault.message).toStartWith(`cannot write the data directory ${data_dir}: `);
    expect(statSync(data_dir).mode & 0o777).toBe(0o755);
  });

  test.each([
    ["closes an empty directory to others", [], 0o700],
    ["closes a directory with files of ours to others", ["blindvault.env", "lost+found/"], 0o700],
    ["closes a directory with a cluster to others", ["postgres/", "backups/"], 0o700],
    ["leaves a directory of others as it is", ["someone/"], 0o755],
  ])("%s", (name, entries, mode) => {
    const data_dir = join(root, name);
    mkdirSync(data_dir);
    for (const entry of entries) {
      if (entry.endsWith("/")) mkdirSync(join(data_dir, entry));
      else writeFileSync(join(data_dir, entry), "");
    }
    chmodSync(data_dir, 0o755);
    lockDataDirectory(data_dir).release();
    expect(statSync(data_dir).mode & 0o777).toBe(mode);
  });
});
