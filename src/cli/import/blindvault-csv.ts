import { ENTRY_TYPES } from "../../client/content.ts";
import { readCsv } from "./csv.ts";
import { addRest, type Draft, makeDraft } from "./draft.ts";
import { type Collector, collect, type Imported, sourceOf } from "./result.ts";
import { isRecord, type Take, takeFrom, textOf } from "./take.ts";

/** Our own plaintext format. `uris`, `fields` and `tags` are JSON lists; an empty cell is what is not there. */
export const BLINDVAULT_COLUMNS = [
  ["type", "name", "username", "password", "uris"],
  ["notes", "totp", "fields", "tags", "favorite"],
].flat();

export function readBlindvaultCsv(bytes: Uint8Array): Imported {
  const collector = collect("blindvault-csv");
  for (const { place, take } of readCsv(bytes, BLINDVAULT_COLUMNS, BLINDVAULT_COLUMNS)) {
    readRow(place, take, collector);
  }
  return collector.done();
}

function readRow(place: string, take: Take, collector: Collector): void {
  const name = take.text("name");
  const source = sourceOf(place, name);
  const noted = take.text("type");
  const type = ENTRY_TYPES.find((known) => known === noted);
  const [uris, fields, tags] = [
    textsIn(take.text("uris")),
    fieldsIn(take.text("fields")),
    textsIn(take.text("tags")),
  ];
  if (type === undefined || uris === undefined || fields === undefined || tags === undefined) {
    collector.refuse(source, "has a type or a list that cannot be read");
    return;
  }
  const draft = { ...makeDraft(type, name), uris, fields, tags };
  draft.username = take.text("username");
  draft.password = take.text("password");
  draft.notes = take.text("notes");
  draft.totp = take.text("totp");
  draft.favorite = take.flag("favorite");
  addRest(draft, take);
  collector.add(draft, source);
}

function textsIn(cell: string): string[] | undefined {
  const texts = listIn(cell)?.map(textOf);
  return texts?.every((text) => text !== undefined) ? texts : undefined;
}

function fieldsIn(cell: string): Draft["fields"] | undefined {
  const list = listIn(cell);
  if (!list?.every(isRecord)) return undefined;
  return list.map((field) => {
    const take = takeFrom(field);
    const [name, value] = [take.text("name"), take.text("value")];
    return take.flag("hidden") ? { name, value, hidden: true } : { name, value };
  });
}

function listIn(cell: string): unknown[] | undefined {
  if (cell === "") return [];
  try {
    const value: unknown = JSON.parse(cell);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
