import { expectTypeOf, test } from "bun:test";
import type { z } from "zod";
import type { AuditEvent, auditEventResponse } from "../../src/contract/audit.ts";
import type { Kdf, kdf } from "../../src/contract/auth.ts";
import type { EntryResponse, entryResponse } from "../../src/contract/entries.ts";
import type { SessionInfo, sessionResponse } from "../../src/contract/sessions.ts";

// It is the compiler that fails here, in `bun run types`.
test("a type that is spelled out is its schema's to the letter", () => {
  expectTypeOf<AuditEvent>().toEqualTypeOf<z.infer<typeof auditEventResponse>>();
  expectTypeOf<EntryResponse>().toEqualTypeOf<z.infer<typeof entryResponse>>();
  expectTypeOf<Kdf>().toEqualTypeOf<z.infer<typeof kdf>>();
  expectTypeOf<SessionInfo>().toEqualTypeOf<z.infer<typeof sessionResponse>>();
});
