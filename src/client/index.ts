/** The SDK: an end-to-end encrypted vault on a server that need not be trusted. */
export type { AuditEvent, AuditEventType } from "../contract/audit.ts";
export { KDF_DEFAULT, type Kdf } from "../contract/auth.ts";
export type { SessionInfo } from "../contract/sessions.ts";
export type { PasswordChange } from "./account.ts";
export { type OpenedArchive, openArchive } from "./archive.ts";
export type { Conflict, Resolve } from "./changes.ts";
export {
  type CustomField,
  ENTRY_TYPES,
  type EntryContent,
  type EntryType,
  encodeContent,
} from "./content.ts";
export type { Entry } from "./entries.ts";
export { VaultError, type VaultErrorCode, type VaultErrorDetails } from "./errors.ts";
export type { ImportProgress, ImportReport } from "./importing.ts";
export type { EntryPatch } from "./merge.ts";
export { isNamed, searchEntries } from "./search.ts";
export { memoryStore, type Store } from "./store.ts";
export type { Fetch } from "./transport.ts";
export { type UnlockOptions, Vault, type VaultOptions } from "./vault.ts";
