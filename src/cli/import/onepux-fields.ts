import { addFilled, addRest, claim, type Draft } from "./draft.ts";
import type { Collector } from "./result.ts";
import { isRecord, lookUp, type Take, takeFrom, textOf } from "./take.ts";

/** The fields of a section of a 1Password item. Each is named after its section, unless that has no title. */
export function readSection(section: unknown, draft: Draft, source: string, collector: Collector): void {
  const take = takeFrom(section);
  const title = take.text("title");
  for (const field of take.list("fields")) readField(takeFrom(field), title, draft, source, collector);
  take.ignore("name", "hideAddAnotherField");
  addRest(draft, take);
}

/** A value is a record of one key, its kind; the first exports had a plain text in some places. */
function readField(take: Take, section: string, draft: Draft, source: string, collector: Collector): void {
  const id = take.text("id");
  const label = take.text("title") || id || "Field";
  const name = section === "" ? label : `${section}: ${label}`;
  const guarded = take.flag("guarded");
  addFilled(draft, name, take.text("value"), guarded);
  for (const [kind, value] of take.record("value").takeAll()) {
    if (kind === "file") {
      collector.unmapped(source, "an attachment cannot be kept");
      addFilled(draft, name, takeFrom(value).text("fileName"));
    } else if (!claimed(draft, id, kind, name, value)) {
      for (const { part, text, hidden } of piecesOf(kind, value)) {
        addFilled(draft, part === "" ? name : `${name}: ${part}`, text, hidden || guarded);
      }
    }
  }
  // How the app lets people type.
  take.ignore("multiline", "dontGenerate", "placeholder", "inputTraits", "clipboardFilter");
  addRest(draft, take);
}

function piecesOf(kind: string, value: unknown): Piece[] {
  return (lookUp(KINDS, kind) ?? concealed)(value);
}

/** Servers, databases and API keys have their login in a section, under ids that are the same in every language. */
function claimed(draft: Draft, id: string, kind: string, name: string, value: unknown): boolean {
  const text = textOf(value) ?? "";
  if (text === "") return false;
  if (kind === "totp") claim(draft, "totp", text, name);
  else if (id === "username" && kind === "string" && draft.username === "") draft.username = text;
  else if (PASSWORD_IDS.includes(id) && kind === "concealed" && draft.password === "") draft.password = text;
  else if (kind === "url" && draft.type === "login" && draft.uris.join("") === "") draft.uris.push(text);
  else return false;
  return true;
}

const PASSWORD_IDS = ["password", "credential", "pop_password"];

type Piece = { part: string; text: string; hidden: boolean };

const shown = (value: unknown): Piece[] => [{ part: "", text: spell(value), hidden: false }];
const concealed = (value: unknown): Piece[] => [{ part: "", text: spell(value), hidden: true }];

/** What the kinds of values become; of a kind that is not here the JSON is kept, hidden. */
const KINDS: Record<string, (value: unknown) => Piece[]> = {
  string: shown,
  url: shown,
  phone: shown,
  menu: shown,
  gender: shown,
  creditCardType: shown,
  /** The id of another item. */
  reference: shown,
  concealed,
  creditCardNumber: concealed,
  totp: concealed,
  date: (value) => [{ part: "", text: dateOf(value), hidden: false }],
  monthYear: (value) => [{ part: "", text: spell(value).replace(/^(\d{4})(\d\d)$/, "$1-$2"), hidden: false }],
  email: emailOf,
  address: addressOf,
  sshKey: sshKeyOf,
  ssoLogin: concealed,
};

/** Seconds since 1970, of which the app shows the day. */
function dateOf(value: unknown): string {
  const date = new Date(Number(value) * 1000);
  const known = typeof value === "number" && !Number.isNaN(date.getTime());
  return known ? date.toISOString().slice(0, 10) : spell(value);
}

function emailOf(value: unknown): Piece[] {
  if (!isRecord(value)) return shown(value);
  const take = takeFrom(value);
  const address = { part: "", text: take.text("email_address"), hidden: false };
  return [address, { part: "provider", text: take.text("provider"), hidden: false }, ...restOf(take)];
}

function addressOf(value: unknown): Piece[] {
  if (!isRecord(value)) return shown(value);
  const take = takeFrom(value);
  const lines = ["street", "city", "state", "zip", "country"].map((key) => take.text(key));
  return [{ part: "", text: lines.filter(Boolean).join("\n"), hidden: false }, ...restOf(take)];
}

function sshKeyOf(value: unknown): Piece[] {
  if (!isRecord(value)) return concealed(value);
  const take = takeFrom(value);
  const metadata = take.record("metadata");
  const key = take.text("privateKey");
  // The metadata repeats it, in one encoding for all items.
  const again = metadata.text("privateKey");
  return [
    { part: "private key", text: again || key, hidden: true },
    ...(key !== again && again !== "" ? [{ part: "private key as stored", text: key, hidden: true }] : []),
    { part: "public key", text: metadata.text("publicKey"), hidden: false },
    { part: "fingerprint", text: metadata.text("fingerprint"), hidden: false },
    { part: "key type", text: spell(metadata.text("keyType")), hidden: false },
    ...restOf(take),
  ];
}

function restOf(take: Take): Piece[] {
  return take.rest().map(({ name, value }) => ({ part: name, text: value, hidden: true }));
}

function spell(value: unknown): string {
  return value === null || value === undefined ? "" : (textOf(value) ?? JSON.stringify(value));
}
