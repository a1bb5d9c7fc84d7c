import { ENTRY_TYPES, type EntryType } from "../../client/content.ts";
import { FIELD_TYPES, ITEM_TYPES, PARTS, type PartKind, TAG_FIELD } from "./bitwarden-parts.ts";
import { addField, addFilled, addRest, type Draft, humanise, isSecretLabel, makeDraft } from "./draft.ts";
import { type Collector, collect, type Imported, importError, sourceOf } from "./result.ts";
import { isEmpty, isRecord, lookUp, type Take, takeFrom } from "./take.ts";
import { parseJson } from "./text.ts";
import { isZip, openZip } from "./zip.ts";

/**
 * Bitwarden's unencrypted .json export, of a person or of an organisation, alone or in the .zip that brings the
 * attachments. Folders and collections become tags. Throws `import-encrypted` for both kinds of encrypted export.
 */
export function readBitwardenJson(bytes: Uint8Array): Imported {
  const collector = collect("bitwarden-json");
  const root = parseJson(isZip(bytes) ? dataOf(bytes, collector) : bytes);
  if (!isRecord(root)) throw importError("import-damaged", "The file is not a Bitwarden export");
  if (root.encrypted === true) {
    throw importError(
      "import-encrypted",
      "The Bitwarden export is encrypted: export again with the file format .json, not .json (Encrypted)",
    );
  }
  if (!Array.isArray(root.items)) throw importError("import-damaged", "The export has no list of items");
  const file = takeFrom(root);
  file.ignore("encrypted");
  const lists = [...file.list("folders"), ...file.list("collections")];
  const groups = new Map(lists.map((group) => groupOf(takeFrom(group), collector)));
  for (const [index, item] of file.list("items").entries()) {
    const place = `item ${index + 1}`;
    if (isRecord(item)) readItem(takeFrom(item), place, groups, collector);
    else collector.refuse(place, "is no item");
  }
  collector.leftOver("file", file);
  return collector.done();
}

function dataOf(bytes: Uint8Array, collector: Collector): Uint8Array {
  const archive = openZip(bytes);
  for (const name of archive.names.filter((name) => name !== "data.json" && !name.endsWith("/"))) {
    collector.unmapped(sourceOf("file", name), "attachments cannot be kept");
  }
  return archive.read("data.json");
}

function groupOf(take: Take, collector: Collector): [string, string] {
  const group: [string, string] = [take.text("id"), take.text("name")];
  take.ignore("organizationId", "externalId");
  collector.leftOver(sourceOf("folder", group[1]), take);
  return group;
}

function readItem(take: Take, place: string, groups: Map<string, string>, collector: Collector): void {
  const name = take.text("name");
  const source = sourceOf(place, name);
  if (take.text("deletedDate") !== "") {
    collector.unmapped(source, "is in the trash and stays there");
    return;
  }
  const draft = makeDraft(typeOf(take), name);
  draft.notes = take.text("notes");
  draft.favorite = take.flag("favorite");
  readLogin(take.record("login"), draft, collector);
  for (const kind of ["card", "identity", "sshKey"] as const) readParts(take.record(kind), kind, draft);
  for (const kind of NEWER_KINDS) readNewerParts(take.record(kind), draft);
  const fields = take.list("fields");
  draft.tags = tagsOf(take, groups, collector);
  // Our own exporter writes the tags beyond the folder as the last of the fields.
  const tags_from = fields.length - Number(take.text("blindvault_tags"));
  for (const [index, field] of fields.entries()) {
    const read = takeFrom(field);
    const is_tag = index >= tags_from && isRecord(field) && field.name === TAG_FIELD;
    if (is_tag) readTag(read, draft);
    else readField(read, draft);
  }
  for (const old of take.list("passwordHistory")) readOldPassword(old, draft);
  if (take.text("archivedDate") !== "") draft.tags.push("archived");
  reportSettings(take, collector);
  addRest(draft, take);
  collector.add(draft, source);
}

