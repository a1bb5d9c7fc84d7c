import { Elysia } from "elysia";
import { accountResponse } from "../../contract/account.ts";
import { currentSecret } from "../../contract/auth.ts";
import { sessionPlugin } from "../auth/session.ts";
import type { Deps } from "../deps.ts";
import { jsonBody } from "../http/body.ts";
import { authLimitPlugin } from "../http/edge.ts";
import * as account from "./account.ts";

export function accountRoutes(deps: Deps) {
  return new Elysia({ name: "account" })
    .use(sessionPlugin(deps))
    .get("/account", ({ caller }) => account.show(deps, caller), { response: accountResponse })
    .use(authLimitPlugin(deps.limiters))
    .delete(
      "/account",
      async ({ body, caller }) => {
        await account.remove(deps, caller, body);
        return new Response(null, { status: 204 });
      },
      { ...jsonBody, body: currentSecret },
    );
}
