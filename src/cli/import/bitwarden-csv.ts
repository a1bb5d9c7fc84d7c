import { readCsv } from "./csv.ts";
import { addField, addFilled, addRest, makeDraft } from "./draft.ts";
import { collect, type Imported, sourceOf } from "./result.ts";

const COLUMNS = [
  ["folder", "collections", "favorite", "type", "name", "notes", "fields", "reprompt", "archiveddate"],
  ["login_uri", "login_username", "login_password", "login_totp"],
].flat();

/** Bitwarden's .csv export: logins and notes of a person (`folder`) or of an organisation (`collections`). */
export function readBitwardenCsv(bytes: Uint8Array): Imported {
  const collector = collect("bitwarden-csv");
  for (const { place, take } of readCsv(bytes, COLUMNS, ["type", "name", "login_uri", "login_password"])) {
    const type = take.text("type");
    const draft = makeDraft(type === "note" ? "note" : "login", take.text("name"));
    if (!["login", "note"].includes(type)) addFilled(draft, "Type", type);
    draft.username = take.text("login_username");
    draft.password = take.text("login_password");
    draft.totp = take.text("login_totp");
    draft.notes = take.text("notes");
    draft.favorite = take.flag("favorite");
    // Several addresses are joined by commas, which an address may have in itself.
    draft.uris = take.text("login_uri").split(/,(?=[a-z][a-z0-9+.-]*:\/\/)/i);
    draft.tags = [take.text("folder"), ...take.text("collections").split(",")];
    for (const line of take.text("fields").split("\n")) {
      const [, name, value] = /^(.*?): (.*)$/.exec(line) ?? [undefined, "", line];
      // The file does not tell a hidden field from a shown one.
      if (line !== "") addField(draft, name ?? "", value ?? "", true);
    }
    if (take.flag("reprompt")) collector.often("asking for the master password again is not kept");
    if (take.text("archiveddate") !== "") draft.tags.push("archived");
    addRest(draft, take);
    collector.add(draft, sourceOf(place, draft.name));
  }
  return collector.done();
}
