import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  concatPrefixed,
  constantTimeEqual,
  cryptoError,
  decodeBase64,
  decodeHex,
  decodeUtf8,
  encodeBase64,
  encodeHex,
  encodeUtf8,
} from "../../src/crypto/bytes.ts";

const RUNS = process.env.SLOW ? 50_000 : 1000;
const BASE64_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const bytes = (...values: number[]) => Uint8Array.from(values);
const ascii = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));

/** The code of what `act` throws, after making sure that the message has nothing of the `secret` input. */
function codeOf(act: () => unknown, secret = "") {
  try {
    act();
  } catch (error) {
    if (secret.trim().length > 3) expect(String(error)).not.toContain(secret.trim());
    return (error as { code?: unknown }).code;
  }
  return "nothing thrown";
}

describe.each(["with the engine's own", "in an engine without"])("base64 %s", (engine) => {
  if (engine === "in an engine without") removeBase64();

  // RFC 4648, section 10.
  test.each([
    ["", ""],
    ["f", "Zg=="],
    ["fo", "Zm8="],
    ["foo", "Zm9v"],
    ["foob", "Zm9vYg=="],
    ["fooba", "Zm9vYmE="],
    ["foobar", "Zm9vYmFy"],
  ])("of %j is %j and back", (plain, text) => {
    expect(encodeBase64(ascii(plain))).toBe(text);
    expect(decodeBase64(text)).toEqual(ascii(plain));
  });

  test("writes the standard alphabet, not the one for URLs", () => {
    expect(encodeBase64(bytes(0xfb, 0xef, 0xff))).toBe("++//");
  });

  test.each([
    ["no padding", "Zm9vYg"],
    ["half of the padding", "Zm9vYg="],
    ["surplus padding", "Zm9v===="],
    ["padding alone", "===="],
    ["padding in the middle", "Zg==Zg=="],
    ["padding before the end", "Zg=v"],
    ["one character over", "Zm9vY"],
    ["trailing bits after one byte", "Zh=="],
    ["trailing bits after two bytes", "Zm9="],
    ["the URL alphabet", "--__"],
    ["a space in front", " Zm9v"],
    ["a space behind", "Zm9v "],
    ["a space within", "Zm 9v"],
    ["a line feed behind", "Zm9v\n"],
    ["a line break within", "Zm9v\r\nYmFy"],
    ["a tab", "Zm9v\t"],
    ["a form feed", "\fZm9v"],
    ["white space alone", "    "],
    ["U+0000", "Zm9v\0"],
    ["a full-width letter", "Zm9\uff36"],
    ["a letter whose low byte is in the alphabet", "Zm9\u0176"],
    ["a data URL", "data:;base64,Zm9v"],
  ])("refuses %s", (_, text) => {
    expect(codeOf(() => decodeBase64(text), text)).toBe("base64-invalid");
  });

  test("has exactly one spelling for each last byte or pair of bytes", () => {
    const accepted = (texts: string[]) =>
      texts.filter((text) => codeOf(() => decodeBase64(text)) !== REFUSED);
    const REFUSED = "base64-invalid";
    expect(accepted([...BASE64_ALPHABET].map((last) => `A${last}==`))).toEqual([
      "AA==",
      "AQ==",
      "Ag==",
      "Aw==",
    ]);
    expect(accepted([...BASE64_ALPHABET].map((last) => `AA${last}=`))).toHaveLength(16);
  });

  test("agrees with node's on all bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (input) => {
        const text = encodeBase64(input);
        expect(text).toBe(Buffer.from(input).toString("base64"));
        expect(decodeBase64(text)).toEqual(input);
      }),
      { numRuns: RUNS },
    );
  });

  test.each([8191, 8192, 8193, 65_536, 1_000_000])("agrees with node's on %i bytes", (length_bytes) => {
    const input = Uint8Array.from({ length: length_bytes }, (_, index) => (index * 31) ^ (index >> 8));
    const text = encodeBase64(input);
    expect(text === Buffer.from(input).toString("base64")).toBe(true);
    expect(Buffer.from(decodeBase64(text)).equals(input)).toBe(true);
  });

  test("reads what node would write, and nothing else", () => {
    const text = fc.string({ unit: fc.constantFrom(..."AQgwZ/+-_= \n"), maxLength: 12 });
    fc.assert(
      fc.property(text, (input) => {
        const canonical = Buffer.from(input, "base64").toString("base64") === input;
        expect(codeOf(() => decodeBase64(input))).toBe(canonical ? "nothing thrown" : "base64-invalid");
      }),
      { numRuns: 3 * RUNS },
    );
  });
});

