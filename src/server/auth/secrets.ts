import { createHmac, hkdfSync } from "node:crypto";
import type { Config } from "../config.ts";

/** What one JWT_SECRET yields. The secret itself signs access tokens; every other use has a key of its own. */
export type SubKeys = {
  /** Names the secret in a token's header without telling anything of it. */
  key_id: string;
  signing_secret: string;
  /** Hashes refresh tokens for storage. */
  refresh: Uint8Array;
  /** Derives the one successor of a refresh token. */
  successor: Uint8Array;
  /** Hashes usernames for lockouts and for audit lines of names nobody has. */
  names: Uint8Array;
};

/** The sub-keys of JWT_SECRET and, while it is being rotated, of JWT_SECRET_PREVIOUS; the current ones first. */
export type Secrets = readonly [SubKeys, ...SubKeys[]];

export function deriveSecrets(jwt: Config["jwt"]): Secrets {
  const current = deriveSubKeys(jwt.secret);
  return jwt.secret_previous === undefined ? [current] : [current, deriveSubKeys(jwt.secret_previous)];
}

function deriveSubKeys(secret: string): SubKeys {
  return {
    key_id: Buffer.from(deriveKey(secret, "key-id")).toString("hex", 0, 8),
    signing_secret: secret,
    refresh: deriveKey(secret, "refresh-token"),
    successor: deriveKey(secret, "refresh-successor"),
    names: deriveKey(secret, "names"),
  };
}

/** HKDF-SHA256 (RFC 5869) without salt: the secret is high in entropy, and the label tells uses apart. */
function deriveKey(secret: string, label: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, "", `blindvault/1/server/${label}`, 32));
}

/** HMAC-SHA256 (RFC 2104). Synchronous: it takes a microsecond, and waits behind no Argon2id in the thread pool. */
export function hmac(key: Uint8Array, message: string | Uint8Array): Uint8Array {
  return new Uint8Array(createHmac("sha256", key).update(message).digest());
}

/** The keyed hash under which a username is counted and audited, without regard to case. */
export function hashName(secrets: Secrets, username: string): Uint8Array {
  return hmac(secrets[0].names, username.toLowerCase());
}
