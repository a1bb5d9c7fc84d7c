import { writeSync } from "node:fs";
import { isOperatorFault } from "../../src/exit.ts";
import { lockDataDirectory } from "../../src/server/db/data-directory.ts";
import { openEmbedded } from "../../src/server/db/embedded.ts";

// A process of its own for the tests of the embedded database, which kill it, trace it and start two of it:
//   bun tests/support/embedded-process.ts <data_dir> lock         takes the lock, says "locked" and stays
//   bun tests/support/embedded-process.ts <data_dir> write <n>    commits n rows and says each id, then closes
//   bun tests/support/embedded-process.ts <data_dir> leave        opens, says what is left behind, does not close

const parent = process.ppid;
const [data_dir = "", command = "", count = "0"] = process.argv.slice(2);

try {
  lockDataDirectory(data_dir);
  if (command === "lock") await stay();
  if (command === "write") await write(Number(count));
  if (command === "leave") await leave();
} catch (error) {
  if (!isOperatorFault(error)) throw error;
  console.error(error.message);
  process.exitCode = error.exit_code;
}

/** The lock's object is garbage by now, and must be none to the collector. */
async function stay(): Promise<void> {
  for (let round = 0; round < 10; round++) {
    Bun.gc(true);
    await Bun.sleep(1);
  }
  say("locked");
  setInterval(endWithParent, 50);
}

async function write(rows: number): Promise<void> {
  const { client, close } = await openEmbedded(data_dir, report);
  await client.exec("CREATE TABLE IF NOT EXISTS kept (id serial PRIMARY KEY, value text NOT NULL)");
  say("open");
  for (let row = 0; row < rows; row++) {
    const { rows } = await client.query<{ id: number }>(
      "INSERT INTO kept (value) VALUES (repeat('x', 200)) RETURNING id",
    );
    say(String(rows[0]?.id));
    endWithParent();
  }
  await close();
}

async function leave(): Promise<void> {
  await openEmbedded(data_dir, report);
  const events = [
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "exit",
    "beforeExit",
    "uncaughtException",
    "unhandledRejection",
  ];
  const listeners = events.filter((event) => process.listenerCount(event) > 0);
  say(JSON.stringify({ listeners, exit_code: process.exitCode ?? null, umask: process.umask() }));
}

/** A test that fails kills nothing; the end of its process must be ours. */
function endWithParent(): void {
  if (process.ppid !== parent) process.exit(1);
}

/** Written by a system call of its own: what has been said was true before the next statement ran. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

function report(error: unknown): void {
  writeSync(2, `${String(error)}\n`);
}
