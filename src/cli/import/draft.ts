import type { CustomField, EntryContent, EntryType } from "../../client/content.ts";
import type { Take } from "./take.ts";

/** An entry while it is read: "" is what is not there. */
export type Draft = {
  type: EntryType;
  name: string;
  username: string;
  password: string;
  uris: string[];
  notes: string;
  totp: string;
  fields: CustomField[];
  tags: string[];
  favorite: boolean;
};

export function makeDraft(type: EntryType, name: string): Draft {
  const texts = { name, username: "", password: "", notes: "", totp: "" };
  return { type, ...texts, uris: [], fields: [], tags: [], favorite: false };
}

/** Keeps a field as it is, also one without a value. */
export function addField(draft: Draft, name: string, value: string, hidden = false): void {
  draft.fields.push(hidden ? { name, value, hidden } : { name, value });
}

/** A field where the format always has a place, and people often nothing to put there. */
export function addFilled(draft: Draft, name: string, value: string, hidden = false): void {
  if (value !== "") addField(draft, name, value, hidden);
}

/** The first of a kind gets the property of its own, each later one a field of this name. */
export function claim(
  draft: Draft,
  property: "username" | "password" | "totp",
  value: string,
  name: string,
): void {
  if (value === "") return;
  if (draft[property] === "") draft[property] = value;
  else addField(draft, name, value, property !== "username");
}

/** What no reader has asked for. Nobody knows what it is, so it is hidden. */
export function addRest(draft: Draft, take: Take): void {
  for (const { name, value } of take.rest()) addField(draft, name, value, true);
}

/** Whether a label tells of what should not stand open on a screen. */
export function isSecretLabel(label: string): boolean {
  return SECRET.test(label.replace(/([a-z])([A-Z])/g, "$1 $2"));
}

const SECRET =
  /pass(word|phrase|code)|\bpin\b|secret|private|\bkey\b|\bcvv|\bcvc|\bcode\b|number|\bssn\b|iban|routing|licen[cs]e|\btoken\b|credential|\bseed\b/i;

/** "cardholderName" is "Cardholder name". */
export function humanise(key: string): string {
  const words = key
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replaceAll("_", " ")
    .trim()
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Leaves out what is empty, and gives an entry without a name that of its host. */
export function toContent(draft: Draft): EntryContent {
  const uris = draft.uris.filter((uri) => uri !== "");
  const tags = [...new Set(draft.tags)].filter((tag) => tag !== "");
  return {
    type: draft.type,
    name: draft.name.trim() === "" ? nameFrom(uris) : draft.name,
    ...(draft.username !== "" && { username: draft.username }),
    ...(draft.password !== "" && { password: draft.password }),
    ...(uris.length > 0 && { uris }),
    ...(draft.notes !== "" && { notes: draft.notes }),
    ...(draft.totp !== "" && { totp: draft.totp }),
    ...(draft.fields.length > 0 && { fields: draft.fields }),
    ...(tags.length > 0 && { tags }),
    ...(draft.favorite && { favorite: true }),
  };
}

function nameFrom(uris: string[]): string {
  for (const uri of uris) {
    const host = hostOf(uri) || hostOf(`https://${uri}`);
    if (host !== "") return host;
  }
  return "Untitled";
}

function hostOf(uri: string): string {
  return URL.parse(uri)?.hostname ?? "";
}
