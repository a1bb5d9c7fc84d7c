import { z } from "zod";

/** The error catalogue: codes are stable for ever, titles may change (RFC 9457). */
export const PROBLEMS = {
  "malformed-json": { status: 400, title: "The body is not one well-formed JSON text" },
  "malformed-request": { status: 400, title: "The request is not well-formed" },
  "token-missing": { status: 401, title: "An access token is required" },
  "token-invalid": {
    status: 401,
    title: "The access token is malformed, forged, expired or revoked",
  },
  "credentials-invalid": { status: 401, title: "The username or the secret is wrong" },
  "refresh-token-invalid": { status: 401, title: "The refresh token cannot be used" },
  "registration-closed": { status: 403, title: "This server takes no new accounts" },
  "not-found": { status: 404, title: "There is nothing at this address" },
  "entry-not-found": { status: 404, title: "There is no such entry" },
  "session-not-found": { status: 404, title: "There is no such session" },
  "method-not-allowed": { status: 405, title: "This address does not know that method" },
  "request-timeout": { status: 408, title: "The body took too long to arrive" },
  "username-taken": { status: 409, title: "The username is taken" },
  "account-id-taken": { status: 409, title: "The account id is taken" },
  "entry-id-taken": { status: 409, title: "The entry id is taken, or was once" },
  "entry-quota-reached": { status: 409, title: "The account holds as many entries as it may" },
  "entry-conflict": { status: 412, title: "The entry has another version by now" },
  "body-too-large": { status: 413, title: "The body is too large" },
  "media-type-unsupported": { status: 415, title: "The body must be application/json" },
  "request-invalid": { status: 422, title: "The request breaks the rules of input" },
  "rate-limited": { status: 429, title: "Too many requests from this address" },
  "login-locked": { status: 429, title: "Too many failed attempts; this name is locked for a while" },
  "internal-error": { status: 500, title: "The server made a mistake" },
  "hashing-busy": { status: 503, title: "Too many logins are under way" },
  "batch-busy": { status: 503, title: "Too many batches are under way" },
  "database-unavailable": { status: 503, title: "The database is away" },
  "audit-unavailable": { status: 503, title: "The audit log cannot take more at the moment" },
  "not-ready": { status: 503, title: "The server is starting or stopping" },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** One broken rule of input: where, and which rule. Never the value. */
export type InputFault = { path: string; reason: string };

export type ProblemDetails = {
  detail?: string;
  errors?: InputFault[];
  headers?: Record<string, string>;
};

/** What a feature throws; only `server/http/errors.ts` turns it into a response. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly details: ProblemDetails;

  constructor(code: ProblemCode, details: ProblemDetails = {}) {
    super(PROBLEMS[code].title);
    this.name = "Problem";
    this.code = code;
    this.details = details;
  }
}

/** A `Problem` with the header Retry-After, whole seconds and at least one (RFC 9110, section 10.2.3). */
export function retryLater(code: ProblemCode, wait_ms: number): Problem {
  return new Problem(code, {
    headers: { "retry-after": String(Math.max(1, Math.ceil(wait_ms / 1000))) },
  });
}

/** The body of every error answer, `application/problem+json` (RFC 9457). */
export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
  code: z.string(),
  request_id: z.string(),
  errors: z.array(z.object({ path: z.string(), reason: z.string() })).optional(),
});
