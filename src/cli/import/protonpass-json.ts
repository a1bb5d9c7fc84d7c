import type { EntryType } from "../../client/content.ts";
import {
  addField,
  addFilled,
  addRest,
  claim,
  type Draft,
  humanise,
  isSecretLabel,
  makeDraft,
} from "./draft.ts";
import { type Collector, collect, type Imported, importError, sourceOf } from "./result.ts";
import { isRecord, lookUp, type Take, takeFrom, textOf } from "./take.ts";
import { parseJson } from "./text.ts";
import { isZip, openZip } from "./zip.ts";

/** Where the JSON is in the .zip that Proton Pass exports, and what is there instead when it is encrypted. */
export const PROTON_DATA = "Proton Pass/data.json";
export const PROTON_ENCRYPTED = "Proton Pass/data.pgp";

const TYPES: Record<string, EntryType> = {
  login: "login",
  alias: "login",
  creditCard: "card",
  identity: "identity",
  sshKey: "secret",
  wifi: "secret",
};
const TRASHED = "2";

/**
 * Proton Pass's unencrypted export: the .zip, or the data.json in it. Vaults become tags. Throws `import-encrypted` for
 * an export under a passphrase, which is OpenPGP.
 */
export function readProtonPass(bytes: Uint8Array): Imported {
  const root = parseJson(isZip(bytes) ? dataOf(bytes) : bytes);
  if (isRecord(root) && root.encrypted === true) throw encrypted();
  if (!isRecord(root) || !isRecord(root.vaults)) {
    throw importError("import-damaged", "The export has no vaults");
  }
  const collector = collect("protonpass-json");
  let position = 0;
  for (const vault of Object.values(root.vaults)) {
    const take = takeFrom(vault);
    const tag = take.text("name");
    for (const item of take.list("items")) {
      const place = `item ${++position}`;
      if (isRecord(item)) readItem(takeFrom(item), place, tag, collector);
      else collector.refuse(place, "is no item");
    }
    take.ignore("display");
    collector.leftOver(sourceOf("vault", tag), take);
  }
  return collector.done();
}

function dataOf(bytes: Uint8Array): Uint8Array {
  const archive = openZip(bytes);
  if (archive.names.includes(PROTON_ENCRYPTED)) throw encrypted();
  return archive.read(PROTON_DATA);
}

function encrypted() {
  return importError(
    "import-encrypted",
    "The Proton Pass export is encrypted with PGP: export again without a passphrase",
  );
}

function readItem(take: Take, place: string, vault: string, collector: Collector): void {
  const data = take.record("data");
  const metadata = data.record("metadata");
  const name = metadata.text("name");
  const source = sourceOf(place, name);
  if (take.text("state") === TRASHED) {
    collector.unmapped(source, "is in the trash and stays there");
    return;
  }
  const type = data.text("type");
  const draft = makeDraft(lookUp(TYPES, type) ?? "note", name);
  draft.notes = metadata.text("note");
  draft.favorite = take.flag("pinned");
  draft.tags = [vault];
  draft.username = take.text("aliasEmail");
  const content = data.record("content");
  if (type === "login") readLogin(content, draft);
  readContent(content, draft);
  for (const field of data.list("extraFields")) readExtraField(field, "", draft);
  if (lookUp(TYPES, type) === undefined && type !== "note") addFilled(draft, "Item type", type);
  for (const _ of take.list("files")) collector.unmapped(source, "an attachment cannot be kept");
  if (take.has("createTime") || take.has("modifyTime")) {
    collector.often("creation and change times are not kept");
  }
  if (data.has("platformSpecific")) collector.often("which Android apps an item belongs to is not kept");
  metadata.ignore("itemUuid");
  data.ignore("platformSpecific");
  take.ignore("itemId", "shareId", "contentFormatVersion", "createTime", "modifyTime", "state", "shareCount");
  addRest(draft, take);
  collector.add(draft, source);
}

/** Until version 1.18 there was one `username`, which could be either. */
function readLogin(content: Take, draft: Draft): void {
  claim(draft, "username", content.text("itemUsername"), "Username");
  claim(draft, "username", content.text("itemEmail"), "Email");
  claim(draft, "username", content.text("username"), "Username");
  draft.password = content.text("password");
  draft.uris = content.texts("urls");
  claim(draft, "totp", content.text("totpUri"), "One-time password");
  for (const passkey of content.list("passkeys")) addField(draft, "Passkey", JSON.stringify(passkey), true);
}

/** Every other type is a list of named texts, of groups of extra fields, and of sections with such groups. */
function readContent(content: Take, draft: Draft): void {
  for (const key of content.keys()) {
    const name = humanise(key);
    addFilled(draft, name, content.text(key), isSecretLabel(name) || key === "pin");
    for (const part of content.list(key)) {
      if (isRecord(part) && "fieldName" in part) readExtraField(part, "", draft);
      else if (isRecord(part) && "sectionFields" in part) readExtraSection(takeFrom(part), draft);
      else addField(draft, name, textOf(part) ?? JSON.stringify(part), true);
    }
  }
}

function readExtraSection(section: Take, draft: Draft): void {
  const title = section.text("sectionName");
  const fields = section.list("sectionFields");
  if (fields.length === 0) addField(draft, title, "");
  for (const field of fields) readExtraField(field, title, draft);
  addRest(draft, section);
}

/** `type` is text, hidden, totp or timestamp. */
function readExtraField(field: unknown, section: string, draft: Draft): void {
  const take = takeFrom(field);
  const [label, type] = [take.text("fieldName"), take.text("type")];
  const data = take.record("data");
  const name = section === "" ? label : `${section}: ${label}`;
  if (type === "totp") claim(draft, "totp", data.text("totpUri") || data.text("content"), name);
  else if (data.has("timestamp")) addField(draft, name, data.text("timestamp"));
  else addField(draft, name, data.text("content"), type === "hidden");
  addRest(draft, take);
}
