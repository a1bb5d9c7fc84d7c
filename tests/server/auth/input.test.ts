import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as users from "../../../src/server/auth/users.ts";
import { type KeyUser, play, sessionIds, signUpWithKey } from "../../support/auth.ts";
import {
  auditTypes,
  call,
  randomBase64,
  randomHex,
  randomName,
  randomPassword,
  signUp,
  type TestUser,
  zeroKnowledgeKeys,
} from "../../support/client.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

const KDF = zeroKnowledgeKeys().kdf;
const KEY = zeroKnowledgeKeys().protected_key;

/** What a registration by auth_key may not hold; `undefined` leaves the field out. */
const REFUSED: Record<string, object> = {
  "id missing": { id: undefined },
  "id no UUID": { id: "1" },
  "id null": { id: null },
  "auth_key of 0 bytes": { auth_key: "" },
  "auth_key of 31 bytes": { auth_key: randomBase64(31) },
  "auth_key of 33 bytes": { auth_key: randomBase64(33) },
  "auth_key without padding": { auth_key: randomBase64(32).replace("=", "") },
  "auth_key as base64url": { auth_key: `${"-_".repeat(21)}A=` },
  "auth_key in another spelling": { auth_key: `${"A".repeat(42)}B=` },
  "salt missing": { encryption_salt: undefined },
  "salt of 31 bytes": { encryption_salt: randomHex(31) },
  "salt of 33 bytes": { encryption_salt: randomHex(33) },
  "salt of 63 digits": { encryption_salt: randomHex(32).slice(1) },
  "salt with a letter beyond f": { encryption_salt: `g${randomHex(32).slice(1)}` },
  "kdf missing": { kdf: undefined },
  "kdf of another algorithm": { kdf: { ...KDF, algorithm: "argon2i" } },
  "kdf with one field more": { kdf: { ...KDF, salt: "x" } },
  "memory min - 1": { kdf: { ...KDF, memory_kib: 19_455 } },
  "memory max + 1": { kdf: { ...KDF, memory_kib: 1_048_577 } },
  "memory 0": { kdf: { ...KDF, memory_kib: 0 } },
  "memory broken": { kdf: { ...KDF, memory_kib: 65_536.5 } },
  "memory as text": { kdf: { ...KDF, memory_kib: "65536" } },
  "iterations min - 1": { kdf: { ...KDF, iterations: 1 } },
  "iterations max + 1": { kdf: { ...KDF, iterations: 11 } },
  "parallelism min - 1": { kdf: { ...KDF, parallelism: 0 } },
  "parallelism max + 1": { kdf: { ...KDF, parallelism: 17 } },
  "parallelism missing": { kdf: { ...KDF, parallelism: undefined } },
  "protected_key missing": { protected_key: undefined },
  "protected_key null": { protected_key: null },
  "protected_key with one field more": { protected_key: { ...KEY, extra: "" } },
  ...Object.fromEntries(
    Object.entries({ ciphertext: 32, iv: 12, tag: 16, commitment: 32 }).flatMap(([field, bytes]) =>
      [undefined, 0, bytes - 1, bytes + 1].map((wrong) => [
        `protected_key.${field} of ${wrong ?? "no"} bytes`,
        { protected_key: { ...KEY, [field]: wrong === undefined ? undefined : randomBase64(wrong) } },
      ]),
    ),
  ),
};

const ACCEPTED: Record<string, object> = {
  "every minimum": { kdf: { ...KDF, memory_kib: 19_456, iterations: 2, parallelism: 1 } },
  "every maximum": { kdf: { ...KDF, memory_kib: 1_048_576, iterations: 10, parallelism: 16 } },
};

/** Fields that a client might hope to set. */
const HOPEFUL = {
  is_admin: true,
  credential_kind: "auth_key",
  credential_hash: "$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA",
  created_at: "1970-01-01T00:00:00.000Z",
  updated_at: "1970-01-01T00:00:00.000Z",
  user_id: crypto.randomUUID(),
  session_id: crypto.randomUUID(),
  entries_max: 1_000_000,
  constructor: {},
};

useQuickHashes();

