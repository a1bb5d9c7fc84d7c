import { Elysia } from "elysia";
import { listSessionsResponse, sessionParams } from "../../contract/sessions.ts";
import { sessionPlugin } from "../auth/session.ts";
import type { Deps } from "../deps.ts";
import * as sessions from "./sessions.ts";

export function sessionRoutes(deps: Deps) {
  return new Elysia({ name: "sessions" })
    .use(sessionPlugin(deps))
    .get("/auth/sessions", ({ caller }) => sessions.list(deps, caller), { response: listSessionsResponse })
    .delete(
      "/auth/sessions/:id",
      async ({ caller, params }) => {
        await sessions.end(deps, caller, params.id);
        return new Response(null, { status: 204 });
      },
      { params: sessionParams },
    )
    .delete("/auth/sessions", async ({ caller }) => {
      await sessions.endOthers(deps, caller);
      return new Response(null, { status: 204 });
    });
}
