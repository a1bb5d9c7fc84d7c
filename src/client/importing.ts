import { createEntriesResponse } from "../contract/entries.ts";
import { LIMITS } from "../contract/limits.ts";
import { encodeBase64 } from "../crypto/bytes.ts";
import type { SealedText } from "../crypto/envelope.ts";
import { assertStored, type EntryAccess, fetchEntry, readPins } from "./changes.ts";
import { type EntryContent, encodeContent } from "./content.ts";
import { type Entry, inParallel, sealPlaintext } from "./entries.ts";
import { hostile, VaultError } from "./errors.ts";
import { withSeen } from "./pins.ts";

export type ImportReport = {
  added: number;
  /** Contents that are in the vault already, or were given before: by their place in the list. */
  duplicates: number[];
};

export type ImportProgress = { done: number; total: number };

/**
 * Stores contents in batches, each of them whole or not at all. Whatever is there already, to the last field, is left out: so an
 * import that was cut short goes on where it ended when it is simply run again. Throws `content-invalid`,
 * `content-too-large` before anything is stored, `entry-quota-reached`.
 */
export async function importContents(
  access: EntryAccess,
  present: readonly Entry[],
  contents: readonly EntryContent[],
  onProgress: (progress: ImportProgress) => void,
): Promise<ImportReport> {
  const { fresh, duplicates } = withoutDuplicates(present, contents);
  let added = 0;
  onProgress({ done: 0, total: fresh.length });
  for (const batch of inBatches(fresh)) {
    const items = await inParallel(batch, async (plaintext): Promise<SealedItem> => {
      const id = crypto.randomUUID();
      return { id, ...(await sealPlaintext(access.keys, plaintext, id, 1)) };
    });
    await addBatch(access, items);
    added += items.length;
    onProgress({ done: added, total: fresh.length });
  }
  return { added, duplicates };
}

/** Which of the contents, by their place, are there already or come a second time. */
export function findDuplicates(present: readonly Entry[], contents: readonly EntryContent[]): number[] {
  return withoutDuplicates(present, contents).duplicates;
}

/** Equal contents are equal bytes, whatever the order of their fields was. What is fresh is given as these. */
function withoutDuplicates(present: readonly Entry[], contents: readonly EntryContent[]) {
  const known = new Set(present.map(({ content }) => encodeBase64(encodeContent(content))));
  const duplicates: number[] = [];
  const fresh: Uint8Array[] = [];
  for (const [index, content] of contents.entries()) {
    const plaintext = encodeContent(content);
    const print = encodeBase64(plaintext);
    if (known.has(print)) duplicates.push(index);
    else fresh.push(plaintext);
    known.add(print);
  }
  return { fresh, duplicates };
}

/** What JSON, base64 and the other fields may add to a plaintext: 4/3 of up to 1.12 times its bytes, and 400 for the rest. */
const itemBytes = (plaintext: Uint8Array) => plaintext.length * 1.6 + 800;

function* inBatches(plaintexts: readonly Uint8Array[]): Generator<Uint8Array[]> {
  let batch: Uint8Array[] = [];
  let size_bytes = 0;
  for (const plaintext of plaintexts) {
    const item_bytes = itemBytes(plaintext);
    const full =
      batch.length === LIMITS.batch_entries_max || size_bytes + item_bytes > LIMITS.batch_body_bytes_max;
    if (full && batch.length > 0) {
      yield batch;
      batch = [];
      size_bytes = 0;
    }
    batch.push(plaintext);
    size_bytes += item_bytes;
  }
  if (batch.length > 0) yield batch;
}

type SealedItem = SealedText & { id: string };

/** Stores a batch, all of it or nothing. A batch that an earlier attempt has stored counts as stored. */
async function addBatch(access: EntryAccess, items: readonly SealedItem[]): Promise<void> {
  const call = {
    method: "POST",
    path: "/entries/batch",
    body: { entries: items },
    answer: createEntriesResponse,
    idempotent: true,
  } as const;
  const stored = await access.session
    .call(call)
    .then(({ value }) => value.entries)
    .catch((error) => confirmBatch(access, items, error));
  const given = items.every(({ id }, index) => stored[index]?.id === id && stored[index]?.version === 1);
  if (!given || stored.length !== items.length) throw hostile("response-invalid");
  const seen = items.map(({ id, tag }) => ({ id, tag, version: 1 }));
  await access.pins.change((pins) => withSeen(pins, seen));
}

/** Atomic means: when one of the batch is there, with the tag that was made for it, all are. */
async function confirmBatch(access: EntryAccess, items: readonly SealedItem[], error: unknown) {
  const again =
    error instanceof VaultError && error.code === "entry-id-taken" && error.details.again === true;
  const first = items[0];
  if (!again || first === undefined) throw error;
  const response = await fetchEntry(access, await readPins(access), first.id);
  assertStored(response, first.id, 1, first.tag);
  return items.map(({ id }) => ({ id, version: 1 }));
}
