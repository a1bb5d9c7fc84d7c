import { describe, expect, spyOn, test } from "bun:test";
import { type CipherGCMTypes, createCipheriv, createDecipheriv } from "node:crypto";
import fc from "fast-check";
import { type AeadKey, open, type Sealed, seal } from "../../src/crypto/aead.ts";
import { concatPrefixed, decodeHex, encodeHex, encodeUtf8 } from "../../src/crypto/bytes.ts";
import vectors from "../vectors/aes-256-gcm.json";

const RUNS = process.env.SLOW ? 20_000 : 300;

const random = (length_bytes: number) => crypto.getRandomValues(new Uint8Array(length_bytes));
const CANARY = "canary: this text must stay in";
const key = random(32);
const associated_data = concatPrefixed(["blindvault/1", "entry", "account", "id", "1"].map(encodeUtf8));
const encrypt_key = await importAes(key, ["encrypt"]);
const decrypt_key = await importAes(key, ["decrypt"]);
const sealed = await seal({ key, plaintext: encodeUtf8(CANARY), associated_data });

function importAes(bytes: Uint8Array<ArrayBuffer>, usages: KeyUsage[], name = "AES-GCM"): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", bytes, name, false, usages);
}

/** The code of the error that has one. Any other, and none, fails the test. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => new Error("It opens"),
    (error: unknown) => error,
  );
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  throw error;
}

/** "opens", or the code of the error. Anything without a code is a mistake of ours and fails the test. */
async function outcome(input: Partial<Parameters<typeof open>[0]> = {}): Promise<string> {
  const error = await failure(input);
  return error === undefined ? "opens" : error.code;
}

async function failure(input: Partial<Parameters<typeof open>[0]>) {
  try {
    await open({ key, sealed, associated_data, ...input });
    return undefined;
  } catch (error) {
    if (error instanceof Error && "code" in error && typeof error.code === "string") {
      return error as Error & { code: string };
    }
    throw error;
  }
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  return bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7)));
}

/** `bytes` cut or filled up with zeros. */
function resized(bytes: Uint8Array, length_bytes: number): Uint8Array {
  const copy = new Uint8Array(length_bytes);
  copy.set(bytes.subarray(0, length_bytes));
  return copy;
}

type Message = Sealed & { key: Uint8Array; associated_data: Uint8Array };

type Plain = Omit<Message, "ciphertext" | "tag"> & { plaintext: Uint8Array };

function nodeSeal(input: Plain): Omit<Sealed, "iv"> {
  const cipher = createCipheriv("aes-256-gcm", input.key, input.iv, { authTagLength: 16 });
  cipher.setAAD(input.associated_data);
  const ciphertext = new Uint8Array(Buffer.concat([cipher.update(input.plaintext), cipher.final()]));
  return { ciphertext, tag: new Uint8Array(cipher.getAuthTag()) };
}

/** Throws unless the message is authentic, whatever the sizes of its key, iv and tag. */
function nodeOpen({ key, iv, associated_data, ciphertext, tag }: Message): Uint8Array {
  const cipher = `aes-${key.length * 8}-gcm` as CipherGCMTypes;
  const decipher = createDecipheriv(cipher, key, iv, { authTagLength: tag.length });
  decipher.setAAD(associated_data);
  decipher.setAuthTag(tag);
  return new Uint8Array(Buffer.concat([decipher.update(ciphertext), decipher.final()]));
}

type Fields = { [part in keyof Message]: string };

function messageOf(fields: Fields): Message {
  return {
    key: decodeHex(fields.key),
    iv: decodeHex(fields.iv),
    associated_data: decodeHex(fields.associated_data),
    ciphertext: decodeHex(fields.ciphertext),
    tag: decodeHex(fields.tag),
  };
}