/** The type that our own exporter notes wins: Bitwarden knows fewer. */
function typeOf(take: Take): EntryType {
  const noted = take.text("blindvault_type");
  const number = Number(take.text("type"));
  take.record("secureNote").ignore("type");
  if (take.has("bankAccount")) return "card";
  if (take.has("driversLicense") || take.has("passport")) return "identity";
  const own = ENTRY_TYPES.find((type) => type === noted);
  if (own !== undefined) return own;
  if (number === ITEM_TYPES.login) return "login";
  if (number === ITEM_TYPES.card) return "card";
  if (number === ITEM_TYPES.identity) return "identity";
  return number === ITEM_TYPES.sshKey ? "secret" : "note";
}

function readLogin(login: Take, draft: Draft, collector: Collector): void {
  draft.username = login.text("username");
  draft.password = login.text("password");
  draft.totp = login.text("totp");
  for (const address of login.list("uris")) {
    const take = takeFrom(address);
    draft.uris.push(take.text("uri"));
    if (take.text("match") !== "") collector.often("how an address is matched is not kept");
    take.ignore("uriChecksum");
    addRest(draft, take);
  }
  for (const passkey of login.list("fido2Credentials")) {
    addField(draft, "Passkey", JSON.stringify(passkey), true);
  }
  // The app's own derivations: the first address again, and when the password was last changed.
  login.ignore("uri", "passwordRevisionDate", "autofillOnPageLoad");
}

function readParts(take: Take, kind: PartKind, draft: Draft): void {
  for (const { key, name, hidden } of PARTS[kind]) addFilled(draft, name, take.text(key), hidden);
}

/** Types that Bitwarden added later. Their parts keep the names they have there. */
const NEWER_KINDS = ["bankAccount", "driversLicense", "passport"] as const;

function readNewerParts(take: Take, draft: Draft): void {
  for (const key of take.keys()) {
    const name = humanise(key);
    addFilled(draft, name, take.text(key), isSecretLabel(name));
  }
}

function readField(take: Take, draft: Draft): void {
  const [name, type, linked] = [take.text("name"), Number(take.text("type")), take.text("linkedId")];
  const value = take.text("value");
  if (type === FIELD_TYPES.linked) {
    addField(draft, name, `linked to ${lookUp(LINKS, linked) ?? linked}`);
    addFilled(draft, name, value, true);
  } else addField(draft, name, value, type === FIELD_TYPES.hidden);
  addRest(draft, take);
}

function readTag(take: Take, draft: Draft): void {
  draft.tags.push(take.text("value"));
  take.ignore("name", "type", "linkedId");
  addRest(draft, take);
}

const LINKS: Record<string, string> = { "100": "the username", "101": "the password" };

function tagsOf(take: Take, groups: Map<string, string>, collector: Collector): string[] {
  const ids = [take.text("folderId"), ...take.texts("collectionIds")];
  if (ids.some((id) => id !== "" && !groups.has(id))) {
    collector.often("a folder that the file does not name is not kept");
  }
  return ids.map((id) => groups.get(id) ?? "");
}

function readOldPassword(old: unknown, draft: Draft): void {
  const take = takeFrom(old);
  const day = take.text("lastUsedDate").slice(0, 10);
  const name = day === "" ? "Previous password" : `Previous password (${day})`;
  addFilled(draft, name, take.text("password"), true);
  addRest(draft, take);
}

function reportSettings(take: Take, collector: Collector): void {
  if (take.text("reprompt") === "1") collector.often("asking for the master password again is not kept");
  if (take.has("creationDate") || take.has("revisionDate")) {
    collector.often("creation and change times are not kept");
  }
  if (!isEmpty(take.list("attachments"))) collector.often("attachments cannot be kept");
  take.ignore("creationDate", "revisionDate", "id", "organizationId", "key", "object");
  // What the app works out for whoever is logged in.
  take.ignore("edit", "viewPassword", "organizationUseTotp", "permissions", "localData");
}
