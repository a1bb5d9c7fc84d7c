import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { isOperatorFault } from "../../src/exit.ts";

const PROCESS = join(import.meta.dir, "embedded-process.ts");

// Bun keeps what it has transpiled in the home directory, which is no business of the database.
const ENVIRONMENT = { ...process.env, BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0" };

/** Runs the process to its end, under `tracer` where one is given. */
export function child(data_dir: string, task: string[], tracer: string[] = []) {
  // A tracer that is killed lets its process go on: a process that hangs is ended from below it.
  const limit = tracer.length === 0 ? [] : ["timeout", "--signal=KILL", "60"];
  const [command = "", ...rest] = [...tracer, ...limit, process.execPath, PROCESS, data_dir, ...task];
  const { status, stdout, stderr } = spawnSync(command, rest, { env: ENVIRONMENT, encoding: "utf8" });
  return { status, stdout, stderr };
}

/** Starts the process; `until` waits for what it has said so far, `kill` is kill -9 and gives all it ever said. */
export function start(data_dir: string, ...task: string[]) {
  const running = Bun.spawn([process.execPath, PROCESS, data_dir, ...task], {
    env: ENVIRONMENT,
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  const reading = (async () => {
    for await (const chunk of running.stdout.pipeThrough(new TextDecoderStream())) text += chunk;
  })();
  // What a kill cut off before its line end was not said.
  const lines = () => text.split("\n").slice(0, -1);
  return {
    async until(condition: (lines: string[]) => boolean): Promise<void> {
      while (!condition(lines())) {
        if (running.exitCode !== null)
          throw new Error(`the process has ended with ${running.exitCode}: ${text}`);
        await Bun.sleep(1);
      }
    },
    async pause(): Promise<void> {
      running.kill("SIGSTOP");
      while (!/^State:\s+T/m.test(readFileSync(`/proc/${running.pid}/status`, "utf8"))) await Bun.sleep(1);
    },
    async kill(): Promise<string[]> {
      running.kill("SIGKILL");
      await Promise.all([running.exited, reading]);
      return lines();
    },
  };
}

export function acknowledged(stdout: string): number[] {
  return stdout
    .split("\n")
    .filter((line) => /^\d+$/.test(line))
    .map(Number);
}

export function everything(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return [directory, ...names.map((name) => join(directory, name))];
}

/** Everything about a directory but the times of reading; the lock file is not opened, which would drop a lock. */
export function digest(directory: string): Record<string, string> {
  const one = (path: string) => {
    const stat = statSync(path);
    const has_content = stat.isFile() && !path.endsWith("/lock");
    const content = has_content ? Bun.hash(readFileSync(path)).toString(16) : "";
    return [path, `${stat.mode.toString(8)} ${stat.size} ${stat.mtimeMs} ${content}`];
  };
  return Object.fromEntries(everything(directory).map(one));
}

/** The OperatorFault that `action` throws. */
export function faultOf(action: () => unknown): { exit_code: number; message: string } {
  try {
    action();
  } catch (error) {
    if (isOperatorFault(error)) return { exit_code: error.exit_code, message: error.message };
    throw error;
  }
  throw new Error("nothing was thrown");
}
