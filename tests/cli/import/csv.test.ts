import { describe, expect, test } from "bun:test";
import { readImport } from "../../../src/cli/import/read.ts";
import { bytesOf, codeOf, contentsOf, reports } from "./files.ts";

const CHROME = "name,url,username,password,note";
const ROW = "Example,https://example.com,example-user-1,example-password-1,";
const EXAMPLE = {
  type: "login" as const,
  name: "Example",
  username: "example-user-1",
  password: "example-password-1",
  uris: ["https://example.com"],
};

describe("Chrome CSV", () => {
  test.each([
    ["line feeds", `${CHROME}\n${ROW}\n`],
    ["carriage returns and line feeds", `${CHROME}\r\n${ROW}\r\n`],
    ["a byte order mark", `\ufeff${CHROME}\n${ROW}\n`],
    ["no last line end", `${CHROME}\n${ROW}`],
    ["empty lines", `${CHROME}\n\n${ROW}\n\n`],
    ["semicolons", `${CHROME}\n${ROW}`.replaceAll(",", ";")],
    ["tabs", `${CHROME}\n${ROW}`.replaceAll(",", "\t")],
    ["other cases and spaces in the header", `Name, URL,Username,PASSWORD,Note\n${ROW}`],
    ["a missing last column", `name,url,username,password\n${ROW.slice(0, -1)}`],
    ["rows that end early", `${CHROME}\n${ROW.slice(0, -1)}`],
  ])("reads a file with %s", async (_, text) => {
    expect(await contentsOf("chrome-csv", bytesOf(text))).toEqual([EXAMPLE]);
  });

  test("reads UTF-16 with a byte order mark, of both orders", async () => {
    const text = `\ufeff${CHROME}\n${ROW}\n`;
    const little = new Uint8Array(Uint16Array.from(text, (unit) => unit.charCodeAt(0)).buffer);
    const big = little.slice();
    for (let at = 0; at < big.length; at += 2) big.subarray(at, at + 2).reverse();
    expect(await contentsOf("chrome-csv", little)).toEqual([EXAMPLE]);
    expect(await contentsOf("chrome-csv", big)).toEqual([EXAMPLE]);
  });

  test("refuses invalid UTF-8", async () => {
    const file = Uint8Array.of(...bytesOf(`${CHROME}\n`), 0xff, 0x2c);
    expect(await codeOf(() => readImport("chrome-csv", file))).toBe("import-damaged");
  });

  test("keeps quotes, line ends and delimiters within fields", async () => {
    const file = bytesOf(`${CHROME}\r\n"a ""b"", c",,"u\r\nv","p\nq","r\rs"\r\n`);
    expect(await contentsOf("chrome-csv", file)).toEqual([
      { type: "login", name: 'a "b", c', username: "u\r\nv", password: "p\nq", notes: "r\rs" },
    ]);
  });

  test("makes hidden fields of columns that it does not know, and of cells beyond the header", async () => {
    const file = bytesOf(`${CHROME},PIN,PIN\n${ROW},example-pin-1,example-pin-2,example-pin-3\n`);
    expect((await contentsOf("chrome-csv", file))[0]?.fields).toEqual([
      { name: "PIN", value: "example-pin-1", hidden: true },
      { name: "PIN (column 7)", value: "example-pin-2", hidden: true },
      { name: "column 8", value: "example-pin-3", hidden: true },
    ]);
  });

  test("refuses a quote that does not end, and names no more than the row", async () => {
    const file = bytesOf(`${CHROME}\n${ROW}\n"never,example-password-2\n`);
    expect(readImport("chrome-csv", file)).rejects.toThrow("Row 3 has a quote that does not end");
    expect(await codeOf(() => readImport("chrome-csv", file))).toBe("import-damaged");
  });

  test("refuses a header without the columns that it needs", async () => {
    expect(readImport("chrome-csv", bytesOf("name,url\nA,B\n"))).rejects.toThrow(
      "no column username, password",
    );
  });

  test("refuses more rows than the limit", async () => {
    const rows = (count: number) => bytesOf(`${CHROME}\n${"a,,,,\n".repeat(count)}`);
    expect((await readImport("chrome-csv", rows(100_000))).entries.length).toBe(100_000);
    expect(await codeOf(() => readImport("chrome-csv", rows(100_001)))).toBe("import-too-large");
  });

  test("says in which row an entry stands, without control characters", async () => {
    const { entries } = await readImport("chrome-csv", bytesOf(`${CHROME}\n${ROW}\n\u001b[2Jx,,,,\n`));
    expect(entries.map(({ source }) => source)).toEqual(["row 2 (Example)", "row 3 ([2Jx)"]);
  });
});

test("Firefox CSV gives each entry the name of its host, and reports times once", async () => {
  const file = bytesOf(
    '"url","username","password","httpRealm","formActionOrigin","guid","timeCreated","timeLastUsed","timePasswordChanged"\n' +
      '"https://example.com","example-user-1","example-password-1",,"https://example.com","{1}","1","2","3"\n' +
      '"https://example.org:8443","example-user-2","example-password-2","Example realm","https://login.example.org","{2}","1","2","3"\n',
  );
  const result = await readImport("firefox-csv", file);
  expect(result.entries.map(({ content }) => content)).toEqual([
    {
      type: "login",
      name: "example.com",
      username: "example-user-1",
      password: "example-password-1",
      uris: ["https://example.com"],
    },
    {
      type: "login",
      name: "example.org",
      username: "example-user-2",
      password: "example-password-2",
      uris: ["https://example.org:8443"],
      fields: [
        { name: "HTTP realm", value: "Example realm" },
        { name: "Form sent to", value: "https://login.example.org" },
      ],
    },
  ]);
  expect(reports(result)).toEqual(["2 items: times of creation, use and change are not kept"]);
});