/** Makes this engine what Node 22 is, for the tests of a `describe`. */
function removeBase64(): void {
  const own = Object.getOwnPropertyDescriptor(Uint8Array, "fromBase64");
  const prototypes = Object.getOwnPropertyDescriptor(Uint8Array.prototype, "toBase64");
  beforeAll(() => {
    Reflect.deleteProperty(Uint8Array, "fromBase64");
    Reflect.deleteProperty(Uint8Array.prototype, "toBase64");
    expect(["fromBase64" in Uint8Array, "toBase64" in Uint8Array.prototype]).toEqual([false, false]);
  });
  afterAll(() => {
    Object.defineProperty(Uint8Array, "fromBase64", own as PropertyDescriptor);
    Object.defineProperty(Uint8Array.prototype, "toBase64", prototypes as PropertyDescriptor);
  });
}

describe("hex", () => {
  test("writes and reads every byte as two lower-case digits", () => {
    const all = Uint8Array.from({ length: 256 }, (_, value) => value);
    expect(encodeHex(all)).toBe(Buffer.from(all).toString("hex"));
    expect(decodeHex(encodeHex(all))).toEqual(all);
    expect(encodeHex(bytes())).toBe("");
    expect(decodeHex("")).toEqual(bytes());
  });

  test.each([
    "0",
    "abc",
    "AB",
    "aB",
    "0x00",
    "0g",
    " 00",
    "00 ",
    "0 0",
    "00\n",
    "-1",
    "00:00",
    "\uff10\uff10",
  ])("refuses %j", (text) => {
    expect(codeOf(() => decodeHex(text), text)).toBe("hex-invalid");
  });
});

