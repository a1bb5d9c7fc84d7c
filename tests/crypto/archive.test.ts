import { describe, expect, test } from "bun:test";
import { createHash, createHmac, hkdfSync } from "node:crypto";
import fc from "fast-check";
import { macLines, verifyLines } from "../../src/crypto/archive.ts";
import { decodeBase64, decodeHex, encodeBase64, encodeHex, encodeUtf8 } from "../../src/crypto/bytes.ts";
import { deriveArchiveKey, importVaultKey, makeKey } from "../../src/crypto/keys.ts";
import { outcomeOf, prefixed } from "../support/outcome.ts";
import vectors from "../vectors/archive-mac.json";

const RUNS = process.env.SLOW ? 5000 : 200;

const vault_key_bytes = makeKey();
const vault_key = await importVaultKey(vault_key_bytes);
const lines = ["canary header", "canary first", "", "canary second"].map(encodeUtf8);
const mac = await macLines(vault_key, lines);

const outcome = (verifying: Promise<void>) =>
  outcomeOf(verifying, "verifies", ["canary", encodeBase64(mac), encodeHex(mac)]);

const verified = (change: { lines?: readonly Uint8Array[]; mac?: Uint8Array }) =>
  outcome(verifyLines(vault_key, change.lines ?? lines, change.mac ?? mac));

function flipped(bytes: Uint8Array<ArrayBuffer>, bit: number): Uint8Array<ArrayBuffer> {
  return bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7)));
}

function nodeMac(key: Uint8Array, lines: readonly Uint8Array[]): Buffer {
  const digests = lines.map((line) => createHash("sha256").update(line).digest());
  return createHmac("sha256", key)
    .update(prefixed("blindvault/1", "archive", ...digests))
    .digest();
}

function nodeArchiveKey(vault_key: Uint8Array): Buffer {
  return Buffer.from(hkdfSync("sha256", vault_key, "", prefixed("blindvault/1/archive"), 32));
}

describe("vectors", () => {
  test.each(vectors.verifies)("verify for ever: $name", async ({ vault_key, archive_key, lines, mac }) => {
    const bytes = lines.map(encodeUtf8);
    expect(nodeArchiveKey(decodeHex(vault_key)).toString("hex")).toBe(archive_key);
    expect(nodeMac(decodeHex(archive_key), bytes).toString("base64")).toBe(mac);
    const key = await importVaultKey(decodeHex(vault_key));
    expect(encodeHex(await deriveArchiveKey(key))).toBe(archive_key);
    expect(encodeBase64(await macLines(key, bytes))).toBe(mac);
    expect(await outcome(verifyLines(key, bytes, decodeBase64(mac)))).toBe("verifies");
  });

  test.each(vectors.fails)("fail for ever: $name: $error", async ({ vault_key, lines, mac, error }) => {
    const key = await importVaultKey(decodeHex(vault_key));
    expect(await outcome(verifyLines(key, lines.map(encodeUtf8), decodeBase64(mac)))).toBe(error);
  });
});

