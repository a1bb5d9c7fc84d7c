import { Database } from "bun:sqlite";
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  statSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { EXIT, type OperatorFault, operatorFault } from "../../exit.ts";

// Two processes on one cluster destroy each other's acknowledged rows, and PGlite takes no lock of its own.
// SQLite's exclusive transaction is a lock of the operating system: it dies with its process, however that
// ends. On POSIX it also dies when its process closes any other descriptor of the same file, so nothing in
// this process may ever open the lock file (a backup skips it).

/** The lock on a data directory; it lasts until it is released or its process ends. */
export type DataDirectoryLock = { data_dir: string; release(): void };

// What may be in a directory that is ours alone: our own names, and what the root of a new volume holds.
const OUR_DIRECTORIES = ["postgres", "postgres.new", "lost+found"];

// A lock that the garbage collector finds is a lock that lets a second process in: this map keeps all in reach.
const held = new Map<string, DataDirectoryLock>();

/**
 * Makes `data_dir` where it is missing, takes its lock and closes it to everybody but its owner.
 * Throws an OperatorFault and changes nothing: EXIT.temporary while another process has the lock,
 * EXIT.cannot_create when the directory cannot be made or written.
 */
export function lockDataDirectory(data_dir: string): DataDirectoryLock {
  const umask = process.umask(0o077);
  try {
    makeDirectory(data_dir);
    const path = realpathSync(data_dir);
    const database = takeLock(path);
    const lock: DataDirectoryLock = { data_dir: path, release: () => release(lock, database) };
    held.set(path, lock);
    try {
      closeToOthers(path);
    } catch (error) {
      lock.release();
      throw cannotWrite(path, messageOf(error));
    }
    return lock;
  } finally {
    process.umask(umask);
  }
}

/** The lock that this process has on `data_dir`: to open a cluster without one is a fault of the program. */
export function heldLock(data_dir: string): DataDirectoryLock {
  const lock = held.get(realpathSync(data_dir));
  if (lock === undefined) throw new Error(`${data_dir} is opened without its lock`);
  return lock;
}

/**
 * Makes the entries of a directory (files made, renamed or removed in it) outlast a power cut. Like PostgreSQL,
 * goes on where the file system cannot do this or we may write the directory and not read it.
 */
export function syncDirectory(path: string): void {
  // Windows cannot, and need not: NTFS journals its directories.
  if (process.platform === "win32") return;
  try {
    const descriptor = openSync(path, constants.O_RDONLY);
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (!["EACCES", "EINVAL", "EBADF"].includes(codeOf(error))) throw error;
  }
}

function makeDirectory(data_dir: string): void {
  try {
    const path = resolve(data_dir);
    const topmost = mkdirSync(path, { recursive: true, mode: 0o700 });
    if (topmost === undefined) return;
    for (let made = path; made.length >= topmost.length; made = dirname(made)) syncDirectory(dirname(made));
  } catch (error) {
    throw operatorFault(
      EXIT.cannot_create,
      `cannot make the data directory ${data_dir}: ${messageOf(error)}`,
    );
  }
}

function takeLock(data_dir: string): Database {
  const path = join(data_dir, "lock");
  let database: Database | undefined;
  try {
    database = new Database(path, { create: true, readwrite: true });
    // A file that it may only read, SQLite opens all the same; that lock would keep nobody out.
    accessSync(path, constants.W_OK);
    // Nothing is ever written, so a journal would only be one more file to find after a crash.
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database?.close();
    if (codeOf(error).startsWith("SQLITE_BUSY")) {
      throw operatorFault(
        EXIT.temporary,
        `the data directory ${data_dir} is in use: another process has its lock`,
      );
    }
    throw cannotWrite(data_dir, whyNot(data_dir, path) ?? messageOf(error));
  }
}

function cannotWrite(data_dir: string, reason: string): OperatorFault {
  return operatorFault(EXIT.cannot_create, `cannot write the data directory ${data_dir}: ${reason}`);
}

/** SQLite says only "unable to open database file"; the system call behind it says why. */
function whyNot(...paths: string[]): string | undefined {
  for (const path of paths) {
    try {
      accessSync(path, constants.R_OK | constants.W_OK);
    } catch (error) {
      return messageOf(error);
    }
  }
  return undefined;
}

function release(lock: DataDirectoryLock, database: Database): void {
  database.close();
  if (held.get(lock.data_dir) === lock) held.delete(lock.data_dir);
}

function closeToOthers(data_dir: string): void {
  if ((statSync(data_dir).mode & 0o077) === 0 || servesOthers(data_dir)) return;
  try {
    chmodSync(data_dir, 0o700);
  } catch (error) {
    // A volume may belong to root and be writable through its group alone (Kubernetes' fsGroup). The cluster
    // inside is made 0700 in any case.
    if (codeOf(error) !== "EPERM") throw error;
  }
}

/** Root with DATA_DIR=/tmp must not shut everybody out of /tmp: only a directory of our own is closed. */
function servesOthers(data_dir: string): boolean {
  const directories = readdirSync(data_dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  if (directories.some((entry) => entry.name === "postgres")) return false;
  return directories.some((entry) => !OUR_DIRECTORIES.includes(entry.name));
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
