/**
 * `bun run test`: every test, with coverage, in as many processes as there are cores to run them. The files of a group share one process, and with it
 * one embedded database and one PostgreSQL; what needs the README's port is in a group of its own. `bun run test PATH...` runs
 * only those, in one process.
 */
import { rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Glob } from "bun";
import { judgeCoverage } from "./coverage.ts";

/** The longest first, so that none is left to run alone at the end. */
const FOLDERS = ["client", "cli", "server", "crypto", "readme"];
const COVERAGE = "coverage";

const chosen = process.argv.slice(2);
process.exit(chosen.length > 0 ? (await runTests("chosen", chosen)).code : await runAll());

async function runAll(): Promise<number> {
  // Before the groups start: two of them would build the binary into each other's hands.
  const build = Bun.spawn([process.execPath, "run", "build:binary"], { stdout: "ignore", stderr: "inherit" });
  if ((await build.exited) !== 0) return 1;
  rmSync(COVERAGE, { recursive: true, force: true });
  const waiting = groups();
  const codes: number[] = [];
  const work = async () => {
    for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
      const { code, output, seconds } = await runTests(group.name, group.files);
      console.log(
        `${output}\n== ${group.name}: ${group.files.length} files, ${seconds} s, exit code ${code}\n`,
      );
      codes.push(code);
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, work));
  const covered = await judgeCoverage(COVERAGE);
  return codes.every((code) => code === 0) && covered ? 0 : 1;
}

function groups(): { name: string; files: string[] }[] {
  const files = [...new Glob("tests/**/*.test.ts").scanSync(".")].sort();
  const folderOf = (file: string) => FOLDERS.find((name) => file.startsWith(`tests/${name}/`)) ?? "others";
  const grouped = Map.groupBy(files, folderOf);
  return [...FOLDERS, "others"].map((name) => ({ name, files: grouped.get(name) ?? [] }));
}

async function runTests(name: string, files: string[]) {
  const begun_ms = performance.now();
  const flags = ["--coverage", `--coverage-dir=${COVERAGE}/${name}`, "--timeout", "30000"];
  const child = Bun.spawn([process.execPath, "test", ...flags, ...files.map((file) => `./${file}`)], {
    stdout: "pipe",
    stderr: "pipe",
  });
  // Bun says what passed on standard error, and the tests what they have to say on standard output.
  const [said, output] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const code = await child.exited;
  return { code, output: said + output, seconds: Math.round((performance.now() - begun_ms) / 1000) };
}
