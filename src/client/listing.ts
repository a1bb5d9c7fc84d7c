import { cursor } from "../contract/encoding.ts";
import { type EntryResponse, listEntriesResponse } from "../contract/entries.ts";
import { LIMITS } from "../contract/limits.ts";
import { type Entry, type EntryKeys, inParallel, openResponse, orError } from "./entries.ts";
import { hostile, VaultError } from "./errors.ts";
import { checkEntry, type Pins } from "./pins.ts";
import type { Session } from "./session.ts";

/** `responses` are those that opened; `problems` tell what is wrong with the others, and with the list. */
export type Listing = { entries: Entry[]; responses: EntryResponse[]; problems: VaultError[] };

/**
 * Reads the whole list, opens it page by page, and holds it to what this device had seen before it asked: `pins`. What it has
 * deleted since is not missing: `readAfter` gives the pins as they are when the list has come. Throws `list-disordered`,
 * `list-endless`.
 */
export async function readListing(
  session: Session,
  keys: EntryKeys,
  pins: Pins,
  readAfter: () => Promise<Pins>,
): Promise<Listing> {
  const listing: Listing = { entries: [], responses: [], problems: [] };
  const given = new Set<string>();
  for await (const page of fetchPages(session)) {
    for (const { id } of page) {
      // The order alone does not tell: the times are the server's, and one id may stand under two of them.
      if (given.has(id)) throw hostile("list-disordered", { ids: [id] });
      given.add(id);
    }
    await openPage(keys, pins, page, listing);
    // All else comes to an end: what opens was written once, and what is pinned was seen. Only these cost a server nothing.
    const forged = listing.problems.filter(({ code }) => code === "entry-does-not-open");
    if (forged.length > LIMITS.client_forged_max) throw hostile("list-endless");
  }
  const after = await readAfter();
  const missing = Object.keys(pins.entries).filter(
    (id) => !given.has(id) && Object.hasOwn(after.entries, id),
  );
  if (missing.length > 0) listing.problems.push(hostile("entries-missing", { ids: missing }));
  return listing;
}

/**
 * The list as the server gives it, page after page. It has to be in the order that the contract names, which no page can break or
 * turn back without being noticed. A page that brings nothing and promises more would go on for ever.
 */
async function* fetchPages(session: Session): AsyncGenerator<EntryResponse[]> {
  let last: EntryResponse | undefined;
  let next: string | null = null;
  do {
    const path: string = next === null ? "/entries" : `/entries?cursor=${next}`;
    const { value: page } = await session.call({
      method: "GET",
      path,
      answer: listEntriesResponse,
      idempotent: true,
    });
    next = page.next_cursor;
    // A cursor becomes part of an address, and is held to the form of one.
    if (next !== null && !cursor.safeParse(next).success) throw hostile("response-invalid");
    for (const entry of page.entries) {
      if (last !== undefined && !isOlder(entry, last)) throw hostile("list-disordered", { ids: [entry.id] });
      last = entry;
    }
    if (next !== null && page.entries.length === 0) throw hostile("list-endless");
    yield page.entries;
  } while (next !== null);
}

/** Newest first: by the time of creation, then by id. The same entry twice is never older than itself. */
function isOlder(entry: EntryResponse, before: EntryResponse): boolean {
  if (entry.created_at !== before.created_at) return entry.created_at < before.created_at;
  return entry.id < before.id;
}

async function openPage(
  keys: EntryKeys,
  pins: Pins,
  page: readonly EntryResponse[],
  listing: Listing,
): Promise<void> {
  const opened = await inParallel(page, (response) => orError(openChecked(keys, pins, response)));
  for (const [index, result] of opened.entries()) {
    if (result instanceof VaultError) listing.problems.push(result);
    else {
      listing.entries.push(result);
      listing.responses.push(page[index] as EntryResponse);
    }
  }
}

async function openChecked(keys: EntryKeys, pins: Pins, response: EntryResponse): Promise<Entry> {
  checkEntry(pins, response);
  return openResponse(keys, response);
}
