import { z } from "zod";
import { LIMITS } from "../contract/limits.ts";
import { decodeUtf8, encodeUtf8 } from "../crypto/bytes.ts";
import { unreadable, VaultError } from "./errors.ts";

/** What an entry is; whatever a format of others has beyond these becomes a custom field. */
export const ENTRY_TYPES = ["login", "note", "card", "identity", "secret"] as const;
export type EntryType = (typeof ENTRY_TYPES)[number];

/** A custom field. `hidden` asks a client to show it only when told. */
export type CustomField = { name: string; value: string; hidden?: boolean | undefined };

/** What a person keeps in an entry: no server ever sees any of it. */
export type EntryContent = {
  type: EntryType;
  name: string;
  username?: string | undefined;
  password?: string | undefined;
  uris?: string[] | undefined;
  notes?: string | undefined;
  /** An otpauth:// URI, or the secret alone in base32. */
  totp?: string | undefined;
  fields?: CustomField[] | undefined;
  tags?: string[] | undefined;
  favorite?: boolean | undefined;
};

const text = z.string().refine((value) => value.isWellFormed(), "must be well-formed Unicode");
const list = <Item extends z.ZodType>(item: Item) => z.array(item).max(LIMITS.content_items_max);

const content = z.strictObject({
  type: z.enum(ENTRY_TYPES),
  name: text.min(1, "must not be empty"),
  username: text.optional(),
  password: text.optional(),
  uris: list(text).optional(),
  notes: text.optional(),
  totp: text.optional(),
  fields: list(z.strictObject({ name: text, value: text, hidden: z.boolean().optional() })).optional(),
  tags: list(text).optional(),
  favorite: z.boolean().optional(),
});

const stored = content.extend({ v: z.literal(1) });

export const CONTENT_FIELDS = Object.keys(content.shape) as readonly (keyof EntryContent)[];

/**
 * The plaintext of an entry: UTF-8 JSON with `v` first and the fields in one order, so that equal contents are
 * equal bytes. Throws `content-invalid` with the paths of what is wrong, or `content-too-large`.
 */
export function encodeContent(value: EntryContent): Uint8Array<ArrayBuffer> {
  const parsed = content.safeParse(value);
  if (!parsed.success) {
    const paths = parsed.error.issues.map((issue) => issue.path.join(".") || issue.code);
    throw new VaultError("content-invalid", `An entry breaks the rules of content: ${paths.join(", ")}`);
  }
  const ordered = CONTENT_FIELDS.map((field) => [field, parsed.data[field]]);
  const bytes = encodeUtf8(JSON.stringify({ v: 1, ...Object.fromEntries(ordered) }));
  if (bytes.length > LIMITS.content_bytes_max) {
    throw new VaultError(
      "content-too-large",
      `An entry has ${bytes.length} bytes, and ${LIMITS.content_bytes_max} fit`,
    );
  }
  return bytes;
}

/**
 * The inverse of `encodeContent`. What opens was sealed by a client of the account, so what does not fit comes
 * from a newer version or a broken client: throws `content-unreadable`.
 */
export function decodeContent(bytes: Uint8Array): EntryContent {
  const value = unreadable("An entry opens, but not to what this version can read", () =>
    stored.parse(JSON.parse(decodeUtf8(bytes))),
  );
  const { v: _, ...rest } = value;
  return rest;
}
