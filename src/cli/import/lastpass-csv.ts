import { readCsv } from "./csv.ts";
import { addRest, type Draft, makeDraft } from "./draft.ts";
import { readLastPassNote } from "./lastpass-notes.ts";
import { collect, type Imported, sourceOf } from "./result.ts";

const COLUMNS = ["url", "username", "password", "totp", "extra", "name", "grouping", "fav"];

/** What LastPass writes as the address of a secure note, and of an empty folder. */
const NOTE_ADDRESS = "http://sn";
const FOLDER_ADDRESS = "http://group";

/** LastPass's .csv export: logins, secure notes with and without a template, and folders within folders. */
export function readLastPassCsv(bytes: Uint8Array): Imported {
  const collector = collect("lastpass-csv");
  for (const { place, take } of readCsv(bytes, COLUMNS, ["url", "extra", "name", "grouping"])) {
    const draft = makeDraft("login", take.text("name"));
    const url = take.text("url");
    const source = sourceOf(place, draft.name);
    draft.uris = [url];
    draft.username = take.text("username");
    draft.password = take.text("password");
    draft.totp = take.text("totp");
    draft.notes = take.text("extra");
    draft.tags = [take.text("grouping").replaceAll("\\", "/")];
    draft.favorite = take.flag("fav");
    if (url === NOTE_ADDRESS) asNote(draft);
    addRest(draft, take);
    if (isEmptyFolder(draft, url)) collector.often("a folder with nothing in it is not kept");
    else collector.add(draft, source);
  }
  return collector.done();
}

function isEmptyFolder(draft: Draft, url: string): boolean {
  const texts = [draft.username, draft.password, draft.totp, draft.notes];
  return url === FOLDER_ADDRESS && draft.fields.length === 0 && texts.every((text) => text === "");
}

function asNote(draft: Draft): void {
  draft.type = "note";
  draft.uris = [];
  readLastPassNote(draft);
}
