import { chmodSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { temporaryDirectory } from "./server.ts";

const MAIN = resolve(import.meta.dir, "../../src/main.ts");

/** A directory with nothing but `blindvault` in it, for the PATH of a shell. */
export function programDirectory(): string {
  const directory = temporaryDirectory();
  const path = join(directory, "blindvault");
  writeFileSync(path, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  chmodSync(path, 0o755);
  return directory;
}
