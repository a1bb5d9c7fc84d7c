import { eq } from "drizzle-orm";
import {
  type CurrentSecret,
  KDF_DEFAULT,
  type LoginRequest,
  type TokenResponse,
} from "../../contract/auth.ts";
import { Problem } from "../../contract/problems.ts";
import { record } from "../audit/audit.ts";
import { prepared, type Transaction } from "../db/database.ts";
import { serverKeys } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import type { Origin } from "../http/origin.ts";
import type { Credential } from "./credentials.ts";
import { countAttempt, forgetAttempts, forgiveAttempts, type Target, takeBackAttempt } from "./lockout.ts";
import { hashName, hmac } from "./secrets.ts";
import { type Caller, startSession } from "./session.ts";
import * as users from "./users.ts";

/** The salt and the parameters that a client derives its auth_key with; a keyed decoy for a name nobody has. */
export async function prelogin(deps: Deps, username: string) {
  const [user, [decoy]] = await Promise.all([
    users.findByName(deps.db, username),
    statements(deps.db).decoyKey.execute(),
  ]);
  if (decoy === undefined) throw new Error("the database has no key for decoys");
  // Computed in both cases, so that both cost the same.
  const decoy_salt = Buffer.from(hmac(decoy.key, username.toLowerCase())).toString("hex");
  if (user === undefined) return { encryption_salt: decoy_salt, kdf: KDF_DEFAULT };
  const { encryption_salt, kdf } = users.keyMaterial(user);
  return { encryption_salt, kdf };
}

/**
 * Begins a session for whoever proves a secret. An unknown name, a wrong secret and a secret of the other kind
 * are one answer at one cost (`credentials-invalid`).
 */
export async function login(deps: Deps, request: LoginRequest, origin: Origin) {
  const credential: Credential =
    "password" in request
      ? { kind: "password", secret: request.password }
      : { kind: "auth_key", secret: request.auth_key };
  const attempt = async () => {
    const user = await prove(deps, request.username, credential, origin, "login-failed");
    return { user, tokens: await begin(deps, user, origin, request.device_name) };
  };
  let { user, tokens } = await attempt();
  // The credential was replaced since it was tested, perhaps only hashed anew by a login at the same time.
  if (tokens === undefined) ({ user, tokens } = await attempt());
  if (tokens === undefined) throw new Problem("credentials-invalid");
  await upgrade(deps, user, credential, origin);
  return { ...tokens, user_id: user.id, ...users.keyMaterial(user) };
}

/** The session of an account whose secret was proved; undefined when its credential is another one by now. */
async function begin(deps: Deps, user: users.User, origin: Origin, device_name: string | undefined) {
  const started = await deps.db.transaction(async (tx) => {
    if (!(await users.holdCredential(tx, user))) return undefined;
    await forgiveAttempts(tx, targetOf(deps, user.username, origin));
    const tokens = await startSession(deps, tx, user.id, origin, device_name);
    const { session_id } = tokens;
    await record(tx, { type: "login-succeeded", origin, user_id: user.id, session_id }, deps.clock.now_ms());
    return tokens;
  });
  if (started === undefined) await takeBack(deps, user, origin);
  return started;
}

/**
 * The account of a caller who proves its secret once more, for what a session alone must not do. The same
 * lockout counts as at login: a stolen session is no way around it.
 */
export async function proveAgain(deps: Deps, caller: Caller, secret: CurrentSecret): Promise<users.User> {
  const user = await users.findById(deps.db, caller.user_id);
  if (user === undefined) throw new Problem("credentials-invalid");
  const credential: Credential =
    "current_password" in secret
      ? { kind: "password", secret: secret.current_password }
      : { kind: "auth_key", secret: secret.current_auth_key };
  return prove(deps, user.username, credential, caller.origin, "secret-failed", caller.session_id);
}

/**
 * Ends a successful proof within the transaction of what it was for: the failures are forgiven, and the
 * credential is held as it was tested. One that was changed meanwhile proves nothing any more.
 */
