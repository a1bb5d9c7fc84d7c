import { describe, expect, test } from "bun:test";
import { readImport } from "../../../src/cli/import/read.ts";
import { bytesOf, codeOf, contentsOf, reports, zipOf } from "./files.ts";

const TRAITS = { inputTraits: { keyboard: "default", correction: "default", capitalization: "default" } };
const field = (title: string, id: string, value: unknown, guarded = false) => ({
  ...{ title, id, value, guarded, multiline: false, dontGenerate: false },
  ...TRAITS,
});

const LOGIN = {
  uuid: "fkruyzrldizuqlnavfj3gltfe",
  favIndex: 1,
  createdAt: 1614298956,
  updatedAt: 1635346445,
  state: "active",
  categoryUuid: "001",
  details: {
    loginFields: [
      { value: "example-user-1", id: "", name: "username", fieldType: "T", designation: "username" },
      { value: "example-password-1", id: "", name: "password", fieldType: "P", designation: "password" },
      { value: "example-pin-1", id: "pin", name: "PIN", fieldType: "P" },
      { value: "✓", id: "keep", name: "remember me", fieldType: "C" },
    ],
    notesPlain: "a note",
    sections: [
      {
        title: "Security",
        name: "Section_1",
        fields: [
          field("one-time password", "TOTP_1", { totp: "otpauth://totp/A?secret=JBSWY3DPEHPK3PXP" }),
          field("second code", "TOTP_2", { totp: "otpauth://totp/B?secret=JBSWY3DPEHPK3PXP" }),
          field("recovery", "r", { concealed: "example-code-1" }),
          field("born", "b", { date: 1513728000 }),
          field("until", "u", { monthYear: 203112 }),
          field("phone", "p", { phone: "+1 555 0100" }),
          field("site", "s", { url: "https://example.org" }),
          field("mail", "m", { email: { email_address: "a@example.com", provider: null } }),
          field("home", "h", {
            address: { street: "Street 1", city: "Town", country: "gb", zip: "1", state: "" },
          }),
          field("kind", "k", { menu: "one" }),
          field("sex", "g", { gender: "female" }),
          field("see", "l", { reference: "fkruyzrldizuqlnavfj3gltfe" }),
          field("novelty", "n", { hologram: { shine: 1 } }),
          field("picture", "f", { file: { fileName: "scan.png", documentId: "d1", decryptedSize: 1 } }),
          field("empty", "e", { string: "" }),
          field("locked", "o", { string: "example-value-1" }, true),
        ],
      },
    ],
    passwordHistory: [{ value: "example-password-0", time: 1614298956 }],
  },
  overview: {
    subtitle: "example-user-1",
    title: "Example",
    url: "https://example.com",
    urls: [
      { label: "website", url: "https://example.com", mode: "default" },
      { label: "admin", url: "https://admin.example.com", mode: "default" },
    ],
    ps: 100,
    pbe: 86.1,
    pgrng: true,
    tags: ["work"],
    icons: null,
    watchtowerExclusions: null,
  },
};

const puxOf = (...items: unknown[]) =>
  zipOf({
    "export.attributes": { version: 3, description: "1Password Unencrypted Export", createdAt: 1635346445 },
    "export.data": {
      accounts: [
        {
          attrs: { accountName: "Example", name: "A", avatar: "", email: "", uuid: "u", domain: "" },
          vaults: [{ attrs: { uuid: "v", desc: "", avatar: "", name: "Personal", type: "P" }, items }],
        },
      ],
    },
  });

const item = (categoryUuid: string, title: string, details: unknown, more: object = {}) => ({
  ...{ uuid: "u", favIndex: 0, createdAt: 1, updatedAt: 1, state: "active", categoryUuid },
  details,
  overview: { title, tags: [] },
  ...more,
});

