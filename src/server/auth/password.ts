import type { ChangePasswordRequest, CurrentSecret, TokenResponse } from "../../contract/auth.ts";
import { Problem } from "../../contract/problems.ts";
import { record } from "../audit/audit.ts";
import type { Deps } from "../deps.ts";
import type { Credential } from "./credentials.ts";
import { proveAgain, settle, takeBack } from "./login.ts";
import { type Caller, endAllSessions, startSession } from "./session.ts";
import * as users from "./users.ts";

/**
 * Changes the login secret, and with it an account of a password into one of an auth_key. One transaction: every
 * session ends, the caller's own too, and a new one begins, so that no token from before is worth anything.
 */
export async function changePassword(
  deps: Deps,
  caller: Caller,
  request: ChangePasswordRequest,
): Promise<TokenResponse> {
  const user = await proveAgain(deps, caller, currentOf(request));
  const { credential, keys } = changeOf(request);
  const { user_id, origin } = caller;
  const hash = await deps.credentials.hash(credential).catch(async (error) => {
    await takeBack(deps, user, origin);
    throw error;
  });
  return deps.db.transaction(async (tx) => {
    await settle(deps, tx, user, origin);
    const now_ms = deps.clock.now_ms();
    const change = { from: user.credential_hash, kind: credential.kind, hash, ...(keys && { keys }) };
    if (!(await users.replaceCredential(tx, user_id, change, now_ms)))
      throw new Problem("credentials-invalid");
    await endAllSessions(tx, user_id);
    const { session_id, ...tokens } = await startSession(deps, tx, user_id, origin);
    await record(tx, { type: "password-changed", origin, user_id, session_id }, now_ms);
    return tokens;
  });
}

function currentOf(request: ChangePasswordRequest): CurrentSecret {
  return "current_password" in request
    ? { current_password: request.current_password }
    : { current_auth_key: request.current_auth_key };
}

/** From one password to another the salt stays: a client may have derived the keys of its entries with it. */
function changeOf(request: ChangePasswordRequest): { credential: Credential; keys?: users.KeyMaterial } {
  if ("new_password" in request) return { credential: { kind: "password", secret: request.new_password } };
  const { new_auth_key, encryption_salt, kdf, protected_key } = request;
  return {
    credential: { kind: "auth_key", secret: new_auth_key },
    keys: { encryption_salt, kdf, protected_key },
  };
}
