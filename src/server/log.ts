import pino from "pino";
import { databaseErrorCode } from "./db/database.ts";

export type Log = Pick<pino.Logger, "debug" | "info" | "warn" | "error" | "level">;

/** Structured log: one JSON object a line on standard output (or on `destination`). */
export function makeLog(
  level: "debug" | "info" | "warn" | "error",
  destination?: pino.DestinationStream,
): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    destination ?? pino.destination({ dest: 1, sync: true }),
  );
}

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
    at: error.stack?.split("\n").filter((line) => line.startsWith("    at ")),
  };
}

function rootCause(error: Error): Error {
  return error.cause instanceof Error ? rootCause(error.cause) : error;
}
