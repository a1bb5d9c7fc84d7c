import { join, resolve } from "node:path";
import { randomName, randomPassword, sealedEntry } from "../support/client.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { JWT_SECRET, temporaryDirectory } from "../support/server.ts";
import { median, type Process, percentile, startProcess, until, wrk } from "./load.ts";

/**
 * `bun run bench`: the core's speed as ratios measured side by side in one run. Needs dist/blindvault and wrk.
 * Nothing here passes or fails; the numbers are for the README and for whoever changes a hot path.
 */
const BINARY = join(resolve(import.meta.dir, "../.."), "dist/blindvault");
const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 3);
const LOGIN_CLIENTS = 8;

const { url: database_url } = await createTestDatabase();
const environment = {
  JWT_SECRET,
  DATABASE_URL: database_url,
  RATE_LIMIT_AUTH: "off",
  RATE_LIMIT_API: "off",
  LOG_LEVEL: "ERROR",
};

await reads();
await logins();
await starts();
process.exit(0);

/** GET of one entry against the bare handler, in turns, so that a slow moment of the machine meets both. */
async function reads(): Promise<void> {
  const server = await serve({ ...environment, PORT: "4711" });
  const account = await makeAccount(server.url);
  const headers = { authorization: `Bearer ${account.token}` };
  const bare = await startProcess(
    [process.execPath, join(import.meta.dir, "bare.ts"), database_url, account.id],
    {},
  );
  const bare_url = `http://127.0.0.1:${await bare.firstLine}`;
  const ours: number[] = [];
  const floor: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    floor.push(await wrk(`${bare_url}/entries/${account.entry_id}`, SECONDS, {}));
    ours.push(await wrk(`${server.url}/entries/${account.entry_id}`, SECONDS, headers));
  }
  report("GET /entries/{id}, requests a second", median(ours), "bare Bun.serve + postgres.js", median(floor));
  await bare.stop();
  await server.stop();
}

/** Logins at the default cost against Bun.password alone, and what another client's reads feel of them. */
async function logins(): Promise<void> {
  const server = await serve({ ...environment, PORT: "4712" });
  const account = await makeAccount(server.url);
  const accounts = await Promise.all(Array.from({ length: LOGIN_CLIENTS }, () => makeAccount(server.url)));
  const hash = await Bun.password.hash(account.password, {
    algorithm: "argon2id",
    memoryCost: 65_536,
    timeCost: 3,
  });
  const floor: number[] = [];
  const ours: number[] = [];
  const latencies_ms: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    floor.push(await rate(SECONDS, 1, () => Bun.password.verify(account.password, hash)));
    const sampling = sample(
      SECONDS,
      `${server.url}/entries/${account.entry_id}`,
      account.token,
      latencies_ms,
    );
    ours.push(await rate(SECONDS, LOGIN_CLIENTS, (client) => login(server.url, accounts[client] ?? account)));
    await sampling;
  }
  report("logins a second", median(ours), "bare Bun.password at one at a time", median(floor));
  console.log(
    `  another client's GETs meanwhile: p50 ${percentile(latencies_ms, 50).toFixed(1)} ms, p99 ${percentile(latencies_ms, 99).toFixed(1)} ms (${latencies_ms.length} samples)`,
  );
  await server.stop();
}

/** From the start of the process to the first answer of /health, and to /ready. */
async function starts(): Promise<void> {
  const embedded = { JWT_SECRET, DATA_DIR: temporaryDirectory(), LOG_LEVEL: "ERROR" };
  for (const [name, settings] of [
    ["PostgreSQL, migrated", environment],
    ["embedded, existing", embedded],
  ] as const) {
    await (await serve({ ...settings, PORT: "4713" })).stop();
    const health_ms: number[] = [];
    const ready_ms: number[] = [];
    for (let round = 0; round < 2 * ROUNDS; round++) {
      const started = performance.now();
      const server = await startProcess([BINARY, "serve"], { ...settings, PORT: "4713" });
      await until(`http://127.0.0.1:4713/health`);
      health_ms.push(performance.now() - started);
      await until(`http://127.0.0.1:4713/ready`);
      ready_ms.push(performance.now() - started);
      await server.stop();
    }
    console.log(
      `start on ${name}: /health after ${median(health_ms).toFixed(0)} ms, /ready after ${median(ready_ms).toFixed(0)} ms (median of ${health_ms.length})`,
    );
  }
}

async function serve(settings: Record<string, string>): Promise<Process & { url: string }> {
  const server = await startProcess([BINARY, "serve"], settings);
  const url = `http://127.0.0.1:${settings.PORT}`;
  await until(`${url}/ready`);
  return { ...server, url };
}

type Account = { id: string; username: string; password: string; token: string; entry_id: string };

async function makeAccount(url: string): Promise<Account> {
  const [username, password] = [randomName(), randomPassword()];
  await post(url, "/auth/register", { username, password });
  const session = await post(url, "/auth/login", { username, password });
  const entry = await post(url, "/entries", sealedEntry(1024), session.accessToken);
  return { id: session.user_id, username, password, token: session.accessToken, entry_id: entry.id };
}

async function login(url: string, account: Account): Promise<void> {
  await post(url, "/auth/login", { username: account.username, password: account.password });
}

async function post(url: string, path: string, body: object, token?: string) {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

/** How often a second `clients` loops get through `work`. */
async function rate(
  seconds: number,
  clients: number,
  work: (client: number) => Promise<unknown>,
): Promise<number> {
  const started = performance.now();
  let done = 0;
  const loop = async (client: number) => {
    while (performance.now() - started < seconds * 1000) {
      await work(client);
      done++;
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, client) => loop(client)));
  return done / ((performance.now() - started) / 1000);
}

async function sample(seconds: number, url: string, token: string, latencies_ms: number[]): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const started = performance.now();
    await (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).arrayBuffer();
    latencies_ms.push(performance.now() - started);
    await Bun.sleep(5);
  }
}

function report(what: string, ours: number, against: string, floor: number): void {
  console.log(
    `${what}: ${ours.toFixed(1)}; ${against}: ${floor.toFixed(1)}; ratio ${((100 * ours) / floor).toFixed(0)}%`,
  );
}
