import { describe, expect, test } from "bun:test";
import { readImport } from "../../../src/cli/import/read.ts";
import { bytesOf, codeOf, contentsOf, jsonOf, reports, zipOf } from "./files.ts";

const item = (type: string, name: string, content: unknown, more: object = {}, data: object = {}) => ({
  ...{ itemId: "i==", shareId: "s==", state: 1, aliasEmail: null, contentFormatVersion: 7, pinned: false },
  ...{ createTime: 1689182868, modifyTime: 1689182868, files: [] },
  data: {
    metadata: { name, note: "", itemUuid: "u" },
    extraFields: [],
    platformSpecific: {},
    type,
    content,
    ...data,
  },
  ...more,
});

const exportOf = (...items: unknown[]) => ({
  version: "1.31.0",
  userId: "user==",
  encrypted: false,
  vaults: { "vault==": { name: "Personal", description: "", display: { color: 0, icon: 0 }, items } },
});

const LOGIN = item(
  "login",
  "Example",
  {
    itemEmail: "a@example.com",
    itemUsername: "example-user-1",
    password: "example-password-1",
    urls: ["https://example.com/", "https://example.org/"],
    totpUri: "otpauth://totp/A?secret=JBSWY3DPEHPK3PXP",
    passkeys: [{ keyId: "k", domain: "example.com" }],
  },
  { pinned: true, files: ["f1"] },
  {
    extraFields: [
      { fieldName: "shown", type: "text", data: { content: "example-value-1" } },
      { fieldName: "pin", type: "hidden", data: { content: "example-pin-1" } },
      { fieldName: "second", type: "totp", data: { totpUri: "otpauth://totp/B?secret=JBSWY3DPEHPK3PXP" } },
      { fieldName: "since", type: "timestamp", data: { timestamp: "2024-01-01T00:00:00Z" } },
    ],
  },
);

const EXAMPLE = {
  type: "login" as const,
  name: "Example",
  username: "example-user-1",
  password: "example-password-1",
  uris: ["https://example.com/", "https://example.org/"],
  totp: "otpauth://totp/A?secret=JBSWY3DPEHPK3PXP",
  fields: [
    { name: "Email", value: "a@example.com" },
    { name: "Passkey", value: '{"keyId":"k","domain":"example.com"}', hidden: true },
    { name: "shown", value: "example-value-1" },
    { name: "pin", value: "example-pin-1", hidden: true },
    { name: "second", value: "otpauth://totp/B?secret=JBSWY3DPEHPK3PXP", hidden: true },
    { name: "since", value: "2024-01-01T00:00:00Z" },
  ],
  tags: ["Personal"],
  favorite: true,
};

describe("Proton Pass", () => {
  test("takes every part of a login, from the JSON and from the zip", async () => {
    const file = exportOf(LOGIN);
    expect(await contentsOf("protonpass-json", jsonOf(file))).toEqual([EXAMPLE]);
    expect(await contentsOf("protonpass-json", zipOf({ "Proton Pass/data.json": file }))).toEqual([EXAMPLE]);
    expect(reports(await readImport("protonpass-json", jsonOf(file)))).toEqual([
      "item 1 (Example): an attachment cannot be kept",
      "1 item: creation and change times are not kept",
    ]);
  });

  test("takes aliases, notes, cards, identities and types to come", async () => {
    const file = jsonOf(
      exportOf(
        item("alias", "Alias", {}, { aliasEmail: "alias@example.com" }),
        item("note", "Note", {}, {}, { metadata: { name: "Note", note: "example-note-1", itemUuid: "u" } }),
        item("creditCard", "Card", {
          cardholderName: "A. Example",
          cardType: 0,
          number: "example-number-1",
          verificationNumber: "example-code-1",
          expirationDate: "2031-12",
          pin: "example-pin-1",
        }),
        item("identity", "Identity", {
          fullName: "A. Example",
          socialSecurityNumber: "example-ssn-1",
          extraPersonalDetails: [{ fieldName: "height", type: "text", data: { content: "180" } }],
          extraSections: [
            {
              sectionName: "More",
              sectionFields: [{ fieldName: "x", type: "hidden", data: { content: "y" } }],
            },
          ],
        }),
        item("hologram", "New", { shine: "bright", parts: [{ a: 1 }], core: { b: 2 } }),
      ),
    );
    const tags = ["Personal"];
    expect(await contentsOf("protonpass-json", file)).toEqual([
      { type: "login", name: "Alias", username: "alias@example.com", tags },
      { type: "note", name: "Note", notes: "example-note-1", tags },
      {
        type: "card",
        name: "Card",
        tags,
        fields: [
          { name: "Cardholder name", value: "A. Example" },
          { name: "Card type", value: "0" },
          { name: "Number", value: "example-number-1", hidden: true },
          { name: "Verification number", value: "example-code-1", hidden: true },
          { name: "Expiration date", value: "2031-12" },
          { name: "Pin", value: "example-pin-1", hidden: true },
        ],
      },
      {
        type: "identity",
        name: "Identity",
        tags,
        fields: [
          { name: "Full name", value: "A. Example" },
          { name: "Social security number", value: "example-ssn-1", hidden: true },
          { name: "height", value: "180" },
          { name: "More: x", value: "y", hidden: true },
        ],
      },
      {
        type: "note",
        name: "New",
        tags,
        fields: [
          { name: "Shine", value: "bright" },
          { name: "Parts", value: '{"a":1}', hidden: true },
          { name: "Item type", value: "hologram" },
          { name: "data: content: core", value: '{"b":2}', hidden: true },
        ],
      },
    ]);
  });

  test("takes the one username of old exports", async () => {
    const file = jsonOf(
      exportOf(item("login", "Old", { username: "example-user-1", password: "", urls: [] })),
    );
    expect((await contentsOf("protonpass-json", file))[0]?.username).toBe("example-user-1");
  });

  test("leaves the trash where it is", async () => {
    const result = await readImport(
      "protonpass-json",
      jsonOf(exportOf(item("login", "Gone", {}, { state: 2 }))),
    );
    expect(result.entries).toEqual([]);
    expect(result.refused).toEqual([]);
    expect(result.unmapped).toContainEqual({
      source: "item 1 (Gone)",
      what: "is in the trash and stays there",
    });
  });

  test("refuses what is encrypted with a sentence", async () => {
    const flagged = jsonOf({ ...exportOf(), encrypted: true });
    const packed = zipOf({ "Proton Pass/data.pgp": bytesOf("-----BEGIN PGP MESSAGE-----") });
    for (const file of [flagged, packed]) {
      expect(await codeOf(() => readImport("protonpass-json", file))).toBe("import-encrypted");
    }
  });
});
