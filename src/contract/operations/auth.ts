import {
  changePasswordRequest,
  KDF_DEFAULT,
  loginRequest,
  loginResponse,
  preloginRequest,
  preloginResponse,
  refreshRequest,
  registerRequest,
  registerResponse,
  tokenResponse,
} from "../auth.ts";
import { ACCOUNT_ID, AUTH_KEY, KEYS, NEW_PASSWORD, PASSWORD, TOKENS, USERNAME } from "../examples.ts";
import { ALWAYS, type Operation, SECRET_TESTED, SIGNED_IN, WITH_BODY } from "../operation.ts";

export const AUTH_OPERATIONS: readonly Operation[] = [
  {
    id: "register",
    method: "POST",
    path: "/auth/register",
    tag: "Authentication",
    summary: "Make an account",
    description:
      "With `password` the server sees the password at each login: derive the encryption key from something else. With `auth_key` it sees a key derived from the master password, and keeps the vault key wrapped, as the client sent it.",
    signed_in: false,
    request: {
      schema: registerRequest,
      examples: {
        "By password": { username: USERNAME, password: PASSWORD },
        "By auth_key": { id: ACCOUNT_ID, username: USERNAME, auth_key: AUTH_KEY, ...KEYS },
      },
    },
    answers: {
      201: {
        description: "The account is there",
        schema: registerResponse,
        example: { id: ACCOUNT_ID, username: USERNAME },
      },
    },
    problems: [
      ...ALWAYS,
      ...WITH_BODY,
      "registration-closed",
      "username-taken",
      "account-id-taken",
      "hashing-busy",
    ],
  },
  {
    id: "prelogin",
    method: "POST",
    path: "/auth/prelogin",
    tag: "Authentication",
    summary: "Ask how to derive the auth_key",
    description:
      "The salt and the Argon2id parameters of a name. A name nobody has gets a decoy, the same each time, so that the answer does not tell whether there is an account.",
    signed_in: false,
    request: { schema: preloginRequest, examples: { "Any name": { username: USERNAME } } },
    answers: {
      200: {
        description: "What to derive the keys with",
        schema: preloginResponse,
        example: { encryption_salt: KEYS.encryption_salt, kdf: KDF_DEFAULT },
      },
    },
    problems: [...ALWAYS, ...WITH_BODY],
  },
  {
    id: "login",
    method: "POST",
    path: "/auth/login",
    tag: "Authentication",
    summary: "Log in",
    description:
      "Begins a session. An unknown name and a wrong secret are one answer at one cost. Too many failures from one network lock the name there for a while, many more from everywhere lock it.",
    signed_in: false,
    request: {
      schema: loginRequest,
      examples: {
        "By password": { username: USERNAME, password: PASSWORD },
        "By auth_key": { username: USERNAME, auth_key: AUTH_KEY, device_name: "Laptop" },
      },
    },
    answers: {
      200: {
        description: "Tokens, and what the client opens its vault with",
        schema: loginResponse,
        example: { ...TOKENS, user_id: ACCOUNT_ID, ...KEYS },
      },
    },
    problems: [...ALWAYS, ...WITH_BODY, ...SECRET_TESTED],
  },
  {
    id: "refresh",
    method: "POST",
    path: "/auth/token",
    tag: "Authentication",
    summary: "Exchange a refresh token for new tokens",
    description:
      "A refresh token is good once. A retry within 10 seconds gets the same successor; any other use of a spent one ends the whole session, since one of the two who used it is a thief.",
    signed_in: false,
    request: { schema: refreshRequest, examples: { "Refresh token": { refreshToken: TOKENS.refreshToken } } },
    answers: { 200: { description: "New tokens", schema: tokenResponse, example: TOKENS } },
    problems: [...ALWAYS, ...WITH_BODY, "refresh-token-invalid", "audit-unavailable"],
  },
  {
    id: "logout",
    method: "POST",
    path: "/auth/logout",
    tag: "Authentication",
    summary: "Log out",
    description:
      "Ends the session of a refresh token, its access tokens at once. A token nobody knows is no error.",
    signed_in: false,
    request: { schema: refreshRequest, examples: { "Refresh token": { refreshToken: TOKENS.refreshToken } } },
    answers: { 204: { description: "The session is over" } },
    problems: [...ALWAYS, ...WITH_BODY],
  },
  {
    id: "changePassword",
    method: "PUT",
    path: "/auth/password",
    tag: "Authentication",
    summary: "Change the login secret",
    description:
      "Asks for the current secret once more. Every session ends and a new one begins. An account of a password can become one of an auth_key; there is no way back.",
    signed_in: true,
    request: {
      schema: changePasswordRequest,
      examples: {
        "From password to password": { current_password: PASSWORD, new_password: NEW_PASSWORD },
        "From password to auth_key": { current_password: PASSWORD, new_auth_key: AUTH_KEY, ...KEYS },
        "From auth_key to auth_key": { current_auth_key: AUTH_KEY, new_auth_key: AUTH_KEY, ...KEYS },
      },
    },
    answers: { 200: { description: "Tokens of the new session", schema: tokenResponse, example: TOKENS } },
    problems: [...ALWAYS, ...WITH_BODY, ...SIGNED_IN, ...SECRET_TESTED],
  },
];
