import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { loadConfig } from "../../src/server/config.ts";
import { type Environment, jwtSecret } from "../../src/server/settings.ts";
import { temporaryDirectory } from "../support/server.ts";

const RUNS = process.env.SLOW ? 200_000 : 10_000;
const random = () => randomBytes(48).toString("base64url");
const directory = temporaryDirectory();

/** Taken from documentation, tutorials and keyboards; all of them long enough. */
const PLACEHOLDERS = [
  "change-me-change-me-change-me-change-me-1234",
  "CHANGE_THIS_TO_A_LONG_RANDOM_STRING_PLEASE_1",
  "please-change-it-please-0123456789-abcdef-XY",
  "your-secret-key-must-be-at-least-32-characters",
  "your_jwt_secret_goes_here_and_is_quite_long_1",
  "your-256-bit-secret-your-256-bit-secret-12345",
  "a-string-secret-at-least-256-bits-long",
  "my-super-secret-jwt-signing-value-32-bytes-ok",
  "this-is-a-very-long-secret-used-for-signing-it",
  "supersecretsupersecretsupersecretsupersecret1",
  "TopSecretTopSecretTopSecretTopSecret12345678",
  "placeholder-placeholder-placeholder-1234567890",
  "replace-with-output-of-openssl-rand-base64-48",
  "example-only-example-only-example-only-xyz-12",
  "insecure-development-value-do-not-use-me-ok-9",
  "passwordpasswordpasswordpassword-1234-abcdefg",
  "default-default-default-default-default-12345",
  "dummy-secret-for-tests-0f1e2d3c4b5a69788796a5",
  "sample_token_for_the_documentation_page_12345",
  "test-jwt-for-local-use-only-aeiouxyz-98765432",
  "12345678901234567890123456789012",
  "0123456789abcdef0123456789abcdef",
  "abcdefghijklmnopqrstuvwxyzABCDEF",
  "qwertyuiopasdfghjklzxcvbnmqwertyuiop",
];

describe("a JWT_SECRET", () => {
  test("that is missing stops the start and says how to make one", () => {
    for (const settings of [{}, { JWT_SECRET: "" }])
      expect(() => loadConfig(settings)).toThrow(
        "The configuration has one fault:\n  - JWT_SECRET is missing: run `blindvault init`, which makes one",
      );
  });

  test("has 32 characters at least", () => {
    const secret = random();
    for (const length of [1, 30, 31])
      expect(jwtSecret(secret.slice(0, length))).toEqual({
        fault:
          "has under 32 characters: run `blindvault init`, or take the output of `openssl rand -base64 48`",
      });
    for (const length of [32, 33, 64])
      expect(jwtSecret(secret.slice(0, length))).toBe(secret.slice(0, length));
    expect(jwtSecret(random().repeat(100))).toBeString();
  });

  for (const secret of PLACEHOLDERS) {
    test(`that is a placeholder is refused: ${secret}`, () => {
      for (const spelling of [secret, secret.toUpperCase(), `  ${secret}`, secret.replaceAll("-", "_")])
        expect(jwtSecret(spelling)).toEqual({ fault: expect.stringMatching(/^is a placeholder: run/) });
    });
  }

  test("that repeats few characters is refused", () => {
    for (const secret of [
      "x".repeat(32),
      "0".repeat(64),
      " ".repeat(40),
      "ab".repeat(20),
      "Ab3$efg".repeat(9),
    ])
      expect(jwtSecret(secret)).toEqual({ fault: expect.stringMatching(/^repeats few characters: run/) });
    expect(jwtSecret("Ab3$efgH".repeat(9))).toBe("Ab3$efgH".repeat(9));
  });

  test("that is random is never refused: base64url, base64 and hexadecimal", () => {
    const bytes = fc.uint8Array({ minLength: 32, maxLength: 64 });
    const encoding = fc.constantFrom("base64url" as const, "base64" as const, "hex" as const);
    // fast-check prefers small values, and these are no secrets: the bytes come from the system.
    const secrets = fc.tuple(bytes, encoding).map(([{ length }, form]) => randomBytes(length).toString(form));
    fc.assert(
      fc.property(secrets, (secret) => jwtSecret(secret) === secret),
      { numRuns: RUNS },
    );
  });

  test("of 16 random bytes in hexadecimal, the shortest there is, is taken", () => {
    for (let index = 0; index < 1000; index++)
      expect(jwtSecret(randomBytes(16).toString("hex"))).toBeString();
  });
});

