import { describe, expect, test } from "bun:test";
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { macLines } from "../../src/crypto/archive.ts";
import { decodeBase64, decodeHex, encodeBase64, encodeHex, encodeUtf8 } from "../../src/crypto/bytes.ts";
import {
  type DeviceContext,
  type EntryContext,
  type KeyContext,
  openEntry,
  openForDevice,
  type SealedText,
  sealEntry,
  sealForDevice,
  unwrapVaultKey,
  wrapVaultKey,
} from "../../src/crypto/envelope.ts";
import {
  deriveAccountKeys,
  deriveRootKey,
  deriveStateKey,
  importVaultKey,
  makeKey,
  makeSalt,
} from "../../src/crypto/keys.ts";
import { pad } from "../../src/crypto/padding.ts";
import { CHROMIUM, openBrowser } from "../support/browser.ts";
import { outcomeOf, prefixed } from "../support/outcome.ts";
import device_vectors from "../vectors/device.json";
import entry_vectors from "../vectors/entry.json";
import key_vectors from "../vectors/protected-key.json";

const RUNS = process.env.SLOW ? 5000 : 100;
const CANARY = "canary: this text must stay in";

const vault_key_bytes = makeKey();
const vault_key = await importVaultKey(vault_key_bytes);
const keys = await deriveAccountKeys(makeKey());
const session_key = makeKey();
const account_id: string = crypto.randomUUID();
const entry_context: EntryContext = { account_id, entry_id: crypto.randomUUID(), version: 7 };
const key_context: KeyContext = {
  account_id,
  username: "example_user",
  encryption_salt: makeSalt(),
  kdf: { memory_kib: 65_536, iterations: 3, parallelism: 4 },
};
const device_context: DeviceContext = { purpose: "tokens", server: "https://vault.example", account_id };
const entry = await sealEntry(vault_key, encodeUtf8(CANARY), entry_context);
const wrapped = await wrapVaultKey(keys, vault_key_bytes, key_context);
const kept = await sealForDevice(session_key, encodeUtf8(CANARY), device_context);

const outcome = (opening: Promise<unknown>) =>
  outcomeOf(opening, "opens", ["canary", encodeHex(vault_key_bytes), encodeBase64(vault_key_bytes)]);

const openedEntry = (change: { sealed?: Partial<SealedText>; context?: Partial<EntryContext> }) =>
  outcome(openEntry(vault_key, { ...entry, ...change.sealed }, { ...entry_context, ...change.context }));

const openedKey = (change: { sealed?: Partial<typeof wrapped>; context?: Partial<KeyContext> }) =>
  outcome(unwrapVaultKey(keys, { ...wrapped, ...change.sealed }, { ...key_context, ...change.context }));

const openedKept = (change: { sealed?: Partial<SealedText>; context?: Partial<DeviceContext> }) =>
  outcome(
    openForDevice(session_key, { ...kept, ...change.sealed }, { ...device_context, ...change.context }),
  );

/** Every text that a single flipped bit of the UTF-16 makes of one. */
function* flippedTexts(text: string): Generator<string> {
  for (let bit = 0; bit < text.length * 16; bit++) {
    const at = bit >> 4;
    const letter = String.fromCharCode(text.charCodeAt(at) ^ (1 << (bit & 15)));
    yield text.slice(0, at) + letter + text.slice(at + 1);
  }
}

/** The base64 of all that a single flipped bit makes of the bytes that it spells. */
function* flippedBytes(text: string): Generator<string> {
  const bytes = decodeBase64(text);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    yield encodeBase64(bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7))));
  }
}

/** Every number that a single flipped bit of its 54 makes of one: the highest is past what is exact. */
function* flippedNumbers(value: number): Generator<number> {
  for (let bit = 0n; bit < 54n; bit++) yield Number(BigInt(value) ^ (1n << bit));
}

/** How often what came out, so that one line says of a thousand changes that each was refused, and how. */
async function tally<Change>(changes: Iterable<Change>, open: (change: Change) => Promise<string>) {
  const counts: Record<string, number> = {};
  for (const change of changes) {
    const code = await open(change);
    counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
}

const nodeContext = {
  entry: ({ account_id, entry_id, version }: EntryContext) =>
    prefixed("blindvault/1", "entry", account_id, entry_id, String(version)),
  key: ({ account_id, username, encryption_salt, kdf }: KeyContext) =>
    prefixed(
      ...["blindvault/1", "vault-key", account_id, username.toLowerCase()],
      Buffer.from(encryption_salt, "hex"),
      ...["argon2id", String(kdf.memory_kib), String(kdf.iterations), String(kdf.parallelism)],
    ),
  device: ({ purpose, server, account_id }: DeviceContext) =>
    prefixed("blindvault/1", "device", purpose, server, account_id),
};

function nodeExpand(key: Uint8Array, ...info: string[]): Buffer {
  return Buffer.from(hkdfSync("sha256", key, "", prefixed(...info), 32));
}

/** AES-256-GCM by node:crypto, with a chosen iv. */
function nodeSeal(key: Uint8Array, plaintext: Uint8Array, data: Uint8Array, iv: string): SealedText {
  const cipher = createCipheriv("aes-256-gcm", key, Buffer.from(iv, "base64"), { authTagLength: 16 });
  cipher.setAAD(data);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]).toString("base64");
  return { ciphertext, iv, tag: cipher.getAuthTag().toString("base64") };
}

