import {
  KDF_DEFAULT,
  type Kdf,
  kdf as kdfSchema,
  loginResponse,
  preloginResponse,
  registerResponse,
  tokenResponse,
  username as usernameSchema,
} from "../contract/auth.ts";
import { encodeBase64 } from "../crypto/bytes.ts";
import { unwrapVaultKey, wrapVaultKey } from "../crypto/envelope.ts";
import { type AccountKeys, deriveAccountKeys, deriveRootKey, makeKey, makeSalt } from "../crypto/keys.ts";
import { failure, hostile, refusal, VaultError } from "./errors.ts";
import {
  type Account,
  checkKeyParameters,
  isSameKdf,
  isWeaker,
  type KeyParameters,
  type PinBook,
  type Pins,
  withNextSalt,
} from "./pins.ts";
import { isUnsettled } from "./retry.ts";
import type { Session } from "./session.ts";
import type { Transport } from "./transport.ts";

export type Credentials = { username: string; master_password: string };

/**
 * Makes an account whose keys the server never sees, and pins it. An answer that was lost leaves open whether the name is ours: the
 * login that follows finds out. Gives the keys for that. Throws `username-taken`, `registration-closed` and what a request throws.
 */
export async function register(
  transport: Transport,
  pins: PinBook,
  { username, master_password }: Credentials,
  kdf: Kdf = KDF_DEFAULT,
): Promise<Derived> {
  const encryption_salt = makeSalt();
  const account_id = crypto.randomUUID();
  const keys = await deriveKeys({ username, master_password, encryption_salt, kdf });
  const vault_key = makeKey();
  const context = { account_id, username, encryption_salt, kdf };
  const protected_key = await wrapVaultKey(keys, vault_key, context);
  vault_key.fill(0);
  const auth_key = encodeBase64(keys.auth_key);
  const body = { id: account_id, username, auth_key, encryption_salt, kdf, protected_key };
  try {
    const { value } = await transport.call({
      method: "POST",
      path: "/auth/register",
      body,
      answer: registerResponse,
      idempotent: true,
    });
    if (value.id !== account_id) throw hostile("account-changed");
  } catch (error) {
    const open = error instanceof VaultError && error.details.again === true && isTaken(error.code);
    // A name that is somebody else's must not be remembered as ours: only the salt tells, which nobody draws twice.
    const { encryption_salt: kept } = open ? await askKeyParameters(transport, username) : {};
    if (kept !== encryption_salt) throw error;
  }
  await pins.remember({ account_id, username, encryption_salt, kdf, protected_key });
  return { encryption_salt, kdf, keys };
}

/** The keys of a master password, with what they were derived by: to derive them is dear, so it is done once. */
export type Derived = KeyParameters & { keys: AccountKeys };

function isTaken(code: string): boolean {
  return code === "username-taken" || code === "account-id-taken";
}

/** What a login gives: the account as it proved to be, its vault key, and the tokens of a new session. */
export type LoggedIn = {
  account: Account;
  vault_key: Uint8Array<ArrayBuffer>;
  tokens: Parameters<Session["begin"]>[0];
};

/**
 * Logs in, and holds every part of the answer to what this device knows and to what the password gives. Throws `password-wrong`,
 * `login-locked`, `not-zero-knowledge`, and of a hostile server `kdf-refused`, `kdf-downgraded`, `salt-changed`,
 * `account-changed`, `vault-key-refused`.
 */
export async function logIn(
  transport: Transport,
  known: Pins | undefined,
  { username, master_password }: Credentials,
  options: { salt_may_change: boolean; device_name?: string | undefined; derived?: Derived | undefined },
): Promise<LoggedIn> {
  const parameters = await askKeyParameters(transport, username);
  checkKeyParameters(known, parameters, options.salt_may_change);
  const { derived } = options;
  const keys =
    derived !== undefined && isSameDerivation(derived, parameters)
      ? derived.keys
      : await deriveKeys({ username, master_password, ...parameters });
  const { device_name } = options;
  const auth_key = encodeBase64(keys.auth_key);
  const { value } = await transport
    .call({
      method: "POST",
      path: "/auth/login",
      body: { username, auth_key, ...(device_name !== undefined && { device_name }) },
      answer: loginResponse,
      idempotent: false,
    })
    .catch((error) => throwWrong(error));
  if (known !== undefined && value.user_id !== known.account_id) throw hostile("account-changed");
  // There is no way from keys back to a password: who has had a wrapped key has one.
  if (value.protected_key === null) {
    throw known === undefined ? failure("not-zero-knowledge") : hostile("vault-key-refused");
  }
  const { user_id: account_id, protected_key } = value;
  const account = { account_id, username, ...parameters, protected_key };
  if (!isSameDerivation(value, parameters)) throw hostile("vault-key-refused");
  const vault_key = await unwrapVaultKey(keys, protected_key, account).catch(() => {
    // The server has just said that the password is right: then the key is not the one that it wraps.
    throw hostile("vault-key-refused");
  });
  return { account, vault_key, tokens: value };
}

