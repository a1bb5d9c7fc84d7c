import { constants } from "node:os";

/** What a command left behind. */
export type Finished = { code: number; stdout: string; stderr: string };

type Options = { cwd?: string; env?: Record<string, string> };

/** Runs a command to its end, with nothing in its environment but `env` and a PATH. */
export async function run(command: string[], { cwd, env }: Options = {}): Promise<Finished> {
  const child = spawn(command, cwd, env);
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

export type ServerProcess = {
  pid: number;
  /** Resolves when the server says that it is ready; rejects with its last words when it ends before. */
  url: Promise<string>;
  /** Resolves when it has said a line that holds `text`. */
  said(text: string): Promise<void>;
  /** All that it has written to standard output and standard error so far. */
  output(): string;
  signal(name: NodeJS.Signals): void;
  /** Ends it, by SIGTERM unless told otherwise, and resolves with its exit code; 128 and more for a signal. */
  stop(name?: NodeJS.Signals): Promise<number>;
  exited: Promise<number>;
};

/** Starts `serve` as a process of its own. Whoever starts one stops it. */
export function startProcess(command: string[], { cwd, env }: Options = {}): ServerProcess {
  const child = spawn(command, cwd, env);
  let written = "";
  const waiting = new Set<() => void>();
  const follow = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      written += decoder.decode(chunk, { stream: true });
      for (const look of waiting) look();
    }
  };
  const silent = Promise.all([follow(child.stdout), follow(child.stderr)]);
  const exited = child.exited.then(async () => {
    await silent;
    return child.exitCode ?? 128 + constants.signals[child.signalCode as NodeJS.Signals];
  });
  const said = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!written.includes(text)) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
      void exited.then((code) => reject(new Error(`ended with ${code}: ${written}`)));
    });
  const url = said('"msg":"ready"').then(() => /"url":"([^"]+)\/"/.exec(written)?.[1] as string);
  // A test may be about one that never gets ready, and then nobody waits for this.
  url.catch(() => {});
  return {
    pid: child.pid,
    url,
    said,
    output: () => written,
    signal: (name) => child.kill(name),
    stop(name = "SIGTERM") {
      child.kill(name);
      return exited;
    },
    exited,
  };
}

/** Kills what a test that failed has left running; nothing else ends it when `bun test` does. */
export async function endProcesses(): Promise<void> {
  for (const child of running) child.kill("SIGKILL");
  await Promise.all([...running].map(({ exited }) => exited));
}

const running = new Set<Bun.Subprocess>();

function spawn(command: string[], cwd: string | undefined, env: Record<string, string> = {}) {
  const child = Bun.spawn(command, {
    ...(cwd !== undefined && { cwd }),
    env: { PATH: process.env.PATH ?? "", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  running.add(child);
  void child.exited.then(() => running.delete(child));
  return child;
}
