import { describe, expect, test } from "bun:test";
import { readImport } from "../../../src/cli/import/read.ts";
import { bytesOf, codeOf, contentsOf, jsonOf, reports, zipOf } from "./files.ts";

const FOLDER = "0f8fad5b-d9cb-469f-a165-70867728950e";
const PASSKEY = { credentialId: "example-credential-1", rpId: "example.com", keyValue: "example-key-1" };

const LOGIN = {
  passwordHistory: [{ lastUsedDate: "2024-03-01T10:00:00.000Z", password: "example-password-0" }],
  revisionDate: "2025-02-17T09:30:27.266Z",
  creationDate: "2025-02-17T09:30:27.266Z",
  deletedDate: null,
  archivedDate: null,
  id: "aa6874e0-c259-41fa-8a18-afa200cf3f3a",
  organizationId: null,
  folderId: FOLDER,
  type: 1,
  reprompt: 1,
  name: "Example",
  notes: "first line\nsecond line",
  favorite: true,
  fields: [
    { name: "Shown", value: "example-value-1", type: 0, linkedId: null },
    { name: "Hidden", value: "example-value-2", type: 1, linkedId: null },
    { name: "Ticked", value: "true", type: 2, linkedId: null },
    { name: "Linked", value: null, type: 3, linkedId: 100 },
  ],
  login: {
    fido2Credentials: [PASSKEY],
    uris: [
      { match: null, uri: "https://example.com/login" },
      { match: 3, uri: "androidapp://com.example.app" },
    ],
    username: "example-user-1",
    password: "example-password-1",
    totp: "otpauth://totp/Example?secret=JBSWY3DPEHPK3PXP",
  },
  collectionIds: null,
};

const vaultOf = (...items: unknown[]) =>
  jsonOf({ encrypted: false, folders: [{ id: FOLDER, name: "Work/Servers" }], items });