describe("a MAC of lines", () => {
  const texts = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 });

  test("is node's HMAC of node's digests, verifies, and leaves its inputs as they were", async () => {
    const keys = fc.uint8Array({ minLength: 32, maxLength: 32 });
    await fc.assert(
      fc.asyncProperty(keys, texts, async (bytes, lines) => {
        const before = structuredClone(lines);
        const key = await importVaultKey(bytes);
        const mac = await macLines(key, lines);
        const mac_before = mac.slice();
        expect(mac).toEqual(new Uint8Array(nodeMac(nodeArchiveKey(bytes), lines)));
        expect(mac.buffer.byteLength).toBe(32);
        expect(await outcome(verifyLines(key, lines, mac))).toBe("verifies");
        expect([lines, mac]).toEqual([before, mac_before]);
      }),
      { numRuns: RUNS },
    );
  });

  test("is of these lines alone: any other list is refused", async () => {
    await fc.assert(
      fc.asyncProperty(texts, texts, async (lines, others) => {
        const same = Buffer.compare(prefixed(...lines), prefixed(...others)) === 0;
        const outcome = await verified({ lines: others, mac: await macLines(vault_key, lines) });
        expect(outcome).toBe(same ? "verifies" : "mac-mismatch");
      }),
      { numRuns: RUNS },
    );
  });

  test("refuses every single flipped bit of every line, of the MAC and of the vault key: mac-mismatch", async () => {
    for (const [index, line] of lines.entries()) {
      for (let bit = 0; bit < line.length * 8; bit++) {
        expect(await verified({ lines: lines.with(index, flipped(line, bit)) })).toBe("mac-mismatch");
      }
    }
    for (let bit = 0; bit < 256; bit++) {
      expect(await verified({ mac: flipped(mac, bit) })).toBe("mac-mismatch");
      const other = await importVaultKey(flipped(vault_key_bytes, bit));
      expect(await outcome(verifyLines(other, lines, mac))).toBe("mac-mismatch");
    }
  });

  test("refuses lines that are missing, twice, added, or in any other order", async () => {
    const distinct = ["header", "first", "second", "third"].map(encodeUtf8);
    const mac = await macLines(vault_key, distinct);
    const orders = permutations(distinct);
    const taken: number[] = [];
    for (const [index, lines] of orders.entries()) {
      if ((await verified({ lines, mac })) === "verifies") taken.push(index);
    }
    expect([orders.length, taken]).toEqual([24, [0]]);
    for (const [index, line] of distinct.entries()) {
      const added = [new Uint8Array(), line, encodeUtf8("fourth")];
      for (const lines of [
        distinct.toSpliced(index, 1),
        ...added.map((line) => distinct.toSpliced(index, 0, line)),
        [...distinct, line],
        distinct.slice(0, index),
      ]) {
        expect(await verified({ lines, mac })).toBe("mac-mismatch");
      }
    }
  });

  function permutations<Item>(items: readonly Item[]): Item[][] {
    if (items.length === 0) return [[]];
    return items.flatMap((item, index) =>
      permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]),
    );
  }

  test("refuses bytes that move over the end of a line, wherever it is", async () => {
    const text = "the header and the entry";
    const cuts = Array.from({ length: text.length + 1 }, (_, cut) =>
      [text.slice(0, cut), text.slice(cut)].map(encodeUtf8),
    );
    const macs = await Promise.all(cuts.map((lines) => macLines(vault_key, lines)));
    expect(new Set([...macs, await macLines(vault_key, [encodeUtf8(text)])].map(encodeHex)).size).toBe(
      cuts.length + 1,
    );
  });

  test("refuses a line that is the digest of another, and the digests in the lines' place", async () => {
    const digests = lines.map((line) => new Uint8Array(createHash("sha256").update(line).digest()));
    expect(await verified({ lines: digests })).toBe("mac-mismatch");
    for (const [index, digest] of digests.entries()) {
      expect(await verified({ lines: lines.with(index, digest) })).toBe("mac-mismatch");
    }
  });

  test.each([0, 1, 16, 31, 33, 64])("refuses a MAC of %i bytes: mac-mismatch", async (length_bytes) => {
    const other = new Uint8Array(length_bytes);
    other.set(mac.subarray(0, length_bytes));
    expect(await verified({ mac: other })).toBe("mac-mismatch");
  });

  test("is of nothing as well, and of 10,001 lines", async () => {
    const none = await macLines(vault_key, []);
    expect(await verified({ lines: [], mac: none })).toBe("verifies");
    const many = Array.from({ length: 10_001 }, (_, index) => encodeUtf8(`line ${index}`));
    const of_many = await macLines(vault_key, many);
    expect(of_many).toEqual(new Uint8Array(nodeMac(nodeArchiveKey(vault_key_bytes), many)));
    expect(await verified({ lines: many.slice(0, -1), mac: of_many })).toBe("mac-mismatch");
  });

  test("is of what the lines were when it was asked for: a caller may wipe or change them at once", async () => {
    const mine = lines.map((line) => line.slice());
    const making = macLines(vault_key, mine);
    for (const line of mine) line.fill(0);
    mine.length = 0;
    expect(await making).toEqual(mac);

    const theirs = [...lines.map((line) => line.slice()), encodeUtf8("canary added")];
    const verifying = verified({ lines: theirs });
    theirs.pop()?.fill(0);
    expect(await verifying).toBe("mac-mismatch");
  });

  test("is of many lines, and of long ones, as they were when it was asked for", async () => {
    const long = [1 << 20, 3, 1 << 20, 0, 65_537].map((length) => new Uint8Array(length).fill(7));
    const many = [...long, ...Array.from({ length: 2000 }, (_, index) => encodeUtf8(`line ${index}`))];
    const expected = new Uint8Array(nodeMac(nodeArchiveKey(vault_key_bytes), many));
    const making = macLines(vault_key, many);
    for (const line of many) line.fill(0);
    expect(await making).toEqual(expected);
  });

  test("fails as one promise, with nothing left over, when the key is for something else", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    try {
      const other = await crypto.subtle.importKey("raw", makeKey(), "AES-GCM", false, ["encrypt"]);
      const broken = [...lines, "canary" as unknown as Uint8Array];
      expect(await macLines(other, broken).catch(() => "refused")).toBe("refused");
      await Bun.sleep(10);
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", note);
    }
  });

  test("reads a view, and not the buffer around it", async () => {
    const views = lines.map((line) => Uint8Array.from([9, ...line, 9]).subarray(1, -1));
    expect(await macLines(vault_key, views)).toEqual(mac);
  });
});
