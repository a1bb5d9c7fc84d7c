import { LIMITS } from "../../contract/limits.ts";
import { EXIT } from "../../exit.ts";
import { type Config, loadConfig, withConfigFile } from "../config.ts";
import { systemClock } from "../deps.ts";
import type { Site } from "../http/docs.ts";
import { describeError, type Log, makeTerminalLog } from "../log.ts";
import type { Environment } from "../settings.ts";
import { type RunningServer, startServer } from "../start.ts";

/** `blindvault serve`: runs until a signal, then drains and ends with 0, or with 1 when that takes too long. */
export async function serve(
  environment: Environment,
  options: { config?: string },
  site: Site,
): Promise<never> {
  const config = loadConfig(withConfigFile(environment, options.config));
  // What the server creates is its own: the embedded engine makes its files for everybody.
  process.umask(0o077);
  const log = await makeTerminalLog(config.log_level);
  if (isExposed(config)) {
    log.warn(
      { host: config.host },
      "serving plain HTTP beyond this machine: set TLS_CERT_FILE and TLS_KEY_FILE, or TRUSTED_PROXIES",
    );
  }
  const signal = firstSignal();
  const starting = startServer(config, log, systemClock, site);
  const running = await Promise.race([starting, signal.then(() => undefined)]);
  if (running === undefined) {
    // Nothing was acknowledged yet, so there is nothing to wait for.
    log.info({ signal: await signal }, "stopped while starting");
    process.exit(EXIT.ok);
  }
  process.on("SIGHUP", () => reloadTls(running, log));
  const fatal = firstFatalError();
  const reason = await Promise.race([signal, fatal]);
  if (typeof reason === "string") log.info({ signal: reason }, "stopping");
  else log.error({ err: reason }, "stopping after an error that nothing caught");
  const stopped = await stopInTime(running);
  if (!stopped) log.error({ limit_ms: LIMITS.shutdown_ms }, "requests did not finish in time");
  else log.info({}, "stopped");
  process.exit(typeof reason !== "string" ? EXIT.software : stopped ? EXIT.ok : EXIT.failure);
}

/** Whether passwords and tokens may cross a network unencrypted; behind a proxy that is named, the proxy answers for it. */
function isExposed({ host, tls, trusted_proxies }: Config): boolean {
  const local = host === "localhost" || host === "::1" || host.startsWith("127.");
  return !local && tls === undefined && trusted_proxies.length === 0;
}

/** SIGHUP says that a renewed certificate is there. One that is no good must not end a server that works. */
function reloadTls(running: RunningServer, log: Log): void {
  try {
    running.reloadTls();
    log.info({}, "certificate and key were read anew");
  } catch (error) {
    log.error({ err: error }, "certificate and key could not be read anew, the old ones stay");
  }
}

function firstSignal(): Promise<string> {
  return new Promise((resolve) => {
    let seen = false;
    for (const name of ["SIGTERM", "SIGINT"] as const) {
      process.on(name, () => {
        // Asked twice, somebody wants it now. What was acknowledged is in the database already.
        if (seen) process.exit(EXIT.failure);
        seen = true;
        resolve(name);
      });
    }
  });
}

function firstFatalError(): Promise<Record<string, unknown>> {
  return new Promise((resolve) => {
    process.on("uncaughtException", (error) => resolve(describeError(error)));
    process.on("unhandledRejection", (error) => resolve(describeError(error)));
  });
}

async function stopInTime(running: RunningServer): Promise<boolean> {
  const late = Bun.sleep(LIMITS.shutdown_ms).then(() => false);
  return Promise.race([running.stop().then(() => true), late]);
}
