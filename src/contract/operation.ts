import type { z } from "zod";
import type { ProblemCode } from "./problems.ts";

/** One operation of the HTTP interface, whole, as its document tells it. A test compares each with the server. */
export type Operation = {
  /** What generated clients call it. */
  id: string;
  method: "GET" | "POST" | "PUT" | "DELETE";
  /** With parameters in braces. */
  path: string;
  tag: Tag;
  summary: string;
  description: string;
  /** Whether it needs an access token. */
  signed_in: boolean;
  params?: z.ZodObject;
  query?: z.ZodObject;
  request_headers?: readonly (keyof typeof REQUEST_HEADERS)[];
  /** The body, which is never optional; the first of the examples is the one that is ready to be sent. */
  request?: { schema: z.ZodType; examples: Readonly<Record<string, object>> };
  /** Every answer that is no problem, by its status. */
  answers: Readonly<Record<number, Answer>>;
  /** Every problem that it can answer with. */
  problems: readonly ProblemCode[];
};

export type Answer = {
  description: string;
  schema?: z.ZodType;
  example?: object;
  /** Beside those that every answer has. */
  headers?: readonly (keyof typeof RESPONSE_HEADERS)[];
};

export const TAGS = {
  Authentication: "Accounts are made, tokens are given and renewed.",
  Entries: "What the vault holds: ciphertext, iv and tag, sealed by the client. The server opens none of it.",
  Sessions: "Where the account is logged in. A session that ends takes its access tokens with it, at once.",
  Account: "What the server knows of the account, and the end of it.",
  Audit: "What happened to the account.",
  Health: "For orchestrators and balancers. Neither is rate limited.",
} as const;
export type Tag = keyof typeof TAGS;

/** What every operation but the two of health may answer. */
export const ALWAYS = ["rate-limited", "internal-error", "database-unavailable", "not-ready"] as const;

/** What an operation adds that takes a body. */
export const WITH_BODY = [
  "malformed-json",
  "malformed-request",
  "request-timeout",
  "body-too-large",
  "media-type-unsupported",
  "request-invalid",
] as const;

/** What an operation adds that needs an access token: refusals are audited before they are told. */
export const SIGNED_IN = ["token-missing", "token-invalid", "audit-unavailable"] as const;

/** What an operation adds that tests a password or an auth_key. */
export const SECRET_TESTED = [
  "credentials-invalid",
  "login-locked",
  "hashing-busy",
  "audit-unavailable",
] as const;

export const REQUEST_HEADERS = {
  "If-Match": {
    description:
      "The ETag of the version that is to be replaced, `*` for any. When it has moved, the answer is 412 and nothing has changed. Without it the last change wins.",
    example: '"1"',
  },
  "If-None-Match": {
    description:
      "The ETag of the version that the client has. While it is the current one, the answer is 304.",
    example: '"1"',
  },
} as const;

export const RESPONSE_HEADERS = {
  "X-Request-Id": {
    description:
      "Names the request in logs and in the audit log. A client's own is kept when it is 8 to 64 of A-Z, a-z, 0-9, _ and -.",
    example: "0f8fad5b-d9cb-469f-a165-70867728950e",
  },
  "RateLimit-Policy": {
    description:
      "The policy that counted the request: its name, how many (q) and in how many seconds (w). Absent where the limit is off.",
    example: '"api";q=600;w=60',
  },
  RateLimit: {
    description: "How many requests are left (r) and in how many seconds there is one more (t).",
    example: '"api";r=599;t=1',
  },
  "Retry-After": { description: "Seconds after which to try again, at least 1.", example: "1" },
  "WWW-Authenticate": {
    description: "The scheme that is asked for (RFC 6750), with an error where a token was sent.",
    example: 'Bearer realm="blindvault", error="invalid_token"',
  },
  ETag: { description: "The version of the entry, in quotation marks.", example: '"1"' },
  Location: {
    description: "Where the new entry is.",
    example: "/entries/5f0c1d9e-3b7a-4c58-9d2e-8a6b4c1f7e30",
  },
} as const;
