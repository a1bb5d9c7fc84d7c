import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeHex, encodeHex } from "../../src/crypto/bytes.ts";
import { pad, paddedLength, unpad } from "../../src/crypto/padding.ts";
import vectors from "../vectors/padding.json";

const RUNS = process.env.SLOW ? 20_000 : 1000;
const LENGTH_MAX = 70_000;

/** What a vector has: `head`, then zeros. */
function paddedOf({ head, padded_bytes }: { head: string; padded_bytes: number }): Uint8Array<ArrayBuffer> {
  const padded = new Uint8Array(padded_bytes);
  padded.set(decodeHex(head));
  return padded;
}

/** "unpads", or the code of the error, which has nothing but a fixed message. */
function outcome(padded: Uint8Array): unknown {
  try {
    unpad(padded);
    return "unpads";
  } catch (error) {
    expect((error as Error).message).toBe("The padding is none of this format");
    return (error as { code?: unknown }).code;
  }
}

/** Padmé once more, in whole numbers only: of the bits of a length all but as many as its exponent has are rounded away. */
function padmeOf(length: bigint): bigint {
  const exponent = length.toString(2).length - 1;
  const kept_bits = exponent.toString(2).length;
  const step = 1n << BigInt(exponent - kept_bits);
  return ((length + step - 1n) / step) * step;
}

describe("vectors", () => {
  test.each(vectors.unpads)("unpads for ever: $name", ({ content, ...fields }) => {
    const padded = paddedOf(fields);
    expect(encodeHex(unpad(padded))).toBe(content);
    expect(pad(decodeHex(content))).toEqual(padded);
  });

  test("have the padded length of each length", () => {
    expect(vectors.lengths.map(([length = 0]) => [length, paddedLength(length)])).toEqual(vectors.lengths);
  });

  test.each(vectors.fails)("fails for ever: $name: $error", ({ error, ...fields }) => {
    expect(outcome(paddedOf(fields))).toBe(error);
  });
});

describe("paddedLength", () => {
  const lengths = Array.from({ length: LENGTH_MAX + 1 }, (_, length) => length);

  test("is the next multiple of 256 up to 4 KiB, and by Padmé beyond", () => {
    const wrong = lengths.filter((length) => {
      const with_mark = length + 1;
      const expected =
        with_mark <= 4096 ? Math.ceil(with_mark / 256) * 256 : Number(padmeOf(BigInt(with_mark)));
      return paddedLength(length) !== expected;
    });
    expect(wrong).toEqual([]);
  });

  test("leaves room for the mark, never shrinks, and is a multiple of 256", () => {
    const wrong = lengths.filter(
      (length) =>
        paddedLength(length) <= length ||
        paddedLength(length) % 256 !== 0 ||
        paddedLength(length + 1) < paddedLength(length),
    );
    expect(wrong).toEqual([]);
  });

  test("is at most 12% over the content and its mark beyond 4 KiB", () => {
    const wrong = lengths.filter((length) => length >= 4096 && paddedLength(length) > 1.12 * (length + 1));
    expect(wrong).toEqual([]);
  });

  test("is at most 65,536 for as much content as an entry may have, and more for a byte more", () => {
    expect(Math.max(...lengths.slice(0, 65_536).map(paddedLength))).toBe(65_536);
    expect(paddedLength(65_536)).toBeGreaterThan(65_536);
  });

  test("tells few lengths apart: 16 up to 4 KiB, 64 more up to 64 KiB", () => {
    expect(new Set(lengths.slice(0, 4096).map(paddedLength)).size).toBe(16);
    // From 4 to 8 KiB in steps of 256 bytes, to 16 of 512, to 32 of 1024, to 64 of 2048: 16 of each.
    expect(new Set(lengths.slice(0, 65_536).map(paddedLength)).size).toBe(16 + 4 * 16);
  });

  test("is exact around every power of two", () => {
    for (let exponent = 13; exponent <= 52; exponent++) {
      for (const length of [2 ** exponent - 2, 2 ** exponent - 1, 2 ** exponent]) {
        expect(paddedLength(length)).toBe(Number(padmeOf(BigInt(length + 1))));
      }
    }
  });
});