describe("JWT_SECRET_PREVIOUS", () => {
  test("is none, or another secret as good as the first", () => {
    const [current, previous] = [random(), random()];
    expect(loadConfig({ JWT_SECRET: current }).jwt).toMatchObject({
      secret: current,
      secret_previous: undefined,
    });
    expect(loadConfig({ JWT_SECRET: current, JWT_SECRET_PREVIOUS: previous }).jwt).toMatchObject({
      secret: current,
      secret_previous: previous,
    });
    expect(() => loadConfig({ JWT_SECRET: current, JWT_SECRET_PREVIOUS: "short" })).toThrow("has under 32");
    expect(() => loadConfig({ JWT_SECRET: current, JWT_SECRET_PREVIOUS: current })).toThrow(
      "JWT_SECRET_PREVIOUS is the same as JWT_SECRET: set it to the secret from before",
    );
  });
});

describe("NAME_FILE", () => {
  const secret = random();
  const url = "postgresql://bv:secret@db.example/bv";
  const with_file = (content: string): Environment => ({ JWT_SECRET_FILE: write(content) });

  test("gives each secret from a file, without the line break at its end", () => {
    for (const end of ["", "\n", "\r\n"]) {
      expect(loadConfig(with_file(secret + end)).jwt.secret).toBe(secret);
      const settings = { JWT_SECRET: random(), JWT_SECRET_PREVIOUS_FILE: write(secret + end) };
      expect(loadConfig(settings).jwt.secret_previous).toBe(secret);
      expect(loadConfig({ JWT_SECRET: secret, DATABASE_URL_FILE: write(url + end) }).database_url).toBe(url);
    }
  });

  test("takes nothing else away: white space belongs to the secret", () => {
    expect(loadConfig(with_file(` ${secret} \n`)).jwt.secret).toBe(` ${secret} `);
    expect(loadConfig(with_file(`${secret}\n\n`)).jwt.secret).toBe(`${secret}\n`);
  });

  test("is refused when the file is missing, a directory, or empty", () => {
    const faults: [path: string, says: string][] = [
      [join(directory, "not-there"), "JWT_SECRET_FILE cannot be read (ENOENT): check path and permissions"],
      [directory, "JWT_SECRET_FILE cannot be read (EISDIR)"],
      [write(""), "JWT_SECRET_FILE has under 32 characters"],
      [write("\n"), "JWT_SECRET_FILE has under 32 characters"],
      [write("change-me-change-me-change-me-change-me"), "JWT_SECRET_FILE is a placeholder"],
    ];
    for (const [path, says] of faults) {
      expect(() => loadConfig({ JWT_SECRET_FILE: path })).toThrow(says);
      expect(() => loadConfig({ JWT_SECRET_FILE: path })).toThrow("one fault");
    }
    const missing = { JWT_SECRET: secret, DATABASE_URL_FILE: join(directory, "not-there") };
    expect(() => loadConfig(missing)).toThrow("DATABASE_URL_FILE cannot be read (ENOENT)");
  });

  test("and NAME together are refused, whichever is right", () => {
    const settings = { ...with_file(random()), JWT_SECRET: secret };
    expect(() => loadConfig(settings)).toThrow("JWT_SECRET and JWT_SECRET_FILE are both set: keep one");
    const urls = { JWT_SECRET: secret, DATABASE_URL: url, DATABASE_URL_FILE: write(url) };
    expect(() => loadConfig(urls)).toThrow("DATABASE_URL and DATABASE_URL_FILE are both set: keep one");
  });

  test("is only for secrets", () => {
    expect(loadConfig({ JWT_SECRET: secret, PORT_FILE: write("8080") }).port).toBe(4000);
  });
});

function write(content: string): string {
  const path = join(directory, crypto.randomUUID());
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
