import { beforeAll, describe, expect, test } from "bun:test";
import { deriveKeys } from "../../src/client/account.ts";
import { makeArchive } from "../../src/client/archive.ts";
import { sealContent } from "../../src/client/entries.ts";
import { type EntryContent, openArchive, VaultError } from "../../src/client/index.ts";
import { sealEntry, wrapVaultKey } from "../../src/crypto/envelope.ts";
import { importVaultKey, makeKey, makeSalt, type VaultKey } from "../../src/crypto/keys.ts";
import { randomName, randomPassword } from "../support/client.ts";
import { codeOf, KDF, randomLogin } from "../support/vault.ts";

/** How many bytes of an archive are flipped one by one; each that is not noticed in the form costs a key derivation. */
const FLIPS = process.env.SLOW ? Number.POSITIVE_INFINITY : 40;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytesOf = (value: string) => new TextEncoder().encode(value);
const master_password = randomPassword();
const NOW_MS = Date.UTC(2030, 0, 2, 3, 4, 5, 6);

type TestAccount = Parameters<typeof makeArchive>[1] & { vault_key: VaultKey };

async function newAccount(): Promise<TestAccount> {
  const [bytes, encryption_salt, username] = [makeKey(), makeSalt(), randomName()];
  const account_id = crypto.randomUUID();
  const context = { account_id, username, encryption_salt, kdf: KDF };
  const keys = await deriveKeys({ username, master_password, encryption_salt, kdf: KDF });
  const protected_key = await wrapVaultKey(keys, bytes, context);
  return { ...context, protected_key, vault_key: await importVaultKey(bytes) };
}

async function stored({ vault_key, account_id }: TestAccount, content: EntryContent, version = 1) {
  const id = crypto.randomUUID();
  const time = new Date(NOW_MS).toISOString();
  const sealed = await sealContent({ vault_key, account_id }, content, id, version);
  return { id, version, ...sealed, name: null, meta: null, created_at: time, updated_at: time };
}

type Stored = Awaited<ReturnType<typeof stored>>;
const archiveOf = (account: TestAccount, entries: Stored[]) =>
  makeArchive(account.vault_key, account, entries, NOW_MS);

