import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { exportBitwardenJson } from "../../../src/cli/export/bitwarden-json.ts";
import { exportCsv } from "../../../src/cli/export/csv.ts";
import { detectFormat, type ImportFormat } from "../../../src/cli/import/detect.ts";
import { readImport } from "../../../src/cli/import/read.ts";
import { type EntryContent, encodeContent } from "../../../src/client/content.ts";
import { bytesOf, codeOf, jsonOf, zipOf } from "./files.ts";

const RUNS = process.env.SLOW ? 5000 : 150;
const CODES = [
  "import-damaged",
  "import-encrypted",
  "import-unknown-format",
  "import-password-wrong",
  "import-too-large",
];

const CONTENT: EntryContent = {
  type: "login",
  name: "Example",
  username: "example-user-1",
  password: "example-password-1",
  uris: ["https://example.com"],
  fields: [{ name: "PIN", value: "example-password-2", hidden: true }],
  tags: ["Work", "Old"],
};

const BITWARDEN = JSON.parse(
  new TextDecoder().decode(exportBitwardenJson([CONTENT, { ...CONTENT, type: "card" }])),
);
BITWARDEN.items[0].passwordHistory = [{ lastUsedDate: "2024-01-01", password: "example-password-3" }];

const PUX = {
  accounts: [
    {
      vaults: [
        {
          attrs: { name: "Personal" },
          items: [
            {
              categoryUuid: "001",
              favIndex: 0,
              overview: { title: "A", urls: [{ url: "https://example.com", label: "x" }], tags: ["t"] },
              details: {
                loginFields: [{ value: "example-password-1", designation: "password", fieldType: "P" }],
                sections: [
                  {
                    title: "S",
                    fields: [
                      { title: "a", id: "b", value: { address: { street: "s" } } },
                      { title: "e", id: "e", value: { email: { email_address: "a" } } },
                      {
                        title: "k",
                        id: "k",
                        value: { sshKey: { privateKey: "example-password-2", metadata: {} } },
                      },
                      { title: "d", id: "d", value: { date: 1 } },
                    ],
                  },
                ],
                passwordHistory: [{ value: "example-password-3", time: 1 }],
              },
            },
          ],
        },
      ],
    },
  ],
};

const PROTON = {
  encrypted: false,
  vaults: {
    v: {
      name: "Personal",
      items: [
        {
          state: 1,
          pinned: false,
          data: {
            type: "login",
            metadata: { name: "A", note: "n" },
            content: { password: "example-password-1", urls: ["u"], passkeys: [{ a: 1 }] },
            extraFields: [{ fieldName: "f", type: "hidden", data: { content: "example-password-2" } }],
          },
        },
        {
          state: 1,
          data: { type: "identity", content: { extraSections: [{ sectionName: "s", sectionFields: [] }] } },
        },
      ],
    },
  },
};

const LASTPASS =
  "url,username,password,totp,extra,name,grouping,fav\n" +
  'https://example.com,u,example-password-1,,"a ""b""",A,x\\y,1\n' +
  'http://sn,,,,"NoteType:Server\nHostname:h\nPassword:example-password-2\nNotes:n\nm",B,,0\n';

const SAMPLES: [ImportFormat, Uint8Array][] = [
  ["bitwarden-json", jsonOf(BITWARDEN)],
  ["1password-1pux", zipOf({ "export.data": PUX })],
  ["protonpass-json", jsonOf(PROTON)],
  ["protonpass-json", zipOf({ "Proton Pass/data.json": PROTON })],
  ["blindvault-csv", exportCsv([CONTENT, CONTENT])],
  ["lastpass-csv", bytesOf(LASTPASS)],
  ["chrome-csv", bytesOf('name,url,username,password,note\nA,u,"x\ny",example-password-1,n\n')],
];

/** Reads it or ends in an error of ours whose text holds nothing of the file; what is read can be kept. */
async function survives(format: ImportFormat, bytes: Uint8Array): Promise<void> {
  try {
    const { entries } = await readImport(format, bytes);
    for (const { content } of entries) encodeContent(content);
  } catch (error) {
    const { code, message } = error as Error & { code: string };
    expect(CODES).toContain(code);
    expect(message).not.toContain("example-");
  }
}

/** One cut, change, repetition or insertion. */
const mutilation = fc.record({
  kind: fc.constantFrom("cut", "change", "repeat", "insert", "end"),
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 20 }),
});

