import { spawn, spawnSync } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { findPrograms, makeDirectory, serverUser, type User } from "./postgres-programs.ts";

// A real PostgreSQL for the tests, set up from nothing, whoever runs them: PostgreSQL refuses root, so as root
// everything below runs as `nobody`.
//
// No exit handler runs at the end of `bun test`, and none ever does after kill -9. So a shell of its own keeps
// each server, reads from a pipe of ours, and when that ends for whatever reason, stops the server and removes
// its directory.

/** A running server. `url` is its superuser's, and stays the same over `kill` and `start`. */
export type TestPostgres = {
  url: string;
  /** Stops the server and removes all its files. */
  stop(): Promise<void>;
  /** Kills the server as a crash would, keeping its files; resolves when all its processes are gone. */
  kill(): Promise<void>;
  /** Starts the server again after `kill`, on the same port; resolves when it accepts connections. */
  start(): Promise<void>;
};

export type TestDatabase = { url: string; drop(): Promise<void> };

let shared: Promise<TestPostgres> | undefined;

/** The server of this test process, or the one that TEST_DATABASE_URL names: that one is not ours to stop. */
export function sharedPostgres(): Promise<TestPostgres> {
  const url = process.env.TEST_DATABASE_URL;
  shared ??= url === undefined ? startPostgres() : Promise.resolve(foreignPostgres(url));
  return shared;
}

/** An empty database on the shared server. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = await sharedPostgres();
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  await administer(server.url, `CREATE DATABASE ${name}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: () => administer(server.url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/**
 * Starts a server of one's own on 127.0.0.1 and a free port, with a random password. It is fast and keeps nothing
 * over a power cut, unless it is to be `durable`.
 */
export async function startPostgres(options: { durable?: boolean } = {}): Promise<TestPostgres> {
  const durable = options.durable === true;
  const user = serverUser();
  const directory = mkdtempSync(join(realpathSync(tmpdir()), "blindvault-postgres-"));
  try {
    makeDirectory(directory, user);
    const programs = findPrograms(directory, user);
    const password = crypto.randomUUID();
    initialise(programs, directory, user, password, durable);
    return await keep(programs, directory, user, password, durable);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

// Nothing of our environment: PGDATA, PGPORT and the like would change what is started.
const ENVIRONMENT = { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };

function initialise(
  programs: string,
  directory: string,
  user: User,
  password: string,
  durable: boolean,
): void {
  const password_file = join(directory, "password");
  writeFileSync(password_file, password, { mode: 0o600 });
  if (user.uid !== undefined && user.gid !== undefined) chownSync(password_file, user.uid, user.gid);
  const parameters = [
    `--pgdata=${join(directory, "data")}`,
    `--pwfile=${password_file}`,
    "--username=postgres",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    ...(durable ? [] : ["--no-sync"]),
  ];
  const { status, stderr, error } = spawnSync(join(programs, "initdb"), parameters, {
    ...user,
    env: ENVIRONMENT,
    cwd: directory,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`initdb has failed: ${error ?? stderr}`);
  rmSync(password_file);
}

// $1 is the directory, the rest is the server's command. One order a line: `start`, or the signal that ends it.
const KEEPER = `
trap '' HUP INT TERM
directory=$1
shift
server=
end() {
  kill -CONT "$server"
  kill "-$1" "$server"
  wait "$server"
  server=
}
while read -r order port; do
  case $order in
    start) "$@" -p "$port" >>"$directory/log" 2>&1 </dev/null & server=$! ;;
    *) end "$order" ;;
  esac
done
if [ -n "$server" ]; then end QUIT; fi
rm -rf "$directory"
`;

async function keep(
  programs: string,
  directory: string,
  user: User,
  password: string,
  durable: boolean,
): Promise<TestPostgres> {
  const data = join(directory, "data");
  const server = [join(programs, "postgres"), "-D", data, ...settings(durable)];
  const keeper = spawn("sh", ["-c", KEEPER, "keeper", directory, ...server], {
    ...user,
    env: ENVIRONMENT,
    cwd: "/",
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const ended = new Promise<void>((resolve) => keeper.once("exit", () => resolve()));
  keeper.unref();
  const order = (line: string) => keeper.stdin.write(`${line}\n`);
  const start = async (port: number) => {
    order(`start ${port}`);
    await isReady(directory);
  };
  const stop = () => {
    keeper.stdin.end();
    return ended;
  };
  const port = await startOnFreePort(start).catch((error) => stop().then(() => Promise.reject(error)));
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    start: () => start(port),
    async kill() {
      order("QUIT");
      while (existsSync(join(data, "postmaster.pid"))) await Bun.sleep(2);
    },
    stop,
  };
}

function settings(durable: boolean): string[] {
  const fast = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];
  const all = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=64MB"];
  return [...all, ...(durable ? [] : fast)].flatMap((setting) => ["-c", setting]);
}

/** Another program may take the free port before the server does: then another port is tried. */
async function startOnFreePort(start: (port: number) => Promise<void>): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      await start(port);
      return port;
    } catch (error) {
      if (attempt === 5 || !String(error).includes("could not create any TCP/IP sockets")) throw error;
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

/** The server writes its state into the eighth line of its pid file, which is how pg_ctl waits for it. */
async function isReady(directory: string): Promise<void> {
  const log = join(directory, "log");
  const read = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : "");
  const before = read(log).length;
  const deadline = performance.now() + 30_000;
  while (read(join(directory, "data/postmaster.pid")).split("\n")[7]?.trim() !== "ready") {
    const said = read(log).slice(before);
    if (/FATAL:|PANIC:/.test(said) || performance.now() > deadline) {
      throw new Error(`PostgreSQL does not start: ${said}`);
    }
    await Bun.sleep(5);
  }
}

function foreignPostgres(url: string): TestPostgres {
  const refuse = () => Promise.reject(new Error("the server of TEST_DATABASE_URL is not ours to stop"));
  return { url, start: refuse, kill: refuse, stop: () => Promise.resolve() };
}

async function administer(url: string, statement: string): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await client.unsafe(statement);
  } finally {
    await client.end({ timeout: 5 });
  }
}
