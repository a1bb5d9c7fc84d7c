import type { Entry, EntryContent } from "../client/index.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";
import { oneLine } from "./terminal.ts";

/** A part of an entry as a person names it: `name`, `username`, `password`, `uri`, `notes`, `totp`, `tags`, or a custom field. */
export function fieldOf({ id, content }: Entry, field: string): string {
  const value = standardField(content, field) ?? content.fields?.find(({ name }) => name === field)?.value;
  if (field === "id") return id;
  if (value !== undefined) return value;
  const names = fieldNames(content).join(", ");
  const message = oneLine(`"${content.name}" has no field "${field}": it has ${names}`);
  throw commandFault(CLI_EXIT.not_found, "field-not-found", message);
}

function standardField(content: EntryContent, field: string): string | undefined {
  switch (field) {
    case "name":
    case "type":
    case "username":
    case "password":
    case "notes":
    case "totp":
      return content[field];
    case "uri":
      return content.uris?.[0];
    case "uris":
      return content.uris?.join("\n");
    case "tags":
      return content.tags?.join(", ");
    default:
      return undefined;
  }
}

/** The names by which an entry's parts can be asked for. */
export function fieldNames(content: EntryContent): string[] {
  const standard = ["name", "username", "password", "uri", "notes", "totp", "tags"];
  const present = standard.filter((field) => standardField(content, field) !== undefined);
  return [...present, ...(content.fields ?? []).map(({ name }) => name)];
}
