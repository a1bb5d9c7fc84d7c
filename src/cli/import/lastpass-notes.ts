import type { EntryType } from "../../client/content.ts";
import { addFilled, claim, type Draft, isSecretLabel } from "./draft.ts";
import { lookUp } from "./take.ts";

/** Templates of LastPass that are something else here than a note. */
const TYPES: Record<string, EntryType> = {
  "Credit Card": "card",
  "Bank Account": "card",
  Address: "identity",
  "Driver's License": "identity",
  Passport: "identity",
  "Social Security": "identity",
  Insurance: "identity",
  "Health Insurance": "identity",
  Membership: "identity",
  "SSH Key": "secret",
  Server: "secret",
  Database: "secret",
  "Wi-Fi Password": "secret",
  "Software License": "secret",
  "Email Account": "login",
  "Instant Messenger": "login",
};

const TEMPLATE = /^NoteType:([^\r\n]*)\r?\n/;

/**
 * Takes apart what a template has put into a note: "Label:value" a line, the last of them "Notes:", whose value goes
 * on to the end. A note without a template stays as it is.
 */
export function readLastPassNote(draft: Draft): void {
  const template = TEMPLATE.exec(draft.notes);
  if (template === null) return;
  const kind = template[1] ?? "";
  const type = lookUp(TYPES, kind);
  draft.type = type ?? "note";
  const { lines, notes } = split(draft.notes.slice(template[0].length));
  draft.notes = notes;
  for (const { label, value } of labelled(lines)) {
    if (label === "Language" || isBlank(value)) continue;
    if (label === "Username") claim(draft, "username", value, label);
    else if (label === "Password") claim(draft, "password", value, label);
    else addFilled(draft, label, value, isSecretLabel(label));
  }
  if (type === undefined) addFilled(draft, "Note type", kind);
}

function split(text: string): { lines: string[]; notes: string } {
  const at = /^Notes:/m.exec(text)?.index ?? text.length;
  return { lines: text.slice(0, at).split(/\r?\n/), notes: text.slice(at + "Notes:".length) };
}

/** A line without a label goes on with the value before it, and so does each line of a PEM block. */
function labelled(lines: string[]): { label: string; value: string }[] {
  const found: { label: string; value: string }[] = [];
  for (const line of lines) {
    const last = found.at(-1);
    const match = /^([^:]{1,80}):(.*)$/.exec(line);
    if (match !== null && !isOpenPem(last?.value))
      found.push({ label: match[1] ?? "", value: match[2] ?? "" });
    else if (last !== undefined) last.value += `\n${line}`;
    else if (line !== "") found.push({ label: "", value: line });
  }
  return found.map(({ label, value }) => ({ label, value: value.replace(/\n+$/, "") }));
}

function isOpenPem(value = ""): boolean {
  return value.startsWith("-----BEGIN ") && !value.includes("\n-----END ");
}

/** An empty date is written as its separators. */
function isBlank(value: string): boolean {
  return /^,*$/.test(value);
}
