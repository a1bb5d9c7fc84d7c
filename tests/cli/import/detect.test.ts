import { describe, expect, test } from "bun:test";
import { detectFormat } from "../../../src/cli/import/detect.ts";
import { bytesOf, codeOf, jsonOf, zipOf } from "./files.ts";

describe("a format is told by what is in the file", () => {
  test.each([
    ["bitwarden-json", jsonOf({ encrypted: false, folders: [], items: [] })],
    ["bitwarden-json", jsonOf({ encrypted: true, passwordProtected: true, data: "x" })],
    ["bitwarden-json", zipOf({ "data.json": {} })],
    [
      "bitwarden-csv",
      bytesOf(
        "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n",
      ),
    ],
    [
      "bitwarden-csv",
      bytesOf(
        "collections,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n",
      ),
    ],
    ["1password-1pux", zipOf({ "export.data": {} })],
    ["1password-csv", bytesOf("Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\n")],
    ["1password-csv", bytesOf("notes,password,title,type,url,username\n")],
    ["keepass-kdbx", Uint8Array.from([0x03, 0xd9, 0xa2, 0x9a, 0x67, 0xfb, 0x4b, 0xb5, 1, 0, 4, 0])],
    ["chrome-csv", bytesOf("name,url,username,password,note\n")],
    ["chrome-csv", bytesOf("\ufeffname,url,username,password\r\n")],
    [
      "firefox-csv",
      bytesOf('"url","username","password","httpRealm","formActionOrigin","guid","timeCreated"\n'),
    ],
    ["lastpass-csv", bytesOf("url,username,password,totp,extra,name,grouping,fav\n")],
    ["lastpass-csv", bytesOf("url,username,password,extra,name,grouping,fav")],
    ["protonpass-json", jsonOf({ version: "1", userId: "u", encrypted: false, vaults: {} })],
    ["protonpass-json", zipOf({ "Proton Pass/data.json": {} })],
    ["protonpass-json", zipOf({ "Proton Pass/data.pgp": bytesOf("x") })],
    ["blindvault-csv", bytesOf("type,name,username,password,uris,notes,totp,fields,tags,favorite\r\n")],
    ["blindvault-archive", bytesOf('{"format":"blindvault-archive","version":1}\n{"id":"x"}\n')],
  ])("%s", (format, bytes) => {
    expect(detectFormat(bytes, "file")).toBe(format as ReturnType<typeof detectFormat>);
  });
});

describe("what cannot be imported ends in a sentence", () => {
  test.each([
    ["an empty file", new Uint8Array(), "import-unknown-format"],
    ["one byte", Uint8Array.of(0x50), "import-unknown-format"],
    ["prose", bytesOf("This is a letter.\n"), "import-unknown-format"],
    ["another CSV", bytesOf("date,amount\n1,2\n"), "import-unknown-format"],
    ["another JSON", jsonOf({ hello: "world" }), "import-unknown-format"],
    ["a JSON list", jsonOf([1]), "import-unknown-format"],
    ["another zip", zipOf({ "readme.txt": bytesOf("x") }), "import-unknown-format"],
    ["KeePass 1", Uint8Array.from([0x03, 0xd9, 0xa2, 0x9a, 0x65, 0xfb, 0x4b, 0xb5]), "import-unknown-format"],
    ["a PGP message", bytesOf("-----BEGIN PGP MESSAGE-----\n\nx"), "import-encrypted"],
    ["half a JSON", bytesOf('{"items": ['), "import-damaged"],
    ["a picture", Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), "import-damaged"],
  ])("%s", async (_, bytes, code) => {
    expect(await codeOf(() => detectFormat(bytes, "file"))).toBe(code);
  });

  test("and the file's name tells what to do instead", () => {
    expect(() => detectFormat(bytesOf("***x***"), "data.1PIF")).toThrow("export as .1pux");
    expect(() => detectFormat(bytesOf("<KeePassFile/>"), "passwords.xml")).toThrow("import the .kdbx file");
  });
});
