import { PGlite } from "@electric-sql/pglite";
import initdb_wasm from "@electric-sql/pglite/initdb.wasm" with { type: "file" };
import postgres_data from "@electric-sql/pglite/pglite.data" with { type: "file" };
import postgres_wasm from "@electric-sql/pglite/pglite.wasm" with { type: "file" };
import { EXIT, type OperatorFault, operatorFault } from "../../exit.ts";
import { DurableFs } from "./durable-fs.ts";

/** The major version of PostgreSQL that this PGlite is: its clusters are not readable by any other. */
export const POSTGRES_MAJOR = 18;

// PGlite's own parameters begin with -F, which is fsync=off. fdatasync and open_sync are stubs in Emscripten
// that do nothing: fsync is the one method that DurableFs can carry to the disk.
const DURABLE = ["-c", "fsync=on", "-c", "wal_sync_method=fsync"];

// PostgreSQL's default of 128 MB costs that much of the process's memory; behind it the kernel caches as well.
const SMALL = ["-c", "shared_buffers=16MB"];

// A line of PostgreSQL's log, "<date> <time> UTC [42] PANIC:  could not ...": of file names and errors of the
// system, never of a statement, which has a line of its own.
const LAST_WORDS = /^\S+ \S+ UTC \[\d+\] (?:FATAL|PANIC): +(.*)$/;

/**
 * Starts PostgreSQL on the cluster in `directory`. `on_death` hears of an engine that has died (a panic of
 * PostgreSQL, such as a failed fsync or a full disk, or a trap in its code) and must end the process.
 * Throws an OperatorFault with PostgreSQL's own reason when it cannot start.
 */
export async function startEngine(
  directory: string,
  on_death: (fault: OperatorFault) => never,
): Promise<PGlite> {
  let last_words = "";
  const listen = (line: string) => {
    last_words = LAST_WORDS.exec(line)?.[1] ?? last_words;
    return false;
  };
  const kept = PGlite.defaultStartParams.filter((parameter) => parameter !== "-F");
  try {
    const client = await PGlite.create({
      ...(await assets()),
      fs: new DurableFs(directory),
      startParams: [...kept, ...DURABLE, ...SMALL],
      onStderr: listen,
    });
    watch(client, (error) => on_death(dead("has died", last_words || String(error))));
    return client;
  } catch (error) {
    throw dead(`in ${directory} cannot be opened`, last_words || String(error));
  }
}

/** An engine in memory, for what is made once and thrown away; its cluster is a new one. */
export async function startScratchEngine(): Promise<PGlite> {
  return PGlite.create({ ...(await assets()), startParams: [...PGlite.defaultStartParams, ...SMALL] });
}

/** PGlite looks for these files beside its own source, where a compiled binary has none. */
async function assets() {
  modules ??= Promise.all([compile(postgres_wasm), compile(initdb_wasm)]);
  const [pgliteWasmModule, initdbWasmModule] = await modules;
  return { pgliteWasmModule, initdbWasmModule, fsBundle: Bun.file(postgres_data) };
}

let modules: Promise<[WebAssembly.Module, WebAssembly.Module]> | undefined;

async function compile(path: string): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await Bun.file(path).arrayBuffer());
}

/**
 * PGlite takes every exception out of the engine for an error of SQL and calls it again until the message is
 * read. A dead engine reads nothing: the first query after a panic would block the event loop for ever.
 * So whatever is not PostgreSQL's own jump to its error handler ends here.
 */
function watch(client: PGlite, on_death: (error: unknown) => never): void {
  const engine = client.Module as unknown as Record<
    "_PostgresMainLoopOnce" | "_PostgresMainLongJmp",
    () => void
  >;
  for (const name of ["_PostgresMainLoopOnce", "_PostgresMainLongJmp"] as const) {
    const call = engine[name];
    engine[name] = () => {
      try {
        call();
      } catch (error) {
        if (isErrorJump(error)) throw error;
        on_death(error);
      }
    };
  }
}

/** 100 is POSTGRES_MAIN_LONGJMP of PGlite's pglitec.c. */
function isErrorJump(error: unknown): boolean {
  return typeof error === "object" && error !== null && "status" in error && error.status === 100;
}

function dead(what: string, reason: string): OperatorFault {
  return operatorFault(EXIT.unavailable, `the embedded database ${what}: ${reason}`);
}
