import { deriveStateKey, importVaultKey } from "../crypto/keys.ts";
import type { EntryAccess } from "./changes.ts";
import type { Entry } from "./entries.ts";
import type { Account, PinBook } from "./pins.ts";
import { openSession } from "./session.ts";
import type { Store } from "./store.ts";
import type { Transport } from "./transport.ts";

/** What is gone once the vault is locked. `seen`: the entries as they were last given, which a change is held against. */
export type Open = EntryAccess & { vault_key: Uint8Array; seen: Map<string, Entry> };

/** Makes of a vault key all that it takes to work with the vault. The bytes stay with it, to be wiped when it is locked. */
export async function openAccess(
  transport: Transport,
  store: Store,
  pins: PinBook,
  { username, account_id }: Pick<Account, "username" | "account_id">,
  bytes: Uint8Array,
): Promise<Open> {
  const vault_key = await importVaultKey(bytes);
  const session = openSession({
    transport,
    store,
    username,
    account_id,
    state_key: await deriveStateKey(vault_key),
    now_ms: () => Date.now(),
  });
  return { session, pins, keys: { vault_key, account_id }, vault_key: bytes, seen: new Map() };
}