/** Throws unless the message is authentic. */
function nodeOpen(key: Uint8Array, { ciphertext, iv, tag }: SealedText, data: Uint8Array): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(iv, "base64"), { authTagLength: 16 });
  decipher.setAAD(data);
  decipher.setAuthTag(Buffer.from(tag, "base64"));
  return Buffer.concat([decipher.update(Buffer.from(ciphertext, "base64")), decipher.final()]);
}

describe("vectors of wrapped vault keys", () => {
  test.each(key_vectors.opens)("open for ever: $name", async ({ context, protected_key, ...hex }) => {
    const data = nodeContext.key(context);
    const { commitment, ...sealed } = protected_key;
    expect(data.toString("hex")).toBe(hex.associated_data);
    expect(commitment).toBe(encodeBase64(decodeHex(hex.commitment)));
    expect(nodeSeal(decodeHex(hex.wrap_key), decodeHex(hex.vault_key), data, sealed.iv)).toEqual(sealed);
    expect(encodeHex(await unwrapVaultKey(accountKeysOf(hex), protected_key, context))).toBe(hex.vault_key);
  });

  test.each(key_vectors.fails)("fail for ever: $name: $error", async (vector) => {
    const { authentic, error, context, protected_key, ...hex } = vector;
    if (authentic) nodeOpen(decodeHex(hex.wrap_key), protected_key, nodeContext.key(context));
    expect(await outcome(unwrapVaultKey(accountKeysOf(hex), protected_key, context))).toBe(error);
  });

  function accountKeysOf({ wrap_key, commitment }: { wrap_key: string; commitment: string }) {
    return { wrap_key: decodeHex(wrap_key), commitment: decodeHex(commitment) };
  }
});

describe("vectors of entries", () => {
  test.each(entry_vectors.opens)(
    "open for ever: $name",
    async ({ context, sealed, padded_bytes, ...hex }) => {
      const [bytes, plaintext] = [decodeHex(hex.vault_key), decodeHex(hex.plaintext)];
      const key = nodeExpand(bytes, "blindvault/1/entry", context.entry_id);
      const data = nodeContext.entry(context);
      expect([key.toString("hex"), data.toString("hex")]).toEqual([hex.entry_key, hex.associated_data]);
      const padded = Buffer.concat([plaintext, Buffer.of(0x80)], padded_bytes);
      expect(nodeSeal(key, padded, data, sealed.iv)).toEqual(sealed);
      const vault_key = await importVaultKey(bytes);
      expect(encodeHex(await openEntry(vault_key, sealed, context))).toBe(hex.plaintext);
    },
  );

  test.each(entry_vectors.fails)("fail for ever: $name: $error", async (vector) => {
    const { authentic, error, context, sealed } = vector;
    const bytes = decodeHex(vector.vault_key);
    const key = nodeExpand(bytes, "blindvault/1/entry", context.entry_id);
    if (authentic) nodeOpen(key, sealed, nodeContext.entry(context));
    expect(await outcome(openEntry(await importVaultKey(bytes), sealed, context))).toBe(error);
  });
});

describe("vectors of what a device keeps", () => {
  test.each(device_vectors.opens)("open for ever: $name", async ({ sealed, context, ...hex }) => {
    const key = decodeHex(hex.key);
    const data = nodeContext.device(context as DeviceContext);
    expect(data.toString("hex")).toBe(hex.associated_data);
    expect(nodeSeal(key, decodeHex(hex.plaintext), data, sealed.iv)).toEqual(sealed);
    const opened = await openForDevice(key, sealed, context as DeviceContext);
    expect(encodeHex(opened)).toBe(hex.plaintext);
    if (hex.vault_key === undefined) return;
    const bytes = decodeHex(hex.vault_key);
    expect(nodeExpand(bytes, "blindvault/1/state").toString("hex")).toBe(hex.key);
    expect(encodeHex(await deriveStateKey(await importVaultKey(bytes)))).toBe(hex.key);
  });

  test.each(device_vectors.fails)("fail for ever: $name: $error", async ({ error, sealed, ...vector }) => {
    const opening = openForDevice(decodeHex(vector.key), sealed, vector.context as DeviceContext);
    expect(await outcome(opening)).toBe(error);
  });
});

const bytes_32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const number = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const contexts = fc.record({
  account_id: fc.uuid(),
  username: fc.string({ unit: fc.constantFrom(..."aZ09_"), minLength: 3, maxLength: 30 }),
  encryption_salt: bytes_32.map(encodeHex),
  kdf: fc.record({ memory_kib: number, iterations: number, parallelism: number }),
});

