import { afterEach, beforeEach, describe, expect, type Mock, spyOn, test } from "bun:test";
import { LIMITS } from "../../../src/contract/limits.ts";
import { deriveSecrets } from "../../../src/server/auth/secrets.ts";
import { makeTokens } from "../../../src/server/auth/tokens.ts";
import { loadConfig } from "../../../src/server/config.ts";
import { randomHex } from "../../support/client.ts";
import { decode, forge } from "../../support/jwt.ts";
import { makeTestClock } from "../../support/server.ts";

const config = loadConfig({ JWT_SECRET: randomHex(32), ACCESS_TOKEN_EXPIRES_IN: "60s" });
const whom = () => ({ user_id: crypto.randomUUID(), session_id: crypto.randomUUID() });

describe("the memory of verified tokens", () => {
  /** Counts the signatures that were really computed: a remembered token costs none. */
  let verifications: Mock<typeof crypto.subtle.verify>;
  beforeEach(() => {
    verifications = spyOn(crypto.subtle, "verify");
  });
  afterEach(() => verifications.mockRestore());

  function setUp(verified_max?: number) {
    const clock = makeTestClock();
    const tokens = makeTokens(config, deriveSecrets(config.jwt), clock, verified_max);
    const issue = async () => (await tokens.issue(whom())).accessToken;
    return { clock, tokens, issue };
  }

  test("spares the second verification and gives the same claims", async () => {
    const { tokens, clock } = setUp();
    const claims = whom();
    const { accessToken, expires_in } = await tokens.issue(claims);
    expect(expires_in).toBe(60);
    expect(await tokens.verify(accessToken)).toMatchObject(claims);
    expect(verifications).toHaveBeenCalledTimes(1);
    clock.advance(30_000);
    expect(await tokens.verify(accessToken)).toMatchObject(claims);
    expect(verifications).toHaveBeenCalledTimes(1);
  });

  test("never outlives the token's expiry", async () => {
    const { tokens, clock, issue } = setUp();
    const token = await issue();
    expect(await tokens.verify(token)).toBeDefined();
    const never_verified = await issue();
    clock.advance(60_000);
    expect(await tokens.verify(token)).toBeUndefined();
    expect(await tokens.verify(never_verified)).toBeUndefined();
    // Where the clock is set back it is verified anew, not remembered.
    clock.advance(-30_000);
    expect(await tokens.verify(token)).toBeDefined();
    expect(verifications).toHaveBeenCalledTimes(3);
  });

  test("is bounded: beyond its maximum the oldest is forgotten", async () => {
    const { tokens, issue } = setUp(3);
    const [first, second, third, fourth] = [await issue(), await issue(), await issue(), await issue()];
    for (const token of [first, second, third]) await tokens.verify(token);
    for (const token of [first, second, third]) await tokens.verify(token);
    expect(verifications).toHaveBeenCalledTimes(3);
    await tokens.verify(fourth);
    for (const token of [second, third, fourth]) await tokens.verify(token);
    expect(verifications).toHaveBeenCalledTimes(4);
    await tokens.verify(first);
    expect(verifications).toHaveBeenCalledTimes(5);
  });

  test("holds no token that was refused", async () => {
    const { tokens, issue } = setUp(1);
    const token = await issue();
    await tokens.verify(token);
    const secret = randomHex(32);
    for (let i = 0; i < 3; i++)
      expect(await tokens.verify(forge({ ...decode(token), secret }))).toBeUndefined();
    const before = verifications.mock.calls.length;
    expect(await tokens.verify(token)).toBeDefined();
    expect(verifications.mock.calls.length).toBe(before);
  });

  test("costs no signature for what does not look like a token of ours", async () => {
    const { tokens, issue } = setUp();
    const token = await issue();
    const { header, claims } = decode(token);
    for (const other of [
      "",
      `${token}=`,
      ` ${token}`,
      token.slice(1),
      forge({ header: { ...header, kid: "x" }, claims, secret: config.jwt.secret }),
    ]) {
      expect(await tokens.verify(other)).toBeUndefined();
    }
    expect(verifications).toHaveBeenCalledTimes(0);
  });

  test("takes tokens up to their greatest length and none beyond", async () => {
    const { tokens, issue } = setUp();
    const { header, claims } = decode(await issue());
    const ofAbout = (characters: number) => {
      for (let pad = 0; ; pad++) {
        const extra = "x".repeat(pad);
        const token = forge({ header, claims: { ...claims, extra }, secret: config.jwt.secret });
        if (token.length >= characters) return token;
      }
    };
    const max = LIMITS.access_token_characters_max;
    expect(await tokens.verify(ofAbout(max - 2))).toBeDefined();
    expect(await tokens.verify(ofAbout(max + 1))).toBeUndefined();
  });
});
