import { LIMITS } from "../contract/limits.ts";
import { PROBLEMS, type ProblemCode, problemSchema } from "../contract/problems.ts";
import { readAnswer } from "./answer.ts";
import { failure, hostile, VaultError } from "./errors.ts";

/** Refusals that were given before anything was done: any request may come again. */
const NOTHING_DONE: readonly string[] = [
  "rate-limited",
  "hashing-busy",
  "batch-busy",
  "not-ready",
  "audit-unavailable",
];
/** What leaves open whether the request was carried out: only one that may be carried out twice may come again. */
const UNSETTLED: readonly string[] = ["server-unreachable", "server-timeout", "database-unavailable"];

/** Whether it is not known what became of a request that ended so. */
export function isUnsettled(error: VaultError): boolean {
  return UNSETTLED.includes(error.code);
}

/**
 * How long to wait before the next attempt, in ms; undefined when there is to be none. As the server says, else
 * exponential with half of it random, so that clients that failed together do not come back together.
 */
export function waitBefore(error: VaultError, attempt: number, idempotent: boolean): number | undefined {
  if (attempt >= LIMITS.client_attempts_max) return undefined;
  if (!NOTHING_DONE.includes(error.code) && !(idempotent && isUnsettled(error))) return undefined;
  if (error.details.retry_after_s !== undefined) return error.details.retry_after_s * 1000;
  const ceiling_ms = Math.min(LIMITS.client_backoff_ms * 2 ** (attempt - 1), LIMITS.client_backoff_ms_max);
  return ceiling_ms / 2 + ((crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) % Math.ceil(ceiling_ms / 2));
}

/** What an error answer says; one that is no problem of the contract comes from something between, or from no friend. */
export function problemOf(status: number, headers: Headers, text: string): VaultError {
  const problem = problemSchema.safeParse(readAnswer(text));
  const retry_after = headers.get("retry-after") ?? "";
  const wait = /^\d{1,6}$/.test(retry_after) ? { retry_after_s: Number(retry_after) } : {};
  if (!problem.success || problem.data.status !== status || !isProblemCode(problem.data.code, status)) {
    return [502, 503, 504].includes(status)
      ? failure("server-unreachable", wait)
      : hostile("response-invalid");
  }
  const { code, request_id, errors } = problem.data;
  const faults = errors?.filter(({ path, reason }) => isPrintable(path) && isPrintable(reason));
  // Our words for the code, and not the server's: in a terminal its sentence would pass for the program's own.
  return new VaultError(code, PROBLEMS[code].title, {
    ...(isPrintable(request_id) && { request_id }),
    ...(faults !== undefined && { errors: faults }),
    ...wait,
  });
}

/** A text of the server's ends on somebody's terminal: only a short one of printable ASCII is taken for one. */
function isPrintable(text: string): boolean {
  return /^[\x20-\x7e]{1,300}$/.test(text);
}

function isProblemCode(code: string, status: number): code is ProblemCode {
  return Object.hasOwn(PROBLEMS, code) && PROBLEMS[code as ProblemCode].status === status;
}