describe("vectors", () => {
  test.each(vectors.opens)(
    "opens for ever: $name",
    async ({ plaintext, associated_data_parts, ...fields }) => {
      const message = messageOf(fields);
      const { ciphertext, tag } = nodeSeal({ ...message, plaintext: decodeHex(plaintext) });
      expect([encodeHex(ciphertext), encodeHex(tag)]).toEqual([fields.ciphertext, fields.tag]);
      expect(encodeHex(await open({ ...message, sealed: message }))).toBe(plaintext);
      if (associated_data_parts !== undefined) {
        const joined = concatPrefixed(associated_data_parts.map(encodeUtf8));
        expect(encodeHex(joined)).toBe(fields.associated_data);
      }
    },
  );

  test.each(vectors.fails)("fails for ever: $name: $error", async ({ authentic, error, ...fields }) => {
    const message = messageOf(fields);
    if (authentic) nodeOpen(message);
    expect(await outcome({ ...message, sealed: message })).toBe(error);
  });
});

describe("seal", () => {
  test("round-trips, also from and to node:crypto, and leaves its inputs as they were", async () => {
    await fc.assert(
      fc.asyncProperty(messages, async (message) => {
        const before = structuredClone(message);
        const { iv, ciphertext, tag } = await seal(message);
        expect(nodeSeal({ ...message, iv })).toEqual({ ciphertext, tag });
        expect(nodeOpen({ ...message, iv, ciphertext, tag })).toEqual(before.plaintext);

        const other_iv = random(12);
        const theirs = { iv: other_iv, ...nodeSeal({ ...message, iv: other_iv }) };
        const by_key = await seal({ ...message, key: await importAes(message.key, ["encrypt"]) });
        expect(nodeOpen({ ...message, ...by_key })).toEqual(before.plaintext);
        for (const key of [message.key, await importAes(message.key, ["decrypt"])]) {
          for (const sealed of [{ iv, ciphertext, tag }, theirs, by_key]) {
            const sealed_before = structuredClone(sealed);
            expect(await open({ ...message, key, sealed })).toEqual(before.plaintext);
            expect(sealed).toEqual(sealed_before);
          }
        }
        expect(message).toEqual(before);
      }),
      { numRuns: RUNS },
    );
  });

  test.each([0, 1, 15, 16, 17, 65_535, 65_536, 65_537])(
    "takes a plaintext of %i bytes",
    async (length_bytes) => {
      const plaintext = random(length_bytes);
      for (const [sealing_key, opening_key] of [
        [key, decrypt_key],
        [encrypt_key, key],
      ] as const) {
        const made = await seal({ key: sealing_key, plaintext, associated_data });
        expect([made.ciphertext.length, made.iv.length, made.tag.length]).toEqual([length_bytes, 12, 16]);
        expect(await open({ key: opening_key, sealed: made, associated_data })).toEqual(plaintext);
      }
    },
  );

  test("gives 100,000 messages 100,000 nonces, even in every bit, and no ciphertext twice", async () => {
    const count = 100_000;
    const plaintext = new Uint8Array(16);
    const [ivs, ciphertexts] = [new Set<string>(), new Set<string>()];
    const ones = new Array<number>(96).fill(0);
    for (let batch = 0; batch < count / 1000; batch++) {
      const made = await Promise.all(
        Array.from({ length: 1000 }, () => seal({ key, plaintext, associated_data })),
      );
      for (const { iv, ciphertext } of made) {
        ivs.add(encodeHex(iv));
        ciphertexts.add(encodeHex(ciphertext));
        for (let bit = 0; bit < 96; bit++)
          ones[bit] = (ones[bit] ?? 0) + (((iv[bit >> 3] ?? 0) >> (bit & 7)) & 1);
      }
    }
    expect(ivs.size).toBe(count);
    expect(ciphertexts.size).toBe(count);
    // Seven standard deviations of 158 either way: chance gets there once in some thousand million runs.
    expect(ones.filter((set) => Math.abs(set - count / 2) > 7 * Math.sqrt(count / 4))).toEqual([]);
  }, 60_000);

  test("takes no nonce from its caller", async () => {
    const iv = new Uint8Array(12);
    const made = await seal({ key, plaintext: encodeUtf8(CANARY), associated_data, ...{ iv } });
    expect(made.iv).not.toEqual(iv);
  });

  test.each([0, 1, 16, 1024, 65_536])(
    "gives parts of %i bytes that share no memory with each other or with what was given",
    async (length_bytes) => {
      for (const sealing_key of [key, encrypt_key]) {
        const plaintext = random(length_bytes);
        const { ciphertext, iv, tag } = await seal({ key: sealing_key, plaintext, associated_data });
        const opened = [
          await open({ key, sealed: { ciphertext, iv, tag }, associated_data }),
          await open({ key: decrypt_key, sealed: { ciphertext, iv, tag }, associated_data }),
        ];
        const parts = [ciphertext, iv, tag, ...opened];
        expect(parts.map(({ buffer }) => buffer.byteLength)).toEqual(parts.map(({ length }) => length));
        const given = [key, plaintext, associated_data];
        expect(new Set([...given, ...parts].map(({ buffer }) => buffer)).size).toBe(8);
        expect(parts.every((part) => Object.getPrototypeOf(part) === Uint8Array.prototype)).toBe(true);

        for (const part of [ciphertext, iv, tag, plaintext]) part.fill(0xff);
        expect(opened.every((bytes) => length_bytes === 0 || bytes.some((byte) => byte !== 0xff))).toBe(true);
      }
    },
  );
});

