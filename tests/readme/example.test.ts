import { afterAll, beforeAll, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { type PrivateServer, privateEnvironment, startPrivateServer } from "../support/private-server.ts";
import { run } from "../support/process.ts";
import { temporaryDirectory } from "../support/server.ts";

/** The README shows a program: it is compiled and run as it stands there, against the built package and a real server. */
const ROOT = resolve(import.meta.dir, "../..");
const PATIENCE_MS = 60_000;
const program = temporaryDirectory();

let server: PrivateServer;

beforeAll(async () => {
  const readme = await Bun.file(join(ROOT, "README.md")).text();
  await Bun.write(join(program, "example.ts"), exampleIn(readme));
  await Bun.write(join(program, "package.json"), JSON.stringify({ type: "module", private: true }));
  const outdir = join(program, "node_modules/blindvault-client");
  const [built, running] = await Promise.all([
    run([process.execPath, ".ci/build-client.ts", "--outdir", outdir], { cwd: ROOT }),
    privateEnvironment("embedded", { PORT: "4000" }).then(startPrivateServer),
  ]);
  server = running;
  expect(built).toMatchObject({ code: 0, stderr: "" });
}, PATIENCE_MS);

afterAll(() => server?.stop(), PATIENCE_MS);

test(
  "the example of the README prints what its comments say",
  async () => {
    const told = await Bun.file(join(program, "example.ts")).text();
    const expected = [...told.matchAll(/console\.log\(.*\); \/\/ (.+)$/gm)].map(([, comment]) => comment);
    expect(expected.length).toBeGreaterThan(1);
    const finished = await run([process.execPath, "example.ts"], { cwd: program });
    expect(finished).toEqual({ code: 0, stdout: `${expected.join("\n")}\n`, stderr: "" });
  },
  PATIENCE_MS,
);

test(
  "the example of the README has no error of types",
  async () => {
    const compilerOptions = {
      ...{ module: "nodenext", target: "ES2022", lib: ["ES2024", "DOM"], types: [] },
      ...{ strict: true, noUncheckedIndexedAccess: true, noEmit: true },
    };
    await Bun.write(
      join(program, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["example.ts"] }),
    );
    const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
    const { code, stdout } = await run([process.execPath, compiler, "-p", "."], { cwd: program });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
  },
  PATIENCE_MS,
);

function exampleIn(readme: string): string {
  return /<!-- example -->\n```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
}
