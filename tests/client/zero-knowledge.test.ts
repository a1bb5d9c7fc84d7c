import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createDecipheriv, hkdfSync } from "node:crypto";
import { getTableName, is } from "drizzle-orm";
import { PgTable } from "drizzle-orm/pg-core";
import { deriveKeys } from "../../src/client/account.ts";
import { type EntryContent, openArchive } from "../../src/client/index.ts";
import type { Pins } from "../../src/client/pins.ts";
import { concatPrefixed, decodeBase64, encodeUtf8 } from "../../src/crypto/bytes.ts";
import { sealEntry, unwrapVaultKey } from "../../src/crypto/envelope.ts";
import {
  deriveArchiveKey,
  deriveRootKey,
  deriveStateKey,
  importVaultKey,
  makeKey,
  type VaultKey,
} from "../../src/crypto/keys.ts";
import * as schema from "../../src/server/db/schema.ts";
import { call, randomHex, randomPassword, sealedEntry, signUp } from "../support/client.ts";
import { dumpTables } from "../support/dump.ts";
import { type PrivateServer, privateEnvironment, startPrivateServer } from "../support/private-server.ts";
import { type Recorder, startRecorder } from "../support/recorder.ts";
import { ENGINES } from "../support/server.ts";
import { findSpellings, spellings } from "../support/spellings.ts";
import { registerDevice, unlockDevice } from "../support/vault.ts";
import { pinsOf } from "../support/victim.ts";

/** A plaintext that nobody can meet by accident, in letters of both cases. */
const secret = (what: string) => `${what}-${randomHex(6)}-${randomHex(6).toUpperCase()}`;

/** An entry with something in each of its fields. */
function fullContent(): EntryContent {
  return {
    type: "login",
    name: secret("Name"),
    username: secret("User"),
    password: secret("Password"),
    uris: [`https://${secret("host")}.example`, secret("uri")],
    notes: `${secret("Note")}\n${secret("Second")}`,
    totp: `otpauth://totp/${secret("label")}?secret=${secret("SEED")}`,
    fields: [{ name: secret("Field"), value: secret("Value"), hidden: true }],
    tags: [secret("Tag"), secret("Tag")],
    favorite: true,
  };
}

/** Every secret text of a content: what is made by `secret`, wherever it stands. */
function secretsOf(contents: EntryContent[]): string[] {
  return JSON.stringify(contents).match(/[A-Za-z]+-[0-9a-f]{12}-[0-9A-F]{12}/g) ?? [];
}

/** All that somebody does with a vault, from its first day to the day of another master password. */
async function liveWith(server: { url: string }) {
  const device = await registerDevice(server);
  const first = (await pinsOf(server, device)) as Pins;
  const [added, updated, removed, ...imported] = [1, 2, 3, 4, 5].map(fullContent) as [
    ...[EntryContent, EntryContent, EntryContent],
    ...EntryContent[],
  ];
  const { id } = await device.vault.add(added);
  await device.vault.get(id);
  await device.vault.update(id, updated);
  await device.vault.search(added.name);
  await device.vault.importEntries(imported);
  const notes = secret("Merged");
  const other = await unlockDevice(server, { ...device, device_name: "Another" });
  await other.vault.update(id, { notes });
  await device.vault.update(id, { tags: [notes] });
  await device.vault.remove((await device.vault.add(removed)).id);
  const session_key = makeKey();
  const sealed_key = await device.vault.sealKey(session_key);
  device.vault.lock();
  await device.vault.resume({ ...device, sealed_key, session_key });
  const new_password = randomPassword();
  await device.vault.changePassword({ current_password: device.master_password, new_password });
  const archive = await device.vault.exportEncrypted();
  await openArchive(archive, new_password);
  await device.vault.sessions();
  await device.vault.events();
  const entries = await device.vault.list();
  const last = (await pinsOf(server, device)) as Pins;
  await device.vault.logout();
  const texts = [...secretsOf([added, updated, removed, ...imported]), notes];
  return { device, new_password, session_key, texts, ids: entries.map((entry) => entry.id), first, last };
}

/** Every key of the account, made again from its two passwords; the auth_keys apart. */
async function keysOf({
  device,
  new_password,
  session_key,
  ids,
  first,
  last,
}: Awaited<ReturnType<typeof liveWith>>) {
  const keys: [string, Uint8Array][] = [["session key", session_key]];
  const auth_keys: Uint8Array[] = [];
  for (const [when, account, master_password] of [
    ["old", first, device.master_password],
    ["new", last, new_password],
  ] as const) {
    const derived = await deriveKeys({ ...account, master_password });
    auth_keys.push(derived.auth_key);
    keys.push(
      [`${when} root key`, await deriveRootKey({ ...account, master_password })],
      [`${when} wrap key`, derived.wrap_key],
      [`${when} vault key`, await unwrapVaultKey(derived, account.protected_key, account)],
    );
  }
  const bytes = keys.find(([name]) => name === "new vault key")?.[1] as Uint8Array;
  const vault_key = await importVaultKey(bytes);
  keys.push(
    ["state key", await deriveStateKey(vault_key)],
    ["archive key", await deriveArchiveKey(vault_key)],
  );
  for (const id of ids) keys.push([`key of entry ${id}`, await entryKey(bytes, vault_key, id)]);
  return { keys, auth_keys };
}