async function askKeyParameters(
  transport: Transport,
  username: string,
): Promise<KeyParameters & { kdf: Kdf }> {
  const { value } = await transport.call({
    method: "POST",
    path: "/auth/prelogin",
    body: { username },
    answer: preloginResponse,
    idempotent: true,
  });
  return value;
}

function isSameDerivation(a: KeyParameters, b: KeyParameters): boolean {
  return a.encryption_salt === b.encryption_salt && isSameKdf(a.kdf, b.kdf);
}

function throwWrong(error: unknown): never {
  if (error instanceof VaultError && error.code === "credentials-invalid") {
    throw failure("password-wrong", error.details);
  }
  throw error;
}

/** The three keys of a master password; the root key is wiped. Throws `password-invalid`, `request-invalid`. */
export async function deriveKeys(input: Credentials & KeyParameters): Promise<AccountKeys> {
  const { master_password } = input;
  if (master_password === "" || !master_password.isWellFormed()) throw failure("password-invalid");
  // What the server would refuse is not derived with first: a caller's own parameters could cost gigabytes.
  const possible = kdfSchema.safeParse(input.kdf).success && usernameSchema.safeParse(input.username).success;
  if (!possible) throw refusal("request-invalid");
  const root_key = await deriveRootKey(input);
  const keys = await deriveAccountKeys(root_key);
  root_key.fill(0);
  return keys;
}

export type PasswordChange = { current_password: string; new_password: string; kdf?: Kdf | undefined };

/**
 * Wraps the same vault key anew: one request that either happens or does not, and no entry is touched. The salt to come is pinned
 * before the request, so that whichever password a crash leaves, this device accepts it. Throws `password-wrong` and `kdf-weaker`
 * before anything is sent; `password-change-unknown` when the answer is lost and the server cannot be asked.
 */
export async function changePassword(
  transport: Transport,
  pins: PinBook,
  session: Session,
  change: PasswordChange,
): Promise<void> {
  const known = await pins.read();
  if (known === undefined) throw failure("store-damaged");
  const { account_id, username } = known;
  const kdf = change.kdf ?? known.kdf;
  if (isWeaker(kdf, known.kdf)) throw failure("kdf-weaker");
  const current = await deriveKeys({ ...known, master_password: change.current_password });
  // A copy of its own: that of the open vault is wiped when somebody locks it meanwhile, and zeros must not be wrapped.
  const vault_key = await unwrapVaultKey(current, known.protected_key, known).catch(() => {
    throw failure("password-wrong");
  });
  const encryption_salt = makeSalt();
  const next = await deriveKeys({ username, master_password: change.new_password, encryption_salt, kdf });
  const context = { account_id, username, encryption_salt, kdf };
  const protected_key = await wrapVaultKey(next, vault_key, context);
  vault_key.fill(0);
  await pins.change((pinned) => withNextSalt(pinned, encryption_salt));
  const body = {
    current_auth_key: encodeBase64(current.auth_key),
    new_auth_key: encodeBase64(next.auth_key),
    ...{ encryption_salt, kdf, protected_key },
  };
  const tokens = await sendChange(transport, session, body, username, encryption_salt);
  const changed = { ...context, protected_key };
  if (tokens === undefined) return logInAgain(transport, pins, session, changed, change.new_password);
  await pins.remember(changed);
  await session.begin(tokens);
}

/** Makes sure of a change whose answer was lost, though the server says that it was carried out. */
async function logInAgain(
  transport: Transport,
  pins: PinBook,
  session: Session,
  account: Account,
  master_password: string,
): Promise<void> {
  const credentials = { username: account.username, master_password };
  const options = { salt_may_change: false };
  try {
    const again = await logIn(transport, await pins.read(), credentials, options);
    again.vault_key.fill(0);
    await pins.remember(account);
    await session.begin(again.tokens);
  } catch (error) {
    if (!(error instanceof VaultError) || error.hostile) throw error;
    // It has said both, that the change is done and that the new password is wrong: either may be true.
    if (error.code === "password-wrong") throw failure("password-change-unknown", { cause: error });
    // The change is done all the same: without a session, the next request says `signed-out`.
    await pins.remember(account);
  }
}

/** The new tokens; undefined when the answer was lost, but the server tells that it was carried out. */
async function sendChange(
  transport: Transport,
  session: Session,
  body: object,
  username: string,
  encryption_salt: string,
) {
  try {
    const call = {
      method: "PUT",
      path: "/auth/password",
      body,
      answer: tokenResponse,
      idempotent: false,
    } as const;
    return (await session.call(call)).value;
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    if (error.code === "credentials-invalid") throw failure("password-wrong", error.details);
    // Nor does an answer that is none, or tells of a mistake, say whether it was carried out.
    if (!isUnsettled(error) && !error.hostile && error.code !== "internal-error") throw error;
    const now = await askKeyParameters(transport, username).catch(() => {
      throw failure("password-change-unknown", { cause: error });
    });
    if (now.encryption_salt !== encryption_salt) throw error;
    return undefined;
  }
}
