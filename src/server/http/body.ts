import { LIMITS } from "../../contract/limits.ts";
import { Problem, type ProblemCode } from "../../contract/problems.ts";
import { withinTime } from "../deadline.ts";
import type { Turns } from "../turns.ts";
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
    checkHead(context.request, LIMITS.body_bytes_max);
    await takeBody(context, LIMITS.body_bytes_max);
  },
} as const;

/**
 * The same for a route whose bodies are of megabytes. Each has its turn from before its first byte is read until it
 * is answered, so that no number of senders, however slow, fills the memory; a body that waits stays with its sender.
 */
export function largeJsonBody(bytes_max: number, turns: Turns) {
  const endings = new WeakMap<Request, () => void>();
  return {
    ...jsonBody,
    transform: async (context: Context): Promise<void> => {
      checkHead(context.request, bytes_max);
      endings.set(context.request, await beginTurn(turns));
      await takeBody(context, bytes_max);
    },
    // Comes after every answer, whatever went wrong.
    afterResponse: ({ request }: { request: Request }): void => endings.get(request)?.(),
  } as const;
}

/** Resolves when it is one's turn, with what ends it. */
function beginTurn(turns: Turns): Promise<() => void> {
  return new Promise((begin, refuse) => {
    turns.inTurn(() => new Promise<void>((end) => begin(end))).catch(refuse);
  });
}

/** `confirm`: what the route has derived to be asked again once the body is there. */
type Context = { request: Request; body: unknown; confirm?: () => Promise<void> };

/** Stands in for a body that nobody has read yet. */
const UNREAD = null;

/** Whether the body is one to read at all, by what the request says of it. */
function checkHead({ headers }: Request, bytes_max: number): void {
  const encoding = headers.get("content-encoding") ?? "identity";
  if (!isJson(headers.get("content-type")) || !/^identity$/i.test(encoding)) {
    throw new Problem("media-type-unsupported");
  }
  const declared_bytes = Number(headers.get("content-length") ?? 0);
  if (declared_bytes > bytes_max) throw tooLarge(bytes_max);
}

async function takeBody(context: Context, bytes_max: number): Promise<void> {
  const reading = readBody(context.request.body, bytes_max).catch(cutShort);
  const bytes = await withinTime(reading, LIMITS.body_read_ms_max, tooSlow);
  if (bytes === "too-large") throw tooLarge(bytes_max);
  const json = readJson(bytes);
  if ("fault" in json) throw faultProblem(json.fault);
  context.body = json.value;
  await context.confirm?.();
}

/** `application/json`, alone or with UTF-8 named as what it is anyway (RFC 8259, section 8.1). */
function isJson(content_type: string | null): boolean {
  return content_type !== null && /^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i.test(content_type);
}

/** The client went away or broke its own framing: its doing, and no error of ours to be logged. */
function cutShort(): never {
  throw new Problem("malformed-request");
}

function tooLarge(bytes_max: number): Problem {
  // What follows of such a body will not be read: the connection is of no more use.
  return new Problem("body-too-large", {
    detail: `A body has at most ${bytes_max} bytes`,
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
  "too-many-values": ["request-invalid", "The body has too many brackets and commas"],
  "imprecise-number": ["request-invalid", "A number cannot be kept as it is"],
};

function faultProblem(fault: JsonFault): Problem {
  const [code, detail] = FAULTS[fault];
  return new Problem(code, { detail });
}
