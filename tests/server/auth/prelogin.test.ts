import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventsOf, signUpWithKey, visible, withServer } from "../../support/auth.ts";
import { call, randomBase64, randomHex, randomName, signUp } from "../../support/client.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

useQuickHashes();

for (const engine of ENGINES) {
  describe(`prelogin on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());

    const prelogin = (on: TestServer, username: string) =>
      call(on, "POST /auth/prelogin", { body: { username } });

    test("answers the salt and the parameters that an account was registered with", async () => {
      const user = await signUpWithKey(server);
      const { encryption_salt } = user.keys;
      const kdf = { algorithm: "argon2id", memory_kib: 262_144, iterations: 4, parallelism: 2 };
      const change = { current_auth_key: user.auth_key, new_auth_key: randomBase64(32), ...user.keys, kdf };
      expect((await prelogin(server, user.username)).body).toEqual({ encryption_salt, kdf: user.keys.kdf });
      expect((await call(server, "PUT /auth/password", { token: user.token, body: change })).status).toBe(
        200,
      );
      for (const name of [user.username, user.username.toUpperCase()]) {
        expect((await prelogin(server, name)).body).toEqual({ encryption_salt, kdf });
      }
    });

    test("answers for an account of a password what its login answers", async () => {
      const { username, password } = await signUp(server);
      const login = await call(server, "POST /auth/login", { body: { username, password } });
      const { encryption_salt, kdf } = login.body;
      expect((await prelogin(server, username)).body).toEqual({ encryption_salt, kdf });
    });

    test("answers a decoy for a name nobody has, that looks the same in every way", async () => {
      const user = await signUpWithKey(server);
      const real = visible(await prelogin(server, user.username));
      const decoy = visible(await prelogin(server, randomName()));
      const masked = (text: string) => text.replace(/[0-9a-f]{64}/, "<salt>");
      expect({ ...decoy, text: masked(decoy.text) }).toEqual({ ...real, text: masked(real.text) });
    });

    test("gives each name a decoy of its own, the same for every spelling and each time", async () => {
      const names = Array.from({ length: 20 }, randomName);
      const salts = async () =>
        Promise.all(names.map(async (name) => (await prelogin(server, name)).body.encryption_salt));
      const first = await salts();
      expect(new Set(first).size).toBe(20);
      expect(await salts()).toEqual(first);
      const loud = await prelogin(server, (names[0] as string).toUpperCase());
      expect(loud.body.encryption_salt).toBe(first[0]);
    });

    test("gives the same decoys after a restart, under another secret and on another server", async () => {
      const name = randomName();
      const { body } = await prelogin(server, name);
      for (const settings of [{}, { JWT_SECRET: randomHex(32) }, { JWT_ISSUER: "another" }]) {
        await withServer(engine, settings, async (other) => {
          expect((await prelogin(other, name)).body).toEqual(body);
        });
      }
    });

    test("returns to the name's decoy when its account is gone", async () => {
      const [username, auth_key] = [randomName(), randomBase64(32)];
      const decoy = (await prelogin(server, username)).body;
      const user = await signUp(server, username);
      expect((await prelogin(server, username)).body).not.toEqual(decoy);
      await call(server, "DELETE /account", {
        token: user.token,
        body: { current_password: user.password },
      });
      expect((await prelogin(server, username)).body).toEqual(decoy);
      expect((await call(server, "POST /auth/login", { body: { username, auth_key } })).status).toBe(401);
    });

    test("leaves no event: it tells nothing and changes nothing", async () => {
      expect(await eventsOf(server, await prelogin(server, randomName()))).toEqual([]);
    });
  });
}
