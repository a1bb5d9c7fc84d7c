import { Elysia } from "elysia";
import {
  changePasswordRequest,
  loginRequest,
  loginResponse,
  preloginRequest,
  preloginResponse,
  refreshRequest,
  registerRequest,
  registerResponse,
  tokenResponse,
} from "../../contract/auth.ts";
import type { Deps } from "../deps.ts";
import { jsonBody } from "../http/body.ts";
import { authLimitPlugin } from "../http/edge.ts";
import { originOf } from "../http/origin.ts";
import { login, prelogin } from "./login.ts";
import { changePassword } from "./password.ts";
import { logout, refresh } from "./refresh.ts";
import { register } from "./register.ts";
import { sessionPlugin } from "./session.ts";

/** Routes for whoever has no access token: their own secret or refresh token is in the body. */
export function authRoutes(deps: Deps) {
  return new Elysia({ name: "auth" })
    .use(authLimitPlugin(deps.limiters))
    .post(
      "/auth/register",
      ({ body, request, set }) => {
        set.status = 201;
        return register(deps, body, originOf(request));
      },
      { ...jsonBody, body: registerRequest, response: { 201: registerResponse } },
    )
    .post("/auth/prelogin", ({ body }) => prelogin(deps, body.username), {
      ...jsonBody,
      body: preloginRequest,
      response: preloginResponse,
    })
    .post("/auth/login", ({ body, request }) => login(deps, body, originOf(request)), {
      ...jsonBody,
      body: loginRequest,
      response: loginResponse,
    })
    .post("/auth/token", ({ body, request }) => refresh(deps, body.refreshToken, originOf(request)), {
      ...jsonBody,
      body: refreshRequest,
      response: tokenResponse,
    })
    .post(
      "/auth/logout",
      async ({ body, request }) => {
        await logout(deps, body.refreshToken, originOf(request));
        return new Response(null, { status: 204 });
      },
      { ...jsonBody, body: refreshRequest },
    );
}

/** PUT /auth/password asks for the session and for the current secret. */
export function passwordRoutes(deps: Deps) {
  return new Elysia({ name: "password" })
    .use(authLimitPlugin(deps.limiters))
    .use(sessionPlugin(deps))
    .put("/auth/password", ({ body, caller }) => changePassword(deps, caller, body), {
      ...jsonBody,
      body: changePasswordRequest,
      response: tokenResponse,
    });
}
