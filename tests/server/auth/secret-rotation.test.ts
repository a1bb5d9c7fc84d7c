import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { auditMentions, play, refresh, sessionIds, statusOf } from "../../support/auth.ts";
import { call, expectProblem, randomHex, signUp } from "../../support/client.ts";
import { decode, forge } from "../../support/jwt.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

useQuickHashes();

for (const engine of ENGINES) {
  describe(`rotating JWT_SECRET on ${engine}`, () => {
    const [first, second, third] = [randomHex(32), randomHex(32), randomHex(32)];
    let before: TestServer;
    let during: TestServer;
    let after: TestServer;
    beforeAll(async () => {
      before = await startTestServer(engine, { JWT_SECRET: first });
      during = await startTestServer(engine, { JWT_SECRET: second, JWT_SECRET_PREVIOUS: first });
      after = await startTestServer(engine, { JWT_SECRET: third, JWT_SECRET_PREVIOUS: second });
    });
    afterAll(() => Promise.all([before.stop(), during.stop(), after.stop()]));

    test("lets the access tokens of the previous secret go on, and none from before that", async () => {
      const user = await signUp(before);
      expect(await statusOf(during, user.token)).toBe(200);
      expect(await statusOf(after, user.token)).toBe(401);
    });

    test("signs with the new secret alone", async () => {
      const user = await signUp(during);
      expect(decode(user.token).header.kid).toBe(during.deps.secrets[0].key_id);
      expect(await statusOf(before, user.token)).toBe(401);
      expect(await statusOf(after, user.token)).toBe(200);
    });

    test("takes the previous secret only under its own key id", async () => {
      const user = await signUp(before);
      const { header, claims } = decode(user.token);
      const [{ key_id: new_id }, previous] = during.deps.secrets;
      expect(previous?.key_id).toBe(header.kid);
      expect(await statusOf(during, forge({ header, claims, secret: first }))).toBe(200);
      const crossed = [
        { header, claims, secret: second },
        { header: { ...header, kid: new_id }, claims, secret: first },
      ];
      for (const parts of crossed) expect(await statusOf(during, forge(parts))).toBe(401);
    });

    test("lets the refresh tokens of the previous secret go on, and none from before that", async () => {
      const user = await signUp(before);
      expectProblem(await refresh(after, user.refresh_token), 401, "refresh-token-invalid");
      const rotated = await refresh(during, user.refresh_token);
      expect(rotated.status).toBe(200);
      expect(await statusOf(during, rotated.body.accessToken)).toBe(200);
      // Rotated once, the session has left the old secret behind.
      const again = await refresh(after, rotated.body.refreshToken);
      expect(again.status).toBe(200);
      expect(await statusOf(after, again.body.accessToken)).toBe(200);
      expect(await sessionIds(before, user.id)).toHaveLength(1);
    });

    test("gives a retry the same successor, although it was made under the previous secret", async () => {
      const user = await signUp(before);
      const { body } = await refresh(before, user.refresh_token);
      const retried = await refresh(during, user.refresh_token);
      expect({ status: retried.status, token: retried.body.refreshToken }).toEqual({
        status: 200,
        token: body.refreshToken,
      });
    });

    test("still sees the reuse of a token of the previous secret", async () => {
      const user = await signUp(before);
      const { body } = await refresh(during, user.refresh_token);
      await refresh(during, body.refreshToken);
      await play(during, {
        name: "the first token again",
        route: "POST /auth/token",
        body: { refreshToken: user.refresh_token },
        status: 401,
        code: "refresh-token-invalid",
        events: ["refresh-reused"],
      });
      expect(await sessionIds(during, user.id)).toEqual([]);
    });

    test("lets a token of the previous secret log out", async () => {
      const user = await signUp(before);
      const body = { refreshToken: user.refresh_token };
      expect((await call(after, "POST /auth/logout", { body })).status).toBe(204);
      expect(await statusOf(before, user.token)).toBe(200);
      expect((await call(during, "POST /auth/logout", { body })).status).toBe(204);
      expect(await statusOf(before, user.token)).toBe(401);
    });

    test("leaves no secret in the logs", async () => {
      for (const server of [before, during, after]) {
        for (const secret of [first, second, third]) {
          expect(server.logged.join("\n").includes(secret)).toBe(false);
          expect(await auditMentions(server, secret)).toBe(0);
        }
      }
    });
  });
}
