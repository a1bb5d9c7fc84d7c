import { readCsv } from "./csv.ts";
import { addFilled, addRest, claim, type Draft, makeDraft } from "./draft.ts";
import { collect, type Imported, sourceOf } from "./result.ts";

const ADDRESSES = ["url", "urls", "website"];
const COLUMNS = [
  ["title", "username", "password", "otpauth", "one-time password", "favorite", "archived", "tags"],
  ["notes", "notesplain", "type", ...ADDRESSES],
].flat();

/**
 * 1Password's .csv export: that of version 8 (Title, Url, Username, Password, OTPAuth, Favorite, Archived, Tags, Notes),
 * and those of 6 and 7 (Title, Website or URL, Username, Password, Notes, Type), whose columns people could choose.
 */
export function readOnePasswordCsv(bytes: Uint8Array): Imported {
  const collector = collect("1password-csv");
  for (const { place, take } of readCsv(bytes, COLUMNS, ["title"])) {
    const draft = makeDraft("login", take.text("title"));
    draft.uris = ADDRESSES.flatMap((column) => take.text(column).split(/\r?\n/));
    draft.username = take.text("username");
    draft.password = take.text("password");
    claim(draft, "totp", take.text("otpauth"), "One-time password");
    claim(draft, "totp", take.text("one-time password"), "One-time password");
    draft.notes = [take.text("notes"), take.text("notesplain")].filter(Boolean).join("\n\n");
    draft.favorite = take.flag("favorite");
    draft.tags = take
      .text("tags")
      .split(/[;,]/)
      .map((tag) => tag.trim());
    if (take.flag("archived")) draft.tags.push("archived");
    const type = take.text("type");
    draft.type = typeOf(draft, type);
    if (!/^(login|password|secure note)$/i.test(type)) addFilled(draft, "Type", type);
    addRest(draft, take);
    collector.add(draft, sourceOf(place, draft.name));
  }
  return collector.done();
}

/** Version 8 exports only logins and passwords. What has nothing but notes is one. */
function typeOf(draft: Draft, type: string): "login" | "note" {
  if (/note/i.test(type)) return "note";
  const empty = draft.username + draft.password + draft.totp + draft.uris.join("") === "";
  return empty && draft.notes !== "" ? "note" : "login";
}
