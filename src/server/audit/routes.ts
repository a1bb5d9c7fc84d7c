import { Elysia } from "elysia";
import { listEventsQuery, listEventsResponse } from "../../contract/audit.ts";
import { sessionPlugin } from "../auth/session.ts";
import type { Deps } from "../deps.ts";
import * as audit from "./audit.ts";

export function auditRoutes(deps: Deps) {
  return new Elysia({ name: "audit" })
    .use(sessionPlugin(deps))
    .get("/audit", ({ caller, query }) => audit.list(deps.db, caller.user_id, query), {
      query: listEventsQuery,
      response: listEventsResponse,
    });
}
