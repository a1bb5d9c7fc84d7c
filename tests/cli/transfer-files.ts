import type { DetectedFormat } from "../../src/cli/import/detect.ts";
import { memoryStore, Vault } from "../../src/client/index.ts";
import { randomHex, randomName } from "../support/client.ts";
import type { Account } from "../support/terminal.ts";
import { KDF } from "../support/vault.ts";
import { bytesOf, jsonOf, zipOf } from "./import/files.ts";
import { addEntry, bytesOfDatabase, databaseOf } from "./import/keepass-files.ts";

/** The login that each file has, and the password of those that are encrypted. */
export type Sample = { login: Login; bytes: Uint8Array; file_password?: string };
type Login = { name: string; username: string; password: string; url: string };

type Maker = (login: Login, server: { url: string }) => Promise<Omit<Sample, "login">> | Uint8Array;

const table = (...rows: string[][]) => bytesOf(`${rows.map((row) => row.join(",")).join("\r\n")}\r\n`);

const MAKERS: Record<DetectedFormat, Maker> = {
  "bitwarden-json": ({ name, username, password, url }) =>
    jsonOf({
      encrypted: false,
      items: [{ type: 1, name, login: { username, password, uris: [{ uri: url }] } }],
    }),
  "bitwarden-csv": ({ name, username, password, url }) =>
    table(
      ["folder", "favorite", "type", "name", "notes", "login_uri", "login_username", "login_password"],
      ["", "", "login", name, "", url, username, password],
    ),
  "1password-1pux": ({ name, username, password, url }) => {
    const loginFields = [
      { value: username, fieldType: "T", designation: "username" },
      { value: password, fieldType: "P", designation: "password" },
    ];
    const overview = { title: name, url };
    const item = { uuid: "u", state: "active", categoryUuid: "001", details: { loginFields }, overview };
    const vaults = [{ attrs: { name: "" }, items: [item] }];
    return zipOf({ "export.attributes": { version: 3 }, "export.data": { accounts: [{ vaults }] } });
  },
  "1password-csv": ({ name, username, password, url }) =>
    table(["Title", "Url", "Username", "Password"], [name, url, username, password]),
  "keepass-kdbx": async ({ name, username, password, url }) => {
    const file_password = randomHex(12);
    const database = await databaseOf(file_password);
    addEntry(database, { Title: name, UserName: username, Password: { secret: password }, URL: url });
    return { bytes: await bytesOfDatabase(database), file_password };
  },
  "chrome-csv": ({ name, username, password, url }) =>
    table(["name", "url", "username", "password", "note"], [name, url, username, password, ""]),
  "firefox-csv": ({ username, password, url }) =>
    table(
      ["url", "username", "password", "httpRealm", "formActionOrigin"],
      [url, username, password, "", url],
    ),
  "lastpass-csv": ({ name, username, password, url }) =>
    table(
      ["url", "username", "password", "totp", "extra", "name", "grouping", "fav"],
      [url, username, password, "", "", name, "", "0"],
    ),
  "protonpass-json": ({ name, username, password, url }) => {
    const content = { itemUsername: username, password, urls: [url] };
    const item = { state: 1, data: { type: "login", metadata: { name }, content } };
    const root = { encrypted: false, userId: "u", vaults: { v: { name: "", items: [item] } } };
    return zipOf({ "Proton Pass/data.json": root });
  },
  "blindvault-csv": ({ name, username, password, url }) =>
    table(
      ["type", "name", "username", "password", "uris", "notes", "totp", "fields", "tags", "favorite"],
      ["login", name, username, password, `"[""${url}""]"`, "", "", "", "", "false"],
    ),
  "blindvault-archive": async ({ name, username, password, url }, server) => {
    // Of another account: its ids, keys and versions say nothing here.
    const account: Account = { username: randomName(), master_password: randomHex(12) };
    const vault = new Vault({ url: server.url, store: memoryStore() });
    await vault.register({ ...account, kdf: KDF });
    await vault.add({ type: "login", name, username, password, uris: [url] });
    return { bytes: await vault.exportEncrypted(), file_password: account.master_password };
  },
};

/** A file of a format, with one login of random content. Firefox has no names: there it is the host. */
export async function makeSample(format: DetectedFormat, server: { url: string }): Promise<Sample> {
  const host = `${randomHex(4)}.example.org`;
  const name = format === "firefox-csv" ? host : `Site ${randomHex(4)}`;
  const login = { name, username: randomName(), password: randomHex(8), url: `https://${host}/` };
  const made = await MAKERS[format](login, server);
  return made instanceof Uint8Array ? { login, bytes: made } : { login, ...made };
}

/** Chrome's file, with this many logins. */
export function manyLogins(count: number): Uint8Array {
  const rows = Array.from({ length: count }, (_, index) => {
    return [`Site ${index}`, `https://${index}.example.org`, randomName(), randomHex(8), ""];
  });
  return table(["name", "url", "username", "password", "note"], ...rows);
}
