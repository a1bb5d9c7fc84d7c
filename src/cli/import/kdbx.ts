import { type Kdbx, type KdbxEntry, type KdbxGroup, ProtectedValue } from "kdbxweb";
import { ENTRY_TYPES } from "../../client/content.ts";
import { addField, claim, type Draft, makeDraft } from "./draft.ts";
import { FURTHER_URL, OWN_DATA, type OwnData, STANDARD_KEYS } from "./kdbx-names.ts";
import { type KdbxKey, openKdbx } from "./kdbx-open.ts";
import { readOtps } from "./kdbx-otp.ts";
import { asImportError, type Collector, collect, type Imported, sourceOf } from "./result.ts";
import { isRecord, takeFrom, textOf } from "./take.ts";

/**
 * A KeePass file. Groups become tags, "Work/Servers" for one within another; protected strings become hidden fields;
 * what lies in the recycle bin stays there; attachments and older versions are reported.
 */
export async function readKdbx(bytes: Uint8Array, key: KdbxKey): Promise<Imported> {
  const database = await openKdbx(bytes, key);
  const collector = collect("keepass-kdbx");
  try {
    // The top group is the file itself.
    for (const root of database.groups) readGroup(root, [], database, collector);
  } catch (error) {
    throw asImportError(error, "The KeePass file is damaged");
  }
  collector.unmapped("file", "times are not kept, but those at which entries expire");
  return collector.done();
}

function readGroup(group: KdbxGroup, path: string[], database: Kdbx, collector: Collector): void {
  const { recycleBinUuid, recycleBinEnabled } = database.meta;
  const is_bin =
    recycleBinEnabled === true && recycleBinUuid !== undefined && group.uuid.equals(recycleBinUuid);
  if (is_bin) {
    for (const entry of entriesWithin(group)) {
      collector.unmapped(
        sourceOf("recycle bin", textFrom(entry.fields.get("Title"))),
        "is in the trash and stays there",
      );
    }
    return;
  }
  if (group.notes !== undefined && group.notes !== "") collector.often("notes of groups are not kept");
  for (const entry of group.entries) readEntry(entry, path.join("/"), collector);
  for (const inner of group.groups) {
    readGroup(inner, [...path, inner.name || "Unnamed group"], database, collector);
  }
}

function entriesWithin(group: KdbxGroup): KdbxEntry[] {
  return [...group.entries, ...group.groups.flatMap(entriesWithin)];
}

function readEntry(entry: KdbxEntry, group: string, collector: Collector): void {
  const own = ownDataOf(entry);
  const fields = new Map([...entry.fields].map(([key, value]) => [key, textFrom(value)]));
  const name = fields.get("Title") ?? "";
  const source = sourceOf(group === "" ? "entry" : sourceOf("group", group), name);
  const draft = makeDraft(ENTRY_TYPES.find((type) => type === own.type) ?? "login", name);
  draft.username = fields.get("UserName") ?? "";
  draft.password = fields.get("Password") ?? "";
  draft.notes = fields.get("Notes") ?? "";
  draft.favorite = own.favorite === true;
  draft.tags = [...(group === "" ? [] : [group]), ...(own.tags ?? entry.tags)];
  draft.uris = [...fields].filter(([key]) => key === "URL" || FURTHER_URL.test(key)).map(([, uri]) => uri);
  const used = new Set<string>(STANDARD_KEYS);
  for (const { keys, totp } of readOtps(fields, name)) {
    claim(draft, "totp", totp, keys[0] ?? "One-time password");
    for (const key of keys) used.add(key);
  }
  const known = new Map(own.fields?.map((field) => [field.key, field]));
  for (const [key, value] of entry.fields) {
    if (used.has(key) || FURTHER_URL.test(key)) continue;
    const { name: own_name = key, hidden = value instanceof ProtectedValue } = known.get(key) ?? {};
    addField(draft, own_name, textFrom(value), hidden);
  }
  readRest(entry, draft, source, collector);
  collector.add(draft, source);
}

/** What is not a string of the entry. */
function readRest(entry: KdbxEntry, draft: Draft, source: string, collector: Collector): void {
  if (entry.overrideUrl) addField(draft, "Override URL", entry.overrideUrl);
  const { expires, expiryTime } = entry.times;
  if (expires === true && expiryTime !== undefined && !Number.isNaN(expiryTime.getTime())) {
    addField(draft, "Expires", expiryTime.toISOString());
  }
  for (const file of entry.binaries.keys()) {
    collector.unmapped(source, `the attachment ${sourceOf("", file).trim()} cannot be kept`);
  }
  if (entry.history.length > 0) collector.often("older versions of an entry are not kept");
  if (entry.autoType.items.length > 0 || entry.autoType.defaultSequence) {
    collector.often("auto-type settings are not kept");
  }
  if (entry.customIcon !== undefined) collector.often("icons are not kept");
  if ([...(entry.customData?.keys() ?? [])].some((key) => key !== OWN_DATA)) {
    collector.often("data of plug-ins is not kept");
  }
  const values = [draft.username, draft.password, draft.notes, ...draft.uris];
  if (values.some((value) => value.includes("{REF:"))) {
    collector.often("references to other entries ({REF:...}) stay as they are written");
  }
}

/** What our own exporter has noted, as far as it is what it writes. */
function ownDataOf(entry: KdbxEntry): OwnData {
  const take = takeFrom(parsed(entry.customData?.get(OWN_DATA)?.value ?? ""));
  const own: OwnData = { type: take.text("type"), favorite: take.flag("favorite") };
  if (take.has("tags")) own.tags = take.list("tags").flatMap((tag) => textOf(tag) ?? []);
  own.fields = take
    .list("fields")
    .filter(isRecord)
    .map((field) => ({
      key: textOf(field.key) ?? "",
      ...(typeof field.name === "string" && { name: field.name }),
      ...(typeof field.hidden === "boolean" && { hidden: field.hidden }),
    }));
  return own;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** kdbxweb's own decoding takes a byte order mark off the front of a value. */
function textFrom(value: string | ProtectedValue | undefined): string {
  return value instanceof ProtectedValue ? UTF8.decode(value.getBinary()) : (value ?? "");
}

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
