import { loadConfig } from "../../src/server/config.ts";
import type { Environment } from "../../src/server/settings.ts";
import { type RunningServer, startServer } from "../../src/server/start.ts";
import { createTestDatabase } from "./postgres.ts";
import { type Engine, JWT_SECRET, makeTestLog, temporaryDirectory } from "./server.ts";

/** A server with a database of its own, for tests that stop it or break what is in it. */
export type PrivateServer = Omit<RunningServer, "url"> & {
  url: string;
  logged: string[];
  environment: Environment;
};

/** The environment of a server with a new database, at the weakest cost and without limits. */
export async function privateEnvironment(engine: Engine, settings: Environment = {}): Promise<Environment> {
  const database =
    engine === "embedded"
      ? { DATA_DIR: `${temporaryDirectory()}/data` }
      : { DATABASE_URL: (await createTestDatabase()).url };
  return {
    PORT: "0",
    JWT_SECRET,
    ARGON2_MEMORY_KIB: "19456",
    ARGON2_ITERATIONS: "2",
    RATE_LIMIT_AUTH: "off",
    RATE_LIMIT_API: "off",
    ...database,
    ...settings,
  };
}

/** Starts the real server, from its listener to its purging, in this process. */
export async function startPrivateServer(environment: Environment): Promise<PrivateServer> {
  const { log, logged } = makeTestLog();
  const running = await startServer(loadConfig(environment), log);
  return { ...running, url: running.url.origin, logged, environment };
}