describe("seal and open", () => {
  test("take keys of 32 bytes, and refuse 0, 15, 16, 24, 31, 33 and 64: key-length", async () => {
    for (const length_bytes of [0, 15, 16, 24, 31, 32, 33, 64]) {
      const other = random(length_bytes);
      const sealing = seal({ key: other, plaintext: encodeUtf8(CANARY), associated_data });
      const [made, code] = await sealing.then(
        (made) => [made, "opens"] as const,
        ({ code }) => [sealed, code] as const,
      );
      const expected = length_bytes === 32 ? "opens" : "key-length";
      expect([code, await outcome({ key: other, sealed: made })]).toEqual([expected, expected]);
    }
  });

  test("refuse empty associated data and take one byte of it", async () => {
    const sealWith = (data: Uint8Array) =>
      seal({ key, plaintext: encodeUtf8(CANARY), associated_data: data });
    expect(await sealWith(new Uint8Array()).catch(({ code }) => code)).toBe("associated-data-empty");
    expect(await outcome({ associated_data: new Uint8Array() })).toBe("associated-data-empty");
    const one = new Uint8Array(1);
    expect(await outcome({ sealed: await sealWith(one), associated_data: one })).toBe("opens");
  });

  test.each<[string, KeyUsage[], string, number]>([
    ["AES-GCM", ["encrypt", "decrypt"], "AES-GCM", 16],
    ["AES-GCM", ["encrypt", "decrypt"], "AES-GCM", 24],
    ["AES-CBC", ["encrypt", "decrypt"], "AES-CBC", 32],
    ["AES-CTR", ["encrypt", "decrypt"], "AES-CTR", 32],
    ["AES-KW", ["wrapKey", "unwrapKey"], "AES-KW", 32],
    ["HKDF", ["deriveBits", "deriveKey"], "HKDF", 32],
    ["PBKDF2", ["deriveBits", "deriveKey"], "PBKDF2", 32],
  ])(
    "refuse a key of WebCrypto's for %s %j (%s, %i bytes): key-length",
    async (_, usages, name, size_bytes) => {
      await expectRefused(await importAes(random(size_bytes), usages, name), "key-length");
    },
  );

  test("refuse keys of WebCrypto's for HMAC, RSA and ECDH: key-length", async () => {
    const hmac = { name: "HMAC", hash: "SHA-256" };
    const rsa = {
      name: "RSA-OAEP",
      hash: "SHA-256",
      modulusLength: 2048,
      publicExponent: Uint8Array.of(1, 0, 1),
    };
    const pairs = [
      await crypto.subtle.generateKey(rsa, false, ["encrypt", "decrypt"]),
      await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, false, ["deriveBits"]),
    ];
    const others = [
      await crypto.subtle.importKey("raw", random(32), hmac, false, ["sign", "verify"]),
      ...pairs.flatMap(({ privateKey, publicKey }) => [privateKey, publicKey]),
    ];
    for (const other of others) await expectRefused(other, "key-length");
  });

  test("refuse a key of WebCrypto's for another operation, and blame no message for it: key-usage", async () => {
    const message = { plaintext: encodeUtf8(CANARY), associated_data };
    for (const usages of [["decrypt"], ["wrapKey"], ["decrypt", "wrapKey", "unwrapKey"]] as KeyUsage[][]) {
      expect(await codeOf(seal({ ...message, key: await importAes(key, usages) }))).toBe("key-usage");
    }
    for (const usages of [["encrypt"], ["unwrapKey"], ["encrypt", "wrapKey", "unwrapKey"]] as KeyUsage[][]) {
      expect(await outcome({ key: await importAes(key, usages) })).toBe("key-usage");
    }
  });

  test("take a key of WebCrypto's that serves both operations, or can be exported", async () => {
    const usages: KeyUsage[] = ["encrypt", "decrypt"];
    for (const extractable of [false, true]) {
      const both = await crypto.subtle.importKey("raw", key, "AES-GCM", extractable, usages);
      const made = await seal({ key: both, plaintext: encodeUtf8(CANARY), associated_data });
      expect(await outcome({ key: both, sealed: made })).toBe("opens");
    }
  });

  async function expectRefused(other: CryptoKey, code: string): Promise<void> {
    const message = { key: other, plaintext: encodeUtf8(CANARY), associated_data };
    expect([await codeOf(seal(message)), await outcome({ key: other })]).toEqual([code, code]);
  }

  test.each<[string, () => AeadKey, () => AeadKey]>([
    ["bytes", () => key.slice(), () => key.slice()],
    ["a key of WebCrypto's", () => encrypt_key, () => decrypt_key],
  ])(
    "have copied their inputs when they return, with %s: a caller may wipe them at once",
    async (...kinds) => {
      const [, sealingKey, openingKey] = kinds;
      for (const copy of [(bytes: Uint8Array) => bytes.slice(), bufferOf]) {
        const input = {
          key: sealingKey(),
          plaintext: copy(encodeUtf8(CANARY)),
          associated_data: copy(associated_data),
        };
        const sealing = seal(input);
        wipe(Object.values(input));
        const made = await sealing;
        expect(made.ciphertext).not.toEqual(encodeUtf8(CANARY));
        expect(nodeOpen({ key, associated_data, ...made })).toEqual(encodeUtf8(CANARY));

        const parts = { ciphertext: copy(made.ciphertext), iv: copy(made.iv), tag: copy(made.tag) };
        const again = { key: openingKey(), associated_data: copy(associated_data), sealed: parts };
        const opening = open(again);
        wipe([again.key, again.associated_data, ...Object.values(parts)]);
        expect(await opening).toEqual(encodeUtf8(CANARY));
      }
    },
  );

  test("have copied inputs of a megabyte, a hundred at once, when they return", async () => {
    const plaintext = new Uint8Array(1 << 20).fill(7);
    const data = new Uint8Array(1 << 16).fill(7);
    for (const sealing_key of [key, encrypt_key]) {
      const inputs = Array.from({ length: 100 }, (_, index) => ({
        key: sealing_key,
        plaintext: index === 0 ? plaintext.slice() : encodeUtf8(CANARY),
        associated_data: data.slice(),
      }));
      const sealing = inputs.map(seal);
      for (const input of inputs) wipe([input.plaintext, input.associated_data]);
      const [first, second] = await Promise.all(sealing);
      if (first === undefined || second === undefined) throw new Error("There are a hundred");
      const opened = nodeOpen({ key, associated_data: data, ...first });
      expect(Buffer.compare(opened, plaintext)).toBe(0);
      expect(nodeOpen({ key, associated_data: data, ...second })).toEqual(encodeUtf8(CANARY));
    }
  });

  /** A view of a longer buffer, as Node's are; its own `slice` would give another view. */
  function bufferOf(bytes: Uint8Array): Buffer {
    return Buffer.from([9, ...bytes, 9]).subarray(1, -1);
  }

  function wipe(all: readonly AeadKey[]): void {
    for (const bytes of all) if (bytes instanceof Uint8Array) bytes.fill(0);
  }

  test("read a view, and not the buffer around it", async () => {
    const view = (bytes: Uint8Array) => Uint8Array.from([9, ...bytes, 9]).subarray(1, -1);
    const input = { key: view(key), associated_data: view(associated_data) };
    const made = await seal({ ...input, plaintext: view(encodeUtf8(CANARY)) });
    expect(await open({ key, associated_data, sealed: made })).toEqual(encodeUtf8(CANARY));
    const parts = { ciphertext: view(made.ciphertext), iv: view(made.iv), tag: view(made.tag) };
    expect(await open({ ...input, sealed: parts })).toEqual(encodeUtf8(CANARY));
  });

  test("import a key for one operation and so that it cannot be exported", async () => {
    const spy = spyOn(crypto.subtle, "importKey");
    try {
      await open({ key, associated_data, sealed: await seal({ key, associated_data, plaintext: key }) });
      const calls = spy.mock.calls.map((call) => JSON.stringify([call[0], call[3], call[4]]));
      expect(calls).toEqual(['["raw",false,["encrypt"]]', '["raw",false,["decrypt"]]']);
    } finally {
      spy.mockRestore();
    }
  });
});

