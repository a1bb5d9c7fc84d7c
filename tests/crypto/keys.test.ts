import { describe, expect, test } from "bun:test";
import { argon2Sync, createDecipheriv, createHash, hkdfSync } from "node:crypto";
import fc from "fast-check";
import { argon2id } from "hash-wasm";
import { seal } from "../../src/crypto/aead.ts";
import { decodeHex, encodeHex } from "../../src/crypto/bytes.ts";
import {
  deriveAccountKeys,
  deriveArchiveKey,
  deriveEntryKey,
  deriveRootKey,
  deriveStateKey,
  importVaultKey,
  type KdfParameters,
  makeKey,
  makeSalt,
  type RootKeyInput,
} from "../../src/crypto/keys.ts";
import { prefixed } from "../support/outcome.ts";
import vectors from "../vectors/root-key.json";

const RUNS = process.env.SLOW ? 5000 : 100;
/** Each Argon2id takes an instance of WebAssembly, and with it a collection of whatever the other tests have left. */
const ARGON2_RUNS = process.env.SLOW ? 1000 : 20;
/** Such a collection can take a tenth of a second when all tests run in one process. */
const PATIENCE_MS = process.env.SLOW ? 300_000 : 30_000;
const CANARY = "canary horse example vector";
const PURPOSES = ["auth", "wrap", "commit", "entry", "archive", "state"];
/** The least that Argon2 has, and no client accepts: where only the inputs matter. */
const TINY: KdfParameters = { memory_kib: 8, iterations: 1, parallelism: 1 };

const ONE = Uint8Array.of(1);

const random = (length_bytes: number) => crypto.getRandomValues(new Uint8Array(length_bytes));
const input: RootKeyInput = {
  master_password: "correct horse example vector",
  username: "example_user",
  encryption_salt: encodeHex(random(32)),
  kdf: TINY,
};

/** Any at all, and often one that has several spellings. fast-check's own makes a table of all, which costs every collection. */
const character = fc.oneof(
  fc.constantFrom(
    "\u00e9",
    "e\u0301",
    "\u212b",
    "\u1e9b\u0323",
    "\uac00",
    "\u1100\u1161",
    "\u0344",
    "\u2126",
  ),
  fc
    .integer({ min: 0, max: 0x10ffff })
    .map((code_point) => String.fromCodePoint(code_point))
    .filter((text) => text.isWellFormed()),
);

/** Argon2id by node:crypto, which is an implementation of its own and takes associated data as well. */
function nodeArgon2id(message: string | Uint8Array, nonce: Uint8Array, kdf: KdfParameters, more = {}) {
  return argon2Sync("argon2id", {
    ...{ message, nonce, tagLength: 32 },
    ...{ memory: kdf.memory_kib, passes: kdf.iterations, parallelism: kdf.parallelism },
    ...more,
  }).toString("hex");
}

function nodeSalt({ username, encryption_salt }: { username: string; encryption_salt: string }): Buffer {
  const parts = prefixed("blindvault/1", "salt", username.toLowerCase(), Buffer.from(encryption_salt, "hex"));
  return createHash("sha256").update(parts).digest();
}

function nodeExpand(key: Uint8Array, purpose: string, ...subject: string[]): string {
  const info = prefixed(`blindvault/1/${purpose}`, ...subject);
  return Buffer.from(hkdfSync("sha256", key, "", info, 32)).toString("hex");
}

/** Whether node:crypto opens with these bytes what WebCrypto seals with the key: it cannot be read. */
async function isKey(key: CryptoKey, hex: string): Promise<boolean> {
  const { ciphertext, iv, tag } = await seal({ key, plaintext: ONE, associated_data: ONE });
  const decipher = createDecipheriv("aes-256-gcm", decodeHex(hex), iv, { authTagLength: 16 });
  decipher.setAAD(ONE);
  decipher.setAuthTag(tag);
  const opened = decipher.update(ciphertext);
  try {
    decipher.final();
  } catch {
    return false;
  }
  return opened.equals(ONE);
}

