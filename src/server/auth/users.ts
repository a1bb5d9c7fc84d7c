import { randomBytes } from "node:crypto";
import { and, eq, sql } from "drizzle-orm";
import { KDF_DEFAULT, type Kdf, type ProtectedKey } from "../../contract/auth.ts";
import { LIMITS } from "../../contract/limits.ts";
import { Problem } from "../../contract/problems.ts";
import type { Database, Transaction } from "../db/database.ts";
import { accountTombstones, lowerName, users } from "../db/schema.ts";
import type { Credential, StoredCredential } from "./credentials.ts";

export type User = typeof users.$inferSelect;

/** What a client keeps with its account so that it can derive its keys anywhere. */
export type KeyMaterial = { encryption_salt: string; kdf: Kdf; protected_key: ProtectedKey | null };

export async function findByName(db: Database | Transaction, username: string): Promise<User | undefined> {
  const [user] = await db
    .select()
    .from(users)
    .where(eq(lowerName(users.username), username.toLowerCase()));
  return user;
}

export async function findById(db: Database | Transaction, user_id: string): Promise<User | undefined> {
  const [user] = await db.select().from(users).where(eq(users.id, user_id));
  return user;
}

export function storedCredential(user: User): StoredCredential {
  return { kind: user.credential_kind, hash: user.credential_hash };
}

/**
 * Inserts an account. Throws `username-taken` or `account-id-taken`, the latter also for the id of an account
 * that was deleted: clients pin ids.
 */
export async function insert(
  tx: Transaction,
  account: { id: string; username: string; credential: Credential; hash: string; keys: KeyMaterial },
  now_ms: number,
): Promise<void> {
  const now = new Date(now_ms);
  const inserted = await tx
    .insert(users)
    .values({
      id: account.id,
      username: account.username,
      credential_kind: account.credential.kind,
      credential_hash: account.hash,
      ...keyColumns(account.keys),
      created_at: now,
      updated_at: now,
    })
    .onConflictDoNothing()
    .returning({ id: users.id });
  if (inserted.length === 0) {
    throw new Problem((await findByName(tx, account.username)) ? "username-taken" : "account-id-taken");
  }
  // Looked up after the insert, which waits for a deletion of the same id that is under way.
  const [retired] = await tx
    .select()
    .from(accountTombstones)
    .where(eq(accountTombstones.user_id, account.id));
  if (retired !== undefined) throw new Problem("account-id-taken");
}

/**
 * Puts a new hash in the place of `from`, and new keys where given. False when the credential is another one by
 * now: of two changes at once the second must not undo the first.
 */
export async function replaceCredential(
  tx: Database | Transaction,
  user_id: string,
  change: { from: string; kind: Credential["kind"]; hash: string; keys?: KeyMaterial },
  now_ms: number,
): Promise<boolean> {
  const changed = await tx
    .update(users)
    .set({
      credential_kind: change.kind,
      credential_hash: change.hash,
      ...(change.keys && keyColumns(change.keys)),
      updated_at: new Date(now_ms),
    })
    .where(and(eq(users.id, user_id), eq(users.credential_hash, change.from)))
    .returning({ id: users.id });
  return changed.length === 1;
}

/** Whether the credential is still the one that was tested; keeps it so until the transaction ends. */
export async function holdCredential(tx: Transaction, user: User): Promise<boolean> {
  const [same] = await tx
    .select({ one: sql`1` })
    .from(users)
    .where(and(eq(users.id, user.id), eq(users.credential_hash, user.credential_hash)))
    .for("no key update");
  return same !== undefined;
}

/** Whether the account is there; keeps it so until the transaction ends. */
export async function hold(tx: Transaction, user_id: string): Promise<boolean> {
  const [there] = await tx.select({ one: sql`1` }).from(users).where(eq(users.id, user_id)).for("key share");
  return there !== undefined;
}

/** The keys of an account that logs in by password: a salt of its own, for a client that wants to derive keys. */
export function makePasswordKeys(): KeyMaterial {
  const salt = randomBytes(LIMITS.encryption_salt_bytes);
  return { encryption_salt: salt.toString("hex"), kdf: KDF_DEFAULT, protected_key: null };
}

export function keyMaterial(user: User): KeyMaterial {
  const { protected_key_ciphertext: ciphertext, protected_key_iv: iv } = user;
  const { protected_key_tag: tag, protected_key_commitment: commitment } = user;
  return {
    encryption_salt: Buffer.from(user.encryption_salt).toString("hex"),
    kdf: {
      algorithm: "argon2id",
      memory_kib: user.kdf_memory_kib,
      iterations: user.kdf_iterations,
      parallelism: user.kdf_parallelism,
    },
    protected_key:
      ciphertext && iv && tag && commitment
        ? {
            ciphertext: ciphertext.toBase64(),
            iv: iv.toBase64(),
            tag: tag.toBase64(),
            commitment: commitment.toBase64(),
          }
        : null,
  };
}

function keyColumns(keys: KeyMaterial) {
  const { kdf, protected_key: wrapped } = keys;
  return {
    encryption_salt: Buffer.from(keys.encryption_salt, "hex"),
    kdf_memory_kib: kdf.memory_kib,
    kdf_iterations: kdf.iterations,
    kdf_parallelism: kdf.parallelism,
    protected_key_ciphertext: wrapped && Buffer.from(wrapped.ciphertext, "base64"),
    protected_key_iv: wrapped && Buffer.from(wrapped.iv, "base64"),
    protected_key_tag: wrapped && Buffer.from(wrapped.tag, "base64"),
    protected_key_commitment: wrapped && Buffer.from(wrapped.commitment, "base64"),
  };
}
