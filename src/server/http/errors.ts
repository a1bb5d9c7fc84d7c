import { Elysia, type ValidationError } from "elysia";
import { LIMITS } from "../../contract/limits.ts";
import { type InputFault, PROBLEMS, Problem, type ProblemCode, retryLater } from "../../contract/problems.ts";
import { databaseErrorCode, FOREIGN_KEY_VIOLATION, isDatabaseAway } from "../db/database.ts";
import type { Log } from "../log.ts";
import { originOf } from "./origin.ts";

type Route = { method: string; path: string };

/**
 * The only maker of error responses. What was not foreseen is a 500 that is logged and told to nobody; no answer
 * ever holds a value that a client sent. `routes` tells which methods an address knows.
 */
export function errorsPlugin(log: Log, routes: () => readonly Route[]) {
  return new Elysia({ name: "errors" }).onError({ as: "global" }, ({ code, error, request, path }) => {
    const allowed = code === "NOT_FOUND" ? allowedMethods(routes(), path) : [];
    if (request.method === "OPTIONS" && allowed.length > 0) return options(allowed);
    const problem = allowed.length > 0 ? methodNotAllowed(allowed) : toProblem(code, error);
    if (problem.code === "internal-error")
      log.error({ err: error, request_id: originOf(request).request_id }, "unforeseen error");
    else if (problem.code === "database-unavailable")
      log.warn({ err: error, request_id: originOf(request).request_id }, "the database is away");
    return problemResponse(problem, originOf(request).request_id);
  });
}

export function problemResponse(problem: Problem, request_id: string): Response {
  const { status, title } = PROBLEMS[problem.code];
  const { detail, errors, headers } = problem.details;
  const body = {
    type: `urn:blindvault:problem:${problem.code}`,
    title,
    status,
    ...(detail !== undefined && { detail }),
    code: problem.code,
    request_id,
    ...(errors !== undefined && { errors }),
  };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      ...(status === 401 && challenge(problem.code)),
      ...headers,
      "content-type": "application/problem+json",
    },
  });
}

/** Every 401 names the scheme (RFC 9110, section 15.5.2), and an error only where a token was sent (RFC 6750, section 3.1). */
function challenge(code: ProblemCode): Record<string, string> {
  const error = code === "token-invalid" ? ', error="invalid_token"' : "";
  return { "www-authenticate": `Bearer realm="blindvault"${error}` };
}

function toProblem(code: string | number, error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (code === "VALIDATION") return validationProblem(error as ValidationError);
  if (code === "NOT_FOUND") return new Problem("not-found");
  if (code === "PARSE") return new Problem("malformed-request");
  if (isDatabaseAway(error)) return retryLater("database-unavailable", LIMITS.retry_after_s * 1000);
  // The only foreign keys are to owners: the account was deleted, or the session ended, while this request was under way.
  if (databaseErrorCode(error) === FOREIGN_KEY_VIOLATION) return new Problem("token-invalid");
  return new Problem("internal-error");
}

/** Elysia's error quotes the input in its message, so only where and why are taken from it. */
function validationProblem(error: ValidationError): Problem {
  // A response that breaks its schema is our fault, though Elysia calls it validation as well.
  if (error.type === "response") return new Problem("internal-error");
  const issues = issuesOf(error).slice(0, LIMITS.validation_errors_max);
  return new Problem("request-invalid", { errors: issues.map((issue) => toFault(error.type, issue)) });
}

type Issue = {
  code?: string;
  path?: readonly (PropertyKey | { key: PropertyKey })[];
  message: string;
  errors?: readonly (readonly Issue[])[];
};

function issuesOf(error: ValidationError): Issue[] {
  const { validator, value } = error as unknown as { validator: Validator; value: unknown };
  const standard = (validator.schema ?? validator)["~standard"];
  const result = standard?.validate(value);
  if (result === undefined || result instanceof Promise) return [];
  return (result.issues ?? []).flatMap(likeliest);
}

type Standard = {
  validate(value: unknown): { issues?: readonly Issue[] } | (Promise<unknown> & { issues?: undefined });
};
type Validator = { schema?: { "~standard"?: Standard }; "~standard"?: Standard };

/** Of a choice of shapes the one that the client meant: where it sent no unknown field, and broke the fewest rules. */
function likeliest(issue: Issue): readonly Issue[] {
  if (issue.code !== "invalid_union" || !issue.errors?.length) return [issue];
  const strangeness = (branch: readonly Issue[]) =>
    branch.filter((one) => one.code === "unrecognized_keys").length * 100 + branch.length;
  return [...issue.errors].sort((a, b) => strangeness(a) - strangeness(b))[0] ?? [issue];
}

function toFault(part: string, issue: Issue): InputFault {
  const keys = (issue.path ?? []).map((step) => (typeof step === "object" ? step.key : step));
  // Below meta the keys are the client's own words, and the word stands in no path but there.
  const known = keys.includes("meta") ? keys.slice(0, keys.indexOf("meta") + 1) : keys;
  const reason = issue.code === "unrecognized_keys" ? "has a field that is not known here" : issue.message;
  return { path: [part, ...known].map(String).join("."), reason };
}

function options(allowed: readonly string[]): Response {
  return new Response(null, { status: 204, headers: { allow: allowed.join(", ") } });
}

function methodNotAllowed(allowed: readonly string[]): Problem {
  return new Problem("method-not-allowed", { headers: { allow: allowed.join(", ") } });
}

/** The methods that some route knows for a path (RFC 9110, section 15.5.6); empty where there is no route at all. */
function allowedMethods(routes: readonly Route[], path: string): string[] {
  const methods = routes.filter((route) => matches(route.path, path)).map((route) => route.method);
  if (methods.includes("GET")) methods.push("HEAD");
  return methods.length === 0 ? [] : [...new Set([...methods, "OPTIONS"])].sort();
}

function matches(pattern: string, path: string): boolean {
  const steps = segments(pattern);
  const given = segments(path);
  return (
    steps.length === given.length &&
    steps.every((step, index) => (step.startsWith(":") ? given[index] !== "" : step === given[index]))
  );
}

function segments(path: string): string[] {
  return path.replace(/(.)\/$/, "$1").split("/");
}