describe("sealing and opening", () => {
  test("an entry round-trips, also from and to node:crypto, and leaves its inputs as they were", async () => {
    const context = fc.record({ account_id: fc.uuid(), entry_id: fc.uuid(), version: number });
    const content = fc.oneof(fc.uint8Array({ maxLength: 600 }), fc.uint8Array({ maxLength: 9000 }));
    await fc.assert(
      fc.asyncProperty(bytes_32, content, context, async (bytes, plaintext, context) => {
        const before = structuredClone({ plaintext, context });
        const vault_key = await importVaultKey(bytes);
        const sealed = await sealEntry(vault_key, plaintext, context);
        const sealed_before = structuredClone(sealed);
        expect(Object.keys(sealed).sort()).toEqual(["ciphertext", "iv", "tag"]);

        const key = nodeExpand(bytes, "blindvault/1/entry", context.entry_id);
        const data = nodeContext.entry(context);
        expect(new Uint8Array(nodeOpen(key, sealed, data))).toEqual(pad(plaintext));
        const theirs = nodeSeal(key, pad(plaintext), data, encodeBase64(makeKey().subarray(0, 12)));
        for (const message of [sealed, theirs]) {
          expect(await openEntry(vault_key, message, context)).toEqual(plaintext);
        }
        expect({ plaintext, context }).toEqual(before);
        expect(sealed).toEqual(sealed_before);
      }),
      { numRuns: RUNS },
    );
  });

  test("a vault key round-trips, also from and to node:crypto, and leaves its inputs as they were", async () => {
    await fc.assert(
      fc.asyncProperty(bytes_32, bytes_32, bytes_32, contexts, async (wrap_key, commitment, key, context) => {
        const keys = { wrap_key, commitment };
        const before = structuredClone({ keys, key, context });
        const made = await wrapVaultKey(keys, key, context);
        expect(Object.keys(made).sort()).toEqual(["ciphertext", "commitment", "iv", "tag"]);
        expect(made.commitment).toBe(encodeBase64(commitment));
        const data = nodeContext.key(context);
        expect(new Uint8Array(nodeOpen(wrap_key, made, data))).toEqual(key);
        const theirs = nodeSeal(wrap_key, key, data, encodeBase64(makeKey().subarray(0, 12)));
        for (const message of [made, { ...theirs, commitment: made.commitment }]) {
          expect(await unwrapVaultKey(keys, message, context)).toEqual(key);
        }
        expect({ keys, key, context }).toEqual(before);
      }),
      { numRuns: RUNS },
    );
  });

  test("what a device keeps round-trips, also from and to node:crypto, and leaves its inputs as they were", async () => {
    const texts = fc.uint8Array({ maxLength: 300 });
    const places = fc.record({
      purpose: fc.constantFrom("tokens" as const, "device-key" as const),
      server: fc.oneof(fc.webUrl(), fc.string({ maxLength: 60 })),
      account_id: fc.uuid(),
    });
    await fc.assert(
      fc.asyncProperty(bytes_32, texts, places, async (key, plaintext, context) => {
        const before = structuredClone({ key, plaintext, context });
        const made = await sealForDevice(key, plaintext, context);
        const data = nodeContext.device(context);
        expect(new Uint8Array(nodeOpen(key, made, data))).toEqual(plaintext);
        const theirs = nodeSeal(key, plaintext, data, encodeBase64(makeKey().subarray(0, 12)));
        for (const message of [made, theirs]) {
          expect(await openForDevice(key, message, context)).toEqual(plaintext);
        }
        expect({ key, plaintext, context }).toEqual(before);
      }),
      { numRuns: RUNS },
    );
  });

  test("takes entries of 0, 65,534 and 65,535 bytes to 256 and twice 65,536", async () => {
    const lengths = await Promise.all(
      [0, 65_534, 65_535].map(async (length_bytes) => {
        const plaintext = new Uint8Array(length_bytes).fill(7);
        const sealed = await sealEntry(vault_key, plaintext, entry_context);
        expect(await openEntry(vault_key, sealed, entry_context)).toEqual(plaintext);
        return decodeBase64(sealed.ciphertext).length;
      }),
    );
    expect(lengths).toEqual([256, 65_536, 65_536]);
  });

  test("gives the same content another nonce and another ciphertext each time", async () => {
    const made = await Promise.all(
      Array.from({ length: 1000 }, () => sealEntry(vault_key, encodeUtf8(CANARY), entry_context)),
    );
    for (const part of ["iv", "ciphertext", "tag"] as const) {
      expect(new Set(made.map((sealed) => sealed[part])).size).toBe(1000);
    }
  });

  test("hides the length of content: up to 255 bytes all ciphertexts are as long", async () => {
    const made = await Promise.all(
      [0, 1, 100, 254, 255].map((length) =>
        sealEntry(vault_key, new Uint8Array(length).fill(7), entry_context),
      ),
    );
    expect(new Set(made.map(({ ciphertext }) => ciphertext.length)).size).toBe(1);
  });

  test("has read its inputs when it returns: a caller may wipe keys and plaintext, and change the rest, at once", async () => {
    const mine = { vault_key: vault_key_bytes.slice(), ...keysOf(keys), content: encodeUtf8(CANARY) };
    const [key_place, entry_place] = [structuredClone(key_context), { ...entry_context }];
    const device = { key: session_key.slice(), content: encodeUtf8(CANARY), place: { ...device_context } };
    const sealing = [
      wrapVaultKey(mine, mine.vault_key, key_place),
      sealEntry(vault_key, mine.content, entry_place),
      sealForDevice(device.key, device.content, device.place),
    ] as const;
    wipe(mine.vault_key, mine.wrap_key, mine.commitment, mine.content, device.key, device.content);
    Object.assign(key_place.kdf, { memory_kib: 8, iterations: 1, parallelism: 1 });
    Object.assign(key_place, { username: "other", encryption_salt: makeSalt() });
    Object.assign(entry_place, { version: 8, entry_id: account_id });
    Object.assign(device.place, { purpose: "device-key", server: "https://other.example" });
    const [made, made_entry, made_kept] = await Promise.all(sealing);
    expect(made.commitment).toBe(encodeBase64(keys.commitment));
    expect(await unwrapVaultKey(keys, made, key_context)).toEqual(vault_key_bytes);
    expect(await openEntry(vault_key, made_entry, entry_context)).toEqual(encodeUtf8(CANARY));
    expect(await openForDevice(session_key, made_kept, device_context)).toEqual(encodeUtf8(CANARY));

    const theirs = { made: { ...made }, made_entry: { ...made_entry }, made_kept: { ...made_kept } };
    const [again, device_key] = [keysOf(keys), session_key.slice()];
    const [again_key, again_entry] = [structuredClone(key_context), { ...entry_context }];
    const opening = [
      unwrapVaultKey(again, theirs.made, again_key),
      openEntry(vault_key, theirs.made_entry, again_entry),
      openForDevice(device_key, theirs.made_kept, device_context),
    ] as const;
    wipe(again.wrap_key, again.commitment, device_key);
    for (const message of Object.values(theirs))
      Object.assign(message, { ciphertext: "?", iv: "?", tag: "?" });
    Object.assign(again_key, { username: "other" });
    Object.assign(again_entry, { version: 8, entry_id: account_id });
    const opened = await Promise.all(opening);
    expect(opened).toEqual([vault_key_bytes, encodeUtf8(CANARY), encodeUtf8(CANARY)]);
  });

  const keysOf = ({ wrap_key, commitment }: { wrap_key: Uint8Array; commitment: Uint8Array }) => ({
    wrap_key: wrap_key.slice(),
    commitment: commitment.slice(),
  });

  function wipe(...all: Uint8Array[]): void {
    for (const bytes of all) bytes.fill(0);
  }

  test("reads a view and a Buffer of Node's, also when they are wiped at once", async () => {
    const content = Buffer.from(`<${CANARY}>`).subarray(1, -1);
    const key = Buffer.from([0, ...session_key, 0]).subarray(1, -1);
    const sealing = [
      sealEntry(vault_key, content, entry_context),
      sealForDevice(key, content, device_context),
    ] as const;
    wipe(content, key);
    const [made, made_kept] = await Promise.all(sealing);
    expect(await openEntry(vault_key, made, entry_context)).toEqual(encodeUtf8(CANARY));
    expect(await openForDevice(session_key, made_kept, device_context)).toEqual(encodeUtf8(CANARY));
  });

  test("gives memory of its own", async () => {
    const opened = [
      await openEntry(vault_key, entry, entry_context),
      await openEntry(vault_key, entry, entry_context),
      await unwrapVaultKey(keys, wrapped, key_context),
      await unwrapVaultKey(keys, wrapped, key_context),
      await openForDevice(session_key, kept, device_context),
    ];
    expect(opened.map(({ buffer }) => buffer.byteLength)).toEqual(opened.map(({ length }) => length));
    expect(new Set([vault_key_bytes, ...opened].map(({ buffer }) => buffer)).size).toBe(6);
    expect(opened[0]).not.toBe(opened[1]);
  });
});

