import fc from "fast-check";
import { type CustomField, ENTRY_TYPES, type EntryContent } from "../../src/client/index.ts";

export const RUNS = 200 * Number(process.env.SLOW ?? 1);

const text = fc.string({ unit: "binary", maxLength: 12 });

const customField: fc.Arbitrary<CustomField> = fc.record(
  { name: text, value: text, hidden: fc.boolean() },
  { requiredKeys: ["name", "value"] },
);

/** Whatever an entry may be, from the fields that it must have to all of them. */
export const anyContent: fc.Arbitrary<EntryContent> = fc.record(
  {
    type: fc.constantFrom(...ENTRY_TYPES),
    name: fc.string({ unit: "binary", minLength: 1, maxLength: 12 }),
    username: text,
    password: text,
    uris: fc.array(text, { maxLength: 3 }),
    notes: text,
    totp: text,
    fields: fc.array(customField, { maxLength: 3 }),
    tags: fc.array(text, { maxLength: 3 }),
    favorite: fc.boolean(),
  },
  { requiredKeys: ["type", "name"] },
) as fc.Arbitrary<EntryContent>;

/** The same content with its fields, and the parts of its custom fields, in another order. */
export function shuffled(content: EntryContent, numbers: Iterable<number>): EntryContent {
  const order = numbers[Symbol.iterator]();
  const shuffle = <Value extends object>(value: Value): Value => {
    const keyed = Object.entries(value).map((entry) => ({ entry, place: order.next().value as number }));
    return Object.fromEntries(keyed.sort((a, b) => a.place - b.place).map(({ entry }) => entry)) as Value;
  };
  const { fields, ...rest } = content;
  return shuffle({ ...rest, ...(fields !== undefined && { fields: fields.map(shuffle) }) });
}
