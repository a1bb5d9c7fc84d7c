import { Consts, Int64, Kdbx, type KdbxEntry, ProtectedValue, VarDictionary } from "kdbxweb";
import type { CustomField, EntryContent } from "../../client/content.ts";
import { isReserved, OWN_DATA, type OwnData } from "../import/kdbx-names.ts";
import { credentialsOf, useArgon2 } from "../import/kdbx-open.ts";

/** Cost of the Argon2id behind a passphrase. KeePassXC's own default is 64 MiB; each pass goes once over the memory. */
export type KdbxCost = { memory_kib: number; iterations: number; parallelism: number };

const KDBX_COST: KdbxCost = { memory_kib: 64 * 1024, iterations: 10, parallelism: 2 };

/**
 * Contents as a KDBX 4 file (AES-256, Argon2id) under a passphrase, for KeePass, KeePassXC and the like. What those have
 * no place for stands in the custom data of an entry, so that `readKdbx` gives everything back as it was.
 */
export async function exportKdbx(
  contents: readonly EntryContent[],
  passphrase: string,
  cost: KdbxCost = KDBX_COST,
): Promise<Uint8Array<ArrayBuffer>> {
  useArgon2();
  const database = Kdbx.create(await credentialsOf({ passphrase }), "Blindvault");
  database.setKdf(Consts.KdfId.Argon2id);
  const parameters = database.header.kdfParameters;
  parameters?.set("M", VarDictionary.ValueType.UInt64, Int64.from(cost.memory_kib * 1024));
  parameters?.set("I", VarDictionary.ValueType.UInt64, Int64.from(cost.iterations));
  parameters?.set("P", VarDictionary.ValueType.UInt32, cost.parallelism);
  const group = database.getDefaultGroup();
  for (const content of contents) write(content, database.createEntry(group));
  return new Uint8Array(await database.save());
}

function write(content: EntryContent, entry: KdbxEntry): void {
  const { type, name, username = "", password = "", notes = "", totp = "", favorite } = content;
  const { uris = [], tags = [], fields = [] } = content;
  const put = (key: string, value: string, hidden = false): void => {
    entry.fields.set(key, hidden || !isXml(value) ? ProtectedValue.fromString(value) : value);
  };
  put("Title", name);
  put("UserName", username);
  put("Password", password, true);
  put("Notes", notes);
  for (const [index, uri] of uris.entries()) put(urlKey(index), uri);
  if (totp.startsWith("otpauth:")) put("otp", totp, true);
  else if (totp !== "") put("TimeOtp-Secret-Base32", totp, true);
  const own: OwnData = { ...(type !== "login" && { type }), ...(favorite && { favorite }) };
  if (tags.every(isTag)) entry.tags = tags;
  else own.tags = tags;
  const noted = keyed(fields).map(({ key, field: { name, value, hidden = false } }) => {
    put(key, value, hidden);
    // An empty value is not protected in the file, and one that XML cannot hold always is.
    const seems_hidden = value !== "" && (hidden || !isXml(value));
    return { key, ...(name !== key && { name }), ...(hidden !== seems_hidden && { hidden }) };
  });
  const odd = noted.filter((note) => "name" in note || "hidden" in note);
  if (odd.length > 0) own.fields = odd;
  if (Object.keys(own).length > 0) entry.customData = new Map([[OWN_DATA, { value: asciiJson(own) }]]);
}

function urlKey(index: number): string {
  if (index === 0) return "URL";
  return index === 1 ? "KP2A_URL" : `KP2A_URL_${index - 1}`;
}

/** Each field with a key that no other one has, and that an XML file and KeePass bear. */
function keyed(fields: readonly CustomField[]): { key: string; field: CustomField }[] {
  const keys = new Set<string>();
  return fields.map((field) => {
    const { name } = field;
    // A prefix, because some keys are reserved by how they begin.
    const base = !isXml(name) || name === "" ? "Field" : isReserved(name) ? `Field ${name}` : name;
    let key = base;
    for (let count = 2; keys.has(key); count++) key = `${base} (${count})`;
    keys.add(key);
    return { key, field };
  });
}

/** Whether it comes back from XML 1.0 as it was: no controls, and no line ends but the one that others become. */
function isXml(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: which of them XML bears is the question.
  return !/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ufeff]/.test(text);
}

/** KeePass joins tags by these characters, and trims them. */
function isTag(tag: string): boolean {
  return isXml(tag) && !/[;,:\n]/.test(tag) && tag === tag.trim() && tag !== "";
}

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\x7f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