describe("every single flipped bit", () => {
  test.each(["ciphertext", "iv", "tag"] as const)("of the %s is refused: does-not-open", async (part) => {
    const { ciphertext, iv, tag } = { ciphertext: 256, iv: 12, tag: 16 };
    const bits = { ciphertext, iv, tag }[part] * 8;
    const of_entry = await tally(flippedBytes(entry[part]), (text) =>
      openedEntry({ sealed: { [part]: text } }),
    );
    expect(of_entry).toEqual({ "does-not-open": bits });
    const key_bits = { ciphertext: 32, iv, tag }[part] * 8;
    const of_key = await tally(flippedBytes(wrapped[part]), (text) =>
      openedKey({ sealed: { [part]: text } }),
    );
    expect(of_key).toEqual({ "does-not-open": key_bits });
    const kept_bits = { ciphertext: CANARY.length, iv, tag }[part] * 8;
    const of_kept = await tally(flippedBytes(kept[part]), (text) => openedKept({ sealed: { [part]: text } }));
    expect(of_kept).toEqual({ "does-not-open": kept_bits });
  });

  test("of the commitment is refused before anything is opened: commitment-mismatch", async () => {
    const changes = flippedBytes(wrapped.commitment);
    expect(await tally(changes, (commitment) => openedKey({ sealed: { commitment } }))).toEqual({
      "commitment-mismatch": 256,
    });
    const damaged = { ciphertext: "?", iv: "?", tag: "?", commitment: encodeBase64(makeKey()) };
    expect(await openedKey({ sealed: damaged })).toBe("commitment-mismatch");
  });

  test("of the text of any part is refused: base64-invalid, or as the bytes that it spells", async () => {
    for (const part of ["ciphertext", "iv", "tag"] as const) {
      const [head, rest] = [entry[part].slice(0, 40), entry[part].slice(40)];
      const open = (text: string) => openedEntry({ sealed: { [part]: text + rest } });
      // A last character that becomes padding spells a byte less.
      const { [`${part}-length`]: shorter = 0, ...counts } = await tally(flippedTexts(head), open);
      expect(shorter).toBeLessThanOrEqual(1);
      expect(Object.keys(counts).sort()).toEqual(["base64-invalid", "does-not-open"]);
    }
    const open = (commitment: string) => openedKey({ sealed: { commitment } });
    const counts = await tally(flippedTexts(wrapped.commitment), open);
    expect(Object.keys(counts).sort()).toEqual(["base64-invalid", "commitment-mismatch"]);
  });

  test.each([
    ["an entry's id", entry_context.entry_id, (id: string) => openedEntry({ context: { entry_id: id } })],
    ["an entry's account", account_id, (id: string) => openedEntry({ context: { account_id: id } })],
    ["a wrapped key's account", account_id, (id: string) => openedKey({ context: { account_id: id } })],
    ["a device's account", account_id, (id: string) => openedKept({ context: { account_id: id } })],
  ])("of %s is refused: id-invalid, or does-not-open where it is an id again", async (_, id, open) => {
    const ids = [...flippedTexts(id)].filter((text) =>
      /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text),
    );
    expect(await tally(flippedTexts(id), open)).toEqual({
      "does-not-open": ids.length,
      "id-invalid": id.length * 16 - ids.length,
    });
  });

  // Of 54 bits the highest makes a number past 2^53 - 1; a power of two becomes 0 once as well.
  test("of the version is refused: does-not-open, or number-invalid where it is none", async () => {
    for (const [version, invalid] of [
      [7, 1],
      [1, 2],
      [2 ** 53 - 1, 1],
    ] as const) {
      const context = { ...entry_context, version };
      const sealed = await sealEntry(vault_key, encodeUtf8(CANARY), context);
      const open = (version: number) => openedEntry({ sealed, context: { version } });
      expect(await tally(flippedNumbers(version), open)).toEqual({
        "does-not-open": 54 - invalid,
        "number-invalid": invalid,
      });
    }
  });

  test.each([
    ["memory_kib", 2],
    ["iterations", 1],
    ["parallelism", 2],
  ] as const)(
    "of %s is refused: does-not-open, or number-invalid where it is none",
    async (cost, invalid) => {
      const { kdf } = key_context;
      const open = (value: number) => openedKey({ context: { kdf: { ...kdf, [cost]: value } } });
      expect(await tally(flippedNumbers(kdf[cost]), open)).toEqual({
        "does-not-open": 54 - invalid,
        "number-invalid": invalid,
      });
    },
  );

  test("of the salt is refused: does-not-open", async () => {
    const salt = encodeBase64(decodeHex(key_context.encryption_salt));
    const open = (text: string) => openedKey({ context: { encryption_salt: encodeHex(decodeBase64(text)) } });
    expect(await tally(flippedBytes(salt), open)).toEqual({ "does-not-open": 256 });
  });

  test("of the username is refused, but for that of a letter's case: does-not-open, or username-invalid", async () => {
    const { username } = key_context;
    const letters = username.replace(/[^a-z]/g, "").length;
    const names = [...flippedTexts(username)].filter((text) => /^[A-Za-z0-9_]+$/.test(text)).length;
    expect(await tally(flippedTexts(username), (username) => openedKey({ context: { username } }))).toEqual({
      opens: letters,
      "does-not-open": names - letters,
      "username-invalid": username.length * 16 - names,
    });
  });

  test("of what a device keeps it for is refused: does-not-open", async () => {
    const counts = await tally(flippedTexts("tokens"), (purpose) =>
      openedKept({ context: { purpose: purpose as DeviceContext["purpose"] } }),
    );
    expect(counts).toEqual({ "does-not-open": 6 * 16 });
  });

  test("of the server that a device keeps it for is refused: does-not-open, or utf8-invalid", async () => {
    const { server } = device_context;
    const broken = [...flippedTexts(server)].filter((text) => !text.isWellFormed()).length;
    const open = (server: string) => openedKept({ context: { server } });
    expect(await tally(flippedTexts(server), open)).toEqual({
      "does-not-open": server.length * 16 - broken,
      ...(broken > 0 && { "utf8-invalid": broken }),
    });
  });

  test("of any key is refused: does-not-open", async () => {
    const flippedKeys = (bytes: Uint8Array) => flippedBytes(encodeBase64(bytes)).map(decodeBase64);
    expect(
      await tally(flippedKeys(vault_key_bytes), async (bytes) =>
        outcome(openEntry(await importVaultKey(bytes), entry, entry_context)),
      ),
    ).toEqual({ "does-not-open": 256 });
    expect(
      await tally(flippedKeys(keys.wrap_key), (wrap_key) =>
        outcome(unwrapVaultKey({ ...keys, wrap_key }, wrapped, key_context)),
      ),
    ).toEqual({ "does-not-open": 256 });
    expect(
      await tally(flippedKeys(session_key), (key) => outcome(openForDevice(key, kept, device_context))),
    ).toEqual({ "does-not-open": 256 });
  });
});