describe("UTF-8", () => {
  test.each(["", "a", "\0", "é", "\u{1F600}", "\ufeff", "\ufeffa", "\ufffd", "e\u0301", "\u{10FFFF}"])(
    "takes %j to bytes and back unchanged",
    (text) => {
      expect(encodeUtf8(text)).toEqual(new Uint8Array(Buffer.from(text, "utf8")));
      expect(decodeUtf8(encodeUtf8(text))).toBe(text);
    },
  );

  test.each(["\ud800", "\udfff", "secret\ud83d", "\ude00\ud83d"])(
    "refuses the lone surrogate of %j",
    (text) => {
      expect(codeOf(() => encodeUtf8(text), "secret")).toBe("utf8-invalid");
    },
  );

  test.each([
    ["an overlong slash", bytes(0xc0, 0xaf)],
    ["an overlong U+0000", bytes(0xc0, 0x80)],
    ["an encoded surrogate", bytes(0xed, 0xa0, 0x80)],
    ["more than U+10FFFF", bytes(0xf4, 0x90, 0x80, 0x80)],
    ["a truncated character", bytes(0xe2, 0x82)],
    ["a continuation without a start", bytes(0x80)],
    ["a byte that is never UTF-8", bytes(0x61, 0xff)],
  ])("refuses %s, and the next text is read as ever", (_, input) => {
    expect(codeOf(() => decodeUtf8(input))).toBe("utf8-invalid");
    expect(decodeUtf8(bytes(0xc3, 0xa9))).toBe("é");
  });

  test("round-trips every well-formed text, and refuses every other", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) }),
        (text) => {
          if (text.isWellFormed()) expect(decodeUtf8(encodeUtf8(text))).toBe(text);
          else expect(codeOf(() => encodeUtf8(text))).toBe("utf8-invalid");
        },
      ),
      { numRuns: RUNS },
    );
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(decodeUtf8(encodeUtf8(text))).toBe(text);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("concatPrefixed", () => {
  test("writes each length in 4 big-endian bytes before its part", () => {
    expect(encodeHex(concatPrefixed([]))).toBe("");
    expect(encodeHex(concatPrefixed([bytes()]))).toBe("00000000");
    expect(encodeHex(concatPrefixed([bytes(), bytes()]))).toBe("0000000000000000");
    expect(encodeHex(concatPrefixed([encodeUtf8("v1"), bytes(0xff)]))).toBe("00000002763100000001ff");
  });

  test.each([
    [0, "00000000"],
    [1, "00000001"],
    [255, "000000ff"],
    [256, "00000100"],
    [65_535, "0000ffff"],
    [65_536, "00010000"],
  ])("prefixes %i bytes with %s", (length_bytes, prefix) => {
    const joined = concatPrefixed([new Uint8Array(length_bytes)]);
    expect(joined.length).toBe(4 + length_bytes);
    expect(encodeHex(joined.subarray(0, 4))).toBe(prefix);
  });

  test("refuses a part whose length needs a fifth byte", () => {
    // The pages of an array that nobody writes to are never there: this takes no memory.
    expect(codeOf(() => concatPrefixed([bytes(1), new Uint8Array(2 ** 32)]))).toBe("part-too-long");
  });

  test("can be taken apart again, so that no two lists give the same bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 8 }), (parts) => {
        expect(splitPrefixed(concatPrefixed(parts))).toEqual(parts);
      }),
      { numRuns: RUNS },
    );
  });

  test("tells lists apart that are the same when simply concatenated", () => {
    const lists = [
      ["abc"],
      ["ab", "c"],
      ["a", "bc"],
      ["a", "b", "c"],
      ["", "abc"],
      ["abc", ""],
      ["", "ab", "c"],
    ];
    const joined = lists.map((parts) => encodeHex(concatPrefixed(parts.map(encodeUtf8))));
    expect(new Set(joined).size).toBe(lists.length);
  });

  function splitPrefixed(joined: Uint8Array): Uint8Array[] {
    const parts: Uint8Array[] = [];
    for (let rest = Buffer.from(joined); rest.length > 0; rest = rest.subarray(4 + rest.readUInt32BE(0))) {
      parts.push(new Uint8Array(rest.subarray(4, 4 + rest.readUInt32BE(0))));
    }
    return parts;
  }
});

describe("constantTimeEqual", () => {
  test("is true for the same bytes in different arrays, and for nothing twice", () => {
    expect(constantTimeEqual(bytes(), bytes())).toBe(true);
    expect(constantTimeEqual(bytes(0, 255), bytes(0, 255))).toBe(true);
  });

  test("sees every single bit of 32 bytes", () => {
    const one = Uint8Array.from({ length: 32 }, (_, index) => index * 8);
    for (let bit = 0; bit < 256; bit++) {
      const other = one.with(bit >> 3, (one[bit >> 3] ?? 0) ^ (1 << (bit & 7)));
      expect(constantTimeEqual(one, other)).toBe(false);
    }
  });

  test("is false for a prefix, an extension and differences that cancel out", () => {
    expect(constantTimeEqual(bytes(1, 2), bytes(1, 2, 0))).toBe(false);
    expect(constantTimeEqual(bytes(1, 2, 0), bytes(1, 2))).toBe(false);
    expect(constantTimeEqual(bytes(), bytes(0))).toBe(false);
    expect(constantTimeEqual(bytes(1, 1), bytes(0, 0))).toBe(false);
    expect(constantTimeEqual(bytes(1, 2), bytes(2, 1))).toBe(false);
  });
});

test("an error of crypto is an Error with its code", () => {
  const error = cryptoError("does-not-open", "It does not open");
  expect(error).toBeInstanceOf(Error);
  expect([error.code, error.message]).toEqual(["does-not-open", "It does not open"]);
});
