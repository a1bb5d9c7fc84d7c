import { readCsv } from "./csv.ts";
import { addFilled, addRest, makeDraft } from "./draft.ts";
import { collect, type Imported, sourceOf } from "./result.ts";

const TIMES = ["timecreated", "timelastused", "timepasswordchanged"];
const COLUMNS = ["url", "username", "password", "httprealm", "formactionorigin", "guid", ...TIMES];

/** Firefox's password export. It has no names: each entry gets that of its host. */
export function readFirefoxCsv(bytes: Uint8Array): Imported {
  const collector = collect("firefox-csv");
  for (const { place, take } of readCsv(bytes, COLUMNS, ["url", "username", "password"])) {
    const draft = makeDraft("login", "");
    const url = take.text("url");
    draft.uris = [url];
    draft.username = take.text("username");
    draft.password = take.text("password");
    addFilled(draft, "HTTP realm", take.text("httprealm"));
    const origin = take.text("formactionorigin");
    // It is the address itself nearly everywhere.
    if (origin !== url) addFilled(draft, "Form sent to", origin);
    if (TIMES.some((time) => take.has(time)))
      collector.often("times of creation, use and change are not kept");
    take.ignore("guid", ...TIMES);
    addRest(draft, take);
    collector.add(draft, sourceOf(place, url));
  }
  return collector.done();
}