describe("an archive", () => {
  const contents = [randomLogin({ tags: ["a"] }), randomLogin({ favorite: true }), randomLogin()];
  let account: TestAccount;
  let entries: Stored[];
  let archive: Uint8Array;
  let lines: string[];

  beforeAll(async () => {
    account = await newAccount();
    entries = await Promise.all(contents.map((content, index) => stored(account, content, index + 1)));
    archive = await archiveOf(account, entries);
    lines = text(archive).trimEnd().split("\n");
  });

  const joined = (changed: string[]) => bytesOf(changed.map((line) => `${line}\n`).join(""));
  const codeOfOpening = (bytes: Uint8Array, password = master_password) =>
    codeOf(openArchive(bytes, password));

  test("opens with the master password alone, to what was put into it", async () => {
    const opened = await openArchive(archive, master_password);
    expect(opened).toEqual({
      username: account.username,
      created_at: "2030-01-02T03:04:05.006Z",
      entries: entries.map(({ id, version, created_at, updated_at }, index) => {
        return { id, version, created_at, updated_at, content: contents[index] as EntryContent };
      }),
    });
  });

  test("of no entries opens to none", async () => {
    expect((await openArchive(await archiveOf(account, []), master_password)).entries).toEqual([]);
  });

  test("says nothing that the server does not know", () => {
    for (const { name, password } of contents) {
      expect(text(archive)).not.toContain(name);
      expect(text(archive)).not.toContain(password as string);
    }
    expect(text(archive)).not.toContain(master_password);
  });

  test("does not open with another password, and takes none that is none", async () => {
    expect(await codeOfOpening(archive, randomPassword())).toBe("archive-password-wrong");
    expect(await codeOfOpening(archive, "")).toBe("password-invalid");
    expect(await codeOfOpening(archive, "\ud800")).toBe("password-invalid");
  });

  test("cut off at any byte is damaged, without the password being tried", async () => {
    // A derivation each would take minutes, and the test its time limit.
    for (let length = 0; length < archive.length; length++) {
      expect(await codeOfOpening(archive.subarray(0, length))).toBe("archive-damaged");
    }
  });

  test("with any byte changed does not open", async () => {
    const small = await archiveOf(account, entries.slice(0, 1));
    const stride = Math.max(1, Math.floor(small.length / FLIPS));
    const offset = Math.floor(Math.random() * stride);
    for (let index = offset; index < small.length; index += stride) {
      const changed = new Uint8Array(small);
      changed[index] = (changed[index] as number) ^ (1 << (index % 8));
      // A flip can make a 3 of the version, which nobody vouches for before it is read.
      const newer = index === small.indexOf(0x31) ? ["content-unreadable"] : [];
      const code = await codeOfOpening(changed);
      expect(["archive-damaged", "archive-password-wrong", ...newer]).toContain(code);
    }
  }, 600_000);

  test.each<[string, (lines: string[]) => string[]]>([
    ["no line", () => []],
    ["one empty line", () => [""]],
    ["two empty lines", () => ["", ""]],
    ["its header alone", ([header]) => [header as string]],
    ["a line missing", (all) => all.toSpliced(2, 1)],
    ["a line twice", (all) => all.toSpliced(2, 0, all[2] as string)],
    ["two lines in each other's place", ([header, a, b, ...rest]) => [header, b, a, ...rest] as string[]],
    ["an empty line at its end", (all) => [...all, ""]],
    ["a line after its end", (all) => [...all, all[1] as string]],
    ["no MAC", (all) => all.slice(0, -1)],
    ["a MAC of nothing", (all) => all.with(-1, '{"mac":""}')],
    ["a MAC of zeros", (all) => all.with(-1, JSON.stringify({ mac: "A".repeat(43).concat("=") }))],
    ["another count", (all) => all.with(0, (all[0] as string).replace('"entries":3', '"entries":2'))],
    [
      "a count that fits but lies",
      ([header, a, , c, end]) => [header?.replace('"entries":3', '"entries":2'), a, c, end] as string[],
    ],
    ["another time", (all) => all.with(0, (all[0] as string).replace("2030-01-02", "2031-01-02"))],
    ["another case of its name", (all) => all.with(0, (all[0] as string).replace("user_", "USER_"))],
    ["spaces that change nothing", (all) => all.with(1, (all[1] as string).replace("{", "{ "))],
    ["a field more in its header", (all) => all.with(0, (all[0] as string).replace("{", '{"x":1,'))],
    ["a field more in a line", (all) => all.with(1, (all[1] as string).replace("{", '{"x":1,'))],
    [
      "another version of an entry",
      (all) => all.with(1, (all[1] as string).replace('"version":1', '"version":2')),
    ],
    ["carriage returns", (all) => all.map((line) => `${line}\r`)],
    ["something else entirely", () => ["<html>", "</html>"]],
    ["a JSON text that is no object", () => ["null", "[]", "1"]],
    ["a huge line", (all) => all.with(1, `"${"x".repeat(8 * 1024 * 1024)}"`)],
    ["a million lines", (all) => [all[0] as string, ...Array(1_000_000).fill("{}"), all.at(-1) as string]],
  ])("with %s is damaged", async (_, change) => {
    expect(await codeOfOpening(joined(change(lines)))).toBe("archive-damaged");
  });

  test("with bytes that are no UTF-8 is damaged", async () => {
    const changed = new Uint8Array(archive);
    changed[10] = 0xff;
    expect(await codeOfOpening(changed)).toBe("archive-damaged");
  });

  test("with another account's line in it, or its header, is damaged", async () => {
    const other = await newAccount();
    const theirs = text(await archiveOf(other, [await stored(other, randomLogin())]))
      .trimEnd()
      .split("\n");
    expect(await codeOfOpening(joined(lines.with(1, theirs[1] as string)))).toBe("archive-damaged");
    const header = (theirs[0] as string).replace('"entries":1', '"entries":3');
    expect(await codeOfOpening(joined(lines.with(0, header)))).toBe("archive-damaged");
    // Sealed under this archive's MAC by who holds the key, and still not this account's.
    const foreign = await stored({ ...account, account_id: other.account_id }, randomLogin());
    expect(await codeOfOpening(await archiveOf(account, [foreign]))).toBe("archive-damaged");
  });

  test("with another wrapped key is damaged, or says that the password is wrong", async () => {
    const other = await newAccount();
    const swapped = await archiveOf({ ...account, protected_key: other.protected_key }, entries);
    expect(await codeOfOpening(swapped)).toBe("archive-password-wrong");
    const { commitment } = account.protected_key;
    const mixed = await archiveOf(
      { ...account, protected_key: { ...other.protected_key, commitment } },
      entries,
    );
    expect(await codeOfOpening(mixed)).toBe("archive-damaged");
  });

  test.each([
    ["memory_kib", 8],
    ["memory_kib", 19_455],
    ["memory_kib", 1_048_577],
    ["memory_kib", 4_294_967_295],
    ["iterations", 1],
    ["iterations", 11],
    ["iterations", 1e9],
    ["parallelism", 0],
    ["parallelism", 17],
    ["memory_kib", 19_456.5],
    ["memory_kib", "65536"],
    ["algorithm", "argon2i"],
  ])("that asks for a derivation with %s %p is damaged", async (field, value) => {
    const header = JSON.parse(lines[0] as string);
    header.kdf[field] = value;
    expect(await codeOfOpening(joined(lines.with(0, JSON.stringify(header))))).toBe("archive-damaged");
  });

  test("of a newer version is told apart from a damaged one", async () => {
    const header = (lines[0] as string).replace('"v":1', '"v":2,"new":[]');
    const error = await openArchive(joined(["{}", ...lines].with(0, header)), master_password).catch(
      (e) => e,
    );
    expect(error).toBeInstanceOf(VaultError);
    expect(error).toMatchObject({
      code: "content-unreadable",
      message: "The archive was made by a newer version",
    });
    for (const v of ["0", "1.5", '"2"', "null"]) {
      const odd = (lines[0] as string).replace('"v":1', `"v":${v}`);
      expect(await codeOfOpening(joined(lines.with(0, odd)))).toBe("archive-damaged");
    }
  });

  test("with an entry of a newer version says so", async () => {
    const id = crypto.randomUUID();
    const context = { account_id: account.account_id, entry_id: id, version: 1 };
    const sealed = await sealEntry(account.vault_key, bytesOf('{"v":2,"type":"note","name":"n"}'), context);
    const newer = { ...(entries[0] as Stored), ...sealed, id };
    expect(await codeOfOpening(await archiveOf(account, [newer]))).toBe("content-unreadable");
  });
});
