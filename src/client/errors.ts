import { type InputFault, PROBLEMS, type ProblemCode } from "../contract/problems.ts";

/**
 * What the client can end with. Stable for ever. Those of `HOSTILE` say that the server gave what no honest one
 * gives; those of the contract say what it refused.
 */
export const HOSTILE = {
  "account-changed": "The server gave another account than this device knows",
  "kdf-refused": "The server asked for a key derivation that is too weak, or too costly",
  "kdf-downgraded": "The server asked for a weaker key derivation than before",
  "salt-changed": "The server gave another salt than this device knows",
  "vault-key-refused": "The server gave a wrapped key that is not this account's",
  "entry-does-not-open": "The server gave an entry that does not open: it was changed, or belongs elsewhere",
  "entry-swapped": "The server gave another entry than the one that was asked for",
  "entry-rolled-back": "The server gave an older version of an entry than this device has seen",
  "entry-forked": "The server gave another content under a version that this device has seen",
  "entry-resurrected": "The server gave an entry that this device has deleted",
  "entries-missing": "The server withholds entries that this device has seen",
  "list-disordered": "The server gave a list out of order, or an entry in it twice",
  "list-endless": "The server gave a list that does not end",
  "response-invalid": "The server gave an answer that is none of this protocol",
  "response-too-large": "The server gave an answer that is too large",
} as const satisfies Record<string, string>;

export type HostileCode = keyof typeof HOSTILE;

export const FAILURES = {
  "url-invalid": "The server's address is no URL",
  "url-insecure": "The server's address is plain HTTP beyond this machine",
  "server-unreachable": "The server cannot be reached",
  "server-timeout": "The server did not answer in time",
  "certificate-refused": "The server's certificate is not to be trusted",
  "password-wrong": "The username or the master password is wrong",
  "password-invalid": "A master password is not empty, and is well-formed Unicode",
  "kdf-weaker": "The key derivation would be weaker than it is, and other devices would refuse it",
  "password-change-unknown":
    "It is not known whether the master password was changed: try the new one, then the old",
  "not-zero-knowledge": "The account logs in by password: its keys are not this client's",
  "signed-out": "The session has ended: log in again",
  "vault-locked": "The vault is locked",
  "session-key-wrong": "The session key does not open this device's vault key",
  "store-damaged": "What this device keeps about the account cannot be read",
  "content-invalid": "An entry breaks the rules of content",
  "content-too-large": "An entry is too large",
  "content-unreadable": "An entry cannot be read by this version",
  "merge-conflict": "The same fields were changed here and elsewhere",
  "archive-damaged": "The archive is damaged",
  "archive-password-wrong": "The archive does not open with this master password",
} as const satisfies Record<string, string>;

export type FailureCode = keyof typeof FAILURES;
export type VaultErrorCode = HostileCode | FailureCode | ProblemCode;

export type VaultErrorDetails = {
  /** The entries it is about. */
  ids?: readonly string[];
  /** The fields that both sides have changed. */
  fields?: readonly string[];
  /** When trying again makes sense, as the server says. */
  retry_after_s?: number;
  /** What the server's log calls the request. */
  request_id?: string;
  /** What the server found wrong in a request. */
  errors?: readonly InputFault[];
  /** Whether the request was sent more than once, and what became of it before is not known. */
  again?: boolean;
  cause?: unknown;
};

/** Every error of the SDK: `code` for programs, `message` for people. Neither holds a secret or a plaintext. */
export class VaultError extends Error {
  readonly code: VaultErrorCode;
  readonly details: VaultErrorDetails;

  constructor(code: VaultErrorCode, message: string, details: VaultErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = "VaultError";
    this.code = code;
    this.details = details;
  }

  /** Whether the server gave what no honest server gives. */
  get hostile(): boolean {
    return this.code in HOSTILE;
  }
}

export function hostile(code: HostileCode, details: VaultErrorDetails = {}): VaultError {
  return new VaultError(code, HOSTILE[code], details);
}

export function failure(code: FailureCode, details: VaultErrorDetails = {}): VaultError {
  return new VaultError(code, FAILURES[code], details);
}

/** What the server would say, where it need not be asked. */
export function refusal(code: ProblemCode, details: VaultErrorDetails = {}): VaultError {
  return new VaultError(code, PROBLEMS[code].title, details);
}

/** What `read` gives; what it throws becomes `content-unreadable`, without the text that libraries quote. */
export function unreadable<Value>(message: string, read: () => Value): Value {
  try {
    return read();
  } catch {
    throw new VaultError("content-unreadable", message);
  }
}