for (const engine of ENGINES) {
  describe(`the input of authentication on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let key_user: KeyUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      [user, key_user] = await Promise.all([signUp(server), signUpWithKey(server)]);
    });
    afterAll(() => server.stop());

    const refused = { status: 422, code: "request-invalid", events: [] } as const;
    const keyRegistration = () => ({
      id: crypto.randomUUID(),
      username: randomName(),
      auth_key: randomBase64(32),
      ...zeroKnowledgeKeys(),
    });

    test("has names of 3 to 30 letters, digits and underscores, and nothing around them", async () => {
      const long = `${randomName()}${"x".repeat(30)}`;
      const names = [
        "",
        "ab",
        long.slice(0, 31),
        "a b",
        "a-b",
        "abc\n",
        " abc",
        "\u00e4bc",
        "abc\0",
        null,
        123,
        ["abc"],
      ];
      for (const username of names) {
        for (const route of ["POST /auth/register", "POST /auth/login", "POST /auth/prelogin"]) {
          const body = { username, ...(route !== "POST /auth/prelogin" && { password: randomPassword() }) };
          await play(server, { ...refused, name: `${route} ${JSON.stringify(username)}`, route, body });
        }
      }
      for (const username of [
        randomHex(2).slice(1),
        `_${randomHex(1)}`,
        long.slice(0, 29),
        long.slice(0, 30),
      ]) {
        const body = { username, password: randomPassword() };
        const { status } = await call(server, "POST /auth/register", { body });
        expect({ username, status }).toEqual({ username, status: 201 });
      }
    });

    test("of an auth_key registration is held to its lengths and bounds", async () => {
      for (const [name, change] of Object.entries(REFUSED)) {
        const body = { ...keyRegistration(), ...change };
        await play(server, { ...refused, name, route: "POST /auth/register", body });
        expect(await users.findByName(server.deps.db, body.username)).toBeUndefined();
      }
      for (const [name, change] of Object.entries(ACCEPTED)) {
        const body = { ...keyRegistration(), ...change };
        await play(server, {
          name,
          route: "POST /auth/register",
          body,
          status: 201,
          events: ["account-registered"],
        });
      }
    });

    test("of a changed secret is held to the same lengths and bounds", async () => {
      const change = { current_auth_key: key_user.auth_key, new_auth_key: randomBase64(32) };
      for (const [name, { id: _, auth_key, ...keys }] of Object.entries(REFUSED) as [
        string,
        Record<string, unknown>,
      ][]) {
        if (name.startsWith("id ")) continue;
        const new_auth_key = auth_key ?? change.new_auth_key;
        const body = { ...change, ...zeroKnowledgeKeys(), new_auth_key, ...keys };
        await play(server, { ...refused, name, route: "PUT /auth/password", token: key_user.token, body });
      }
      expect(await auditTypes(server, key_user.id)).toEqual(["account-registered", "login-succeeded"]);
    });

    test("that would set what is not the client's to set is refused, and nothing changes", async () => {
      const { username, password, refresh_token: refreshToken } = user;
      const bodies: Record<string, () => object> = {
        "POST /auth/register": () => ({ username: randomName(), password: randomPassword() }),
        "POST /auth/register with auth_key": keyRegistration,
        "POST /auth/prelogin": () => ({ username }),
        "POST /auth/login": () => ({ username, password }),
        "POST /auth/token": () => ({ refreshToken }),
        "POST /auth/logout": () => ({ refreshToken }),
        "PUT /auth/password": () => ({ current_password: password, new_password: randomPassword() }),
        "DELETE /account": () => ({ current_password: password }),
      };
      const before = await call(server, "GET /account", { token: user.token });
      for (const [name, body] of Object.entries(bodies)) {
        const route = name.split(" ").slice(0, 2).join(" ");
        for (const [field, value] of Object.entries(HOPEFUL)) {
          const row = { ...refused, name: `${name} ${field}`, route, token: user.token };
          const answer = await play(server, { ...row, body: { ...body(), [field]: value } });
          expect(answer.body.errors).toEqual([
            { path: "body", reason: "has a field that is not known here" },
          ]);
        }
      }
      expect((await call(server, "GET /account", { token: user.token })).body).toEqual(before.body);
      expect(await sessionIds(server, user.id)).toHaveLength(1);
      expect(await auditTypes(server, user.id)).toEqual(["account-registered", "login-succeeded"]);
    });

    test("that mixes a password with what belongs to an auth_key is refused", async () => {
      const [password, other] = [randomPassword(), randomPassword()];
      const keys = zeroKnowledgeKeys();
      const base = { username: randomName(), password };
      const rows: [string, object][] = [
        ["POST /auth/register", { ...base, id: crypto.randomUUID() }],
        ["POST /auth/register", { ...base, auth_key: randomBase64(32) }],
        ["POST /auth/register", { ...base, ...keys }],
        ["POST /auth/register", { ...keyRegistration(), password }],
        ["POST /auth/register", { username: randomName() }],
        ["POST /auth/login", { username: user.username, password, auth_key: randomBase64(32) }],
        ["POST /auth/login", { username: user.username }],
        ["PUT /auth/password", { current_password: user.password, new_password: other, ...keys }],
        [
          "PUT /auth/password",
          { current_password: user.password, new_password: other, new_auth_key: randomBase64(32), ...keys },
        ],
        ["PUT /auth/password", { current_password: user.password, new_auth_key: randomBase64(32) }],
        ["PUT /auth/password", { current_auth_key: key_user.auth_key, new_password: other }],
        ["PUT /auth/password", { current_auth_key: key_user.auth_key, new_password: other, ...keys }],
        ["PUT /auth/password", { new_password: other }],
        ["PUT /auth/password", { current_password: user.password }],
        ["DELETE /account", { current_password: user.password, current_auth_key: randomBase64(32) }],
        ["DELETE /account", {}],
      ];
      for (const [index, [route, body]] of rows.entries()) {
        await play(server, { ...refused, name: `${route}, row ${index}`, route, token: user.token, body });
      }
    });

    test("with a prototype in it is refused as malformed", async () => {
      const raw = `{"username":"${randomName()}","password":"${randomPassword()}","__proto__":{"is_admin":true}}`;
      for (const route of ["POST /auth/register", "POST /auth/login"]) {
        await play(server, { name: route, route, raw, status: 400, code: "malformed-json", events: [] });
      }
    });
  });
}
