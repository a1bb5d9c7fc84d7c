import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { play, signUpWithKey, statusOf } from "../../support/auth.ts";
import { auditTypes, call, expectProblem, signUp, type TestUser } from "../../support/client.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { exchange } from "../../support/wire.ts";

useQuickHashes();

for (const engine of ENGINES) {
  describe(`the place of an access token on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    const refuse = (name: string, authorization: string) =>
      play(server, {
        name,
        route: "GET /account",
        headers: { authorization },
        status: 401,
        code: "token-invalid",
        lacks: [user.token],
        events: ["token-refused"],
      });

    test("is Authorization behind Bearer and one space, nothing else", async () => {
      const { token, username, password } = user;
      const basic = Buffer.from(`${username}:${password}`).toString("base64");
      await refuse("the token alone", token);
      await refuse("no space", `Bearer${token}`);
      await refuse("two spaces", `Bearer  ${token}`);
      await refuse("a tab", `Bearer\t${token}`);
      await refuse("a colon", `Bearer:${token}`);
      await refuse("an equals sign", `Bearer=${token}`);
      await refuse("quotation marks", `Bearer "${token}"`);
      await refuse("a parameter behind", `Bearer ${token}, realm=x`);
      await refuse("a longer scheme", `Bearers ${token}`);
      await refuse("Basic", `Basic ${token}`);
      await refuse("Basic with the password", `Basic ${basic}`);
      await refuse("DPoP", `DPoP ${token}`);
      await refuse("Token", `Token ${token}`);
      await refuse("JWT", `JWT ${token}`);
      await refuse("Bearer behind another scheme", `Basic ${basic}, Bearer ${token}`);
      await refuse("Bearer alone", "Bearer");
      await refuse("the refresh token", `Bearer ${user.refresh_token}`);
      expect(await statusOf(server, token)).toBe(200);
    });

    test("is not the query, a cookie, the body or a header of another name", async () => {
      const { token } = user;
      const missing = { status: 401, code: "token-missing", lacks: [token], events: [] } as const;
      const places: Record<string, { route: string; body?: unknown; headers?: Record<string, string> }> = {
        "?access_token=": { route: `GET /account?access_token=${token}` },
        "?bearer=": { route: `GET /account?bearer=${token}` },
        "?%00=": { route: `GET /account?%00=${token}` },
        "?authorization=": { route: `GET /account?authorization=Bearer%20${token}` },
        "a cookie": {
          route: "GET /account",
          headers: { cookie: `access_token=${token}; Authorization=${token}` },
        },
        "the body": {
          route: "DELETE /account",
          body: { access_token: token, current_password: user.password },
        },
        "X-Access-Token": { route: "GET /account", headers: { "x-access-token": token } },
        "Proxy-Authorization": {
          route: "GET /account",
          headers: { "proxy-authorization": `Bearer ${token}` },
        },
        nowhere: { route: "GET /account" },
      };
      for (const [name, place] of Object.entries(places)) {
        const answer = await play(server, { ...missing, name, ...place });
        // RFC 6750, section 3.1: whoever sent no token is told of no error.
        expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="blindvault"');
      }
    });

    test("does not turn to the query where Authorization has a worthless one", async () => {
      await play(server, {
        name: "a worthless header and a good query",
        route: `GET /account?access_token=${user.token}&%00=${user.token}`,
        headers: { authorization: "Basic x" },
        status: 401,
        code: "token-invalid",
        events: ["token-refused"],
      });
    });

    test("is one header: of two none counts, in whichever order", async () => {
      const [good, bad] = [`Bearer ${user.token}`, "Bearer x"];
      for (const pair of [
        [good, bad],
        [bad, good],
        [good, good],
        [good, ""],
      ]) {
        const headers = pair.map((value) => `Authorization: ${value}`);
        expect((await exchange(server, ["GET /account HTTP/1.1", ...headers])).status).toBe(401);
      }
      const one = await exchange(server, ["GET /account HTTP/1.1", `Authorization: ${good}`]);
      expect(one.status).toBe(200);
    });

    test("is looked at before the body, its type and the rules of input", async () => {
      for (const route of ["PUT /auth/password", "DELETE /account"]) {
        const broken = { raw: "{", headers: { "content-type": "text/plain" } };
        expectProblem(await call(server, route, broken), 401, "token-missing");
        expectProblem(await call(server, route, { ...broken, token: "x" }), 401, "token-invalid");
      }
    });

    test("of a session that ended is worthless at once, however it ended and however often it was used", async () => {
      const password_user = await signUp(server);
      const key_user = await signUpWithKey(server);
      const ends: Record<string, [TestUser["token"], () => Promise<unknown>]> = {
        logout: [
          user.token,
          () => call(server, "POST /auth/logout", { body: { refreshToken: user.refresh_token } }),
        ],
        "a password change": [
          password_user.token,
          () => {
            const current_password = password_user.password;
            const body = { current_password, new_password: `${current_password}x` };
            return call(server, "PUT /auth/password", { token: password_user.token, body });
          },
        ],
        "the account's deletion": [
          key_user.token,
          () => {
            const body = { current_auth_key: key_user.auth_key };
            return call(server, "DELETE /account", { token: key_user.token, body });
          },
        ],
      };
      for (const [name, [token, end]] of Object.entries(ends)) {
        expect(await statusOf(server, token)).toBe(200);
        await end();
        for (const again of [1, 2]) {
          const answer = await call(server, "GET /account", { token });
          expect({ name, again, code: answer.body.code }).toEqual({ name, again, code: "token-invalid" });
        }
      }
      expect((await auditTypes(server, user.id)).slice(-2)).toEqual(["logout", "token-refused"]);
      expect(await auditTypes(server, key_user.id)).toEqual(["account-deleted"]);
    });
  });
}
