/**
 * Strict reading of a JSON body. JSON.parse decides the grammar; what it lets pass and we do not (RFC 7493,
 * I-JSON) is found by comparing the value it made with the text it accepted, in linear time and without
 * recursion. There is no parser here: `withoutStrings` relies on the text being JSON already.
 */
import { LIMITS } from "../../contract/limits.ts";

export type JsonFault =
  | "empty"
  | "encoding"
  | "byte-order-mark"
  | "syntax"
  | "duplicate-key"
  | "proto-key"
  | "nul-character"
  | "lone-surrogate"
  | "too-deep"
  | "too-many-values"
  | "imprecise-number";

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads one JSON text, or names the first fault found. Never throws and never quotes the input. */
export function readJson(bytes: Uint8Array): { value: unknown } | { fault: JsonFault } {
  if (bytes.length === 0) return { fault: "empty" };
  const text = decoded(bytes);
  if (text === undefined) return { fault: "encoding" };
  if (text.startsWith("\uFEFF")) return { fault: "byte-order-mark" };
  // Before the parser, which makes an object of each: millions of them would cost a second and half a gigabyte.
  if (hasTooManyMarks(text)) return { fault: "too-many-values" };

  const value = parsed(text);
  if (value === undefined) return { fault: "syntax" };
  const members = countMembers(value, text.includes("\\"));
  if (typeof members === "string") return { fault: members };
  const skeleton = withoutStrings(text);
  // Every colon outside a string belongs to one member, and of two members with the same key one was dropped.
  if (countColons(skeleton) !== members) return { fault: "duplicate-key" };
  if (hasImpreciseNumber(skeleton)) return { fault: "imprecise-number" };
  return { value };
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * Counts what begins or parts values, outside of strings. What is no JSON may be counted wrongly; it is refused either way.
 * A text that is no longer than the limit cannot reach it.
 */
function hasTooManyMarks(text: string): boolean {
  if (text.length <= LIMITS.json_marks_max) return false;
  let marks = 0;
  for (let position = 0; position < text.length; position++) {
    const character = text.charCodeAt(position);
    if (character === 0x22) position = closingQuote(text, position);
    else if (character === 0x2c || character === 0x5b || character === 0x7b) marks++;
    if (marks > LIMITS.json_marks_max) return true;
  }
  return false;
}

/** No JSON text has the value `undefined`, so that is the answer for what is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Walks the value level by level, counts the members of all objects and names the first fault of a string.
 * U+0000 and lone surrogates cannot stand in the text as they are: where nothing is `escaped` there are none.
 */
function countMembers(value: unknown, escaped: boolean): number | JsonFault {
  let members = 0;
  let level: object[] = [[value]];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > LIMITS.json_depth_max) return "too-deep";
    const deeper: object[] = [];
    for (const container of level) {
      const keys = Array.isArray(container) ? [] : Object.keys(container);
      const children: unknown[] = Array.isArray(container) ? container : Object.values(container);
      members += keys.length;
      if (keys.includes("__proto__")) return "proto-key";
      const fault = escaped ? (firstFault(keys) ?? firstFault(children)) : undefined;
      if (fault !== undefined) return fault;
      for (const child of children) if (typeof child === "object" && child !== null) deeper.push(child);
    }
    level = deeper;
  }
  return members;
}

function firstFault(values: readonly unknown[]): JsonFault | undefined {
  for (const value of values) {
    const fault = typeof value === "string" ? stringFault(value) : undefined;
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function stringFault(text: string): JsonFault | undefined {
  if (text.includes("\0")) return "nul-character";
  return text.isWellFormed() ? undefined : "lone-surrogate";
}

/** The text with each string, keys too, cut out: punctuation, numbers, literal names and white space. */
function withoutStrings(text: string): string {
  const pieces: string[] = [];
  let position = 0;
  for (;;) {
    const open = text.indexOf('"', position);
    if (open < 0) break;
    pieces.push(text.slice(position, open));
    position = closingQuote(text, open) + 1;
  }
  pieces.push(text.slice(position));
  return pieces.join("");
}

/** Where the string ends that begins at `open`: what follows a backslash does not end it. Without an end, that of the text. */
function closingQuote(text: string, open: number): number {
  let position = open + 1;
  for (; position < text.length; position++) {
    const character = text.charCodeAt(position);
    if (character === 0x22) break;
    if (character === 0x5c) position++;
  }
  return position;
}

function countColons(skeleton: string): number {
  let colons = 0;
  for (let at = skeleton.indexOf(":"); at >= 0; at = skeleton.indexOf(":", at + 1)) colons++;
  return colons;
}

/** No number without one of these can be imprecise: the first unsafe integer has 16 digits. */
const SUSPECT = /[0-9.]{16}|[0-9][eE]|-0/;
/** No double needs a longer literal in practice; the bound keeps hostile ones cheap. */
const LITERAL_CHARACTERS_MAX = 100;
const NUMBER = /-?[0-9][0-9.eE+-]*/g;

/** A number that could not be given back as it came: too many digits, an overflow, an underflow, -0. */
function hasImpreciseNumber(skeleton: string): boolean {
  if (!SUSPECT.test(skeleton)) return false;
  return skeleton.match(NUMBER)?.some(isImprecise) ?? false;
}

function isImprecise(literal: string): boolean {
  if (literal.length > LITERAL_CHARACTERS_MAX) return true;
  const value = Number(literal);
  if (/^-?[0-9]+$/.test(literal)) return !Number.isSafeInteger(value) || Object.is(value, -0);
  if (value === 0) return literal.startsWith("-") || /^[0.]*[1-9]/.test(literal);
  return !Number.isFinite(value) || digitsOf(literal) !== digitsOf(String(value));
}

/** The significant digits of a number's text, without sign, point, exponent and zeros around them. */
function digitsOf(text: string): string {
  const digits = text.replace(/e.*$/i, "").replace(/[-.]/g, "");
  return digits.replace(/^0+/, "").replace(/0+$/, "");
}

/**
 * Reads a body of at most `limit_bytes`, counting what arrives whatever Content-Length said; beyond the limit
 * the stream is cancelled. Rejects as the stream does, e.g. when the client goes away.
 */
export async function readBody(
  body: ReadableStream<Uint8Array> | null,
  limit_bytes: number,
): Promise<Uint8Array | "too-large"> {
  let buffer: Uint8Array = new Uint8Array(0);
  let length = 0;
  if (body === null) return buffer;
  const reader = body.getReader();
  for (;;) {
    const { done, value: chunk } = await reader.read();
    if (done) return buffer.subarray(0, length);
    if (length + chunk.length > limit_bytes) {
      // Not awaited: whoever sends too much has no right to delay the answer, or to change it by an error.
      reader.cancel().catch(() => {});
      return "too-large";
    }
    buffer = appended(buffer, length, chunk);
    length += chunk.length;
  }
}

/** One growing buffer, and no list of chunks: a body that comes byte by byte must not cost a hundredfold. */
function appended(buffer: Uint8Array, length: number, chunk: Uint8Array): Uint8Array {
  if (length === 0) return chunk;
  if (length + chunk.length <= buffer.length) {
    buffer.set(chunk, length);
    return buffer;
  }
  const grown = new Uint8Array(2 * (length + chunk.length));
  grown.set(buffer.subarray(0, length));
  grown.set(chunk, length);
  return grown;
}
