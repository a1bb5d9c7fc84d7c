import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../package.json";
import { type Binary, makeDirectory, takeBinary } from "./support/binary.ts";

let binary: Binary;
const PATIENCE_MS = 60_000;
const COMMANDS = {
  serve: ["--config"],
  init: ["--config", "--if-missing"],
  migrate: ["--config"],
  health: ["--config", "--url", "--ready"],
};

beforeAll(async () => {
  binary = await takeBinary();
}, PATIENCE_MS);
afterAll(() => binary.end());

describe("the command line", () => {
  test("tells its version, which is that of package.json", async () => {
    for (const flag of ["--version", "-V"])
      expect(await binary.run([flag])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  test("helps: with all commands and exit codes, and with each command's flags", async () => {
    const all = await binary.run(["--help"]);
    expect(all).toMatchObject({ code: 0, stderr: "" });
    for (const word of [...Object.keys(COMMANDS), "Exit codes", "78 configuration"])
      expect(all.stdout).toContain(word);
    for (const [command, flags] of Object.entries(COMMANDS)) {
      const { code, stdout, stderr } = await binary.run([command, "--help"]);
      expect([code, stderr]).toEqual([0, ""]);
      for (const flag of [...flags, `Usage: blindvault ${command}`, "--help"]) expect(stdout).toContain(flag);
    }
  });

  test("run hands on the NODE_ENV that it was given, and not the one of the build", async () => {
    const show = ["run", "--", "sh", "-c", 'echo "[$NODE_ENV]"'];
    const path = { PATH: process.env.PATH ?? "" };
    expect((await binary.run(show, path)).stdout).toBe("[]\n");
    expect((await binary.run(show, { ...path, NODE_ENV: "test" })).stdout).toBe("[test]\n");
  });

  const MISTAKES: [args: string[], says: string][] = [
    [["serv"], "(Did you mean serve?)"],
    [["helth"], "(Did you mean health?)"],
    [["nonsense"], "unknown command 'nonsense'"],
    [["--verison"], "(Did you mean --version?)"],
    [["health", "--redy"], "(Did you mean --ready?)"],
    [["init", "--if-mising"], "(Did you mean --if-missing?)"],
    [["serve", "--port"], "unknown option '--port'"],
    [["serve", "--config"], "argument missing"],
    [["serve", "now"], "too many arguments"],
    [["health", "--url", "nonsense"], "--url must be an address such as http://127.0.0.1:4000"],
    [[], "Usage: blindvault"],
  ];
  for (const [args, says] of MISTAKES) {
    test(`refuses "${args.join(" ")}" with 64 and says: ${says}`, async () => {
      const { code, stdout, stderr } = await binary.run(args);
      expect([code, stdout]).toEqual([64, ""]);
      expect(stderr).toContain(says);
      expect(stderr).not.toMatch(/\n\s+at /);
    });
  }
});

describe("without a secret", () => {
  test("serve and migrate end with 78, name JWT_SECRET, invent none and leave nothing behind", async () => {
    const DATA_DIR = join(makeDirectory("empty"), "data");
    for (const command of ["serve", "migrate"]) {
      const { code, stdout, stderr } = await binary.run([command], { DATA_DIR });
      expect([code, stdout]).toEqual([78, ""]);
      expect(stderr).toBe(
        "blindvault: The configuration has one fault:\n  - JWT_SECRET is missing: run `blindvault init`, which makes one\n",
      );
    }
    expect(existsSync(DATA_DIR)).toBe(false);
    expect(readdirSync(binary.directory)).toEqual(["blindvault"]);
  });

  test("a .env and a bunfig.toml where it is started are nobody's configuration, and run nothing", async () => {
    const directory = makeDirectory("trap");
    const marker = join(makeDirectory("open"), "marker");
    const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString("base64url");
    writeFileSync(join(directory, ".env"), `JWT_SECRET=${secret}\nPORT=0\n`);
    writeFileSync(
      join(directory, "bunfig.toml"),
      'preload = ["./preload.ts"]\n[run]\npreload = ["./preload.ts"]\n',
    );
    writeFileSync(
      join(directory, "preload.ts"),
      `require("node:fs").writeFileSync(${JSON.stringify(marker)}, "");`,
    );
    for (const args of [["serve"], ["--version"]]) {
      const { code } = await binary.run(args, {}, directory);
      expect(code).toBe(args[0] === "serve" ? 78 : 0);
    }
    expect(existsSync(marker)).toBe(false);
  });

  test("init says so where it may not write", async () => {
    const { code, stderr } = await binary.run(["init"]);
    expect([code, stderr]).toEqual([
      73,
      "blindvault: data/blindvault.env cannot be written (EACCES): check that you may write to data\n",
    ]);
  });
});
