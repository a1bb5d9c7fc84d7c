import type { EntryType } from "../../client/content.ts";
import { addField, addFilled, addRest, claim, type Draft, isSecretLabel, makeDraft } from "./draft.ts";
import { readSection } from "./onepux-fields.ts";
import { type Collector, collect, type Imported, importError, sourceOf } from "./result.ts";
import { isEmpty, isRecord, lookUp, type Take, takeFrom } from "./take.ts";
import { parseJson } from "./text.ts";
import { openZip } from "./zip.ts";

/** 1Password's categories; what is not here becomes a note. */
const TYPES: Record<string, EntryType> = {
  "001": "login",
  "002": "card",
  "004": "identity",
  "005": "login",
  "101": "card",
  "102": "login",
  "103": "identity",
  "104": "identity",
  "105": "identity",
  "106": "identity",
  "107": "identity",
  "108": "identity",
  "109": "login",
  "110": "login",
  "111": "login",
  "112": "secret",
  "113": "identity",
  "114": "secret",
  "115": "secret",
};

/**
 * 1Password's .1pux: a zip with `export.data`, JSON of accounts, vaults and items, and the documents beside it. Vaults
 * become tags; archived items come with a tag, documents are reported.
 */
export function readOnePux(bytes: Uint8Array): Imported {
  const root = parseJson(openZip(bytes).read("export.data"));
  if (!isRecord(root) || !Array.isArray(root.accounts)) {
    throw importError("import-damaged", "The export has no list of accounts");
  }
  const collector = collect("1password-1pux");
  let position = 0;
  for (const value of root.accounts) {
    const account = takeFrom(value);
    for (const vault of account.list("vaults")) {
      const take = takeFrom(vault);
      const attributes = take.record("attrs");
      const tag = attributes.text("name");
      for (const item of take.list("items")) readItem(item, `item ${++position}`, tag, collector);
      attributes.ignore("uuid", "avatar", "type");
      collector.leftOver(sourceOf("vault", tag), take);
    }
    account.ignore("attrs");
    collector.leftOver("account", account);
  }
  return collector.done();
}

/** The first exports of this format had each item under `item`, and its document beside it. */
function readItem(value: unknown, place: string, vault: string, collector: Collector): void {
  const take = takeFrom(isRecord(value) && isRecord(value.item) ? value.item : value);
  const overview = take.record("overview");
  const details = take.record("details");
  const name = overview.text("title");
  const source = sourceOf(place, name);
  const state = take.text("state");
  if (!isRecord(value)) {
    collector.refuse(place, "is no item");
  } else if (take.flag("trashed") || state === "trashed" || state === "deleted") {
    collector.unmapped(source, "is in the trash and stays there");
  } else {
    const draft = makeDraft(lookUp(TYPES, take.text("categoryUuid")) ?? "note", name);
    draft.favorite = Number(take.text("favIndex")) > 0;
    readOverview(overview, draft);
    draft.tags.push(vault);
    if (state === "archived") draft.tags.push("archived");
    readDetails(details, draft, source, collector);
    if (isRecord(value.item) && !isEmpty(value.file)) {
      collector.unmapped(source, "its document cannot be kept");
    }
    if (take.has("createdAt") || take.has("updatedAt")) {
      collector.often("creation and change times are not kept");
    }
    take.ignore("uuid", "createdAt", "updatedAt");
    addRest(draft, take);
    collector.add(draft, source);
  }
}

function readOverview(overview: Take, draft: Draft): void {
  const first = overview.text("url");
  const addresses = overview.list("urls").map((address) => {
    const take = takeFrom(address);
    // "website" is what the app calls every first one; another label was chosen by somebody.
    const [url, label] = [take.text("url"), take.text("label")];
    if (!["", "website"].includes(label)) addFilled(draft, `Label of ${url}`, label);
    take.ignore("mode");
    addRest(draft, take);
    return url;
  });
  draft.uris = [...new Set([first, ...addresses])];
  draft.tags = overview.texts("tags");
  // What the app works out from the rest: the line under a title, the strength of a password, pictures.
  overview.ignore("subtitle", "ps", "pbe", "pgrng", "icons", "ainfo", "watchtowerExclusions", "categoryUuid");
}

function readDetails(details: Take, draft: Draft, source: string, collector: Collector): void {
  draft.notes = details.text("notesPlain");
  for (const field of details.list("loginFields")) readLoginField(takeFrom(field), draft);
  claim(draft, "password", details.text("password"), "Password");
  for (const section of details.list("sections")) readSection(section, draft, source, collector);
  for (const old of details.list("passwordHistory")) {
    const take = takeFrom(old);
    addFilled(draft, `Previous password${dayOf(take.text("time"))}`, take.text("value"), true);
    addRest(draft, take);
  }
  const document = details.record("documentAttributes");
  const file = document.text("fileName");
  if (file !== "") {
    collector.unmapped(source, "its document cannot be kept");
    addField(draft, "Document", file);
  }
  document.ignore("documentId", "decryptedSize");
  // Where the browser had filled the form in.
  details.ignore("htmlForm");
}

/** `name` is the web form's own for what it was filled in from, and tells nothing of a username or a password. */
function readLoginField(take: Take, draft: Draft): void {
  const [designation, type] = [take.text("designation"), take.text("fieldType")];
  const linked = take.record("value");
  const value = take.text("value") || linked.text("email_address") || linked.text("string");
  const name = take.text("name") || take.text("id") || "Field";
  take.ignore("id");
  if (designation === "username") claim(draft, "username", value, name);
  else if (designation === "password") claim(draft, "password", value, name);
  else addFilled(draft, name, value, type === "P" || isSecretLabel(name));
  addRest(draft, take);
}

function dayOf(seconds: string): string {
  const date = new Date(Number(seconds) * 1000);
  return seconds === "" || Number.isNaN(date.getTime()) ? "" : ` (${date.toISOString().slice(0, 10)})`;
}
