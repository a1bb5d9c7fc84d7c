import { uuid } from "../contract/encoding.ts";
import { type EntryResponse, entryResponse } from "../contract/entries.ts";
import { LIMITS } from "../contract/limits.ts";
import type { EntryContent } from "./content.ts";
import { type Entry, type EntryKeys, openResponse, sealContent } from "./entries.ts";
import { failure, hostile, refusal, VaultError } from "./errors.ts";
import { applyPatch, type EntryPatch, mergeContents } from "./merge.ts";
import { checkEntry, isNews, type PinBook, type Pins, withDeleted, withSeen } from "./pins.ts";
import type { Session } from "./session.ts";

/** What a change needs: who is asking, what is pinned, which keys. */
export type EntryAccess = { session: Session; pins: PinBook; keys: EntryKeys };

/** One entry, held to what this device has seen. Throws `entry-not-found`, or of a hostile server what `HOSTILE` names. */
export async function getEntry(access: EntryAccess, given_id: string): Promise<Entry> {
  // One spelling an entry, and nothing that could make the path another one.
  const { data: id } = uuid.safeParse(given_id);
  if (id === undefined) throw refusal("entry-not-found");
  const known = await readPins(access);
  const response = await fetchEntry(access, known, id);
  checkEntry(known, response);
  const entry = await openResponse(access.keys, response);
  await pinSeen(access, known, [response]);
  return entry;
}

/** One entry as the server has it, not yet opened. */
export async function fetchEntry({ session }: EntryAccess, known: Pins, id: string): Promise<EntryResponse> {
  try {
    const call = { method: "GET", path: `/entries/${id}`, answer: entryResponse, idempotent: true } as const;
    const { value } = await session.call(call);
    if (value.id !== id) throw hostile("entry-swapped", { ids: [id] });
    return value;
  } catch (error) {
    throw isNotFound(error) && Object.hasOwn(known.entries, id)
      ? hostile("entries-missing", { ids: [id] })
      : error;
  }
}

/** Stores a new entry. The client chose the id, so that an answer that was lost cannot make it two. */
export async function addEntry(access: EntryAccess, content: EntryContent): Promise<Entry> {
  const id = crypto.randomUUID();
  const sealed = await sealContent(access.keys, content, id, 1);
  const response = await access.session
    .call({
      method: "POST",
      path: "/entries",
      body: { id, ...sealed },
      answer: entryResponse,
      idempotent: true,
    })
    .then(({ value }) => value)
    .catch(async (error) => {
      if (!(error instanceof VaultError && error.code === "entry-id-taken" && error.details.again))
        throw error;
      return fetchEntry(access, await readPins(access), id);
    });
  assertStored(response, id, 1, sealed.tag);
  const entry = await openResponse(access.keys, response);
  await access.pins.change((pins) => withSeen(pins, [response]));
  return entry;
}

/** The server has to say that it keeps what it was given, under the version that it was sealed for. */
export function assertStored(response: EntryResponse, id: string, version: number, tag: string): void {
  if (response.id !== id) throw hostile("entry-swapped", { ids: [id] });
  if (response.version !== version || response.tag !== tag) throw hostile("entry-forked", { ids: [id] });
}

/** Both sides of a change that cannot be merged. */
export type Conflict = {
  base: EntryContent;
  ours: EntryContent;
  theirs: EntryContent;
  /** Both changes together, with ours where they are in conflict. */
  merged: EntryContent;
  /** What both have changed, to different values. */
  fields: readonly (keyof EntryContent)[];
};
/** Decides a conflict: the content to be stored, or undefined for none. */
export type Resolve = (conflict: Conflict) => Promise<EntryContent | undefined> | EntryContent | undefined;

/**
 * Changes some fields of an entry that was last seen as `base`. When it has moved meanwhile, what others changed is kept where it
 * is not the same fields; for those `resolve` is asked. Throws `merge-conflict` when nobody decides, `entry-not-found`.
 */
export async function updateEntry(
  access: EntryAccess,
  seen: Entry,
  patch: EntryPatch,
  resolve: Resolve | undefined,
): Promise<Entry> {
  let base = seen;
  let ours = applyPatch(base.content, patch);
  for (let attempt = 1; attempt <= LIMITS.client_merges_max; attempt++) {
    const stored = await putEntry(access, base, ours);
    if (stored !== undefined) return stored;
    const theirs = await getEntry(access, base.id);
    // Refused for a version that has moved, and it has not: the change may yet be made when nobody looks.
    if (theirs.version <= base.version) throw hostile("response-invalid", { ids: [base.id] });
    ours = await merge(base.content, ours, theirs, resolve);
    base = theirs;
  }
  throw failure("merge-conflict", { ids: [base.id] });
}

async function merge(
  base: EntryContent,
  ours: EntryContent,
  theirs: Entry,
  resolve: Resolve | undefined,
): Promise<EntryContent> {
  const { content, conflicts } = mergeContents(base, ours, theirs.content);
  if (conflicts.length === 0) return content;
  const decided = await resolve?.({
    ...{ base, ours, theirs: theirs.content },
    merged: content,
    fields: conflicts,
  });
  if (decided === undefined) throw failure("merge-conflict", { ids: [theirs.id], fields: conflicts });
  return decided;
}

/** The entry as it is stored now; undefined when somebody else was quicker. */
async function putEntry(access: EntryAccess, base: Entry, content: EntryContent): Promise<Entry | undefined> {
  const { id } = base;
  const version = base.version + 1;
  const sealed = await sealContent(access.keys, content, id, version);
  const known = await readPins(access);
  const response = await access.session
    .call({
      method: "PUT",
      path: `/entries/${id}`,
      body: { version, ...sealed },
      if_match: base.version,
      answer: entryResponse,
      idempotent: true,
    })
    .then(({ value }) => value)
    .catch(async (error) => {
      if (!(error instanceof VaultError) || error.code !== "entry-conflict") throw error;
      // An attempt whose answer was lost may have been the one that moved the version.
      const current = error.details.again ? await fetchEntry(access, known, id) : undefined;
      return current?.tag === sealed.tag ? current : undefined;
    });
  if (response === undefined) return undefined;
  assertStored(response, id, version, sealed.tag);
  const entry = await openResponse(access.keys, response);
  await access.pins.change((pins) => withSeen(pins, [response]));
  return entry;
}

/**
 * Deletes an entry that was last seen as `seen`, for good. Throws `entry-conflict` when somebody has changed it since:
 * what one has not seen one does not throw away.
 */
export async function removeEntry(access: EntryAccess, seen: Entry): Promise<void> {
  try {
    const path = `/entries/${seen.id}`;
    await access.session.call({ method: "DELETE", path, if_match: seen.version, idempotent: true });
  } catch (error) {
    const gone = isNotFound(error) && (error as VaultError).details.again === true;
    if (!gone) throw error;
  }
  await access.pins.change((pins) => withDeleted(pins, [seen.id]));
}

/** Remembers what has opened. */
export async function pinSeen(
  access: EntryAccess,
  known: Pins,
  responses: readonly EntryResponse[],
): Promise<void> {
  if (isNews(known, responses)) await access.pins.change((pins) => withSeen(pins, responses));
}

export async function readPins({ pins }: EntryAccess): Promise<Pins> {
  const known = await pins.read();
  if (known === undefined) throw failure("store-damaged");
  return known;
}

function isNotFound(error: unknown): boolean {
  return error instanceof VaultError && error.code === "entry-not-found";
}
