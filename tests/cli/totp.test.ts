import { describe, expect, test } from "bun:test";
import { totpCode } from "../../src/cli/totp.ts";

/** RFC 6238, appendix B: the seeds are these digits over and over, as long as the hash. */
const SEED = "1234567890";
const LENGTHS = { SHA1: 20, SHA256: 32, SHA512: 64 } as const;
const VECTORS = [
  [59, "94287082", "46119246", "90693936"],
  [1_111_111_109, "07081804", "68084774", "25091201"],
  [1_111_111_111, "14050471", "67062674", "99943326"],
  [1_234_567_890, "89005924", "91819424", "93441116"],
  [2_000_000_000, "69279037", "90698825", "38618901"],
  [20_000_000_000, "65353130", "77737706", "47863826"],
] as const;

describe("one-time codes", () => {
  test.each(VECTORS)("are those of RFC 6238 at %d s", async (time_s, ...codes) => {
    const algorithms = ["SHA1", "SHA256", "SHA512"] as const;
    for (const [index, algorithm] of algorithms.entries()) {
      const uri = `otpauth://totp/a?secret=${seed(LENGTHS[algorithm])}&algorithm=${algorithm}&digits=8`;
      const { code } = await totpCode(uri, time_s * 1000);
      expect({ algorithm, code }).toEqual({ algorithm, code: codes[index] as string });
    }
  });

  test("of a bare secret have six digits and half a minute, whatever its spelling", async () => {
    const secret = seed(20);
    const spaced = `${secret.slice(0, 4).toLowerCase()} ${secret.slice(4, 8)}-${secret.slice(8)}`;
    for (const text of [secret, spaced]) {
      expect(await totpCode(text, 59_000)).toEqual({ code: "287082", valid_s: 1 });
      expect(await totpCode(text, 60_000)).toMatchObject({ valid_s: 30 });
    }
  });

  test("follow the period that the URI names", async () => {
    const uri = `otpauth://totp/Some%20Bank:me@example.org?secret=${seed(20)}&issuer=Some%20Bank&period=60`;
    expect(await totpCode(uri, 119_000)).toMatchObject({ valid_s: 1 });
  });

  test.each([
    ["Steam's, by its own scheme", `steam://${seed(20)}`, "Steam"],
    ["Steam's, by its encoder", `otpauth://totp/a?secret=${seed(20)}&encoder=steam`, "Steam"],
    ["a counter", `otpauth://hotp/a?secret=${seed(20)}&counter=1`, "HOTP"],
    ["an empty text", "", "none that this version knows"],
    ["a word that happens to be base32", "NONE", "none that this version knows"],
    ["what is no base32", "18101 ?!", "none that this version knows"],
    ["a URI without a secret", "otpauth://totp/a?issuer=b", "none that this version knows"],
    [
      "a hash that there is not",
      `otpauth://totp/a?secret=${seed(20)}&algorithm=X1`,
      "none that this version",
    ],
    ["5 digits", `otpauth://totp/a?secret=${seed(20)}&digits=5`, "none that this version knows"],
    ["11 digits", `otpauth://totp/a?secret=${seed(20)}&digits=11`, "none that this version knows"],
    ["a period of 0", `otpauth://totp/a?secret=${seed(20)}&period=0`, "none that this version knows"],
    ["a period beyond an hour", `otpauth://totp/a?secret=${seed(20)}&period=3601`, "none that this version"],
  ])("are refused for %s, without a word of it", async (_, text, reason) => {
    const error = await totpCode(text, 0).then(
      () => undefined,
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ code: "totp-invalid", exit_code: 65 });
    expect(error.message).toContain(reason);
    expect(error.message).not.toContain(seed(20));
  });
});

/** The seed in base32 (RFC 4648, section 6). */
function seed(length: number): string {
  const bytes = Buffer.from(SEED.repeat(7).slice(0, length), "latin1");
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const groups = bits.match(/.{1,5}/g) ?? [];
  return groups.map((group) => letters[Number.parseInt(group.padEnd(5, "0"), 2)]).join("");
}
