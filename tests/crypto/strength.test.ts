import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { assessPassword, makePassword } from "../../src/crypto/passwords.ts";

const RUNS = process.env.SLOW ? 2000 : 60;
const CONTEXT = ["quillon", "vault.brambleside.example"];

describe("the strength of a password", () => {
  test.each([
    ["a common password", "password1", 0],
    ["a keyboard's row", "qwertyuiop", 0],
    ["one letter over and over", "a".repeat(40), 0],
    ["nothing", "", 0],
    ["a common word, disguised", "p@ssw0rd", 0],
  ])("of %s is the least, with advice", async (_, password, score) => {
    const strength = await assessPassword(password, []);
    expect(strength.score).toBe(score as 0);
    expect(strength.crack_time_text).toBe("less than a second");
    expect(strength.suggestions.length).toBeGreaterThan(0);
  });

  test("of a common password comes with a warning", async () => {
    expect((await assessPassword("password1", [])).warning).toContain("used password");
  });

  test("of a random one is the most, without advice", async () => {
    const password = makePassword({ length: 24, classes: ["lower", "upper", "digits", "symbols"] });
    const strength = await assessPassword(password, CONTEXT);
    expect(strength).toMatchObject({
      score: 4,
      crack_time_text: "centuries",
      warning: null,
      suggestions: [],
    });
    expect(strength.guesses_log10).toBeGreaterThan(15);
  });

  test.each([
    ["the username", "quillon"],
    ["the username in capitals", "QUILLON"],
    ["the server's name", "vault.brambleside.example"],
    ["a part of the server's name", "brambleside"],
    ["a part backwards", "ediselbmarb"],
  ])("of %s is none to who knows the context", async (_, password) => {
    const strength = await assessPassword(password, CONTEXT);
    expect(strength.score).toBe(0);
    expect(strength.guesses_log10).toBeLessThan(2);
    expect((await assessPassword(password, [])).guesses_log10).toBeGreaterThan(4);
  });

  test("is not lowered by parts of a context that are too short to mean anything", async () => {
    const password = "zq9x-jk4v-wh7p";
    expect(await assessPassword(password, ["zq-9x", "jk@4v.wh"])).toEqual(await assessPassword(password, []));
  });

  test("of one call is not lowered by the context of another", async () => {
    const before = await assessPassword("brambleside", []);
    await assessPassword("brambleside", CONTEXT);
    expect(await assessPassword("brambleside", [])).toEqual(before);
  });

  test("is the same for a letter composed and decomposed", async () => {
    const password = "Čtyři žluťoučké kobyly";
    expect(await assessPassword(password.normalize("NFD"), [])).toEqual(
      await assessPassword(password.normalize("NFC"), []),
    );
  });

  test("counts the 64th character and none behind it, however many", async () => {
    const password = makePassword({ length: 64, classes: ["lower", "digits"] });
    const whole = await assessPassword(password, []);
    expect((await assessPassword(password.slice(0, 63), [])).guesses_log10).not.toBe(whole.guesses_log10);
    expect(await assessPassword(`${password}x`, [])).toEqual(whole);
    expect(await assessPassword(password + "Xy7-".repeat(250_000), ["z".repeat(1_000_000)])).toEqual(whole);
  });

  test("is a finite number for what JavaScript's own objects are called", async () => {
    const names = ["constructor", "__proto__", "Constructor99", "constructorconstructor", "hasownproperty"];
    for (const name of names) {
      const { score, guesses_log10 } = await assessPassword(name, names);
      expect(Number.isFinite(guesses_log10)).toBe(true);
      expect(score).toBeLessThan(4);
    }
  });

  test("has nothing of the password in it, and is defined for any text", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", minLength: 8, maxLength: 30 }), async (password) => {
        const strength = await assessPassword(password, []);
        expect([0, 1, 2, 3, 4]).toContain(strength.score);
        expect(strength.guesses_log10).toBeGreaterThanOrEqual(0);
        expect(JSON.stringify(strength)).not.toContain(password);
        expect(Object.keys(strength).sort()).toEqual([
          "crack_time_text",
          "guesses_log10",
          "score",
          "suggestions",
          "warning",
        ]);
      }),
      { numRuns: RUNS },
    );
  });
});
