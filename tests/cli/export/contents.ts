import fc from "fast-check";
import { type CustomField, ENTRY_TYPES, type EntryContent } from "../../../src/client/content.ts";

const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom(
    " ",
    "\t",
    "\r\n",
    "a\rb",
    '"',
    ",",
    ";",
    "=1+1",
    "]]>",
    "<&>",
    "\u2028",
    "\ufeff",
    "\ufffe",
    "\0",
  ),
  fc.constantFrom(
    "otp",
    "Title",
    "URL",
    "KP2A_URL",
    "TimeOtp-Secret-Base32",
    "Tag",
    "Number",
    "Field",
    "Field (2)",
  ),
);
const filled = text.filter((value) => value !== "");
const field: fc.Arbitrary<CustomField> = fc
  .tuple(text, text, fc.boolean())
  .map(([name, value, hidden]) => (hidden ? { name, value, hidden } : { name, value }));
const totp = fc.oneof(
  filled,
  fc.constantFrom("JBSWY3DPEHPK3PXP", "otpauth://totp/A?secret=JBSWY3DPEHPK3PXP&digits=8"),
);

/**
 * Contents as importers make them: what is empty is not there, tags are there once, and the name is not blank. Every
 * other freedom of `EntryContent` is in them.
 */
export const contents: fc.Arbitrary<EntryContent> = fc.record(
  {
    type: fc.constantFrom(...ENTRY_TYPES),
    name: filled.filter((name) => name.trim() !== ""),
    username: filled,
    password: filled,
    uris: fc.array(filled, { minLength: 1, maxLength: 4 }),
    notes: filled,
    totp,
    fields: fc.array(field, { minLength: 1, maxLength: 6 }),
    tags: fc.uniqueArray(filled, { minLength: 1, maxLength: 4 }),
    favorite: fc.constant(true),
  },
  { requiredKeys: ["type", "name"] },
);

/** A card with the parts that Bitwarden has, as importing one gives it. */
export const cards: fc.Arbitrary<EntryContent> = fc
  .subarray([
    { name: "Cardholder name", value: "A. Example" },
    { name: "Number", value: "example-number-1", hidden: true },
    { name: "Expiry year", value: "2031" },
    { name: "Security code", value: "example-code-1", hidden: true },
    { name: "Branch", value: "Example Street" },
  ])
  .filter((fields) => fields.length > 0)
  .map((fields) => ({ type: "card", name: "Card", fields }));

export const ROUNDS = Number(process.env.SLOW ? 1000 : 100);