describe("1Password 1PUX", () => {
  test("takes every part of a login", async () => {
    expect(await contentsOf("1password-1pux", puxOf(LOGIN))).toEqual([
      {
        type: "login",
        name: "Example",
        username: "example-user-1",
        password: "example-password-1",
        uris: ["https://example.com", "https://admin.example.com"],
        notes: "a note",
        totp: "otpauth://totp/A?secret=JBSWY3DPEHPK3PXP",
        fields: [
          { name: "Label of https://admin.example.com", value: "admin" },
          { name: "PIN", value: "example-pin-1", hidden: true },
          { name: "remember me", value: "✓" },
          { name: "Security: second code", value: "otpauth://totp/B?secret=JBSWY3DPEHPK3PXP", hidden: true },
          { name: "Security: recovery", value: "example-code-1", hidden: true },
          { name: "Security: born", value: "2017-12-20" },
          { name: "Security: until", value: "2031-12" },
          { name: "Security: phone", value: "+1 555 0100" },
          { name: "Security: site", value: "https://example.org" },
          { name: "Security: mail", value: "a@example.com" },
          { name: "Security: home", value: "Street 1\nTown\n1\ngb" },
          { name: "Security: kind", value: "one" },
          { name: "Security: sex", value: "female" },
          { name: "Security: see", value: "fkruyzrldizuqlnavfj3gltfe" },
          { name: "Security: novelty", value: '{"shine":1}', hidden: true },
          { name: "Security: picture", value: "scan.png" },
          { name: "Security: locked", value: "example-value-1", hidden: true },
          { name: "Previous password (2021-02-26)", value: "example-password-0", hidden: true },
        ],
        tags: ["work", "Personal"],
        favorite: true,
      },
    ]);
    expect(reports(await readImport("1password-1pux", puxOf(LOGIN)))).toEqual([
      "item 1 (Example): an attachment cannot be kept",
      "1 item: creation and change times are not kept",
    ]);
  });

  test("takes cards, passwords, servers, SSH keys and documents", async () => {
    const section = (...fields: unknown[]) => ({ sections: [{ title: "", name: "", fields }] });
    const file = puxOf(
      item(
        "002",
        "Card",
        section(
          field("cardholder name", "cardholder", { string: "A. Example" }),
          field("type", "type", { creditCardType: "visa" }),
          field("number", "ccnum", { creditCardNumber: "example-number-1" }),
          field("verification number", "cvv", { concealed: "example-code-1" }),
          field("expiry date", "expiry", { monthYear: 203112 }),
        ),
      ),
      item("005", "Password", { password: "example-password-1" }),
      item(
        "110",
        "Server",
        section(
          field("URL", "url", { url: "ssh://example.com" }),
          field("username", "username", { string: "root" }),
          field("password", "password", { concealed: "example-password-2" }),
        ),
      ),
      item(
        "114",
        "Key",
        section(
          field("private key", "private_key", {
            sshKey: {
              privateKey: "example-private-1",
              metadata: {
                privateKey: "example-private-1",
                publicKey: "example-public-1",
                fingerprint: "SHA256:e",
                keyType: "ed25519",
              },
            },
          }),
        ),
      ),
      item("006", "Scan", {
        documentAttributes: { fileName: "scan.pdf", documentId: "d", decryptedSize: 9 },
      }),
    );
    const tags = ["Personal"];
    expect(await contentsOf("1password-1pux", file)).toEqual([
      {
        type: "card",
        name: "Card",
        tags,
        fields: [
          { name: "cardholder name", value: "A. Example" },
          { name: "type", value: "visa" },
          { name: "number", value: "example-number-1", hidden: true },
          { name: "verification number", value: "example-code-1", hidden: true },
          { name: "expiry date", value: "2031-12" },
        ],
      },
      { type: "login", name: "Password", password: "example-password-1", tags },
      {
        type: "login",
        name: "Server",
        username: "root",
        password: "example-password-2",
        uris: ["ssh://example.com"],
        tags,
      },
      {
        type: "secret",
        name: "Key",
        tags,
        fields: [
          { name: "private key: private key", value: "example-private-1", hidden: true },
          { name: "private key: public key", value: "example-public-1" },
          { name: "private key: fingerprint", value: "SHA256:e" },
          { name: "private key: key type", value: "ed25519" },
        ],
      },
      { type: "note", name: "Scan", tags, fields: [{ name: "Document", value: "scan.pdf" }] },
    ]);
    expect(reports(await readImport("1password-1pux", file))[0]).toBe(
      "item 5 (Scan): its document cannot be kept",
    );
  });

  test("tags what is archived, and leaves the trash where it is", async () => {
    const file = puxOf(
      item("003", "Old", { notesPlain: "n" }, { state: "archived" }),
      item("003", "Gone", {}, { trashed: true }),
    );
    const result = await readImport("1password-1pux", file);
    expect(result.entries[0]?.content.tags).toEqual(["Personal", "archived"]);
    expect(result.refused).toEqual([]);
    expect(result.unmapped).toContainEqual({
      source: "item 2 (Gone)",
      what: "is in the trash and stays there",
    });
  });

  test("reads the first exports, which had an item and its document side by side", async () => {
    const file = puxOf({ item: item("006", "Scan", {}), file: { attrs: {}, path: "d__scan.pdf" } });
    const result = await readImport("1password-1pux", file);
    expect(result.entries.map(({ content }) => content)).toEqual([
      { type: "note", name: "Scan", tags: ["Personal"] },
    ]);
    expect(reports(result)[0]).toBe("item 1 (Scan): its document cannot be kept");
  });

  test("refuses an archive without data, and data without accounts", async () => {
    for (const file of [zipOf({ other: {} }), zipOf({ "export.data": { vaults: [] } }), bytesOf("no zip")]) {
      expect(await codeOf(() => readImport("1password-1pux", file))).toBe("import-damaged");
    }
  });
});
