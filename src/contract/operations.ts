import type { z } from "zod";
import { accountResponse } from "./account.ts";
import { auditEventResponse, listEventsResponse } from "./audit.ts";
import {
  changePasswordRequest,
  currentSecret,
  kdf,
  loginRequest,
  loginResponse,
  preloginRequest,
  preloginResponse,
  protectedKey,
  refreshRequest,
  registerRequest,
  registerResponse,
  tokenResponse,
} from "./auth.ts";
import {
  createEntriesRequest,
  createEntriesResponse,
  createEntryRequest,
  entryResponse,
  listEntriesResponse,
  replaceEntryRequest,
} from "./entries.ts";
import { healthResponse, readyResponse } from "./health.ts";
import type { Operation } from "./operation.ts";
import { ACCOUNT_OPERATIONS } from "./operations/account.ts";
import { AUDIT_OPERATIONS } from "./operations/audit.ts";
import { AUTH_OPERATIONS } from "./operations/auth.ts";
import { ENTRY_OPERATIONS } from "./operations/entries.ts";
import { HEALTH_OPERATIONS } from "./operations/health.ts";
import { SESSION_OPERATIONS } from "./operations/sessions.ts";
import { problemSchema } from "./problems.ts";
import { listSessionsResponse, sessionResponse } from "./sessions.ts";

/** The whole HTTP interface, one row an operation. */
export const OPERATIONS: readonly Operation[] = [
  ...AUTH_OPERATIONS,
  ...ENTRY_OPERATIONS,
  ...SESSION_OPERATIONS,
  ...ACCOUNT_OPERATIONS,
  ...AUDIT_OPERATIONS,
  ...HEALTH_OPERATIONS,
];

/** Schemas by the names that the document and generated clients have for them. */
export const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  RegisterRequest: registerRequest,
  PreloginRequest: preloginRequest,
  LoginRequest: loginRequest,
  RefreshRequest: refreshRequest,
  ChangePasswordRequest: changePasswordRequest,
  CurrentSecret: currentSecret,
  CreateEntryRequest: createEntryRequest,
  CreateEntriesRequest: createEntriesRequest,
  ReplaceEntryRequest: replaceEntryRequest,
  Registered: registerResponse,
  KeyParameters: preloginResponse,
  Tokens: tokenResponse,
  LoggedIn: loginResponse,
  Kdf: kdf,
  ProtectedKey: protectedKey,
  Entry: entryResponse,
  EntryPage: listEntriesResponse,
  CreatedEntries: createEntriesResponse,
  Session: sessionResponse,
  SessionList: listSessionsResponse,
  Account: accountResponse,
  AuditEvent: auditEventResponse,
  AuditPage: listEventsResponse,
  Health: healthResponse,
  Readiness: readyResponse,
  Problem: problemSchema,
};