describe("Bitwarden JSON", () => {
  test("takes every part of a login", async () => {
    expect(await contentsOf("bitwarden-json", vaultOf(LOGIN))).toEqual([
      {
        type: "login",
        name: "Example",
        username: "example-user-1",
        password: "example-password-1",
        uris: ["https://example.com/login", "androidapp://com.example.app"],
        notes: "first line\nsecond line",
        totp: "otpauth://totp/Example?secret=JBSWY3DPEHPK3PXP",
        fields: [
          { name: "Passkey", value: JSON.stringify(PASSKEY), hidden: true },
          { name: "Shown", value: "example-value-1" },
          { name: "Hidden", value: "example-value-2", hidden: true },
          { name: "Ticked", value: "true" },
          { name: "Linked", value: "linked to the username" },
          { name: "Previous password (2024-03-01)", value: "example-password-0", hidden: true },
        ],
        tags: ["Work/Servers"],
        favorite: true,
      },
    ]);
  });

  test("reports the settings that have no place here, once for all items", async () => {
    expect(reports(await readImport("bitwarden-json", vaultOf(LOGIN, LOGIN)))).toEqual([
      "2 items: how an address is matched is not kept",
      "2 items: asking for the master password again is not kept",
      "2 items: creation and change times are not kept",
    ]);
  });

  test("takes notes, cards, identities and SSH keys, hiding what is secret", async () => {
    const common = { folderId: null, reprompt: 0, notes: null, favorite: false, collectionIds: null };
    const file = vaultOf(
      { ...common, type: 2, name: "Note", notes: "example-note-1", secureNote: { type: 0 } },
      {
        ...common,
        type: 3,
        name: "Card",
        card: {
          cardholderName: "A. Example",
          brand: "Visa",
          number: "example-number-1",
          expMonth: "1",
          expYear: "2031",
          code: "example-code-1",
        },
      },
      {
        ...common,
        type: 4,
        name: "Identity",
        identity: { title: null, firstName: "A.", ssn: "example-ssn-1" },
      },
      {
        ...common,
        type: 5,
        name: "Key",
        sshKey: {
          privateKey: "example-private-1",
          publicKey: "example-public-1",
          keyFingerprint: "SHA256:example",
        },
      },
    );
    expect(await contentsOf("bitwarden-json", file)).toEqual([
      { type: "note", name: "Note", notes: "example-note-1" },
      {
        type: "card",
        name: "Card",
        fields: [
          { name: "Cardholder name", value: "A. Example" },
          { name: "Brand", value: "Visa" },
          { name: "Number", value: "example-number-1", hidden: true },
          { name: "Expiry month", value: "1" },
          { name: "Expiry year", value: "2031" },
          { name: "Security code", value: "example-code-1", hidden: true },
        ],
      },
      {
        type: "identity",
        name: "Identity",
        fields: [
          { name: "First name", value: "A." },
          { name: "Social security number", value: "example-ssn-1", hidden: true },
        ],
      },
      {
        type: "secret",
        name: "Key",
        fields: [
          { name: "Private key", value: "example-private-1", hidden: true },
          { name: "Public key", value: "example-public-1" },
          { name: "Fingerprint", value: "SHA256:example" },
        ],
      },
    ]);
  });

  test("makes tags of an organisation's collections", async () => {
    const file = jsonOf({
      encrypted: false,
      collections: [
        { id: "c1", organizationId: "o", name: "Shared", externalId: null },
        { id: "c2", organizationId: "o", name: "Ops", externalId: null },
      ],
      items: [{ type: 1, name: "A", organizationId: "o", folderId: null, collectionIds: ["c2", "c1"] }],
    });
    expect(await contentsOf("bitwarden-json", file)).toEqual([
      { type: "login", name: "A", tags: ["Ops", "Shared"] },
    ]);
  });

  test("takes the newer types, and reports a folder without a name", async () => {
    const bank = { bankName: "Example Bank", accountNumber: "example-number-1", iban: "example-iban-1" };
    const result = await readImport(
      "bitwarden-json",
      vaultOf(
        { type: 6, name: "Bank", folderId: "elsewhere", bankAccount: bank },
        { type: 8, passport: { surname: "E." } },
      ),
    );
    expect(result.entries.map(({ content }) => content)).toEqual([
      {
        type: "card",
        name: "Bank",
        fields: [
          { name: "Bank name", value: "Example Bank" },
          { name: "Account number", value: "example-number-1", hidden: true },
          { name: "Iban", value: "example-iban-1", hidden: true },
        ],
      },
      { type: "identity", name: "Untitled", fields: [{ name: "Surname", value: "E." }] },
    ]);
    expect(reports(result)).toEqual(["1 item: a folder that the file does not name is not kept"]);
  });

  test("keeps what it has never heard of as hidden fields", async () => {
    const item = { type: 1, name: "A", novelty: { depth: [1, 2] }, login: { recovery: "example-code-1" } };
    expect((await contentsOf("bitwarden-json", vaultOf(item)))[0]?.fields).toEqual([
      { name: "novelty", value: '{"depth":[1,2]}', hidden: true },
      { name: "login: recovery", value: "example-code-1", hidden: true },
    ]);
  });

  test("leaves the trash where it is and says so, and tags what is archived", async () => {
    const result = await readImport(
      "bitwarden-json",
      vaultOf(
        { type: 1, name: "Gone", deletedDate: "2025-01-01T00:00:00Z" },
        { type: 1, name: "Old", archivedDate: "2025-01-01T00:00:00Z" },
      ),
    );
    expect(result.entries).toEqual([
      { content: { type: "login", name: "Old", tags: ["archived"] }, source: "item 2 (Old)" },
    ]);
    expect(result.refused).toEqual([]);
    expect(result.unmapped).toContainEqual({
      source: "item 1 (Gone)",
      what: "is in the trash and stays there",
    });
  });

  test("names an entry without a name after its host", async () => {
    const file = vaultOf(
      { type: 1, name: " ", login: { uris: [{ uri: "https://example.com/login" }] } },
      { type: 1, name: "", login: { uris: [{ uri: "example.org" }] } },
      { type: 1, name: null },
    );
    const names = (await contentsOf("bitwarden-json", file)).map(({ name }) => name);
    expect(names).toEqual(["example.com", "example.org", "Untitled"]);
  });

  test("refuses one entry that is too large, and takes the others", async () => {
    const result = await readImport(
      "bitwarden-json",
      vaultOf({ type: 2, name: "Large", notes: "n".repeat(65_536) }, { type: 2, name: "Small" }, 7),
    );
    expect(result.entries.map(({ content }) => content.name)).toEqual(["Small"]);
    expect(reports(result)).toEqual([
      "item 1 (Large): An entry has 65583 bytes, and 65535 fit",
      "item 3: is no item",
    ]);
  });

  test("refuses an entry with more fields than an entry has", async () => {
    const fields = (count: number) =>
      Array.from({ length: count }, () => ({ name: "a", value: "b", type: 0 }));
    const file = vaultOf(
      { type: 1, name: "Fits", fields: fields(1000) },
      { type: 1, name: "Over", fields: fields(1001) },
    );
    const result = await readImport("bitwarden-json", file);
    expect(result.entries.map(({ content }) => content.name)).toEqual(["Fits"]);
    expect(reports(result)).toEqual(["item 2 (Over): An entry breaks the rules of content: fields"]);
  });

  test("reads the zip that brings attachments, and reports them", async () => {
    const zip = zipOf({
      "data.json": { encrypted: false, items: [LOGIN] },
      "attachments/1/scan.pdf": bytesOf("x"),
    });
    const result = await readImport("bitwarden-json", zip);
    expect(result.entries.length).toBe(1);
    expect(reports(result)).toContain("file (attachments/1/scan.pdf): attachments cannot be kept");
  });

  test("refuses both kinds of encrypted export with a sentence", async () => {
    const restricted = jsonOf({
      encrypted: true,
      encKeyValidation_DO_NOT_EDIT: "2.a|b|c",
      folders: [],
      items: [],
    });
    const protected_by_password = jsonOf({
      encrypted: true,
      passwordProtected: true,
      salt: "s",
      data: "2.a|b|c",
    });
    for (const file of [restricted, protected_by_password]) {
      expect(await codeOf(() => readImport("bitwarden-json", file))).toBe("import-encrypted");
    }
  });
});

