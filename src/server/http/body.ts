import { LIMITS } from "../../contract/limits.ts";
import { Problem, type ProblemCode } from "../../contract/problems.ts";
import { withinTime } from "../deadline.ts";
import { type JsonFault, readBody, readJson } from "./json.ts";

/**
 * For the routes that take a body: `{ ...jsonBody, body: schema }`. Elysia's own parser would also take forms, an empty
 * body and duplicate keys. Reading is a transform, so it comes after whatever the route derives: limits and
 * the session are settled before a byte of the body is looked at.
 */
export const jsonBody = {
  // Not "none": with that Elysia takes the route for one without a body and validates nothing.
  parse: () => UNREAD,
  transform: async (context: Context): Promise<void> => {
    context.body = await readJsonBody(context.request);
    await context.confirm?.();
  },
} as const;

/** `confirm`: what the route has derived to be asked again once the body is there. */
type Context = { request: Request; body: unknown; confirm?: () => Promise<void> };

/** Stands in for a body that nobody has read yet. */
const UNREAD = null;

async function readJsonBody(request: Request): Promise<unknown> {
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (!isJson(request.headers.get("content-type")) || !/^identity$/i.test(encoding)) {
    throw new Problem("media-type-unsupported");
  }
  const declared_bytes = Number(request.headers.get("content-length") ?? 0);
  if (declared_bytes > LIMITS.body_bytes_max) throw tooLarge();
  const reading = readBody(request.body, LIMITS.body_bytes_max).catch(cutShort);
  const bytes = await withinTime(reading, LIMITS.body_read_ms_max, tooSlow);
  if (bytes === "too-large") throw tooLarge();
  const json = readJson(bytes);
  if ("fault" in json) throw faultProblem(json.fault);
  return json.value;
}

/** `application/json`, alone or with UTF-8 named as what it is anyway (RFC 8259, section 8.1). */
function isJson(content_type: string | null): boolean {
  return content_type !== null && /^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i.test(content_type);
}

/** The client went away or broke its own framing: its doing, and no error of ours to be logged. */
function cutShort(): never {
  throw new Problem("malformed-request");
}

function tooLarge(): Problem {
  // What follows of such a body will not be read: the connection is of no more use.
  return new Problem("body-too-large", {
    detail: `A body has at most ${LIMITS.body_bytes_max} bytes`,
    headers: { connection: "close" },
  });
}

function tooSlow(): Problem {
  return new Problem("request-timeout", { headers: { connection: "close" } });
}

const FAULTS: Record<JsonFault, [ProblemCode, string]> = {
  empty: ["malformed-json", "The body is empty"],
  encoding: ["malformed-json", "The body is not UTF-8"],
  "byte-order-mark": ["malformed-json", "The body begins with a byte order mark"],
  syntax: ["malformed-json", "The body is not JSON"],
  "duplicate-key": ["malformed-json", "An object has the same key twice"],
  "proto-key": ["malformed-json", "An object has a key that is not allowed"],
  "nul-character": ["request-invalid", "A text has the character U+0000"],
  "lone-surrogate": ["request-invalid", "A text has a lone surrogate"],
  "too-deep": ["request-invalid", `The body nests deeper than ${LIMITS.json_depth_max} levels`],
  "imprecise-number": ["request-invalid", "A number cannot be kept as it is"],
};

function faultProblem(fault: JsonFault): Problem {
  const [code, detail] = FAULTS[fault];
  return new Problem(code, { detail });
}
