import type { CustomField, EntryContent } from "../../client/content.ts";
import { FIELD_TYPES, ITEM_TYPES, PARTS, type PartKind, TAG_FIELD } from "../import/bitwarden-parts.ts";

/**
 * Contents as Bitwarden's unencrypted .json, which Bitwarden and most others import. An item has one folder there: the
 * first tag; the others are fields named "Tag" at the end. `blindvault_type` and `blindvault_tags`, which Bitwarden
 * passes over, let `readBitwardenJson` give everything back as it was.
 */
export function exportBitwardenJson(contents: readonly EntryContent[]): Uint8Array<ArrayBuffer> {
  const names = [...new Set(contents.flatMap(({ tags = [] }) => tags.slice(0, 1)))];
  const folders = names.map((name) => ({ id: crypto.randomUUID(), name }));
  const ids = new Map(folders.map(({ id, name }) => [name, id]));
  const items = contents.map((content) => itemOf(content, ids));
  return new TextEncoder().encode(`${JSON.stringify({ encrypted: false, folders, items }, null, 2)}\n`);
}

function itemOf(content: EntryContent, folder_ids: Map<string, string>) {
  const { name, notes = null, favorite = false, tags: [folder, ...tags] = [] } = content;
  const type = typeOf(content);
  const kind = PART_KINDS[type];
  const { parts, rest } =
    kind === undefined ? { parts: {}, rest: content.fields ?? [] } : split(content, kind);
  return {
    id: crypto.randomUUID(),
    organizationId: null,
    folderId: (folder !== undefined && folder_ids.get(folder)) || null,
    type,
    reprompt: 0,
    name,
    notes,
    favorite,
    fields: [...rest, ...tags.map((value) => ({ name: TAG_FIELD, value }))].map(fieldOf),
    ...(type === ITEM_TYPES.login && { login: loginOf(content) }),
    ...(type === ITEM_TYPES.note && { secureNote: { type: 0 } }),
    ...(kind !== undefined && { [kind]: parts }),
    collectionIds: null,
    ...(NATURAL[type] !== content.type && { blindvault_type: content.type }),
    ...(tags.length > 0 && { blindvault_tags: tags.length }),
  };
}

const PART_KINDS: Record<number, PartKind | undefined> = {
  [ITEM_TYPES.card]: "card",
  [ITEM_TYPES.identity]: "identity",
};
const NATURAL: Record<number, string> = {
  [ITEM_TYPES.login]: "login",
  [ITEM_TYPES.note]: "note",
  [ITEM_TYPES.card]: "card",
  [ITEM_TYPES.identity]: "identity",
};

/** Only a login has a place for a username, a password, addresses and a one-time password. */
function typeOf(content: EntryContent): number {
  const { type, username, password, uris, totp } = content;
  const has_login = [username, password, totp, uris?.[0]].some((part) => part !== undefined && part !== "");
  if (type === "login" || has_login) return ITEM_TYPES.login;
  if (type === "card") return ITEM_TYPES.card;
  return type === "identity" ? ITEM_TYPES.identity : ITEM_TYPES.note;
}

function loginOf({ username, password, totp, uris = [] }: EntryContent) {
  return {
    uris: uris.map((uri) => ({ match: null, uri })),
    username: username ?? null,
    password: password ?? null,
    totp: totp ?? null,
  };
}

/**
 * The fields that go into a card's or identity's own parts: those that stand first and in the order in which the
 * importer makes fields of the parts. From the first other one on they stay fields, so that no order is lost.
 */
function split({ fields = [] }: EntryContent, kind: PartKind) {
  const parts: Record<string, string | null> = Object.fromEntries(PARTS[kind].map(({ key }) => [key, null]));
  let taken = 0;
  for (const part of PARTS[kind]) {
    const field = fields[taken];
    const fits = field?.name === part.name && (field.hidden ?? false) === part.hidden && field.value !== "";
    if (!fits) continue;
    parts[part.key] = field.value;
    taken++;
  }
  return { parts, rest: fields.slice(taken) };
}

function fieldOf({ name, value, hidden = false }: CustomField) {
  return { name, value, type: hidden ? FIELD_TYPES.hidden : FIELD_TYPES.text, linkedId: null };
}