describe("pad and unpad", () => {
  test("round-trip content of every length up to 70,000 bytes", () => {
    const content = crypto.getRandomValues(new Uint8Array(65_536));
    const all = new Uint8Array(LENGTH_MAX);
    all.set(content);
    all.set(content.subarray(0, LENGTH_MAX - 65_536), 65_536);
    const wrong: number[] = [];
    for (let length = 0; length <= LENGTH_MAX; length++) {
      const padded = pad(all.subarray(0, length));
      const back = unpad(padded);
      const same = back.length === length && Buffer.compare(back, all.subarray(0, length)) === 0;
      if (!same || padded.length !== paddedLength(length)) wrong.push(length);
    }
    expect(wrong).toEqual([]);
  }, 30_000);

  test("round-trip whatever the content is, without touching it, into memory of its own", () => {
    const anything = fc.uint8Array({ maxLength: 600 });
    const like_padding = fc.array(fc.constantFrom(0x80, 0, 1), { maxLength: 600 }).map((bytes) => {
      return Uint8Array.from(bytes);
    });
    fc.assert(
      fc.property(fc.oneof(anything, like_padding), (content) => {
        const before = content.slice();
        const padded = pad(content);
        const padded_before = padded.slice();
        const back = unpad(padded);
        expect(back).toEqual(before);
        expect(content).toEqual(before);
        expect(padded).toEqual(padded_before);
        expect(new Set([content.buffer, padded.buffer, back.buffer]).size).toBe(3);
        expect([padded.buffer.byteLength, back.buffer.byteLength]).toEqual([padded.length, back.length]);
      }),
      { numRuns: RUNS },
    );
  });

  test("read a view, and not the buffer around it", () => {
    const view = Uint8Array.from([9, 1, 2, 3, 9]).subarray(1, -1);
    const padded = pad(view);
    expect(unpad(padded)).toEqual(Uint8Array.of(1, 2, 3));
    const around = new Uint8Array(258).fill(9);
    around.set(padded, 1);
    expect(unpad(around.subarray(1, -1))).toEqual(Uint8Array.of(1, 2, 3));
  });
});

describe("unpad", () => {
  test("takes what pad gives and nothing else", () => {
    const head = fc.array(fc.constantFrom(0x80, 0, 0x81, 1, 0xff), { maxLength: 20 });
    const zeros = fc.oneof(fc.nat({ max: 600 }), fc.constantFrom(0, 235, 236, 254, 255, 256, 511, 512));
    fc.assert(
      fc.property(head, zeros, (head, zeros) => {
        const padded = Uint8Array.from([...head, ...new Array<number>(zeros).fill(0)]);
        const outcome_expected = isPadded(padded) ? "unpads" : "padding-invalid";
        expect(outcome(padded)).toBe(outcome_expected);
      }),
      { numRuns: 3 * RUNS },
    );
  });

  /** Whether any content has this padding, tried out. */
  function isPadded(padded: Uint8Array): boolean {
    return [...padded.keys()].some((length) => {
      const content = padded.subarray(0, length);
      return Buffer.compare(pad(content), padded) === 0;
    });
  }

  test.each([0, 1, 100, 254, 255])(
    "refuses %i bytes of content under every padded length but its own",
    (length) => {
      const taken: number[] = [];
      for (let padded_length = length + 1; padded_length <= 1100; padded_length++) {
        const padded = new Uint8Array(padded_length).fill(7, 0, length);
        padded[length] = 0x80;
        if (outcome(padded) === "unpads") taken.push(padded_length);
      }
      expect(taken).toEqual([256]);
    },
  );

  test("refuses every other mark, and any byte in any place behind it", () => {
    const padded = pad(Uint8Array.of(7, 7, 7));
    const taken: number[] = [];
    for (let mark = 0; mark < 256; mark++) {
      if (outcome(padded.with(3, mark)) === "unpads") taken.push(mark);
    }
    expect(taken).toEqual([0x80]);
    for (let at = 4; at < 256; at++) {
      for (const byte of [1, 0x7f, 0x81, 0xff])
        expect(outcome(padded.with(at, byte))).toBe("padding-invalid");
    }
  });

  // The one change of padding that is padding again: content that ends in a mark and zeros of its own.
  test("takes a mark in the place of a zero for what it is: padding of longer content", () => {
    const padded = pad(Uint8Array.of(7, 7, 7));
    for (let at = 4; at < 256; at++) expect(unpad(padded.with(at, 0x80))).toEqual(padded.slice(0, at));
  });
});
