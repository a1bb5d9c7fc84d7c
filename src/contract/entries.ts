import { z } from "zod";
import { base64, boundedText, cursor, nextCursor, pageLimit, time, uuid } from "./encoding.ts";
import { LIMITS } from "./limits.ts";

const sealed = {
  ciphertext: base64(LIMITS.ciphertext_bytes_min, LIMITS.ciphertext_bytes_max),
  iv: base64(LIMITS.iv_bytes),
  tag: base64(LIMITS.tag_bytes),
};

/** Readable by the server: nothing secret belongs into it. */
const name = boundedText(LIMITS.name_characters_max).meta({
  maxLength: LIMITS.name_characters_max,
  description: "Readable by the server: leave it out, and put names into the ciphertext",
});

/** Readable by the server: nothing secret belongs into it. Measured as it is stored, as compact JSON. */
const meta = z
  .record(z.string(), z.json())
  .refine(
    (value) => new TextEncoder().encode(JSON.stringify(value)).byteLength <= LIMITS.meta_bytes_max,
    `must be at most ${LIMITS.meta_bytes_max} bytes of JSON`,
  )
  .meta({
    document: {
      type: "object",
      additionalProperties: true,
      description: `Readable by the server, at most ${LIMITS.meta_bytes_max} bytes of JSON: nothing secret belongs here`,
    },
  });

const readable = { name: name.nullish(), meta: meta.nullish() };

export const createEntryRequest = z.strictObject({ id: uuid.optional(), ...sealed, ...readable });
export type CreateEntryRequest = z.infer<typeof createEntryRequest>;

/**
 * Refused before any of them is looked at: a body of megabytes has room for more than a million items, each with faults of its own.
 */
function refuseTooMany(items: unknown, context: z.RefinementCtx): unknown {
  if (!Array.isArray(items) || items.length <= LIMITS.batch_entries_max) return items;
  context.addIssue({ code: "custom", message: BATCH_SIZE });
  return z.NEVER;
}

const BATCH_SIZE = `must be 1 to ${LIMITS.batch_entries_max} entries`;

function refuseRepeatedIds(items: readonly CreateEntryRequest[], context: z.RefinementCtx): void {
  const seen = new Set<string>();
  for (const [index, { id }] of items.entries()) {
    if (id === undefined) continue;
    if (seen.has(id))
      context.addIssue({ code: "custom", path: [index, "id"], message: "must be no other item's" });
    seen.add(id);
  }
}

/** Stores all of the entries or none. */
export const createEntriesRequest = z.strictObject({
  entries: z.preprocess(
    refuseTooMany,
    z
      .array(createEntryRequest)
      .min(1, BATCH_SIZE)
      .max(LIMITS.batch_entries_max, BATCH_SIZE)
      .superRefine(refuseRepeatedIds),
  ),
});
export type CreateEntriesRequest = z.infer<typeof createEntriesRequest>;

/** Replaces the whole entry: what is left out is gone. `version`, when given, must be the stored one plus 1. */
export const replaceEntryRequest = z.strictObject({
  version: z
    .int()
    .min(1)
    .meta({ description: "When given, it must be the stored version plus 1" })
    .optional(),
  ...sealed,
  ...readable,
});
export type ReplaceEntryRequest = z.infer<typeof replaceEntryRequest>;

export const entryParams = z.strictObject({ id: uuid });

export const entryResponse = z.object({
  id: uuid,
  name: z.string().nullable(),
  ciphertext: z.string().meta({ format: "byte" }),
  iv: z.string().meta({ format: "byte" }),
  tag: z.string().meta({ format: "byte" }),
  meta: z.record(z.string(), z.unknown()).nullable(),
  version: z.int().min(1).meta({ description: "Grows by exactly 1 a change; the ETag in quotation marks" }),
  created_at: time,
  updated_at: time,
});
export type EntryResponse = {
  id: string;
  name: string | null;
  ciphertext: string;
  iv: string;
  tag: string;
  meta: Record<string, unknown> | null;
  version: number;
  created_at: string;
  updated_at: string;
};

/** In the order of the request; what was sealed is not sent back. */
export const createEntriesResponse = z.object({
  entries: z.array(entryResponse.pick({ id: true, version: true, created_at: true, updated_at: true })),
});

export const listEntriesQuery = z.strictObject({
  limit: pageLimit(LIMITS.page_entries_max).optional(),
  cursor: cursor.optional(),
});
export const listEntriesResponse = z.object({
  entries: z.array(entryResponse),
  next_cursor: nextCursor,
});
