import { KDF_DEFAULT } from "./auth.ts";

/**
 * Values that the document shows and that are ready to be sent. They are valid and no more: bytes that count up, a
 * password that says what it is. Nobody's secret looks like them.
 */

const BYTES_32 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const IV = "AAECAwQFBgcICQoL";
const TAG = "AAECAwQFBgcICQoLDA0ODw==";

export const USERNAME = "alice";
export const PASSWORD = "Example-only-9-please-change";
export const NEW_PASSWORD = "Another-example-9-please-change";
export const ACCOUNT_ID = "3d2b1f0a-6c5e-4f7d-8b9a-1c2d3e4f5a6b";
export const ENTRY_ID = "5f0c1d9e-3b7a-4c58-9d2e-8a6b4c1f7e30";
export const OTHER_ENTRY_ID = "6a1d2e0f-4c8b-4d69-ae3f-9b7c5d208f41";
export const SESSION_ID = "8c7b6a59-4d3e-4f21-a0b1-c2d3e4f5a697";
export const EVENT_ID = "019a8f3e-2b1c-7d4e-8f5a-6b7c8d9e0f1a";
export const CURSOR = "AAABmo8-KxxfDB2eO3pMWJ0uimtMH34w";
export const REQUEST_ID = "0f8fad5b-d9cb-469f-a165-70867728950e";
export const ADDRESS = "192.0.2.10";
export const CREATED = "2026-11-24T09:30:00.000Z";
export const LATER = "2026-11-24T10:05:00.000Z";
export const EXPIRES = "2026-12-01T10:05:00.000Z";

export const AUTH_KEY = BYTES_32;

/** What an account of an auth_key sends beside it. */
export const KEYS = {
  encryption_salt: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
  kdf: KDF_DEFAULT,
  protected_key: { ciphertext: BYTES_32, iv: IV, tag: TAG, commitment: BYTES_32 },
};

/** "opaque to the server", which is all that an example can be. */
export const SEALED = { ciphertext: "b3BhcXVlIHRvIHRoZSBzZXJ2ZXI=", iv: IV, tag: TAG };

export const ENTRY = {
  id: ENTRY_ID,
  name: null,
  ...SEALED,
  meta: null,
  version: 1,
  created_at: CREATED,
  updated_at: CREATED,
};

/** What a batch tells of an entry: all that its client does not know yet. */
export const CREATED_ENTRY = { id: ENTRY_ID, version: 1, created_at: CREATED, updated_at: CREATED };

/** The form of a token, and no token: the signature is missing. */
export const TOKENS = {
  accessToken: "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.signature",
  refreshToken: BYTES_32.replace("=", ""),
  token_type: "Bearer",
  expires_in: 2100,
};
