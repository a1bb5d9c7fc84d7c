import { describe, expect, test } from "bun:test";
import { createHmac, hkdfSync } from "node:crypto";
import { deriveSecrets, hashName, hmac, type SubKeys } from "../../../src/server/auth/secrets.ts";
import { randomHex } from "../../support/client.ts";

const jwt = (secret: string, secret_previous?: string) => ({
  secret,
  secret_previous,
  issuer: "issuer",
  audience: "audience",
});
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const keysOf = ({ refresh, successor, names }: SubKeys) => [refresh, successor, names].map(hex);

describe("the keys of a JWT_SECRET", () => {
  test("are the same each time and on every server", () => {
    const secret = randomHex(32);
    const [first] = deriveSecrets(jwt(secret));
    const [again] = deriveSecrets({ ...jwt(secret), issuer: "another", audience: "another" });
    expect(again).toEqual(first);
  });

  test("differ from each other, from the secret and from those of another secret", () => {
    const [one, other] = [randomHex(32), randomHex(32)];
    const [mine] = deriveSecrets(jwt(one));
    const [theirs] = deriveSecrets(jwt(other));
    const all = [
      ...keysOf(mine),
      ...keysOf(theirs),
      one,
      other,
      hex(Buffer.from(one)),
      mine.key_id,
      theirs.key_id,
    ];
    expect(new Set(all).size).toBe(all.length);
    for (const key of [...keysOf(mine)]) expect(key).toHaveLength(64);
    expect(mine.key_id).toMatch(/^[0-9a-f]{16}$/);
    // What every token shows of the secret must be no part of any key.
    for (const key of keysOf(mine)) expect(key).not.toContain(mine.key_id);
  });

  test("come from HKDF-SHA256 by labels that must never change: stored hashes depend on them", () => {
    const secret = randomHex(32);
    const [{ key_id, signing_secret, refresh, successor, names }] = deriveSecrets(jwt(secret));
    const derive = (label: string) =>
      Buffer.from(hkdfSync("sha256", secret, "", `blindvault/1/server/${label}`, 32)).toString("hex");
    expect(signing_secret).toBe(secret);
    expect(key_id).toBe(derive("key-id").slice(0, 16));
    expect(hex(refresh)).toBe(derive("refresh-token"));
    expect(hex(successor)).toBe(derive("refresh-successor"));
    expect(hex(names)).toBe(derive("names"));
  });

  test("come current ones first, and the previous ones only while there is a previous secret", () => {
    const [now, before] = [randomHex(32), randomHex(32)];
    const [of_now] = deriveSecrets(jwt(now));
    const [of_before] = deriveSecrets(jwt(before));
    expect(deriveSecrets(jwt(now))).toEqual([of_now]);
    expect(deriveSecrets(jwt(now, before))).toEqual([of_now, of_before]);
  });
});

describe("the keyed hash of a name", () => {
  test("is the HMAC of the lower-case name under the current secret's key", () => {
    const secrets = deriveSecrets(jwt(randomHex(32), randomHex(32)));
    const expected = createHmac("sha256", secrets[0].names).update("alice_1").digest("hex");
    for (const name of ["alice_1", "ALICE_1", "Alice_1"]) expect(hex(hashName(secrets, name))).toBe(expected);
    expect(hex(hashName(secrets, "alice_2"))).not.toBe(expected);
    expect(hex(hashName(deriveSecrets(jwt(randomHex(32))), "alice_1"))).not.toBe(expected);
  });

  test("uses HMAC-SHA256 to the letter (RFC 4231, test cases 1 and 2)", () => {
    const cases = [
      ["0b".repeat(20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"],
      [
        Buffer.from("Jefe").toString("hex"),
        "what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      ],
    ] as const;
    for (const [key, message, digest] of cases) {
      expect(hex(hmac(Buffer.from(key, "hex"), message))).toBe(digest);
      expect(hex(hmac(Buffer.from(key, "hex"), Buffer.from(message)))).toBe(digest);
    }
  });
});
