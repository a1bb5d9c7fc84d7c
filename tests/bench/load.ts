/** Processes and load for the benchmarks: everything on loopback, bounded in connections and time. */

export type Process = { firstLine: Promise<string>; pid: number; stop(): Promise<void> };

/** Starts a process whose errors are shown; `stop` ends it with SIGTERM and waits. */
export async function startProcess(command: string[], environment: Record<string, string>): Promise<Process> {
  const child = Bun.spawn(command, {
    env: { PATH: process.env.PATH ?? "", ...environment },
    stdout: "pipe",
    stderr: "inherit",
  });
  const firstLine = readLine(child.stdout);
  return {
    firstLine,
    pid: child.pid,
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

/** Waits until an address answers 200, ten seconds at most. */
export async function until(url: string): Promise<void> {
  for (const deadline = performance.now() + 10_000; performance.now() < deadline; ) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok) return;
    await Bun.sleep(2);
  }
  throw new Error(`${url} does not answer`);
}

/** Requests a second that wrk gets through 32 connections; every answer must be a success. */
export async function wrk(url: string, seconds: number, headers: Record<string, string>): Promise<number> {
  if (Bun.which("wrk") === null) throw new Error("this benchmark needs wrk: apt-get install wrk");
  const flags = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const child = Bun.spawn(["wrk", "-t1", "-c32", `-d${seconds}`, ...flags, url], { stdout: "pipe" });
  const output = await new Response(child.stdout).text();
  if (/Non-2xx/.test(output)) throw new Error(`${url} did not answer 2xx to every request`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]);
}

export function median(values: number[]): number {
  return percentile(values, 50);
}

export function percentile(values: number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
}

async function readLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end !== -1) return text.slice(0, end);
  }
  return text;
}
