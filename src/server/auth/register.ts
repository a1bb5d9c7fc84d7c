import type { RegisterRequest } from "../../contract/auth.ts";
import { Problem } from "../../contract/problems.ts";
import { record } from "../audit/audit.ts";
import type { Deps } from "../deps.ts";
import type { Origin } from "../http/origin.ts";
import type { Credential } from "./credentials.ts";
import * as users from "./users.ts";

/** Makes an account. That a name is taken is told: without mail addresses nothing else could be. */
export async function register(
  deps: Deps,
  request: RegisterRequest,
  origin: Origin,
): Promise<{ id: string; username: string }> {
  if (deps.config.registration === "closed") throw new Problem("registration-closed");
  // A first look spares the hash; the unique index decides.
  if (await users.findByName(deps.db, request.username)) throw new Problem("username-taken");
  const account = accountOf(request);
  const hash = await deps.credentials.hash(account.credential);
  const now_ms = deps.clock.now_ms();
  await deps.db.transaction(async (tx) => {
    await users.insert(tx, { ...account, hash }, now_ms);
    await record(tx, { type: "account-registered", origin, user_id: account.id }, now_ms);
  });
  return { id: account.id, username: account.username };
}

function accountOf(request: RegisterRequest) {
  const { username } = request;
  if ("password" in request) {
    const credential: Credential = { kind: "password", secret: request.password };
    return { id: crypto.randomUUID(), username, credential, keys: users.makePasswordKeys() };
  }
  const { id, auth_key, encryption_salt, kdf, protected_key } = request;
  const credential: Credential = { kind: "auth_key", secret: auth_key };
  return { id, username, credential, keys: { encryption_salt, kdf, protected_key } };
}