describe("1Password CSV", () => {
  test("reads the header of version 8", async () => {
    const file = bytesOf(
      "Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\n" +
        "Example,https://example.com,example-user-1,example-password-1,otpauth://totp/A?secret=JBSWY3DPEHPK3PXP,true,true,work;home,a note\n",
    );
    expect(await contentsOf("1password-csv", file)).toEqual([
      {
        ...EXAMPLE,
        notes: "a note",
        totp: "otpauth://totp/A?secret=JBSWY3DPEHPK3PXP",
        tags: ["work", "home", "archived"],
        favorite: true,
      },
    ]);
  });

  test("reads the header of version 7, whose columns people chose", async () => {
    const file = bytesOf(
      "notes,password,title,type,urls,username,section 1\n" +
        'a,example-password-1,Example,Login,"https://example.com\nhttps://example.org",example-user-1,example-value-1\n' +
        "only this,,Note,Secure Note,,,\n",
    );
    expect(await contentsOf("1password-csv", file)).toEqual([
      {
        ...EXAMPLE,
        notes: "a",
        uris: ["https://example.com", "https://example.org"],
        fields: [{ name: "section 1", value: "example-value-1", hidden: true }],
      },
      { type: "note", name: "Note", notes: "only this" },
    ]);
  });
});

describe("LastPass CSV", () => {
  const HEADER = "url,username,password,totp,extra,name,grouping,fav\n";

  test("reads logins, folders within folders and favourites", async () => {
    const file = bytesOf(
      `${HEADER}https://example.com,example-user-1,example-password-1,JBSWY3DPEHPK3PXP,a note,Example,Work\\Servers,1\n` +
        "http://group,,,,,Empty,Empty,0\n",
    );
    const result = await readImport("lastpass-csv", file);
    expect(result.entries.map(({ content }) => content)).toEqual([
      { ...EXAMPLE, notes: "a note", totp: "JBSWY3DPEHPK3PXP", tags: ["Work/Servers"], favorite: true },
    ]);
    expect(reports(result)).toEqual(["1 item: a folder with nothing in it is not kept"]);
  });

  test("keeps a plain secure note as it is", async () => {
    const file = bytesOf(`${HEADER}http://sn,,,,"Key: value\nNotes: here",Note,,0\n`);
    expect(await contentsOf("lastpass-csv", file)).toEqual([
      { type: "note", name: "Note", notes: "Key: value\nNotes: here" },
    ]);
  });

  test("takes the template of a card apart", async () => {
    const extra = [
      "NoteType:Credit Card",
      "Language:en-GB",
      "Name on Card:A. Example",
      "Type:Visa",
      "Number:example-number-1",
      "Security Code:example-code-1",
      "Start Date:,",
      "Expiration Date:January,2031",
      "Notes:first: line",
      "second line",
    ].join("\n");
    expect(await contentsOf("lastpass-csv", bytesOf(`${HEADER}http://sn,,,,"${extra}",Card,,0\n`))).toEqual([
      {
        type: "card",
        name: "Card",
        notes: "first: line\nsecond line",
        fields: [
          { name: "Name on Card", value: "A. Example" },
          { name: "Type", value: "Visa" },
          { name: "Number", value: "example-number-1", hidden: true },
          { name: "Security Code", value: "example-code-1", hidden: true },
          { name: "Expiration Date", value: "January,2031" },
        ],
      },
    ]);
  });

  test("keeps a private key of several lines in one field", async () => {
    const key = "-----BEGIN EXAMPLE KEY-----\nProc-Type: 4,ENCRYPTED\n\nexample\n-----END EXAMPLE KEY-----";
    const extra = `NoteType:SSH Key\nLanguage:en-US\nPassphrase:example-passphrase-1\nPrivate Key:${key}\nHostname:example.com\nNotes:`;
    expect(await contentsOf("lastpass-csv", bytesOf(`${HEADER}http://sn,,,,"${extra}",Key,,0\n`))).toEqual([
      {
        type: "secret",
        name: "Key",
        fields: [
          { name: "Passphrase", value: "example-passphrase-1", hidden: true },
          { name: "Private Key", value: key, hidden: true },
          { name: "Hostname", value: "example.com" },
        ],
      },
    ]);
  });

  test("keeps the name of a template that it does not know", async () => {
    const extra = "NoteType:Custom_1\nLanguage:en-US\nmy password:example-password-1\nNotes:";
    expect(await contentsOf("lastpass-csv", bytesOf(`${HEADER}http://sn,,,,"${extra}",Custom,,0\n`))).toEqual(
      [
        {
          type: "note",
          name: "Custom",
          fields: [
            { name: "my password", value: "example-password-1", hidden: true },
            { name: "Note type", value: "Custom_1" },
          ],
        },
      ],
    );
  });
});

test("our own CSV refuses a row whose lists cannot be read, and takes the others", async () => {
  const file = bytesOf(
    "type,name,username,password,uris,notes,totp,fields,tags,favorite\n" +
      'login,A,,,"[""https://example.com""]",,,,,true\nlogin,B,,,not json,,,,,\nlogin,C,,,,,,[1],,\nnothing,D,,,,,,,,\n',
  );
  const result = await readImport("blindvault-csv", file);
  expect(result.entries.map(({ content }) => content)).toEqual([
    { type: "login", name: "A", uris: ["https://example.com"], favorite: true },
  ]);
  expect(reports(result)).toEqual(
    ["row 3 (B)", "row 4 (C)", "row 5 (D)"].map(
      (source) => `${source}: has a type or a list that cannot be read`,
    ),
  );
});
