import { afterAll, beforeAll, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { packageManager } from "../../package.json";
import { until } from "../bench/load.ts";
import { temporaryDirectory } from "../support/server.ts";

/** The README promises commands: they are run as they stand there, against a server started as it says. */
const ROOT = resolve(import.meta.dir, "../..");
const readme = await Bun.file(join(ROOT, "README.md")).text();
const environment = { PATH: process.env.PATH ?? "", DATA_DIR: temporaryDirectory() };

let server: ReturnType<typeof Bun.spawn>;

beforeAll(async () => {
  const run = [process.execPath, join(ROOT, "src/main.ts")];
  await Bun.spawn([...run, "init"], { env: environment, stdout: "ignore" }).exited;
  server = Bun.spawn([...run, "serve"], { env: environment, stdout: "ignore", stderr: "inherit" });
  await until("http://127.0.0.1:4000/ready");
}, 30_000);

afterAll(async () => {
  server.kill("SIGTERM");
  await server.exited;
}, 30_000);

test("the curl session of the README registers, stores, lists, refreshes and logs out", async () => {
  const script = /<!-- session -->\n```sh\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const shell = Bun.spawn(["bash", "-eu", "-c", script], {
    env: environment,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, complaints] = await Promise.all([
    new Response(shell.stdout).text(),
    new Response(shell.stderr).text(),
  ]);
  expect(complaints).toBe("");
  expect(await shell.exited).toBe(0);
  const answers = output
    .replaceAll("}{", "}\n{")
    .split("\n")
    .map((line) => JSON.parse(line));
  const [registered, stored, listed, refused] = answers;
  expect(registered).toEqual({ id: expect.any(String), username: "alice" });
  expect(stored).toMatchObject({ version: 1, ciphertext: "b3BhcXVlIHRvIHRoZSBzZXJ2ZXI=" });
  expect(listed).toEqual({ entries: [stored], next_cursor: null });
  expect(refused).toMatchObject({ status: 401, code: "token-invalid" });
  expect(answers.length).toBe(4);
});

test("README, CI and package.json name the same Bun", async () => {
  const pinned = packageManager.replace("bun@", "");
  for (const file of ["README.md", ".ci/run"]) {
    const text = await Bun.file(join(ROOT, file)).text();
    const named = [...text.matchAll(/bun@(\d+\.\d+\.\d+)/g)].map(([, version]) => version);
    expect(new Set(named)).toEqual(new Set([pinned]));
  }
});

test("the README describes every setting, and none that is not there", async () => {
  const config = await Bun.file(join(ROOT, "src/server/config.ts")).text();
  const settings = [...config.matchAll(/^ {2}"([A-Z0-9_]+)",$/gm)].map(([, name]) => name as string);
  const secrets = ["DATABASE_URL", "JWT_SECRET", "JWT_SECRET_PREVIOUS", "METRICS_TOKEN"];
  const table = readme.slice(readme.indexOf("## Configuration"), readme.indexOf("## The binary"));
  const described = [...table.matchAll(/^\| ([A-Z0-9_ /]+) \|/gm)].flatMap(([, names]) =>
    (names as string).split(" / "),
  );
  expect(described.sort()).toEqual([...settings, ...secrets].sort());
});
