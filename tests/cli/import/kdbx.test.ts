import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { Consts, Credentials, Int64, VarDictionary } from "kdbxweb";
import { readImport } from "../../../src/cli/import/read.ts";
import { bytesOf, codeOf, contentsOf, reports } from "./files.ts";
import {
  addEntry,
  bytesOfDatabase,
  databaseOf,
  headerAsking,
  holding,
  innerHeader,
  PASSPHRASE,
  setCost,
} from "./keepass-files.ts";

const KEY = { passphrase: PASSPHRASE };
const read = (bytes: Uint8Array, key = KEY) => readImport("keepass-kdbx", bytes, key);

describe("a KeePass file", () => {
  test("gives entries with groups as tags and protected strings hidden", async () => {
    const database = await databaseOf();
    const work = database.createGroup(database.getDefaultGroup(), "Work");
    const servers = database.createGroup(work, "Servers");
    const entry = addEntry(
      database,
      {
        Title: "Example",
        UserName: "example-user-1",
        Password: { secret: "example-password-1" },
        URL: "https://example.com",
        KP2A_URL: "https://example.org",
        KP2A_URL_1: "https://example.net",
        Notes: "first\tline\nsecond line",
        PIN: { secret: "example-pin-1" },
        Branch: "Example Street",
      },
      servers,
    );
    entry.tags = ["one", "two"];
    entry.times.expires = true;
    entry.times.expiryTime = new Date("2031-01-01T00:00:00Z");
    addEntry(database, { Title: "", URL: "https://example.com/x" });
    expect(await contentsOf("keepass-kdbx", await bytesOfDatabase(database), KEY)).toEqual([
      { type: "login", name: "example.com", uris: ["https://example.com/x"] },
      {
        type: "login",
        name: "Example",
        username: "example-user-1",
        password: "example-password-1",
        uris: ["https://example.com", "https://example.org", "https://example.net"],
        notes: "first\tline\nsecond line",
        fields: [
          { name: "PIN", value: "example-pin-1", hidden: true },
          { name: "Branch", value: "Example Street" },
          { name: "Expires", value: "2031-01-01T00:00:00.000Z" },
        ],
        tags: ["Work/Servers", "one", "two"],
      },
    ]);
  });

  test.each([
    [
      "KeePassXC's address",
      { otp: "otpauth://totp/A?secret=JBSWY3DPEHPK3PXP" },
      "otpauth://totp/A?secret=JBSWY3DPEHPK3PXP",
    ],
    ["KeeOtp", { otp: "key=JBSWY3DPEHPK3PXP" }, "JBSWY3DPEHPK3PXP"],
    [
      "KeeOtp with settings",
      { otp: "key=JBSWY3DPEHPK3PXP&step=60&size=8" },
      "otpauth://totp/A%20b?secret=JBSWY3DPEHPK3PXP&period=60&digits=8",
    ],
    ["a seed", { "TOTP Seed": "JBSWY3DPEHPK3PXP", "TOTP Settings": "30;6" }, "JBSWY3DPEHPK3PXP"],
    ["a seed alone", { "TOTP Seed": "jbsw y3dp ehpk 3pxp" }, "jbsw y3dp ehpk 3pxp"],
    [
      "a seed of Steam",
      { "TOTP Seed": "JBSWY3DPEHPK3PXP", "TOTP Settings": "30;S" },
      "otpauth://totp/A%20b?secret=JBSWY3DPEHPK3PXP&period=30&digits=5&encoder=steam",
    ],
    ["KeePass itself", { "TimeOtp-Secret-Base32": "JBSWY3DPEHPK3PXP" }, "JBSWY3DPEHPK3PXP"],
    [
      "KeePass itself with settings",
      {
        "TimeOtp-Secret-Base32": "JBSWY3DPEHPK3PXP",
        "TimeOtp-Algorithm": "HMAC-SHA-256",
        "TimeOtp-Length": "8",
      },
      "otpauth://totp/A%20b?secret=JBSWY3DPEHPK3PXP&period=30&digits=8&algorithm=SHA256",
    ],
  ])("gives the one-time password of %s", async (_, fields, totp) => {
    const database = await databaseOf();
    addEntry(database, { Title: "A b", ...fields });
    expect(await contentsOf("keepass-kdbx", await bytesOfDatabase(database), KEY)).toEqual([
      { type: "login", name: "A b", totp },
    ]);
  });

  test("keeps a second one-time password and unknown settings as hidden fields", async () => {
    const database = await databaseOf();
    addEntry(database, {
      Title: "A",
      otp: { secret: "otpauth://totp/A?secret=JBSWY3DPEHPK3PXP" },
      "TOTP Seed": { secret: "GEZDGNBVGY3TQOJQ" },
      "HmacOtp-Secret-Base32": { secret: "GEZDGNBV" },
    });
    expect((await contentsOf("keepass-kdbx", await bytesOfDatabase(database), KEY))[0]?.fields).toEqual([
      { name: "TOTP Seed", value: "GEZDGNBVGY3TQOJQ", hidden: true },
      { name: "HmacOtp-Secret-Base32", value: "GEZDGNBV", hidden: true },
    ]);
  });

  test("leaves the recycle bin where it is, and reports it, attachments and older versions", async () => {
    const database = await databaseOf();
    const entry = addEntry(database, {
      Title: "Kept",
      Password: "{REF:P@I:46C9B1FFBD4ABC4BBB260C6190BAD20C}",
    });
    entry.pushHistory();
    entry.binaries.set("scan.pdf", await database.createBinary(bytesOf("example").buffer));
    entry.autoType.items.push({ window: "w", keystrokeSequence: "k" });
    entry.customData = new Map([["plug-in", { value: "x" }]]);
    database.remove(addEntry(database, { Title: "Gone", Password: { secret: "example-password-9" } }));
    const result = await read(await bytesOfDatabase(database));
    expect(result.entries.map(({ content }) => content.name)).toEqual(["Kept"]);
    expect(reports(result)).toEqual([
      "entry (Kept): the attachment (scan.pdf) cannot be kept",
      "recycle bin (Gone): is in the trash and stays there",
      "file: times are not kept, but those at which entries expire",
      "1 item: older versions of an entry are not kept",
      "1 item: auto-type settings are not kept",
      "1 item: data of plug-ins is not kept",
      "1 item: references to other entries ({REF:...}) stay as they are written",
    ]);
  });

  test.each([
    ["Argon2d", Consts.KdfId.Argon2d],
    ["Argon2id", Consts.KdfId.Argon2id],
  ])("opens with %s", async (_, kdf) => {
    const database = await databaseOf();
    database.setKdf(kdf);
    setCost(database, { M: 8 * 1024, I: 1, P: 1 });
    addEntry(database, { Title: "A" });
    expect((await read(await bytesOfDatabase(database))).entries.length).toBe(1);
  });

  test("opens with the AES key derivation, and ChaCha20", async () => {
    const database = await databaseOf();
    database.setKdf(Consts.KdfId.Aes);
    database.header.kdfParameters?.set("R", VarDictionary.ValueType.UInt64, Int64.from(10));
    addEntry(database, { Title: "A", Password: { secret: "example-password-1" } });
    expect((await read(await bytesOfDatabase(database))).entries.length).toBe(1);
  });

  test("of version 3 opens too", async () => {
    const database = await databaseOf();
    database.setVersion(3);
    database.header.keyEncryptionRounds = 10;
    addEntry(database, { Title: "A", Password: { secret: "example-password-1" }, Notes: "a\tb" });
    expect(await contentsOf("keepass-kdbx", await bytesOfDatabase(database), KEY)).toEqual([
      { type: "login", name: "A", password: "example-password-1", notes: "a\tb" },
    ]);
  });
});