describe("Bitwarden CSV", () => {
  test("takes a person's export", async () => {
    const file = bytesOf(
      "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n" +
        'Work,1,login,Example,"a ""note""","PIN: example-pin-1\nplain: b: c",0,"https://example.com/a,b,https://example.org",' +
        "example-user-1,example-password-1,JBSWY3DPEHPK3PXP\n" +
        ",,note,Note,example-note-1,,0,,,,\n",
    );
    expect(await contentsOf("bitwarden-csv", file)).toEqual([
      {
        type: "login",
        name: "Example",
        username: "example-user-1",
        password: "example-password-1",
        uris: ["https://example.com/a,b", "https://example.org"],
        notes: 'a "note"',
        totp: "JBSWY3DPEHPK3PXP",
        fields: [
          { name: "PIN", value: "example-pin-1", hidden: true },
          { name: "plain", value: "b: c", hidden: true },
        ],
        tags: ["Work"],
        favorite: true,
      },
      { type: "note", name: "Note", notes: "example-note-1" },
    ]);
  });

  test("takes an organisation's export", async () => {
    const file = bytesOf(
      "collections,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n" +
        '"Ops,Shared",login,A,,,1,,,example-password-1,\n',
    );
    const result = await readImport("bitwarden-csv", file);
    expect(result.entries[0]?.content.tags).toEqual(["Ops", "Shared"]);
    expect(reports(result)).toEqual(["1 item: asking for the master password again is not kept"]);
  });
});
