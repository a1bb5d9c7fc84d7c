import { z } from "zod";
import { LIMITS } from "./limits.ts";

/**
 * Canonical padded base64 (RFC 4648, sections 4 and 3.5) of `bytes_min` to `bytes_max` bytes: one spelling
 * for each value, so that what comes back is to the letter what was stored.
 */
export function base64(bytes_min: number, bytes_max: number = bytes_min) {
  const what = bytes_min === bytes_max ? `exactly ${bytes_min}` : `${bytes_min} to ${bytes_max}`;
  const reason = `must be canonical padded base64 of ${what} bytes`;
  return z
    .string()
    .max(base64Length(bytes_max), { error: reason, abort: true })
    .refine((text) => isCanonical(text) && within(decodedLength(text), bytes_min, bytes_max), {
      error: reason,
    })
    .meta({ format: "byte", minLength: base64Length(bytes_min), description: `Base64 of ${what} bytes` });
}

function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}

/** Canonical means: the bits that padding leaves over are zero. */
const CANONICAL = /^[A-Za-z0-9+/]*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/;

function isCanonical(text: string): boolean {
  return text.length % 4 === 0 && CANONICAL.test(text);
}

function decodedLength(text: string): number {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return (text.length / 4) * 3 - padding;
}

function within(value: number, min: number, max: number): boolean {
  return value >= min && value <= max;
}

/** Text that PostgreSQL and UTF-8 can hold: no U+0000, no lone surrogate. */
export const storableText = z
  .string()
  .refine(
    (text) => text.isWellFormed() && !text.includes("\0"),
    "must be well-formed Unicode without U+0000",
  );

/** At most `max` characters, counted as Unicode code points, as PostgreSQL's char_length does. */
export function boundedText(max: number) {
  return storableText.refine(
    (text) => text.length <= 2 * max && [...text].length <= max,
    `must be at most ${max} characters`,
  );
}

/** A UUID in any case; the canonical lower-case form (RFC 9562, section 4) is what is kept and given back. */
export const uuid = z.uuid("must be a UUID").toLowerCase();

/** RFC 3339, UTC, milliseconds. */
export const time = z.iso.datetime({ precision: 3 });

/** An opaque position in a list, as an earlier page's `next_cursor` gave it. */
export const cursor = z
  .string()
  .max(LIMITS.cursor_characters_max, "must be a cursor of an earlier page")
  .regex(/^[A-Za-z0-9_-]+$/, "must be a cursor of an earlier page")
  .meta({ description: "The `next_cursor` of an earlier page" });

/** Where the next page begins; null on the last one. */
export const nextCursor = z
  .string()
  .nullable()
  .meta({ description: "Where the next page begins; null on the last one" });

/** `?limit=`: decimal digits, 1 to `max`. A document calls it the number that it is, not the text of the query. */
export function pageLimit(max: number) {
  return z
    .string()
    .regex(/^[1-9][0-9]{0,5}$/, `must be a whole number from 1 to ${max}`)
    .transform(Number)
    .refine((value) => value <= max, `must be a whole number from 1 to ${max}`)
    .meta({
      document: {
        type: "integer",
        minimum: 1,
        maximum: max,
        description: "How many at most; without it the most",
      },
    });
}