describe("the key of a KeePass file", () => {
  test.each([
    ["32 bytes", () => crypto.getRandomValues(new Uint8Array(32))],
    ["64 hexadecimal digits", () => bytesOf(crypto.getRandomValues(new Uint8Array(32)).toHex())],
    ["XML of version 1", () => Credentials.createRandomKeyFile(1)],
    ["XML of version 2", () => Credentials.createRandomKeyFile(2)],
    ["any other file", () => crypto.getRandomValues(new Uint8Array(100))],
  ])("may be a key file of %s, with or without a passphrase", async (_, make) => {
    const key_file = await make();
    const alone = await databaseOf(null, key_file);
    const both = await databaseOf(PASSPHRASE, key_file);
    expect(
      await codeOf(async () => readImport("keepass-kdbx", await bytesOfDatabase(alone), { key_file })),
    ).toBe("");
    const bytes = await bytesOfDatabase(both);
    expect(await codeOf(() => readImport("keepass-kdbx", bytes, { ...KEY, key_file }))).toBe("");
    expect(await codeOf(() => readImport("keepass-kdbx", bytes, KEY))).toBe("import-password-wrong");
    expect(await codeOf(() => readImport("keepass-kdbx", bytes, { key_file }))).toBe("import-password-wrong");
  });

  test("may be an empty passphrase, but not nothing", async () => {
    const bytes = await bytesOfDatabase(await databaseOf(""));
    expect(await codeOf(() => read(bytes, { passphrase: "" }))).toBe("");
    expect(await codeOf(() => readImport("keepass-kdbx", bytes, {}))).toBe("import-password-wrong");
  });

  test("is said to be wrong without being quoted", async () => {
    const bytes = await bytesOfDatabase(await databaseOf());
    expect(read(bytes, { passphrase: "example-passphrase-2" })).rejects.toThrow(
      "The passphrase or the key file does not open the KeePass file",
    );
  });

  test("is refused when the key file is damaged or huge", async () => {
    const bytes = await bytesOfDatabase(await databaseOf());
    const damaged = new TextDecoder()
      .decode(await Credentials.createRandomKeyFile(2))
      .replace(/Hash="..../, 'Hash="0000');
    expect(await codeOf(() => readImport("keepass-kdbx", bytes, { key_file: bytesOf(damaged) }))).toBe(
      "import-damaged",
    );
    const key_file = new Uint8Array(1024 * 1024 + 1);
    expect(await codeOf(() => readImport("keepass-kdbx", bytes, { key_file }))).toBe("import-too-large");
  });
});

describe("a hostile KeePass file", () => {
  const MIB = 1024 * 1024;
  test.each([
    ["too much memory", { M: 1025 * MIB, I: 1, P: 1 }],
    ["too many passes", { M: 8 * 1024, I: 65_537, P: 1 }],
    ["too much of both", { M: 1024 * MIB, I: 65, P: 1 }],
    ["too many lanes", { M: MIB, I: 1, P: 65 }],
  ])("that asks for %s is refused before any work", async (_, cost) => {
    const database = await databaseOf();
    setCost(database, cost);
    expect(await codeOf(() => read(headerAsking(database)))).toBe("import-too-large");
  });

  test("that asks for too many AES rounds is refused before any work", async () => {
    const database = await databaseOf();
    database.setKdf(Consts.KdfId.Aes);
    database.header.kdfParameters?.set("R", VarDictionary.ValueType.UInt64, Int64.from(100_000_001));
    expect(await codeOf(() => read(headerAsking(database)))).toBe("import-too-large");
  });

  test("of another version is refused with a sentence", async () => {
    const bytes = await bytesOfDatabase(await databaseOf());
    bytes[10] = 5;
    expect(await codeOf(() => read(bytes))).toBe("import-unknown-format");
  });

  test("that unpacks to more than the limit is refused while it is unpacked", async () => {
    const bomb = gzipSync(new Uint8Array(257 * MIB), { level: 1 });
    expect(await codeOf(async () => read(await holding(await databaseOf(), bomb)))).toBe("import-too-large");
  });

  const xmlHolding = async (xml: string) =>
    await holding(await databaseOf(), gzipSync(Buffer.concat([innerHeader(), bytesOf(xml)])));

  test("that declares entities is refused", async () => {
    const laughs = Array.from(
      { length: 9 },
      (_, level) => `<!ENTITY a${level + 1} "${`&a${level};`.repeat(10)}">`,
    );
    const xml = `<?xml version="1.0"?><!DOCTYPE k [<!ENTITY a0 "ha">${laughs.join("")}]><KeePassFile>&a9;</KeePassFile>`;
    expect(await codeOf(async () => read(await xmlHolding(xml)))).toBe("import-damaged");
  });

  test("is made by these tests as a harmless one is", async () => {
    const entry = "<Entry><String><Key>Title</Key><Value>A&amp;B</Value></String></Entry>";
    const xml = `<KeePassFile><Meta/><Root><Group><Name>Top</Name>${entry}</Group></Root></KeePassFile>`;
    expect(await contentsOf("keepass-kdbx", await xmlHolding(xml), KEY)).toEqual([
      { type: "login", name: "A&B" },
    ]);
  });

  test.each([
    ["no XML", "example"],
    ["an unknown entity", "<KeePassFile>&nbsp;</KeePassFile>"],
    ["another document", "<html><body/></html>"],
    ["no groups", "<KeePassFile><Meta/></KeePassFile>"],
    ["100,000 elements within each other", `${"<Group>".repeat(100_000)}${"</Group>".repeat(100_000)}`],
  ])("that holds %s ends in one error", async (_, xml) => {
    expect(await codeOf(async () => read(await xmlHolding(xml)))).toBe("import-damaged");
  });

  test("with any byte changed, or cut off anywhere, ends in one error", async () => {
    const database = await databaseOf();
    addEntry(database, { Title: "A", Password: { secret: "example-password-1" } });
    const bytes = await bytesOfDatabase(database);
    const codes = ["import-damaged", "import-password-wrong", "import-too-large", "import-unknown-format"];
    for (let at = 0; at < bytes.length; at += process.env.SLOW ? 1 : 101) {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      // The last 36 bytes are an empty block, which only says that nothing follows.
      const ends = at < bytes.length - 36 ? codes : [...codes, ""];
      expect(ends).toContain(await codeOf(() => read(changed)));
      expect(codes).toContain(await codeOf(() => read(bytes.slice(0, at))));
    }
  }, 60_000);
});