function mutilate(bytes: Uint8Array, cuts: { kind: string; at: number; bytes: Uint8Array }[]): Uint8Array {
  return cuts.reduce((whole, cut) => {
    const at = Math.floor(cut.at * whole.length);
    const length = cut.bytes.length;
    const [before, after] = [whole.subarray(0, at), whole.subarray(at)];
    if (cut.kind === "end") return before;
    if (cut.kind === "cut") return Buffer.concat([before, after.subarray(length)]);
    if (cut.kind === "change") return Buffer.concat([before, cut.bytes, after.subarray(length)]);
    if (cut.kind === "repeat") return Buffer.concat([before, after.subarray(0, length), after]);
    return Buffer.concat([before, cut.bytes, after]);
  }, bytes);
}

describe("a mutilated file ends well or in one error", () => {
  test.each(SAMPLES)("%s", async (format, sample) => {
    await fc.assert(
      fc.asyncProperty(fc.array(mutilation, { minLength: 1, maxLength: 4 }), async (cuts) => {
        const bytes = mutilate(sample, cuts);
        await survives(format, bytes);
        const code = await codeOf(() => detectFormat(bytes, "file"));
        expect(["", ...CODES]).toContain(code);
      }),
      { numRuns: RUNS },
    );
  });

  test.each(SAMPLES)("%s read as every other format", async (_, sample) => {
    for (const [format] of SAMPLES) await survives(format, sample);
    await survives("keepass-kdbx", sample);
  });

  test("and noise too", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...SAMPLES),
        fc.uint8Array({ maxLength: 200 }),
        async ([format], bytes) => {
          await survives(format, bytes);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

/** The sample with any JSON in the place of one of its values. */
function replaceAt(value: unknown, index: { left: number }, by: unknown): unknown {
  if (index.left-- === 0) return by;
  if (Array.isArray(value)) return value.map((item) => replaceAt(item, index, by));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaceAt(item, index, by)]));
}

describe("any JSON in the place of any value is kept, refused or reported", () => {
  test.each([
    ["bitwarden-json", BITWARDEN, jsonOf],
    ["1password-1pux", PUX, (root: unknown) => zipOf({ "export.data": root })],
    ["protonpass-json", PROTON, jsonOf],
  ] as const)("%s", async (format, sample, bytesFrom) => {
    await fc.assert(
      fc.asyncProperty(fc.nat(80), fc.jsonValue({ maxDepth: 3 }), async (left, by) => {
        await survives(format, bytesFrom(replaceAt(sample, { left }, by)));
      }),
      { numRuns: RUNS },
    );
  });
});

/** What the readers leave out knowingly: ids, times and what the apps work out themselves. */
const IGNORED = new Set([
  ...[
    "id",
    "organizationId",
    "type",
    "reprompt",
    "favorite",
    "linkedId",
    "match",
    "folderId",
    "collectionIds",
  ],
  ...["lastUsedDate", "encrypted", "blindvault_type", "blindvault_tags", "categoryUuid", "favIndex", "label"],
  ...["designation", "fieldType", "time", "state", "pinned", "secureNote"],
]);

describe("no text is dropped in silence", () => {
  test.each([
    ["bitwarden-json", BITWARDEN, jsonOf],
    ["1password-1pux", PUX, (root: unknown) => zipOf({ "export.data": root })],
    ["protonpass-json", PROTON, jsonOf],
  ] as const)("%s", async (format, sample, bytesFrom) => {
    for (let left = 0; left < countOf(sample); left++) {
      if (IGNORED.has(keyAt(sample, left))) continue;
      for (const by of ["canary", ["canary"], { canary: "canary" }, [{ canary: "canary" }], [["canary"]]]) {
        const bytes = bytesFrom(replaceAt(sample, { left }, by));
        const result = await readImport(format, bytes).catch((error) => ({ error: `canary ${error}` }));
        const place = `${keyAt(sample, left)} (${left}) by ${JSON.stringify(by)}`;
        const kept = /canary|is no item|in the trash|not known/.test(JSON.stringify(result));
        expect(kept ? "" : place).toBe("");
      }
    }
  });
});

test.each([
  [
    "bitwarden-csv",
    "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp",
  ],
  [
    "bitwarden-csv",
    "collections,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp",
  ],
  ["1password-csv", "Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes"],
  ["1password-csv", "notes,password,title,type,urls,username,website,one-time password,more"],
  ["chrome-csv", "name,url,username,password,note,more"],
  ["firefox-csv", "url,username,password,httpRealm,formActionOrigin,guid,timeCreated"],
  ["lastpass-csv", "url,username,password,totp,extra,name,grouping,fav"],
] as const)("no cell is dropped in silence: %s of %s", async (format, header) => {
  const flags = ["favorite", "reprompt", "Favorite", "Archived", "guid", "timeCreated", "fav"];
  const columns = header.split(",");
  for (const column of columns.filter((name) => !flags.includes(name))) {
    const row = columns.map((name) => (name === column ? "canary" : ""));
    const { entries } = await readImport(format, bytesOf(`${header}\n${row.join(",")},\n`));
    expect(`${column} ${JSON.stringify(entries[0]?.content)}`).toContain("canary");
  }
});