describe("a message in another place", () => {
  const other_id = crypto.randomUUID();

  test("is refused as another entry's, another account's or another version's", async () => {
    const { entry_id, version } = entry_context;
    for (const context of [
      { entry_id: other_id },
      { account_id: other_id },
      { account_id: entry_id, entry_id: account_id },
      { account_id: entry_id },
      { entry_id: account_id },
      { version: version - 1 },
      { version: version + 1 },
      { version: 10 * version },
    ]) {
      expect(await openedEntry({ context })).toBe("does-not-open");
    }
  });

  test("is refused under the right context when another entry's key has sealed it", async () => {
    const key = nodeExpand(vault_key_bytes, "blindvault/1/entry", other_id);
    const data = nodeContext.entry(entry_context);
    expect(await openedEntry({ sealed: nodeSeal(key, pad(encodeUtf8(CANARY)), data, entry.iv) })).toBe(
      "does-not-open",
    );
  });

  test("is refused as any other format under the very same key", async () => {
    const key = nodeExpand(vault_key_bytes, "blindvault/1/entry", entry_context.entry_id);
    const padded = pad(encodeUtf8(CANARY));
    const mine = nodeContext.entry(entry_context);
    const others = {
      key: nodeContext.key(key_context),
      tokens: nodeContext.device(device_context),
      "device-key": nodeContext.device({ ...device_context, purpose: "device-key" }),
    };
    expect(await openedEntry({ sealed: nodeSeal(key, padded, mine, entry.iv) })).toBe("opens");
    for (const data of Object.values(others)) {
      expect(await openedEntry({ sealed: nodeSeal(key, padded, data, entry.iv) })).toBe("does-not-open");
    }
    const as_key = { ...nodeSeal(keys.wrap_key, makeKey(), mine, entry.iv), commitment: wrapped.commitment };
    expect(await openedKey({ sealed: as_key })).toBe("does-not-open");
    for (const data of [mine, others.key, others["device-key"]]) {
      expect(await openedKept({ sealed: nodeSeal(session_key, padded, data, kept.iv) })).toBe(
        "does-not-open",
      );
    }
  });

  test("is refused as another server's, or with what was another part of its context", async () => {
    const { server } = device_context;
    for (const context of [
      { server: "https://other.example" },
      { server: server.replace("https", "http") },
      { server: `${server}/` },
      { server: `${server}:443` },
      { server: server.toUpperCase() },
      { server: "" },
      { server: account_id },
      { purpose: server, server: "tokens" },
      { purpose: "token", server: `s${server}` },
      { purpose: `tokens${server.slice(0, 1)}`, server: server.slice(1) },
    ] as Partial<DeviceContext>[]) {
      expect(await openedKept({ context })).toBe("does-not-open");
    }
    const before = prefixed("blindvault/1", "device", "tokens", account_id);
    const sealed = nodeSeal(session_key, encodeUtf8(CANARY), before, kept.iv);
    expect(await openedKept({ sealed })).toBe("does-not-open");
  });

  test("is refused when digits move from one cost to the next", async () => {
    const costs = [
      { memory_kib: 1, iterations: 23, parallelism: 4 },
      { memory_kib: 12, iterations: 3, parallelism: 4 },
      { memory_kib: 1, iterations: 2, parallelism: 34 },
      { memory_kib: 123, iterations: 4, parallelism: 1 },
    ];
    for (const [from, kdf] of costs.entries()) {
      const made = await wrapVaultKey(keys, vault_key_bytes, { ...key_context, kdf });
      const opened: number[] = [];
      for (const [to, other] of costs.entries()) {
        if ((await openedKey({ sealed: made, context: { kdf: other } })) === "opens") opened.push(to);
      }
      expect(opened).toEqual([from]);
    }
  });

  test("is refused when its parts are another message's", async () => {
    const other = await sealEntry(vault_key, encodeUtf8(CANARY), entry_context);
    for (const part of ["ciphertext", "iv", "tag"] as const) {
      expect(await openedEntry({ sealed: { [part]: other[part] } })).toBe("does-not-open");
    }
    const again = await wrapVaultKey(keys, vault_key_bytes, key_context);
    for (const part of ["ciphertext", "iv", "tag"] as const) {
      expect(await openedKey({ sealed: { [part]: again[part] } })).toBe("does-not-open");
    }
  });
});

