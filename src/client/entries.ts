import type { EntryResponse } from "../contract/entries.ts";
import { openEntry, type SealedText, sealEntry } from "../crypto/envelope.ts";
import type { VaultKey } from "../crypto/keys.ts";
import { decodeContent, type EntryContent, encodeContent } from "./content.ts";
import { hostile, VaultError } from "./errors.ts";

/** An entry that has opened. `version` is authentic, the times are the server's word. */
export type Entry = {
  id: string;
  version: number;
  content: EntryContent;
  created_at: string;
  updated_at: string;
};

/** What it takes to seal and open the entries of an account. */
export type EntryKeys = { vault_key: VaultKey; account_id: string };

/** What goes to the server for an entry: sealed for this id and this version, and for no other. */
export async function sealContent(
  keys: EntryKeys,
  content: EntryContent,
  entry_id: string,
  version: number,
): Promise<SealedText> {
  return sealPlaintext(keys, encodeContent(content), entry_id, version);
}

/** The same of what `encodeContent` has given already. */
export async function sealPlaintext(
  { vault_key, account_id }: EntryKeys,
  plaintext: Uint8Array,
  entry_id: string,
  version: number,
): Promise<SealedText> {
  return sealEntry(vault_key, plaintext, { account_id, entry_id, version });
}

/** Opens what the server gave. Throws `entry-does-not-open`, `content-unreadable`. */
export async function openResponse(keys: EntryKeys, response: EntryResponse): Promise<Entry> {
  const { id, version, created_at, updated_at } = response;
  const content = decodeContent(await openBytes(keys, response));
  return { id, version, content, created_at, updated_at };
}

async function openBytes({ vault_key, account_id }: EntryKeys, response: EntryResponse) {
  const { id, version, ciphertext, iv, tag } = response;
  try {
    return await openEntry(vault_key, { ciphertext, iv, tag }, { account_id, entry_id: id, version });
  } catch {
    throw hostile("entry-does-not-open", { ids: [id] });
  }
}

/** How many are sealed or opened at once: enough to keep WebCrypto's threads busy, and more only makes it dearer. */
const AT_ONCE = 8;

/** `work` on each item, a bounded number at once, with the results in order. The first error ends it. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < items.length; start += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(start, start + AT_ONCE).map(work))));
  }
  return results;
}

/** `read`, or the `VaultError` that it ended with: one entry that does not open must not hide the others. */
export async function orError<Value>(read: Promise<Value>): Promise<Value | VaultError> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof VaultError) return error;
    throw error;
  }
}
