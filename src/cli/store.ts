import { Database } from "bun:sqlite";
import { chmodSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Store } from "../client/index.ts";
import { CLI_EXIT, commandFault, isCommandFault } from "./exit.ts";

const PRIVATE_FILE = 0o600;
const PRIVATE_DIRECTORY = 0o700;
const OTHERS = 0o077;
const OTHERS_WRITE = 0o022;
/** Whoever holds the lock may be asking the server for tokens; one that hangs is not waited for longer. */
const LOCK_WAIT_MS = 60_000;
const LOCK_POLL_MS = 20;
/** How long SQLite itself waits where another process is just writing its commit to the disk. */
const COMMIT_WAIT_MS = 10_000;

/** The client's state on this device, open. */
export type StateStore = Store & {
  /** Puts a value in place at once. */
  write(key: string, value: string | undefined): Promise<void>;
  close(): void;
};

/** The record of the device has a file of its own: a command that waits for a server with the other's lock must not keep `lock` waiting. */
const DEVICE_KEY = "device";

/**
 * The state in SQLite files that their owner alone can read: what a commit has said to be written survives a crash, and of two
 * commands at once each sees the other's work whole. A change holds its file's write lock for as long as it takes.
 */
export function openStore(home: string): StateStore {
  const device = openFile(home, "device.sqlite");
  const shared = openFile(home, "state.sqlite");
  const of = (key: string) => (key === DEVICE_KEY ? device : shared);
  return {
    read: (key) => of(key).read(key),
    update: (key, change) => of(key).update(key, change),
    write: (key, value) => of(key).write(key, value),
    close() {
      device.close();
      shared.close();
    },
  };
}

function openFile(home: string, name: string): StateStore {
  const path = join(home, name);
  const { db, select, replace, remove } = orFault(path, () => openDatabase(home, path));
  // One connection is one transaction at a time.
  let queue: Promise<unknown> = Promise.resolve();

  const store: StateStore = {
    async read(key) {
      return orFault(path, () => select.get(key)?.value);
    },
    update(key, change) {
      const turn = queue.then(async () => {
        await begin(db, path);
        try {
          const next = await change(orFault(path, () => select.get(key)?.value));
          orFault(path, () => {
            if (next === undefined) remove.run(key);
            else replace.run(key, next);
            db.run("commit");
          });
        } finally {
          // SQLite itself ends a transaction that a full disk stops.
          if (db.inTransaction) db.run("rollback");
        }
      });
      queue = turn.catch(() => undefined);
      return turn;
    },
    write: (key, value) => store.update(key, async () => value),
    close: () => db.close(),
  };
  return store;
}

function openDatabase(home: string, path: string) {
  const umask = process.umask(OTHERS);
  try {
    mkdirSync(home, { recursive: true, mode: PRIVATE_DIRECTORY });
    assertOurs(home);
    // SQLite gives its journal the permissions of the file it belongs to.
    const db = new Database(path, { create: true, readwrite: true });
    if ((statSync(path).mode & OTHERS) !== 0) chmodSync(path, PRIVATE_FILE);
    db.run(`pragma busy_timeout = ${COMMIT_WAIT_MS}`);
    db.run("pragma synchronous = full");
    // What is deleted is to be gone: a key that was sealed for this device, a token.
    db.run("pragma secure_delete = on");
    assertWhole(db);
    db.run(
      "create table if not exists state (key text primary key, value text not null) strict, without rowid",
    );
    return {
      db,
      select: db.query<{ value: string }, [string]>("select value from state where key = ?"),
      replace: db.query("insert or replace into state (key, value) values (?, ?)"),
      remove: db.query("delete from state where key = ?"),
    };
  } finally {
    // Commands that this process starts make files of their own.
    process.umask(umask);
  }
}

/** Who may write the directory may put another state in the place of ours: another server, an authority, no pins. */
function assertOurs(home: string): void {
  const { uid, mode } = statSync(home);
  const owner = process.geteuid?.();
  // Windows has neither: there the profile is the user's own.
  if (owner === undefined || (uid === owner && (mode & OTHERS_WRITE) === 0)) return;
  const message = `the directory ${home} belongs to somebody else, or others may write it: chmod 700 it, or choose another with BLINDVAULT_HOME`;
  throw commandFault(CLI_EXIT.cannot_create, "state-not-ours", message);
}

/** A file that was cut off reads as an empty one, which would be forgetting in silence. */
function assertWhole(db: Database): void {
  const found = db.query<{ quick_check: string }, []>("pragma quick_check(1)").get()?.quick_check;
  if (found !== "ok") throw Object.assign(new Error("quick_check"), { code: "SQLITE_CORRUPT" });
}

/** Waits for the lock without stopping what else this process does. */
async function begin(db: Database, path: string): Promise<void> {
  const deadline_ms = performance.now() + LOCK_WAIT_MS;
  while (!attemptBegin(db, path)) {
    if (performance.now() > deadline_ms) {
      throw commandFault(CLI_EXIT.temporary, "state-busy", "another blindvault command holds the state");
    }
    await Bun.sleep(LOCK_POLL_MS);
  }
}

function attemptBegin(db: Database, path: string): boolean {
  db.run("pragma busy_timeout = 0");
  try {
    db.run("begin immediate");
    return true;
  } catch (error) {
    if (codeOf(error).startsWith("SQLITE_BUSY")) return false;
    throw faultOf(error, path);
  } finally {
    db.run(`pragma busy_timeout = ${COMMIT_WAIT_MS}`);
  }
}

function orFault<Value>(path: string, work: () => Value): Value {
  try {
    return work();
  } catch (error) {
    throw faultOf(error, path);
  }
}

function faultOf(error: unknown, path: string): Error {
  if (isCommandFault(error)) return error;
  if (/^SQLITE_(NOTADB|CORRUPT|ERROR|MISMATCH)/.test(codeOf(error))) {
    const message = `the state in ${path} is damaged: move it away and log in again`;
    return commandFault(CLI_EXIT.data, "state-damaged", message);
  }
  return commandFault(CLI_EXIT.cannot_create, "state-unusable", `the state in ${path} cannot be written`);
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code ?? "");
}