describe("a context that is none", () => {
  const { entry_id } = entry_context;
  const ids = [
    ["in capitals", (id: string) => id.replace(/^./, "A").toUpperCase()],
    ["with one capital", (id: string) => id.replace(/[0-9a-f]$/, "A")],
    ["without hyphens", (id: string) => id.replaceAll("-", "")],
    ["in braces", (id: string) => `{${id}}`],
    ["as a URN", (id: string) => `urn:uuid:${id}`],
    ["with a line end", (id: string) => `${id}\n`],
    ["behind a line end", (id: string) => `\n${id}`],
    ["with U+0000", (id: string) => `${id}\0`],
    ["with full-width digits", (id: string) => id.replace(/^./, "\uff11")],
    ["that is empty", () => ""],
  ] as const;

  test.each(ids)("is refused to seal and to open: an id %s: id-invalid", async (_, spell) => {
    const [account, other] = [spell(account_id), spell(entry_id)];
    const plaintext = encodeUtf8(CANARY);
    for (const change of [{ account_id: account }, { entry_id: other }]) {
      const sealing = sealEntry(vault_key, plaintext, { ...entry_context, ...change });
      expect([await outcome(sealing), await openedEntry({ context: change })]).toEqual([
        "id-invalid",
        "id-invalid",
      ]);
    }
    const context = { ...key_context, account_id: account };
    expect(await outcome(wrapVaultKey(keys, vault_key_bytes, context))).toBe("id-invalid");
    expect(await openedKey({ context })).toBe("id-invalid");
    const place = { ...device_context, account_id: account };
    expect(await outcome(sealForDevice(session_key, plaintext, place))).toBe("id-invalid");
    expect(await openedKept({ context: place })).toBe("id-invalid");
  });

  const numbers = [
    0,
    -1,
    -0,
    0.5,
    1.5,
    2 ** 53,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ];
  test.each(numbers)("is refused to seal and to open: a number of %d: number-invalid", async (value) => {
    const sealing = sealEntry(vault_key, encodeUtf8(CANARY), { ...entry_context, version: value });
    expect(await outcome(sealing)).toBe("number-invalid");
    expect(await openedEntry({ context: { version: value } })).toBe("number-invalid");
    for (const cost of ["memory_kib", "iterations", "parallelism"] as const) {
      const context = { ...key_context, kdf: { ...key_context.kdf, [cost]: value } };
      expect(await outcome(wrapVaultKey(keys, vault_key_bytes, context))).toBe("number-invalid");
      expect(await openedKey({ context })).toBe("number-invalid");
    }
  });

  test("takes the versions 1, 2, 2^53 - 2 and 2^53 - 1", async () => {
    for (const version of [1, 2, 2 ** 53 - 2, 2 ** 53 - 1]) {
      const context = { ...entry_context, version };
      const sealed = await sealEntry(vault_key, encodeUtf8(CANARY), context);
      expect(await openedEntry({ sealed, context })).toBe("opens");
    }
  });

  test("is refused: a salt that is no hexadecimal, a username that is none", async () => {
    for (const [change, code] of [
      [{ encryption_salt: `canary${key_context.encryption_salt}` }, "hex-invalid"],
      [{ encryption_salt: "AB".repeat(32) }, "hex-invalid"],
      [{ username: "canary\ud800" }, "username-invalid"],
      [{ username: "canary\u212a" }, "username-invalid"],
      [{ username: "canary\n" }, "username-invalid"],
      [{ username: "" }, "username-invalid"],
    ] as const) {
      expect(await outcome(wrapVaultKey(keys, vault_key_bytes, { ...key_context, ...change }))).toBe(code);
      expect(await openedKey({ context: change })).toBe(code);
    }
  });

  test("is refused: a server with a lone surrogate: utf8-invalid", async () => {
    const context = { ...device_context, server: "https://canary.example/\ud800" };
    expect(await outcome(sealForDevice(session_key, encodeUtf8(CANARY), context))).toBe("utf8-invalid");
    expect(await openedKept({ context })).toBe("utf8-invalid");
  });

  test("is refused: a key of any other size: key-length", async () => {
    for (const length_bytes of [0, 1, 16, 24, 31, 33, 64]) {
      const key = new Uint8Array(length_bytes).fill(7);
      expect(await outcome(wrapVaultKey(keys, key, key_context))).toBe("key-length");
      expect(await outcome(wrapVaultKey({ ...keys, wrap_key: key }, vault_key_bytes, key_context))).toBe(
        "key-length",
      );
      expect(await outcome(sealForDevice(key, encodeUtf8(CANARY), device_context))).toBe("key-length");
      expect(await outcome(openForDevice(key, kept, device_context))).toBe("key-length");
    }
  });
});

