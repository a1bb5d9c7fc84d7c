import { expect, test } from "bun:test";
import fc from "fast-check";
import { createEntryRequest } from "../../src/contract/entries.ts";
import { deriveKey, openEntry, sealEntry } from "../../src/web/docs/sealing.ts";

const ID = "5f0c1d9e-3b7a-4c58-9d2e-8a6b4c1f7e30";
const SALT = "00".repeat(32);
const key = new Uint8Array(32).fill(7);

test("a key is PBKDF2-HMAC-SHA-256 with 600,000 iterations of the passphrase in its composed form", async () => {
  const { pbkdf2Sync } = await import("node:crypto");
  const expected = pbkdf2Sync("p\u00e4ss", Buffer.alloc(32), 600_000, 32, "sha256");
  for (const typed of ["p\u00e4ss", "pa\u0308ss"])
    expect(Buffer.from(await deriveKey(typed, SALT))).toEqual(expected);
  expect(Buffer.from(await deriveKey("p\u00e4ss", `01${SALT.slice(2)}`))).not.toEqual(expected);
});

test("a salt that is not lower-case hexadecimal is refused", async () => {
  for (const salt of ["0", "zz", "AA", `${SALT} `])
    await expect(deriveKey("passphrase", salt)).rejects.toMatchObject({ code: "hex-invalid" });
});

test("any text comes back from what was sealed, and what was sealed is an entry of the contract", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "binary", minLength: 1 }), async (text) => {
      const sealed = await sealEntry(key, ID, text);
      expect(createEntryRequest.safeParse({ id: ID, ...sealed }).success).toBe(true);
      expect(await openEntry(key, ID, sealed)).toBe(text);
      expect(await openEntry(key, ID.toUpperCase(), sealed)).toBe(text);
    }),
  );
});

test("another key, another entry or a changed part does not open", async () => {
  const sealed = await sealEntry(key, ID, "a secret");
  const other = await sealEntry(key, ID, "a secret");
  const closed = { code: "does-not-open" };
  await expect(openEntry(new Uint8Array(32), ID, sealed)).rejects.toMatchObject(closed);
  await expect(openEntry(key, ID.replace("5", "6"), sealed)).rejects.toMatchObject(closed);
  for (const part of ["ciphertext", "iv", "tag"] as const)
    await expect(openEntry(key, ID, { ...sealed, [part]: other[part] })).rejects.toMatchObject(closed);
});
