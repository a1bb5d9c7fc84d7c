import {
  chmodSync,
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { EXIT, operatorFault } from "../../exit.ts";
import { syncDirectory } from "./data-directory.ts";
import { POSTGRES_MAJOR, startScratchEngine } from "./engine.ts";

/** What the name of an embedded cluster begins with; the bundler adds a hash. See newCluster. */
const TEMPLATE_NAME = "cluster-template";

/**
 * The path of the PostgreSQL cluster in `data_dir`, which is made first where there is none. The caller holds
 * the directory's lock. Throws an OperatorFault (EXIT.data) when another major version made the cluster.
 */
export async function readyCluster(data_dir: string): Promise<string> {
  const cluster = join(data_dir, "postgres");
  if (existsSync(cluster)) requireOurs(cluster);
  else await makeCluster(data_dir, cluster);
  return cluster;
}

/**
 * A new cluster as a tar file. Making one takes two seconds or more and 900 MB of memory, unpacking one a small
 * part of both. So a build may embed one, by writing newCluster("gzip") to cluster-template.tar.gz and naming
 * that file after the entry point: `bun build --compile src/main.ts cluster-template.tar.gz`.
 */
export async function newCluster(compression: "gzip" | "none"): Promise<Blob> {
  const scratch = await startScratchEngine();
  try {
    await scratch.exec("CHECKPOINT");
    return await scratch.dumpDataDir(compression);
  } finally {
    await scratch.close();
  }
}

function requireOurs(cluster: string): void {
  let version: string;
  try {
    version = readFileSync(join(cluster, "PG_VERSION"), "utf8").trim();
  } catch {
    throw operatorFault(EXIT.data, `${cluster} holds no PostgreSQL cluster: PG_VERSION cannot be read`);
  }
  if (version === String(POSTGRES_MAJOR)) return;
  throw operatorFault(
    EXIT.data,
    `${cluster} was made by PostgreSQL ${version} and this program has PostgreSQL ${POSTGRES_MAJOR}`,
  );
}

/** The cluster gets its name as the last step: what a crash leaves has another name and is thrown away. */
async function makeCluster(data_dir: string, cluster: string): Promise<void> {
  const unfinished = join(data_dir, "postgres.new");
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { mode: 0o700 });
  const tar = embeddedTemplate() ?? (await newCluster("none"));
  try {
    await new Bun.Archive(await tar.bytes()).extract(unfinished);
    settle(unfinished);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    const reason = error instanceof Error ? error.message : String(error);
    throw operatorFault(EXIT.cannot_create, `cannot write ${unfinished} (${reason}): is the disk full?`);
  }
  renameSync(unfinished, cluster);
  syncDirectory(data_dir);
}

function embeddedTemplate(): Blob | undefined {
  return Bun.embeddedFiles.find((file) => "name" in file && String(file.name).startsWith(TEMPLATE_NAME));
}

/** Gives everything below and including `directory` to its owner alone, and to the disk. */
function settle(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) settle(path);
    else settleFile(path);
  }
  chmodSync(directory, 0o700);
  syncDirectory(directory);
}

function settleFile(path: string): void {
  // Windows syncs only what is open for writing.
  const descriptor = openSync(path, "r+");
  try {
    fchmodSync(descriptor, 0o600);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