describe("the same code in a browser and in Node", async () => {
  const entrypoints = ["aead", "archive", "bytes", "envelope", "keys", "padding"].map((name) =>
    resolve(import.meta.dir, `../../src/crypto/${name}.ts`),
  );
  const exports = entrypoints.map((path) => `export * from ${JSON.stringify(path)};`).join("\n");
  const entry_path = join(import.meta.dir, "bundled.ts");
  const built = await Bun.build({
    entrypoints: [entry_path],
    files: { [entry_path]: exports },
    target: "browser",
  });
  const bundle = (await built.outputs[0]?.text()) ?? "";
  const [vector] = key_vectors.opens;
  if (vector === undefined) throw new Error("There is no vector");

  /** What both print: a vector that they open, and an entry that they seal for us. */
  const script = `
    const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => Number.parseInt(pair, 16));
    const keys = { wrap_key: bytes("${vector.wrap_key}"), commitment: bytes("${vector.commitment}") };
    const context = ${JSON.stringify(vector.context)};
    const kdf = { memory_kib: 8, iterations: 1, parallelism: 1 };
    const root = { master_password: "p\\u00e4ss", username: "example_user", encryption_salt: "00".repeat(32), kdf };
    const opened = await ours.unwrapVaultKey(keys, ${JSON.stringify(vector.protected_key)}, context);
    const vault_key = await ours.importVaultKey(opened);
    const entry_context = ${JSON.stringify(entry_context)};
    // This engine, too, must have copied the plaintext when the call returns; also for a key of its own, which waits for nothing.
    const secret = new TextEncoder().encode("sealed");
    const sealing = ours.sealEntry(vault_key, secret, entry_context);
    secret.fill(0);
    const sealed = await sealing;
    const keep = async (usage) => ours.deriveEntryKey(vault_key, "kept", usage);
    const kept = { key: await keep("encrypt"), plaintext: bytes("010203"), associated_data: bytes("04") };
    const keeping = ours.seal(kept);
    kept.plaintext.fill(0);
    kept.associated_data.fill(0);
    const message = await keeping;
    const found = { key: await keep("decrypt"), sealed: message, associated_data: bytes("04") };
    const finding = ours.open(found);
    for (const part of [found.associated_data, ...Object.values(message)]) part.fill(0);
    const wrong = await ours.seal({ ...found, plaintext: bytes("01") }).catch((error) => error.code);
    const result = JSON.stringify({
      opened: ours.encodeHex(opened),
      sealed,
      reopened: new TextDecoder().decode(await ours.openEntry(vault_key, sealed, entry_context)),
      found: ours.encodeHex(await finding),
      wrong,
      root_key: ours.encodeHex(await ours.deriveRootKey(root)),
      salt: ours.makeSalt(),
      mac: ours.encodeBase64(await ours.macLines(vault_key, [opened])),
      malformed: await ours.openEntry(vault_key, { ...sealed, tag: "A" }, entry_context).catch((e) => e.code),
    });`;

  async function expectResult(text: string) {
    const { opened, sealed, root_key, salt, mac, ...rest } = JSON.parse(text);
    expect(opened).toBe(vector?.vault_key);
    expect(rest).toEqual({
      reopened: "sealed",
      malformed: "base64-invalid",
      found: "010203",
      wrong: "key-usage",
    });
    const vault_key = await importVaultKey(decodeHex(opened));
    expect(await openEntry(vault_key, sealed, entry_context)).toEqual(encodeUtf8("sealed"));
    expect(mac).toBe(encodeBase64(await macLines(vault_key, [decodeHex(opened)])));
    const kdf = { memory_kib: 8, iterations: 1, parallelism: 1 };
    const root = {
      master_password: "pa\u0308ss",
      username: "example_user",
      encryption_salt: "00".repeat(32),
      kdf,
    };
    expect(root_key).toBe(encodeHex(await deriveRootKey(root)));
    expect(salt).toMatch(/^[0-9a-f]{64}$/);
  }

  test("imports nothing and needs nothing of Bun's or Node's", () => {
    expect(bundle).toContain("AES-GCM");
    expect(new Bun.Transpiler({ loader: "js" }).scanImports(bundle)).toEqual([]);
    // hash-wasm looks for a Buffer, and does without one.
    expect(
      bundle.match(/\bnode:|\bBun\b|\bprocess\.|\brequire\(|\b__dirname\b|\bimport\.meta\b/g),
    ).toBeNull();
  });

  test.skipIf(Bun.which("node") === null)(
    "opens, seals and derives the same in Node",
    async () => {
      const code = `const ours = await import("data:text/javascript;base64,${Buffer.from(bundle).toString("base64")}");
      ${script} console.log(result);`;
      const node = Bun.spawn(["node", "--input-type=module", "-"], {
        stdin: Buffer.from(code),
        stderr: "pipe",
      });
      const [text, errors] = await Promise.all([
        new Response(node.stdout).text(),
        new Response(node.stderr).text(),
      ]);
      expect(errors).toBe("");
      await expectResult(text);
    },
    20_000,
  );

  test.skipIf(CHROMIUM === undefined)(
    "opens, seals and derives the same in Chromium",
    async () => {
      const browser = await openBrowser();
      try {
        const page = await browser.newPage();
        // Only a secure context has WebCrypto.
        await page.route("https://vault.example/**", (route) =>
          route.fulfill({ contentType: "text/html", body: "<!doctype html><title>empty</title>" }),
        );
        await page.goto("https://vault.example/");
        const address = `data:text/javascript;base64,${Buffer.from(bundle).toString("base64")}`;
        const code = `(async () => {
        const ours = await import("${address}"); ${script} return result; })()`;
        await expectResult(await page.evaluate<string>(code));
      } finally {
        await browser.close();
      }
    },
    30_000,
  );
});