export async function settle(deps: Deps, tx: Transaction, user: users.User, origin: Origin): Promise<void> {
  if (!(await users.holdCredential(tx, user))) {
    const event = { success: false, reason: "changed-meanwhile", origin, user_id: user.id };
    deps.audit.note({ type: "secret-failed", ...event });
    throw new Problem("credentials-invalid");
  }
  await forgiveAttempts(tx, targetOf(deps, user.username, origin));
}

/** Forgets every attempt at a name, from wherever: its account is being deleted. */
export function forgetName(deps: Deps, tx: Transaction, username: string): Promise<void> {
  return forgetAttempts(tx, hashName(deps.secrets, username));
}

/** Takes a proof's attempt back where what it was for could not be done: the right secret is no failure. */
export function takeBack(deps: Deps, user: users.User, origin: Origin): Promise<void> {
  return takeBackAttempt(deps.db, targetOf(deps, user.username, origin));
}

async function prove(
  deps: Deps,
  username: string,
  credential: Credential,
  origin: Origin,
  failure: "login-failed" | "secret-failed",
  session_id?: string,
): Promise<users.User> {
  const target = targetOf(deps, username, origin);
  const { last } = await countOrRefuse(deps, username, target, origin);
  const user = await users.findByName(deps.db, username);
  const stored = user && users.storedCredential(user);
  const matches = await deps.credentials.verify(credential, stored).catch(async (error) => {
    // There was no place in the queue: a secret that was not tested has not failed.
    await takeBackAttempt(deps.db, target);
    throw error;
  });
  if (matches && user !== undefined) return user;
  await deps.db.transaction(async (tx) => {
    // Asked for a name nobody has alike. A line about an account that was deleted meanwhile would outlive it.
    const there = await users.hold(tx, user?.id ?? NOBODY);
    const whose = there && user ? { user_id: user.id } : { name_hash: target.name_hash };
    const event = { origin, success: false, ...whose, ...(there && session_id && { session_id }) };
    const now_ms = deps.clock.now_ms();
    await record(tx, { ...event, type: failure, reason: "wrong-secret" }, now_ms);
    if (last) await record(tx, { ...event, type: "lockout", reason: "too-many-failures" }, now_ms);
  });
  throw new Problem("credentials-invalid");
}

/** The nil UUID (RFC 9562, section 5.9) is looked for where there is no account. */
const NOBODY = "00000000-0000-0000-0000-000000000000";

async function countOrRefuse(deps: Deps, username: string, target: Target, origin: Origin) {
  try {
    return await countAttempt(deps.db, deps.config, target, deps.clock.now_ms());
  } catch (error) {
    if (error instanceof Problem && error.code === "login-locked") {
      const user = await users.findByName(deps.db, username);
      const whose = user ? { user_id: user.id } : { name_hash: target.name_hash };
      deps.audit.note({ type: "login-refused", origin, success: false, reason: "locked", ...whose });
    }
    throw error;
  }
}

function targetOf(deps: Deps, username: string, origin: Origin): Target {
  return { name_hash: hashName(deps.secrets, username), network: origin.network };
}

/** Hashes anew what was hashed with weaker parameters. It is no part of the login: where it cannot be done now, the next login does it. */
async function upgrade(deps: Deps, user: users.User, credential: Credential, origin: Origin): Promise<void> {
  if (!deps.credentials.isOutdated(users.storedCredential(user))) return;
  try {
    const hash = await deps.credentials.hash(credential);
    await deps.db.transaction(async (tx) => {
      const change = { from: user.credential_hash, kind: credential.kind, hash };
      const now_ms = deps.clock.now_ms();
      if (!(await users.replaceCredential(tx, user.id, change, now_ms))) return;
      await record(tx, { type: "credential-upgraded", origin, user_id: user.id }, now_ms);
    });
  } catch (error) {
    deps.log.warn({ err: error }, "a credential could not be upgraded");
  }
}

export type LoginResult = TokenResponse & users.KeyMaterial & { user_id: string };

const statements = prepared((db) => ({
  decoyKey: db
    .select({ key: serverKeys.key })
    .from(serverKeys)
    .where(eq(serverKeys.name, "prelogin-decoy"))
    .prepare("decoy_key"),
}));
