import type { VaultErrorCode } from "../client/errors.ts";
import { EXIT, isOperatorFault, type OperatorFault, operatorFault } from "../exit.ts";

/** Exit codes of the client's commands, those of the binary and its own: a script can tell what went wrong without reading a sentence. */
export const CLI_EXIT = {
  ...EXIT,
  not_found: 2,
  ambiguous: 3,
  signed_out: 4,
  locked: 5,
  certificate: 6,
  conflict: 7,
  no_input: 66,
  hostile: 76,
  password: 77,
  /** As shells have it, for a command that cannot be started, and for one that there is not. */
  not_executable: 126,
  command_missing: 127,
  cancelled: 130,
} as const;

export const CLI_EXIT_TEXT = `
Exit codes of the client: 0 done · 1 failed · 2 no such entry, field or session · 3 several
entries match · 4 logged out · 5 locked · 6 certificate refused · 7 changed elsewhere · 64 usage ·
65 damaged or unreadable data · 66 no such file · 69 server unreachable · 73 cannot write · 75
locked out or rate limited, try later · 76 the server gave what no honest one gives · 77 wrong
password · 130 cancelled. "run" ends as its command does, with 126 when that cannot be started,
and with 127 when there is none.`;

/** A fault that a person can mend: one sentence, and the exit code for a script. */
export type CommandFault = OperatorFault & { code: string };

/** Makes the error that ends a command. `code` is what `--json` tells. */
export function commandFault(exit_code: number, code: string, message: string): CommandFault {
  return Object.assign(operatorFault(exit_code, message), { code });
}

export function isCommandFault(error: unknown): error is CommandFault {
  return isOperatorFault(error) && "code" in error;
}

/** The exit code and what to do, by the client's error; `failure` and nothing where neither is named. */
export const ERRORS: Partial<Record<VaultErrorCode, readonly [exit: number, hint?: string]>> = {
  "url-invalid": [CLI_EXIT.usage, "give it as https://host"],
  "url-insecure": [CLI_EXIT.usage, "use https, or --insecure-http where nobody can listen"],
  "server-unreachable": [CLI_EXIT.unavailable],
  "server-timeout": [CLI_EXIT.unavailable],
  "database-unavailable": [CLI_EXIT.unavailable],
  "not-ready": [CLI_EXIT.unavailable],
  "certificate-refused": [CLI_EXIT.certificate, "trust its authority with --ca-file, if it is yours"],
  "password-wrong": [CLI_EXIT.password],
  "password-invalid": [CLI_EXIT.usage],
  "archive-password-wrong": [CLI_EXIT.password],
  "credentials-invalid": [CLI_EXIT.password],
  "login-locked": [CLI_EXIT.temporary],
  "rate-limited": [CLI_EXIT.temporary],
  "hashing-busy": [CLI_EXIT.temporary],
  "batch-busy": [CLI_EXIT.temporary],
  "audit-unavailable": [CLI_EXIT.temporary],
  "signed-out": [CLI_EXIT.signed_out, "blindvault login"],
  "vault-locked": [CLI_EXIT.locked, "blindvault unlock"],
  "session-key-wrong": [CLI_EXIT.locked, "blindvault unlock"],
  "store-damaged": [CLI_EXIT.data, "move state.sqlite in BLINDVAULT_HOME away and log in again"],
  "content-invalid": [CLI_EXIT.data],
  "content-too-large": [CLI_EXIT.data],
  "content-unreadable": [CLI_EXIT.data],
  "archive-damaged": [CLI_EXIT.data],
  "entry-not-found": [CLI_EXIT.not_found],
  "session-not-found": [CLI_EXIT.not_found],
  "request-invalid": [CLI_EXIT.usage],
  "entry-conflict": [CLI_EXIT.conflict, "look at it and try again"],
  "merge-conflict": [CLI_EXIT.conflict],
  "salt-changed": [
    CLI_EXIT.hostile,
    "if you changed the master password on another device, add --password-changed; else do not log in",
  ],
  "entries-missing": [
    CLI_EXIT.hostile,
    "if you deleted one on another device: blindvault list --accept-missing ID",
  ],
  "entry-resurrected": [
    CLI_EXIT.hostile,
    "if its operator restored it from a backup: blindvault status --accept-restore",
  ],
  "entry-rolled-back": [
    CLI_EXIT.hostile,
    "if its operator restored it from a backup: blindvault status --accept-restore",
  ],
};