describe("open", () => {
  const { ciphertext, iv, tag } = sealed;
  test.each<[string, Uint8Array, (bytes: Uint8Array) => Partial<Parameters<typeof open>[0]>]>([
    ["tampered ciphertext", ciphertext, (bytes) => ({ sealed: { ...sealed, ciphertext: bytes } })],
    ["tampered IV", iv, (bytes) => ({ sealed: { ...sealed, iv: bytes } })],
    ["tampered tag", tag, (bytes) => ({ sealed: { ...sealed, tag: bytes } })],
    ["tampered associated data", associated_data, (bytes) => ({ associated_data: bytes })],
    ["wrong key", key, (bytes) => ({ key: bytes })],
  ])("refuses every single flipped bit: %s", async (_, part, inputWith) => {
    for (let bit = 0; bit < part.length * 8; bit++) {
      expect(`${bit} ${await outcome(inputWith(flipped(part, bit)))}`).toBe(`${bit} does-not-open`);
    }
  });

  test("refuses a wrong key, also of nothing but zeros", async () => {
    for (const wrong of [random(32), new Uint8Array(32), key.toReversed()]) {
      expect(await outcome({ key: wrong })).toBe("does-not-open");
    }
  });

  test("refuses swapped parts: of two messages only the whole ones open", async () => {
    const other = await seal({ key, plaintext: encodeUtf8(CANARY), associated_data });
    const opened: string[] = [];
    for (const choice of ["000", "001", "010", "011", "100", "101", "110", "111"]) {
      const from = (position: number) => (choice[position] === "0" ? sealed : other);
      const mixed = { ciphertext: from(0).ciphertext, iv: from(1).iv, tag: from(2).tag };
      if ((await outcome({ sealed: mixed })) === "opens") opened.push(choice);
    }
    expect(opened).toEqual(["000", "111"]);
  });

  test("refuses parts in each other's place", async () => {
    const data_for_text = { sealed: { ...sealed, ciphertext: associated_data }, associated_data: ciphertext };
    expect(await outcome(data_for_text)).toBe("does-not-open");
    expect(await outcome({ sealed: { ciphertext, iv: tag.slice(0, 12), tag: resized(iv, 16) } })).toBe(
      "does-not-open",
    );
    expect(await outcome({ sealed: { ciphertext, iv: tag, tag: iv } })).toBe("tag-length");
  });

  test.each([0, 1, 4, 8, 12, 13, 14, 15, 17, 32])(
    "refuses a tag of %i bytes: tag-length",
    async (length_bytes) => {
      const wrong = { ...sealed, tag: resized(tag, length_bytes) };
      expect(await outcome({ sealed: wrong })).toBe("tag-length");
    },
  );

  test("refuses a byte that moves between ciphertext and tag", async () => {
    const all = Uint8Array.from([...ciphertext, ...tag]);
    for (const cut of [ciphertext.length - 1, ciphertext.length + 1]) {
      const moved = { iv, ciphertext: all.slice(0, cut), tag: all.slice(cut) };
      expect(await outcome({ sealed: moved })).toBe("tag-length");
    }
  });

  test.each([0, 1, 8, 11, 13, 16])("refuses an IV of %i bytes: iv-length", async (length_bytes) => {
    expect(await outcome({ sealed: { ...sealed, iv: resized(iv, length_bytes) } })).toBe("iv-length");
  });

  test("refuses a ciphertext cut or extended anywhere", async () => {
    for (let length_bytes = 0; length_bytes <= ciphertext.length + 17; length_bytes++) {
      const other = { ...sealed, ciphertext: resized(ciphertext, length_bytes) };
      const expected = length_bytes === ciphertext.length ? "opens" : "does-not-open";
      expect(await outcome({ sealed: other })).toBe(expected);
    }
  });

  test("refuses associated data whose bytes were shifted from one part to the next", async () => {
    const text = "account11";
    const splits = Array.from({ length: text.length + 1 }, (_, cut) =>
      concatPrefixed([text.slice(0, cut), text.slice(cut)].map(encodeUtf8)),
    );
    for (const [from, data] of splits.entries()) {
      const made = await seal({ key, plaintext: encodeUtf8(CANARY), associated_data: data });
      const opened: number[] = [];
      for (const [to, other] of splits.entries()) {
        if ((await outcome({ sealed: made, associated_data: other })) === "opens") opened.push(to);
      }
      expect(opened).toEqual([from]);
    }
  });

  test("refuses whatever differs in any part", async () => {
    const change = fc.record({
      part: fc.constantFrom("key", "associated_data", "ciphertext", "iv", "tag"),
      at: fc.nat(),
      difference: fc.integer({ min: 1, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(messages, change, async (message, { part, at, difference }) => {
        const made: Message = { ...message, ...(await seal(message)) };
        const before = made[part];
        fc.pre(before.length > 0);
        const index = at % before.length;
        made[part] = before.with(index, (before[index] ?? 0) ^ difference);
        expect(await outcome({ ...made, sealed: made })).toBe("does-not-open");
      }),
      { numRuns: RUNS },
    );
  });

  test("lets no plaintext out when it fails, and does not tell why", async () => {
    const failures = await Promise.all(
      [
        { key: flipped(key, 0) },
        { associated_data: flipped(associated_data, 0) },
        { sealed: { ...sealed, iv: flipped(iv, 0) } },
        { sealed: { ...sealed, tag: flipped(tag, 127) } },
        { sealed: { ...sealed, ciphertext: flipped(ciphertext, ciphertext.length * 8 - 1) } },
        { sealed: { ...sealed, ciphertext: new Uint8Array() } },
      ].map(failure),
    );
    for (const error of failures) {
      expect(Object.keys(error ?? {})).toEqual(["code"]);
      expect(error?.cause).toBeUndefined();
      expect(Bun.inspect(error)).not.toContain(CANARY.slice(0, 6));
    }
    expect(new Set(failures.map((error) => `${error?.code} ${error?.message}`)).size).toBe(1);
  });
});

const messages = fc.record({
  key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  plaintext: fc.uint8Array({ maxLength: 200 }),
  associated_data: fc.uint8Array({ minLength: 1, maxLength: 100 }),
});
