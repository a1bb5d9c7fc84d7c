import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { linesOf, play, refresh, sessionIds, statusOf } from "../../support/auth.ts";
import { auditTypes, call, expectProblem, signIn, signUp } from "../../support/client.ts";
import { decode, respell } from "../../support/jwt.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

useQuickHashes();

for (const engine of ENGINES) {
  describe(`logging out on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());

    const logout = (refreshToken: string) => call(server, "POST /auth/logout", { body: { refreshToken } });

    test("is 204 without a body and ends access at once, other sessions aside", async () => {
      const user = await signUp(server);
      const other = await signIn(server, user);
      expect(await statusOf(server, user.token)).toBe(200);
      const answer = await logout(user.refresh_token);
      expect([answer.status, answer.text]).toEqual([204, ""]);
      const { sid } = decode(user.token).claims;
      expect(await linesOf(server, answer)).toMatchObject([
        { type: "logout", success: true, user_id: user.id, session_id: sid },
      ]);
      expect(await statusOf(server, user.token)).toBe(401);
      expectProblem(await refresh(server, user.refresh_token), 401, "refresh-token-invalid");
      expect(await statusOf(server, other.token)).toBe(200);
    });

    test("is 204 again and again, and audited once", async () => {
      const user = await signUp(server);
      for (let time = 0; time < 3; time++) expect((await logout(user.refresh_token)).status).toBe(204);
      expect((await auditTypes(server, user.id)).filter((type) => type === "logout")).toHaveLength(1);
    });

    test("by 10 at once is 204 for all, and audited once", async () => {
      const user = await signUp(server);
      const answers = await Promise.all(Array.from({ length: 10 }, () => logout(user.refresh_token)));
      expect(answers.map((answer) => answer.status)).toEqual(Array(10).fill(204));
      expect((await auditTypes(server, user.id)).filter((type) => type === "logout")).toHaveLength(1);
    });

    test("takes any token of the session's family, also one that was spent", async () => {
      const user = await signUp(server);
      const { body } = await refresh(server, user.refresh_token);
      expect((await logout(user.refresh_token)).status).toBe(204);
      expect(await sessionIds(server, user.id)).toEqual([]);
      expect(await statusOf(server, body.accessToken)).toBe(401);
      expectProblem(await refresh(server, body.refreshToken), 401, "refresh-token-invalid");
      expect(await auditTypes(server, user.id)).not.toContain("refresh-reused");
    });

    test("with a token nobody knows is 204 as well, and nothing happens", async () => {
      const user = await signUp(server);
      const unknown = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
      for (const refreshToken of [unknown, "x", respell(user.refresh_token), `${user.refresh_token}=`]) {
        await play(server, {
          name: refreshToken,
          route: "POST /auth/logout",
          token: user.token,
          body: { refreshToken },
          status: 204,
          events: [],
        });
      }
      expect(await statusOf(server, user.token)).toBe(200);
      for (const refreshToken of ["", "A".repeat(513), null, undefined]) {
        const answer = await call(server, "POST /auth/logout", { body: { refreshToken } });
        expectProblem(answer, 422, "request-invalid");
      }
    });
  });
}