function countOf(value: unknown): number {
  const inner = typeof value === "object" && value !== null ? Object.values(value) : [];
  return 1 + inner.reduce((sum: number, item) => sum + countOf(item), 0);
}

/** The key of the value that `replaceAt` replaces. */
function keyAt(sample: unknown, left: number): string {
  const marked = JSON.stringify(replaceAt(sample, { left }, "\u0001"));
  return /"(\w+)":\[?(?:[^:]*,)?"\\u0001"/.exec(marked)?.[1] ?? "";
}

test("types that are called as what every object has are unknown ones", async () => {
  const proton = { vaults: { v: { items: [{ data: { type: "constructor", metadata: { name: "A" } } }] } } };
  const pux = {
    accounts: [{ vaults: [{ items: [{ categoryUuid: "toString", overview: { title: "A" } }] }] }],
  };
  const note = `${LASTPASS.split("\n")[0]}\nhttp://sn,,,,"NoteType:constructor\nNotes:n",A,,0\n`;
  for (const [format, bytes] of [
    ["protonpass-json", jsonOf(proton)],
    ["1password-1pux", zipOf({ "export.data": pux })],
    ["lastpass-csv", bytesOf(note)],
  ] as const) {
    const { entries } = await readImport(format, bytes);
    expect(entries.map(({ content }) => content.type)).toEqual(["note"]);
  }
});

describe("what would exhaust the machine is refused", () => {
  const deep = (depth: number) =>
    bytesOf(`{"items":[],"x":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`);

  test("JSON nested deeper than the limit", async () => {
    expect(await codeOf(() => readImport("bitwarden-json", deep(64)))).toBe("");
    expect(await codeOf(() => readImport("bitwarden-json", deep(65)))).toBe("import-damaged");
    expect(await codeOf(() => readImport("bitwarden-json", deep(5_000_000)))).toBe("import-damaged");
    expect(await codeOf(() => detectFormat(deep(5_000_000), "file"))).toBe("import-damaged");
  });

  test("brackets within texts are no nesting", async () => {
    const name = '\\"[{'.repeat(100);
    expect(await codeOf(() => readImport("bitwarden-json", jsonOf({ items: [{ type: 1, name }] })))).toBe("");
  });

  test("more entries than the limit", async () => {
    const items = (count: number) =>
      bytesOf(`{"items":[${Array(count).fill('{"deletedDate":"2025"}').join(",")}]}`);
    expect(await codeOf(() => readImport("bitwarden-json", items(100_001)))).toBe("import-too-large");
  });

  test("a file larger than the limit", async () => {
    const file = new Uint8Array(256 * 1024 * 1024 + 1);
    expect(await codeOf(() => readImport("chrome-csv", file))).toBe("import-too-large");
    expect(await codeOf(() => detectFormat(file, "file"))).toBe("import-too-large");
  });

  test("an archive of one file that shrank a thousand times", async () => {
    const zip = zipOf({ "export.data": new Uint8Array(20 * 1024 * 1024) });
    expect(await codeOf(() => readImport("1password-1pux", zip))).toBe("import-too-large");
  });

  test("an archive that lies about what it unpacks to", async () => {
    const zip = zipOf({ "export.data": new Uint8Array(20 * 1024 * 1024) });
    const lie = (size: number) => {
      const view = new DataView(zip.slice().buffer);
      const directory = view.getUint32(zip.length - 6, true);
      view.setUint32(directory + 24, size, true);
      return new Uint8Array(view.buffer);
    };
    expect(await codeOf(() => readImport("1password-1pux", lie(100)))).toBe("import-too-large");
    expect(await codeOf(() => readImport("1password-1pux", lie(0)))).toBe("import-too-large");
    expect(await codeOf(() => readImport("1password-1pux", lie(2 ** 32 - 1)))).toBe("import-too-large");
  });

  test("an archive whose checksum is wrong, or that is encrypted", async () => {
    const zip = zipOf({ "export.data": PUX });
    const directory = new DataView(zip.buffer, zip.byteOffset).getUint32(zip.length - 6, true);
    const changed = (at: number) => zip.map((byte, index) => (index === directory + at ? byte ^ 1 : byte));
    expect(await codeOf(() => readImport("1password-1pux", changed(16)))).toBe("import-damaged");
    expect(await codeOf(() => readImport("1password-1pux", changed(8)))).toBe("import-encrypted");
  });
});
