import { readCsv } from "./csv.ts";
import { addRest, makeDraft } from "./draft.ts";
import { collect, type Imported, sourceOf } from "./result.ts";

/** The password export of Chrome, Edge, Brave and other Chromium browsers; older ones have no `note`. */
export function readChromeCsv(bytes: Uint8Array): Imported {
  const collector = collect("chrome-csv");
  const columns = ["name", "url", "username", "password", "note"];
  for (const { place, take } of readCsv(bytes, columns, ["url", "username", "password"])) {
    const draft = makeDraft("login", take.text("name"));
    draft.uris = [take.text("url")];
    draft.username = take.text("username");
    draft.password = take.text("password");
    draft.notes = take.text("note");
    addRest(draft, take);
    collector.add(draft, sourceOf(place, draft.name));
  }
  return collector.done();
}
