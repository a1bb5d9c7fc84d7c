import pino from "pino";
import { databaseErrorCode } from "./db/database.ts";

export type Level = "debug" | "info" | "warn" | "error";

export type Log = Pick<pino.Logger, "debug" | "info" | "warn" | "error" | "isLevelEnabled">;

/** Structured log: one JSON object a line. */
export function makeLog(level: Level, destination: pino.DestinationStream = standardOutput()): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    destination,
  );
}

/** A log for a person where standard output is a terminal; the library for it is loaded only there. */
export async function makeTerminalLog(level: Level): Promise<Log> {
  if (!process.stdout.isTTY) return makeLog(level);
  const { default: pretty } = await import("pino-pretty");
  const options = { sync: true, singleLine: true, messageFormat: readable, ignore: REQUEST_FIELDS.join() };
  return makeLog(level, pretty(options));
}

/** What a request's line says in its sentence, and so need not list again. */
const REQUEST_FIELDS = ["method", "route", "status", "duration_ms", "address"];

function readable(line: Record<string, unknown>, key: string): string {
  if (line.route === undefined) return String(line[key]);
  return `${line.method} ${line.route} ${line.status} in ${line.duration_ms} ms from ${line.address}`;
}

/**
 * Lines are gathered for a moment, since a system call for each would be felt at every request; the end of the process
 * writes the rest.
 */
function standardOutput(): pino.DestinationStream {
  const output = pino.destination({ dest: 1, sync: true, minLength: 4096, periodicFlush: FLUSH_MS });
  process.once("exit", () => output.flushSync());
  return output;
}

/** How long a line may wait for company. */
const FLUSH_MS = 250;

/**
 * What of an error may be logged. Messages are left out for errors of a query: Drizzle's and PostgreSQL's
 * quote the statement's parameters, and these can hold a hash or a ciphertext.
 */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error };
  const code = databaseErrorCode(error);
  if (code === undefined && !/query/i.test(error.name + error.message.slice(0, 20))) {
    return { name: error.name, message: error.message, stack: error.stack };
  }
  const cause = rootCause(error) as Error & {
    constraint_name?: string;
    constraint?: string;
    routine?: string;
  };
  return {
    name: cause.name,
    code,
    constraint: cause.constraint_name ?? cause.constraint,
    routine: cause.routine,
    at: callsOf(error),
  };
}

/** The calls of a stack, which begins with the message: a parameter may have lines that look like calls. */
function callsOf({ stack = "", message }: Error): string[] {
  const start = stack.indexOf(message);
  if (start === -1) return [];
  const lines = stack.slice(start + message.length).split("\n");
  return lines.filter((line) => line.startsWith("    at "));
}

/** As deep as `databaseErrorCode` looks: causes may form a circle. */
function rootCause(error: Error, depth_max = 5): Error {
  return error.cause instanceof Error && depth_max > 0 ? rootCause(error.cause, depth_max - 1) : error;
}
