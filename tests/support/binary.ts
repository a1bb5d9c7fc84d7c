import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import { endProcesses, type Finished, run, type ServerProcess, startProcess } from "./process.ts";
import { temporaryDirectory } from "./server.ts";

const ROOT = resolve(import.meta.dir, "../..");
const BINARY = join(ROOT, "dist/blindvault");
/** `nobody`, wherever there is one. */
const NOBODY = 65_534;

type Variables = Record<string, string>;

/**
 * The compiled executable as a self-hoster has it: alone in a directory that nobody can write, run by a user who is
 * not root, with nothing in its environment but what a test gives it. HOME is not set.
 */
export type Binary = {
  directory: string;
  run(args: string[], env?: Variables, cwd?: string): Promise<Finished>;
  /** Starts `serve` on a free port, at the weakest cost. */
  serve(env: Variables): ServerProcess;
  /** Kills what a test that failed has left running; to be called when all are done. */
  end(): Promise<void>;
};

const CHEAP = { PORT: "0", ARGON2_MEMORY_KIB: "19456", ARGON2_ITERATIONS: "2", RATE_LIMIT_AUTH: "off" };

/** Builds the executable where it is missing or older than what it is made of, and takes a copy of it. */
export async function takeBinary(): Promise<Binary> {
  if (isStale()) {
    const build = Bun.spawn([process.execPath, "run", "build"], {
      cwd: ROOT,
      stdout: "ignore",
      stderr: "pipe",
    });
    const complaints = await new Response(build.stderr).text();
    if ((await build.exited) !== 0) throw new Error(`the binary cannot be built: ${complaints}`);
  }
  const directory = makeDirectory("binary");
  const path = join(directory, "blindvault");
  copyFileSync(BINARY, path);
  chmodSync(path, 0o555);
  chmodSync(directory, 0o555);
  const command = [...withoutPrivileges(), path];
  return {
    directory,
    run: (args, env = {}, cwd = directory) => run([...command, ...args], { cwd, env }),
    serve: (env) => startProcess([...command, "serve"], { cwd: directory, env: { ...CHEAP, ...env } }),
    async end() {
      await endProcesses();
      // Only an open directory can be emptied by who is not root.
      chmodSync(directory, 0o755);
    },
  };
}

/** A directory that belongs to whoever runs the binary, and is gone when the test process ends. */
export function makeDirectory(name: string): string {
  const outer = realpathSync(temporaryDirectory());
  chmodSync(outer, 0o755);
  const path = join(outer, name);
  mkdirSync(path);
  giveAway(path);
  return path;
}

/** Makes a file or directory belong to the user that the binary runs as. */
export function giveAway(path: string): void {
  if (isRoot()) chownSync(path, NOBODY, NOBODY);
}

function isStale(): boolean {
  if (!existsSync(BINARY)) return true;
  const built_ms = statSync(BINARY).mtimeMs;
  const sources = [...new Glob("{src,drizzle}/**/*").scanSync(ROOT), "package.json", "bun.lock"];
  return sources.some((file) => statSync(join(ROOT, file)).mtimeMs > built_ms);
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function withoutPrivileges(): string[] {
  if (!isRoot()) return [];
  return ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--"];
}