async function hexOfAccountKeys(root_key: Uint8Array) {
  const { auth_key, wrap_key, commitment } = await deriveAccountKeys(root_key);
  return { auth_key: encodeHex(auth_key), wrap_key: encodeHex(wrap_key), commitment: encodeHex(commitment) };
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(Bun.inspect(error)).not.toContain("canary");
  return (error as { code?: unknown } | undefined)?.code ?? "no code";
}

describe("Argon2id", () => {
  // The whole of this vector has a secret and associated data; hash-wasm takes no associated data, node:crypto does. So
  // the RFC vouches for node:crypto, and node:crypto for hash-wasm.
  test("of node:crypto is that of RFC 9106, section 5.3", () => {
    const kdf = { memory_kib: 32, iterations: 3, parallelism: 4 };
    const more = { secret: Buffer.alloc(8, 3), associatedData: Buffer.alloc(12, 4) };
    expect(nodeArgon2id(Buffer.alloc(32, 1), Buffer.alloc(16, 2), kdf, more)).toBe(
      "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659",
    );
  });

  // The reference implementation (P-H-C/phc-winner-argon2), src/test.c: Argon2id, version 0x13, two passes.
  test.each([
    ["password", "somesalt", 65_536, 1, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"],
    ["password", "somesalt", 256, 1, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"],
    ["password", "somesalt", 256, 2, "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"],
    ["password", "diffsalt", 65_536, 1, "bdf32b05ccc42eb15d58fd19b1f856b113da1e9a5874fdcc544308565aa8141c"],
  ])(
    "of %j and %j with %i KiB and %i lanes is the reference's",
    async (password, salt, memory, lanes, tag) => {
      const kdf = { memory_kib: memory, iterations: 2, parallelism: lanes };
      expect(await wasm(password, Buffer.from(salt), kdf)).toBe(tag);
      expect(nodeArgon2id(password, Buffer.from(salt), kdf)).toBe(tag);
    },
  );

  test(
    "of hash-wasm is node's for any password, salt, secret and lanes",
    async () => {
      const inputs = fc.record({
        password: fc.uint8Array({ minLength: 1, maxLength: 300 }),
        salt: fc.uint8Array({ minLength: 8, maxLength: 64 }),
        secret: fc.uint8Array({ maxLength: 32 }),
        iterations: fc.integer({ min: 1, max: 3 }),
        parallelism: fc.integer({ min: 1, max: 5 }),
        memory_over_least_kib: fc.integer({ min: 0, max: 50 }),
      });
      await fc.assert(
        fc.asyncProperty(inputs, async ({ password, salt, secret, memory_over_least_kib, ...rest }) => {
          const kdf = { ...rest, memory_kib: 8 * rest.parallelism + memory_over_least_kib };
          expect(await wasm(password, salt, kdf, secret)).toBe(nodeArgon2id(password, salt, kdf, { secret }));
        }),
        { numRuns: ARGON2_RUNS },
      );
    },
    PATIENCE_MS,
  );

  function wasm(password: string | Uint8Array, salt: Uint8Array, kdf: KdfParameters, secret?: Uint8Array) {
    const { memory_kib: memorySize, iterations, parallelism } = kdf;
    const cost = { memorySize, iterations, parallelism, hashLength: 32 };
    return argon2id({ password, salt, ...cost, ...(secret !== undefined && { secret }), outputType: "hex" });
  }
});

// RFC 5869, appendix A: the cases with SHA-256. The third is what `expand` does: no salt.
test.each([
  {
    of: "A.1, basic",
    ikm: "0b".repeat(22),
    salt: "000102030405060708090a0b0c",
    info: "f0f1f2f3f4f5f6f7f8f9",
    okm: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
  },
  {
    of: "A.2, longer",
    ikm: range(0x00, 0x50),
    salt: range(0x60, 0xb0),
    info: range(0xb0, 0x100),
    okm: "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
  },
  {
    of: "A.3, without salt and info",
    ikm: "0b".repeat(22),
    salt: "",
    info: "",
    okm: "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
  },
])("HKDF-SHA256 of WebCrypto and of node:crypto is that of RFC 5869, $of", async ({ okm, ...hex }) => {
  const [ikm, salt, info] = [decodeHex(hex.ikm), decodeHex(hex.salt), decodeHex(hex.info)];
  const base = await crypto.subtle.importKey("raw", ikm, "HKDF", false, ["deriveBits"]);
  const algorithm = { name: "HKDF", hash: "SHA-256", salt, info };
  const bits = await crypto.subtle.deriveBits(algorithm, base, okm.length * 4);
  expect(encodeHex(new Uint8Array(bits))).toBe(okm);
  expect(Buffer.from(hkdfSync("sha256", ikm, salt, info, okm.length / 2)).toString("hex")).toBe(okm);
});

function range(from: number, to: number): string {
  return encodeHex(Uint8Array.from({ length: to - from }, (_, index) => from + index));
}

describe("vectors", () => {
  test.each(vectors.derives)(
    "derives for ever: $name",
    async ({ name: _, argon2_salt, root_key, ...rest }) => {
      const { master_password, username, encryption_salt, kdf, ...account_keys } = rest;
      expect(encodeHex(nodeSalt(rest))).toBe(argon2_salt);
      const composed = master_password.normalize("NFC");
      expect(nodeArgon2id(composed, decodeHex(argon2_salt), kdf)).toBe(root_key);
      const key = decodeHex(root_key);
      expect(account_keys).toEqual({
        auth_key: nodeExpand(key, "auth"),
        wrap_key: nodeExpand(key, "wrap"),
        commitment: nodeExpand(key, "commit"),
      });

      const derived = await deriveRootKey({ master_password, username, encryption_salt, kdf });
      expect(encodeHex(derived)).toBe(root_key);
      expect(await hexOfAccountKeys(derived)).toEqual(account_keys);
    },
  );

  test.each(vectors.fails)("fails for ever: $name: $error", async ({ error, ...fields }) => {
    expect(await codeOf(deriveRootKey(fields))).toBe(error);
  });

  test("have the same keys for the same accents, composed and decomposed, and for a username in capitals", () => {
    const passwords = Map.groupBy(vectors.derives, ({ root_key }) => root_key);
    const same = [...passwords.values()].filter(({ length }) => length > 1);
    expect(same.map((group) => group.map(({ name }) => name))).toEqual([
      ["the least that a client accepts", "a username in capitals is the same one"],
      ["accents composed (NFC)", "the same accents decomposed (NFD)"],
    ]);
  });
});

describe("deriveRootKey", () => {
  test(
    "is Argon2id of the composed password and the bound salt, whatever they are",
    async () => {
      const inputs = fc.record({
        master_password: fc.string({ unit: character, minLength: 1 }),
        username: fc.stringMatching(/^[A-Za-z0-9_]{3,30}$/),
        encryption_salt: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(encodeHex),
        kdf: fc.record({
          memory_kib: fc.integer({ min: 24, max: 80 }),
          iterations: fc.integer({ min: 1, max: 3 }),
          parallelism: fc.integer({ min: 1, max: 3 }),
        }),
      });
      await fc.assert(
        fc.asyncProperty(inputs, async (input) => {
          const before = structuredClone(input);
          const composed = input.master_password.normalize("NFC");
          const expected = nodeArgon2id(composed, nodeSalt(input), input.kdf);
          for (const master_password of [input.master_password, input.master_password.normalize("NFD")]) {
            expect(encodeHex(await deriveRootKey({ ...input, master_password }))).toBe(expected);
          }
          expect(input).toEqual(before);
        }),
        { numRuns: ARGON2_RUNS },
      );
    },
    PATIENCE_MS,
  );

  test(
    "gives another key for a flipped bit in any byte of the salt",
    async () => {
      const salt = decodeHex(input.encryption_salt);
      const seen = new Set([encodeHex(await deriveRootKey(input))]);
      for (const [at, byte] of salt.entries()) {
        const encryption_salt = encodeHex(salt.with(at, byte ^ (1 << (at & 7))));
        seen.add(encodeHex(await deriveRootKey({ ...input, encryption_salt })));
      }
      expect(seen.size).toBe(33);
    },
    PATIENCE_MS,
  );

  test(
    "gives another key for any other letter of the username, but the same for its other case",
    async () => {
      const username = "az_059";
      const key = encodeHex(await deriveRootKey({ ...input, username }));
      for (const [at, letter] of [...username].entries()) {
        const capital = letter.toUpperCase();
        for (const other of new Set([capital, letter === "b" ? "c" : "b", "_", "9"])) {
          const changed = username.slice(0, at) + other + username.slice(at + 1);
          const same = encodeHex(await deriveRootKey({ ...input, username: changed })) === key;
          expect(`${changed} ${same}`).toBe(`${changed} ${other.toLowerCase() === letter}`);
        }
      }
    },
    PATIENCE_MS,
  );

  // The lower case of the Kelvin sign is k, that of the others none or more than one letter.
  test.each([
    "",
    " ",
    "\u212aelvin",
    "\u0130d",
    "ex\u00e4mple",
    "example_user ",
    "example_user\n",
    "\nexample_user",
    "example-user",
    "example.user",
    "example\0",
    "\uff41bc",
    "canary\ud800",
  ])("refuses the username %j: username-invalid", async (username) => {
    expect(await codeOf(deriveRootKey({ ...input, username }))).toBe("username-invalid");
  });

  test("refuses every username with a letter other than the 63", async () => {
    const letters = fc.string({ unit: fc.oneof(character, fc.constantFrom(..."azAZ09_")), minLength: 1 });
    await fc.assert(
      fc.asyncProperty(letters, async (username) => {
        fc.pre(!/^[A-Za-z0-9_]*$/.test(username));
        expect(await codeOf(deriveRootKey({ ...input, username }))).toBe("username-invalid");
      }),
      { numRuns: RUNS },
    );
  });

  test("refuses no password: password-empty", async () => {
    expect(await codeOf(deriveRootKey({ ...input, master_password: "" }))).toBe("password-empty");
  });

  test(
    "takes passwords that look empty, and tells them apart: NFC leaves something of every text",
    async () => {
      const passwords = [
        " ",
        "\0",
        "\0\0",
        "\u200b",
        "\ufeff",
        "\u00ad",
        "\u034f",
        "\ufe0f",
        "\u0301",
        "\u{e0001}",
      ];
      const keys = await Promise.all(
        passwords.map((master_password) => deriveRootKey({ ...input, master_password })),
      );
      expect(new Set(keys.map(encodeHex)).size).toBe(passwords.length);
      for (let code_point = 0; code_point <= 0x10ffff; code_point++) {
        if (String.fromCodePoint(code_point).normalize("NFC") === "") throw new Error(`U+${code_point}`);
      }
    },
    PATIENCE_MS,
  );

  describe("refuses costs out of bounds: kdf-invalid", () => {
    const never = [-1, -0, 0, 0.5, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const wrapping = [2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 32 + 8, 2 ** 53, 2 ** 53 + 2];

    test.each([
      ["memory_kib", { max: 1_048_576, others: [1, 7, 8.5, 64.5] }],
      ["iterations", { max: 10, others: [9.5, 10.5] }],
      ["parallelism", { max: 16, others: [15.5, 16.5] }],
    ] as const)(
      "of %s: 0, max + 1, fractions, NaN and what is in bounds modulo 2^32",
      async (cost, bounds) => {
        const values = [...never, ...wrapping, ...bounds.others, bounds.max + 1, 2 ** 32 + bounds.max];
        for (const value of values) {
          const kdf = { ...TINY, memory_kib: 128, [cost]: value };
          expect(`${value} ${await codeOf(deriveRootKey({ ...input, kdf }))}`).toBe(`${value} kdf-invalid`);
        }
      },
    );

    test("of memory under 8 KiB a lane", async () => {
      for (let parallelism = 1; parallelism <= 16; parallelism++) {
        const kdf = { ...TINY, parallelism, memory_kib: 8 * parallelism - 1 };
        expect(await codeOf(deriveRootKey({ ...input, kdf }))).toBe("kdf-invalid");
      }
    });

    test("of another type", async () => {
      for (const value of ["8", null, undefined, [8], 8n]) {
        const kdf = { ...TINY, memory_kib: value as unknown as number };
        expect(await codeOf(deriveRootKey({ ...input, kdf }))).toBe("kdf-invalid");
      }
    });
  });

  test.each([
    { memory_kib: 8, iterations: 1, parallelism: 1 },
    { memory_kib: 9, iterations: 2, parallelism: 1 },
    { memory_kib: 8, iterations: 9, parallelism: 1 },
    { memory_kib: 8, iterations: 10, parallelism: 1 },
    { memory_kib: 120, iterations: 1, parallelism: 15 },
    { memory_kib: 128, iterations: 1, parallelism: 16 },
    { memory_kib: 135, iterations: 10, parallelism: 16 },
  ])("takes $memory_kib KiB, $iterations passes and $parallelism lanes, as node:crypto does", async (kdf) => {
    const { master_password } = input;
    const expected = nodeArgon2id(master_password, nodeSalt(input), kdf);
    expect(encodeHex(await deriveRootKey({ ...input, kdf }))).toBe(expected);
  });

  // A pass over 1 GiB takes a second or two, and the memory: only where time is no matter.
  test.skipIf(!process.env.SLOW)(
    "takes 1 GiB and 1 KiB less",
    async () => {
      for (const memory_kib of [1_048_575, 1_048_576]) {
        const kdf = { ...TINY, memory_kib };
        const expected = nodeArgon2id(input.master_password, nodeSalt(input), kdf);
        expect(encodeHex(await deriveRootKey({ ...input, kdf }))).toBe(expected);
      }
    },
    PATIENCE_MS * 4,
  );

  test("has read its inputs when it returns", async () => {
    const changing = structuredClone(input);
    const deriving = deriveRootKey(changing);
    Object.assign(changing.kdf, { memory_kib: 2 ** 32 + 8, iterations: 2, parallelism: 2 });
    Object.assign(changing, { username: "other", master_password: "other", encryption_salt: makeSalt() });
    expect(await deriving).toEqual(await deriveRootKey(input));
  });

  test(
    "gives another key for every other cost",
    async () => {
      const costs = [8, 9, 12].flatMap((memory_kib) =>
        [1, 2, 3].flatMap((iterations) =>
          [1, 2].map((parallelism) => ({ memory_kib: memory_kib * parallelism, iterations, parallelism })),
        ),
      );
      const keys = await Promise.all(costs.map((kdf) => deriveRootKey({ ...input, kdf })));
      expect(new Set(keys.map(encodeHex)).size).toBe(costs.length);
    },
    PATIENCE_MS,
  );

  test("gives the same to many at once as to one after another", async () => {
    const inputs = Array.from({ length: 4 }, (_, index) => ({ ...input, username: `example_${index}` }));
    const at_once = await Promise.all(inputs.map(deriveRootKey));
    for (const [index, input] of inputs.entries()) {
      expect(at_once[index]).toEqual(await deriveRootKey(input));
    }
  });

  test("gives memory of its own", async () => {
    const [first, second] = [await deriveRootKey(input), await deriveRootKey(input)];
    expect(first.buffer.byteLength).toBe(32);
    first.fill(0);
    expect(second).toEqual(await deriveRootKey(input));
  });

  test("names nothing of what it was given in an error", async () => {
    const salt = `${"c".repeat(58)}canary`;
    expect(await codeOf(deriveRootKey({ ...input, master_password: `${CANARY}\ud800` }))).toBe(
      "utf8-invalid",
    );
    expect(await codeOf(deriveRootKey({ ...input, username: "canary\ud800" }))).toBe("username-invalid");
    const kdf = { ...TINY, memory_kib: "canary" as unknown as number };
    expect(await codeOf(deriveRootKey({ ...input, kdf }))).toBe("kdf-invalid");
    expect(await codeOf(deriveRootKey({ ...input, encryption_salt: salt }))).toBe("hex-invalid");
  });
});

describe("keys of keys", () => {
  test("are HKDF-SHA256 without a salt, the purpose and the subject in `info`", async () => {
    const keys = fc.uint8Array({ minLength: 32, maxLength: 32 });
    await fc.assert(
      fc.asyncProperty(keys, fc.string({ unit: character }), async (key, subject) => {
        const before = key.slice();
        const vault_key = await importVaultKey(key);
        expect(await hexOfAccountKeys(key)).toEqual({
          auth_key: nodeExpand(key, "auth"),
          wrap_key: nodeExpand(key, "wrap"),
          commitment: nodeExpand(key, "commit"),
        });
        const entry_key = await deriveEntryKey(vault_key, subject, "encrypt");
        expect(await isKey(entry_key, nodeExpand(key, "entry", subject))).toBe(true);
        expect(encodeHex(await deriveArchiveKey(vault_key))).toBe(nodeExpand(key, "archive"));
        expect(encodeHex(await deriveStateKey(vault_key))).toBe(nodeExpand(key, "state"));
        expect(key).toEqual(before);
      }),
      { numRuns: RUNS },
    );
  });

  test("are all different, even of one key and for subjects that look like purposes", async () => {
    const key = makeKey();
    const vault_key = await importVaultKey(key);
    const subjects = ["", ...PURPOSES, "/auth", "\0", `\0\0\0${String.fromCharCode(17)}blindvault/1/auth`];
    const made = [
      ...Object.values(await deriveAccountKeys(key)),
      await deriveArchiveKey(vault_key),
      await deriveStateKey(vault_key),
    ];
    expect(new Set([...made, key].map(encodeHex)).size).toBe(made.length + 1);
    const others = [...made, key].map(encodeHex);
    for (const [index, subject] of subjects.entries()) {
      const entry_key = await deriveEntryKey(vault_key, subject, "encrypt");
      for (const other of others) expect(await isKey(entry_key, other)).toBe(false);
      const opening: number[] = [];
      for (const [at, other] of subjects.entries()) {
        if (await isKey(entry_key, nodeExpand(key, "entry", other))) opening.push(at);
      }
      expect(opening).toEqual([index]);
    }
  });

  test("are others for every single flipped bit of the key", async () => {
    const key = makeKey();
    const seen = new Set<string>();
    for (let bit = -1; bit < 256; bit++) {
      const other = bit < 0 ? key : key.with(bit >> 3, (key[bit >> 3] ?? 0) ^ (1 << (bit & 7)));
      const { auth_key, wrap_key, commitment } = await hexOfAccountKeys(other);
      for (const made of [auth_key, wrap_key, commitment]) seen.add(made);
      seen.add(encodeHex(await deriveStateKey(await importVaultKey(other))));
      const entry_key = await deriveEntryKey(await importVaultKey(other), "entry", "encrypt");
      expect(await isKey(entry_key, nodeExpand(key, "entry", "entry"))).toBe(bit < 0);
    }
    expect(seen.size).toBe(257 * 4);
  });

  test.each([0, 1, 16, 24, 31, 33, 64])("are refused of %i bytes: key-length", async (length_bytes) => {
    expect(await codeOf(importVaultKey(random(length_bytes)))).toBe("key-length");
    expect(await codeOf(deriveAccountKeys(random(length_bytes)))).toBe("key-length");
  });

  test("are of what the key was when they were asked for: a caller may wipe it at once", async () => {
    const key = makeKey();
    const expected = [
      await hexOfAccountKeys(key),
      encodeHex(await deriveStateKey(await importVaultKey(key))),
    ];
    const wiped = [key.slice(), key.slice()] as const;
    const pending = [hexOfAccountKeys(wiped[0]), importVaultKey(wiped[1])] as const;
    for (const bytes of wiped) bytes.fill(0);
    expect([await pending[0], encodeHex(await deriveStateKey(await pending[1]))]).toEqual(expected);
  });

  test("read a view, and not the buffer around it", async () => {
    const key = makeKey();
    const view = Uint8Array.from([9, ...key, 9]).subarray(1, -1);
    expect(await hexOfAccountKeys(view)).toEqual(await hexOfAccountKeys(key));
    const of_view = await deriveEntryKey(await importVaultKey(view), "entry", "encrypt");
    expect(await isKey(of_view, nodeExpand(key, "entry", "entry"))).toBe(true);
  });

  test("have memory of their own", async () => {
    const key = makeKey();
    const vault_key = await importVaultKey(key);
    const first = [
      ...Object.values(await deriveAccountKeys(key)),
      await deriveArchiveKey(vault_key),
      await deriveStateKey(vault_key),
    ];
    expect(first.map(({ buffer }) => buffer.byteLength)).toEqual(first.map(() => 32));
    expect(new Set([key, ...first].map(({ buffer }) => buffer)).size).toBe(first.length + 1);
  });

  test("come from a vault key that nobody can take out again, or use for anything else", async () => {
    const vault_key = await importVaultKey(makeKey());
    expect(vault_key.extractable).toBe(false);
    expect(vault_key.usages.toSorted()).toEqual(["deriveBits", "deriveKey"]);
    for (const format of ["raw", "jwk"] as const) {
      expect(await crypto.subtle.exportKey(format, vault_key).catch(() => "refused")).toBe("refused");
    }
    expect(Bun.inspect(vault_key)).not.toMatch(/[0-9a-f]{8}/);
  });

  test("give of an entry one of AES-256-GCM, that nobody can take out again and that serves one operation", async () => {
    const vault_key = await importVaultKey(makeKey());
    for (const usage of ["encrypt", "decrypt"] as const) {
      const key = await deriveEntryKey(vault_key, "entry", usage);
      expect([key.type, key.extractable, key.usages]).toEqual(["secret", false, [usage]]);
      const { name, length } = key.algorithm as AesKeyAlgorithm;
      expect([name, length]).toEqual(["AES-GCM", 256]);
      for (const format of ["raw", "jwk"] as const) {
        expect(await crypto.subtle.exportKey(format, key).catch(() => "refused")).toBe("refused");
      }
    }
  });
});

describe("makeKey and makeSalt", () => {
  test("give 32 bytes, in 10,000 calls no two the same, and even in every bit", () => {
    const keys = Array.from({ length: 10_000 }, makeKey);
    const salts = Array.from({ length: 10_000 }, makeSalt);
    expect(salts.every((salt) => /^[0-9a-f]{64}$/.test(salt))).toBe(true);
    const all = [...keys, ...salts.map(decodeHex)];
    expect(new Set(all.map(encodeHex)).size).toBe(20_000);
    for (const half of [all.slice(0, 10_000), all.slice(10_000)]) {
      for (let bit = 0; bit < 256; bit++) {
        const ones = half.filter((bytes) => ((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1).length;
        // Seven standard deviations of 50 either way.
        expect(Math.abs(ones - 5000)).toBeLessThan(350);
      }
    }
  });
});
