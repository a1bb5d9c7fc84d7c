import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  type Stats,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { readAll } from "./descriptors.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";

const FILE_BYTES_MAX = 1024 ** 3;
const PRIVATE_FILE = 0o600;

/** A file, whole. Exit code 66 where it cannot be read. */
export function readFile(path: string): Uint8Array<ArrayBuffer> {
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    return readAll(fd, FILE_BYTES_MAX);
  } catch (error) {
    if ((error as { code?: unknown }).code === "input-too-large") throw error;
    throw commandFault(CLI_EXIT.no_input, "file-unreadable", `${path} cannot be read`);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Writes a file for its owner alone: under another name first, to the disk, and then in place, so that no crash leaves half of it where
 * a whole one is expected. Refuses to replace one, unless told. What a crash leaves ends in ".tmp".
 */
export function writeNewFile(path: string, bytes: Uint8Array, replace: boolean): void {
  assertPlace(path, replace);
  const temporary = `${path}.${crypto.getRandomValues(new Uint8Array(4)).toHex()}.tmp`;
  try {
    writeThrough(temporary, bytes);
    if (replace) renameSync(temporary, path);
    else putInPlace(temporary, path);
  } catch (error) {
    removeQuietly(temporary);
    throw isThere(error) ? fileThere(path) : fileUnwritable(path);
  }
  syncDirectory(dirname(path));
}

/** Whether `writeNewFile` would refuse a path: to be asked before anything that takes a person's time. */
export function assertPlace(path: string, replace: boolean): void {
  const present = lookAt(path);
  if (present === undefined) {
    assertDirectory(path);
    return;
  }
  // As root, a rename would take the place of /dev/null too.
  if (!present.isFile()) {
    throw commandFault(CLI_EXIT.cannot_create, "file-special", `${path} is there, and is no regular file`);
  }
  if (!replace) throw fileThere(path);
}

function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    throw fileUnwritable(path);
  }
}

function assertDirectory(path: string): void {
  try {
    accessSync(dirname(path), constants.W_OK);
  } catch {
    throw fileUnwritable(path);
  }
}

/** A link takes nobody's place, also of a file that has come meanwhile. Not every file system has links. */
function putInPlace(temporary: string, path: string): void {
  try {
    linkSync(temporary, path);
  } catch (error) {
    if (isThere(error)) throw error;
    renameSync(temporary, path);
    return;
  }
  unlinkSync(temporary);
}

function isThere(error: unknown): boolean {
  return (error as { code?: unknown }).code === "EEXIST";
}

function fileThere(path: string): Error {
  const message = `${path} is there already (--force replaces it)`;
  return commandFault(CLI_EXIT.cannot_create, "file-exists", message);
}

function fileUnwritable(path: string): Error {
  return commandFault(CLI_EXIT.cannot_create, "file-unwritable", `${path} cannot be written`);
}

function writeThrough(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "wx", PRIVATE_FILE);
  try {
    for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The new name is safe when its directory is. The file itself is whole by now, so where this cannot be had it is no failure. */
function syncDirectory(path: string): void {
  if (process.platform === "win32") return;
  try {
    const fd = openSync(path, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // A directory that one may write and not read, or a file system that does not know the question.
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was never made, or is gone.
  }
}
