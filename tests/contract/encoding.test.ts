import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import type { z } from "zod";
import {
  base64,
  boundedText,
  cursor,
  pageLimit,
  storableText,
  time,
  uuid,
} from "../../src/contract/encoding.ts";

const RUNS = process.env.SLOW ? 20_000 : 1000;
const accepts = (schema: z.ZodType, value: unknown) => schema.safeParse(value).success;
const reasons = (schema: z.ZodType, value: unknown) =>
  schema.safeParse(value).error?.issues.map(({ message }) => message);
const encoded = (bytes: number) => randomBytes(bytes).toString("base64");

describe("base64", () => {
  test("takes what encoding gives, for every length, and nothing of another length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, wanted) => {
        const text = Buffer.from(bytes).toString("base64");
        return accepts(base64(wanted), text) === (bytes.length === wanted);
      }),
      { numRuns: RUNS },
    );
  });

  for (const [min, max] of [
    [12, 12],
    [16, 16],
    [32, 32],
    [1, 65_536],
  ] as const) {
    test(`of ${min} to ${max} bytes has these bounds exactly`, () => {
      const schema = base64(min, max);
      for (const size of [min, min + 1, max - 1, max].filter((one) => one >= min && one <= max))
        expect([size, accepts(schema, encoded(size))]).toEqual([size, true]);
      for (const size of [0, min - 1, max + 1, max + 2, max + 3, 2 * max].filter(
        (one) => one < min || one > max,
      ))
        expect([size, accepts(schema, encoded(Math.max(0, size)))]).toEqual([size, false]);
    });
  }

  test("has one spelling for each value: whatever is taken decodes to what encodes to it", () => {
    const schema = base64(0, 8);
    const character = fc.constantFrom(..."ABCQRgwx089+/=-_ \n");
    fc.assert(
      fc.property(fc.string({ unit: character, maxLength: 12 }), (text) => {
        const canonical = Buffer.from(text, "base64").toString("base64") === text;
        return accepts(schema, text) === canonical;
      }),
      { numRuns: 10 * RUNS },
    );
  });

  const WRONG: [what: string, text: unknown][] = [
    ["no padding", "AA"],
    ["half the padding", "AA="],
    ["too much padding", "AAA=="],
    ["padding alone", "===="],
    ["padding in the middle", "AA==AA=="],
    ["bits left over in one byte", "AB=="],
    ["bits left over in two bytes", "AAB="],
    ["base64url", "-_-_"],
    ["white space before", " AAAA"],
    ["a line break within", "AA\nAA"],
    ["a line break after", "AAAA\n"],
    ["U+0000", "AAA\0"],
    ["letters that look alike", "\u0410AAA"],
    ["full-width letters", "\uff21AAA"],
    ["nothing", ""],
    ["a number", 1],
    ["a list", ["AAAA"]],
    ["null", null],
  ];
  for (const [what, text] of WRONG) {
    test(`refuses ${what}`, () => expect(accepts(base64(1, 100), text)).toBe(false));
  }

  test("says the rule and not the value, once", () => {
    expect(reasons(base64(12), "secret")).toEqual(["must be canonical padded base64 of exactly 12 bytes"]);
    const endless = "A".repeat(1_000_000);
    expect(reasons(base64(1, 65_536), endless)).toEqual([
      "must be canonical padded base64 of 1 to 65536 bytes",
    ]);
  });

  test("judges the largest text in no time, whatever its form", () => {
    const hostile = ["A".repeat(87_384), `${"A".repeat(87_383)}=`, "=".repeat(87_384), "AB==".repeat(21_846)];
    const started = performance.now();
    for (const text of hostile) accepts(base64(1, 65_536), text);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe("a UUID", () => {
  test("comes in any case and version, and is kept in lower case", () => {
    fc.assert(
      fc.property(fc.uuid(), fc.boolean(), (id, upper) => {
        expect(uuid.parse(upper ? id.toUpperCase() : id)).toBe(id.toLowerCase());
      }),
      { numRuns: RUNS },
    );
    for (const id of [crypto.randomUUID(), Bun.randomUUIDv7()]) expect(uuid.parse(id)).toBe(id);
  });

  test("has one form", () => {
    const id = "01890a5d-ac96-774b-bcce-b302099a8057";
    expect(accepts(uuid, id)).toBe(true);
    const wrong = [
      `{${id}}`,
      `urn:uuid:${id}`,
      id.replaceAll("-", ""),
      ` ${id}`,
      `${id}\n`,
      `${id}0`,
      id.slice(1),
    ];
    const strange = [
      "",
      "x",
      id.replace("0", "g"),
      id.replace("0", "\u0660"),
      id.replace("-", "\u2010"),
      1,
      null,
    ];
    for (const text of [...wrong, ...strange]) {
      expect([text, accepts(uuid, text)]).toEqual([text, false]);
      expect(reasons(uuid, String(text))).toEqual(["must be a UUID"]);
    }
  });
});

describe("text", () => {
  test("that is to be stored is well-formed and has no U+0000", () => {
    for (const text of ["", "a", "\u{1F600}", "\uffff", "\u0001\u001f\u007f", "e\u0301", "\u202e"])
      expect([text, accepts(storableText, text)]).toEqual([text, true]);
    for (const text of ["\0", "a\0b", "\ud800", "\udc00", "\udc00\ud800", "x\ud83d", 1, null])
      expect([text, accepts(storableText, text)]).toEqual([text, false]);
  });

  test("is counted in code points", () => {
    const schema = boundedText(4);
    for (const text of ["", "abcd", "\u{1F600}".repeat(4), "éééé"]) expect(accepts(schema, text)).toBe(true);
    for (const text of ["abcde", "\u{1F600}".repeat(5), "e\u0301".repeat(3)])
      expect([text, reasons(schema, text)]).toEqual([text, ["must be at most 4 characters"]]);
  });
});

describe("the parameters of a page", () => {
  test("limit is decimal digits from 1 to its maximum", () => {
    const schema = pageLimit(200);
    for (const [text, value] of [
      ["1", 1],
      ["2", 2],
      ["199", 199],
      ["200", 200],
    ] as const)
      expect(schema.parse(text)).toBe(value);
    const wrong = ["0", "201", "", "-1", "+1", "1.0", "1e2", " 1", "1 ", "01", "0x1", "\u0661", "9999999", 1];
    for (const text of wrong) expect([text, accepts(schema, text)]).toEqual([text, false]);
    expect(reasons(schema, "201")).toEqual(["must be a whole number from 1 to 200"]);
  });

  test("cursor is short base64url", () => {
    for (const text of ["A", "A-_9", "A".repeat(128)]) expect(accepts(cursor, text)).toBe(true);
    for (const text of ["", "A".repeat(129), "A+/=", "A\n", "../x", "%00", 1])
      expect([text, accepts(cursor, text)]).toEqual([text, false]);
  });
});

test("a time is RFC 3339 in UTC with milliseconds, as JavaScript writes it", () => {
  expect(accepts(time, new Date().toISOString())).toBe(true);
  for (const text of [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.000+00:00",
    "2026-01-01",
    "2026-13-01T00:00:00.000Z",
  ])
    expect([text, accepts(time, text)]).toEqual([text, false]);
});