/** The bytes of an entry's key, which WebCrypto gives to nobody: made another way, and proved to be those that seal the entry. */
async function entryKey(bytes: Uint8Array, vault_key: VaultKey, entry_id: string) {
  const info = concatPrefixed([encodeUtf8("blindvault/1/entry"), encodeUtf8(entry_id)]);
  const key = new Uint8Array(hkdfSync("sha256", bytes, new Uint8Array(), info, 32));
  const plaintext = encodeUtf8(secret("Proof"));
  const context = { account_id: crypto.randomUUID(), entry_id, version: 1 };
  const { ciphertext, iv } = await sealEntry(vault_key, plaintext, context);
  const opened = createDecipheriv("aes-256-gcm", key, decodeBase64(iv)).update(decodeBase64(ciphertext));
  expect(new Uint8Array(opened.subarray(0, plaintext.length))).toEqual(plaintext);
  return key;
}

describe.each(ENGINES)("in a whole life of an account, on %s", (engine) => {
  let server: PrivateServer;
  let recorder: Recorder;
  let life: Awaited<ReturnType<typeof liveWith>>;
  /** All that the server has got, has stored and has told its operator. */
  let known: [string, Buffer][];
  const canary = { name: secret("Readable"), request_id: `request-${randomHex(12)}` };

  beforeAll(async () => {
    // With a database of its own and the log of the real process, which has a line of every request.
    server = await startPrivateServer(await privateEnvironment(engine));
    recorder = await startRecorder(server);
    life = await liveWith(recorder);
    // Somebody who uses the server as any REST service, and tells it what the vault's own client never does.
    const { token } = await signUp(recorder);
    await call(recorder, "POST /entries", {
      token,
      body: { ...sealedEntry(), name: canary.name },
      headers: { "x-request-id": canary.request_id },
    });
    await server.deps.audit.flush();
    const tables = await dumpTables(server.deps.db);
    known = [["requests", recorder.received()], ["logs", Buffer.from(server.logged.join("\n"))], ...tables];
  }, 60_000);
  afterAll(async () => {
    await recorder.stop();
    await server.stop();
  });

  /** Where a secret stands, and in which spelling. */
  const placesOf = (secret: string | Uint8Array) =>
    known.flatMap(([place, bytes]) => findSpellings(bytes, secret).map((how) => `${place}: ${how}`));

  test("the server never sees a master password, the old or the new", () => {
    for (const password of [life.device.master_password, life.new_password]) {
      expect(placesOf(password)).toEqual([]);
    }
  });

  test("the server never sees a key but those that log in", async () => {
    const { keys } = await keysOf(life);
    expect(keys.length).toBe(12);
    for (const [name, key] of keys) expect([name, key.length, ...placesOf(key)]).toEqual([name, 32]);
    // Both passwords open the same vault: the key that was looked for is the one that seals its entries.
    expect(keys.find(([name]) => name === "old vault key")?.[1]).toEqual(
      keys.find(([name]) => name === "new vault key")?.[1],
    );
  });

  test("the server never sees a plaintext, of whatever field", () => {
    expect(life.texts.length).toBeGreaterThan(40);
    for (const text of life.texts) expect([text, ...placesOf(text)]).toEqual([text]);
  });

  test("the server gets what logs in, in its requests, and keeps it nowhere", async () => {
    const { auth_keys } = await keysOf(life);
    for (const auth_key of auth_keys) expect(placesOf(auth_key)).toEqual(["requests: base64 at 0"]);
  });

  test("what it was told in the clear is found wherever it went: the search sees requests, tables and logs", () => {
    expect(placesOf(canary.name)).toContain("requests: bytes");
    expect(placesOf(canary.name)).toContain("entries.name: bytes");
    expect(placesOf(canary.request_id)).toContain("logs: bytes");
    expect(placesOf(canary.request_id)).toContain("audit_events.request_id: bytes");
    expect(placesOf(life.device.username)).toContain("users.username: bytes");
    const salt = Buffer.from(life.last.encryption_salt, "hex");
    expect(placesOf(salt)).toEqual(
      expect.arrayContaining(["requests: hexadecimal", "users.encryption_salt: bytes"]),
    );
  });

  test("no table is left out, and no request", () => {
    const places = known.map(([place]) => place);
    const tables = Object.values(schema).filter((value) => is(value, PgTable));
    for (const table of tables) {
      expect(places.some((place) => place.startsWith(`${getTableName(table as PgTable)}.`))).toBe(true);
    }
    const received = known[0]?.[1].toString("latin1") ?? "";
    const routes = [
      ...["POST /auth/register", "POST /auth/prelogin", "POST /auth/login", "POST /entries", "PUT /entries/"],
      ...[
        "GET /entries",
        "POST /entries/batch",
        "DELETE /entries/",
        "PUT /auth/password",
        "GET /auth/sessions",
      ],
      ...["GET /audit", "POST /auth/logout"],
    ];
    for (const route of routes) expect(received).toContain(route);
  });

  test("a secret would be found in every spelling, wherever it stood", async () => {
    const { keys } = await keysOf(life);
    const planted = [secret("Planted"), life.new_password, keys[1]?.[1] ?? new Uint8Array(), makeKey()];
    for (const each of planted) {
      for (const [name, spelled] of spellings(each)) {
        const haystack = Buffer.concat([Buffer.from(randomHex(100)), spelled, Buffer.from(randomHex(101))]);
        expect(findSpellings(haystack, each)).toContain(name);
      }
      for (const offset of [0, 1, 2, 3, 4, 5]) {
        const within = Buffer.concat([
          Buffer.alloc(offset, "x"),
          Buffer.from(each as Uint8Array),
          Buffer.alloc(7),
        ]);
        const found = findSpellings(Buffer.from(within.toString("base64")), each);
        expect(found).toContain(`base64 at ${offset % 3}`);
      }
    }
    expect(findSpellings(Buffer.from(randomHex(10_000)), planted[0] ?? "")).toEqual([]);
  });
});
