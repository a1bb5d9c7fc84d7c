import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { linesOf, play, statusOf, withServer } from "../../support/auth.ts";
import { call, randomHex, signUp, type TestUser } from "../../support/client.ts";
import { decode, encode, forge, type Parts, respell } from "../../support/jwt.ts";
import { useQuickHashes } from "../../support/quick-hashes.ts";
import { ENGINES, JWT_SECRET, startTestServer, type TestServer } from "../../support/server.ts";

const NOW_S = () => Math.floor(Date.now() / 1000);

/** Changes to a good token's parts, each of which alone must make it worthless. */
const FORGED: Record<string, (good: Parts) => Parts> = {
  "another secret": (good) => ({ ...good, secret: randomHex(32) }),
  "an empty secret": (good) => ({ ...good, secret: "\0" }),
  "the key id for secret": (good) => ({ ...good, secret: String(good.header.kid) }),
  "HS384 with the right key": (good) => ({ ...withHeader(good, { alg: "HS384" }), hash: "sha384" }),
  "HS512 with the right key": (good) => ({ ...withHeader(good, { alg: "HS512" }), hash: "sha512" }),
  "alg HS512 over a signature of HS256": (good) => withHeader(good, { alg: "HS512" }),
  "alg RS256": (good) => withHeader(good, { alg: "RS256" }),
  "alg in lower case": (good) => withHeader(good, { alg: "hs256" }),
  "alg missing": (good) => withHeader(good, { alg: undefined }),
  "alg as a list": (good) => withHeader(good, { alg: ["HS256"] }),
  "typ JWT": (good) => withHeader(good, { typ: "JWT" }),
  "typ missing": (good) => withHeader(good, { typ: undefined }),
  "typ of a refresh token": (good) => withHeader(good, { typ: "rt+jwt" }),
  "kid missing": (good) => withHeader(good, { kid: undefined }),
  "kid unknown": (good) => withHeader(good, { kid: randomHex(8) }),
  "kid empty": (good) => withHeader(good, { kid: "" }),
  "kid as a number": (good) => withHeader(good, { kid: 1 }),
  "kid of the prototype": (good) => withHeader(good, { kid: "__proto__" }),
  "a critical extension": (good) => withHeader(good, { crit: ["x"], x: 1 }),
  "an unencoded payload": (good) => withHeader(good, { crit: ["b64"], b64: false }),
  "another issuer": (good) => withClaims(good, { iss: "somebody" }),
  "the issuer as a list": (good) => withClaims(good, { iss: [good.claims.iss] }),
  "another audience": (good) => withClaims(good, { aud: "somebody" }),
  "another audience as a list": (good) => withClaims(good, { aud: ["somebody", "else"] }),
  "an empty list of audiences": (good) => withClaims(good, { aud: [] }),
  "an audience that only begins alike": (good) => withClaims(good, { aud: `${good.claims.aud}s` }),
  expired: (good) => withClaims(good, { iat: NOW_S() - 60, exp: NOW_S() - 1 }),
  "expiring at this second": (good) => withClaims(good, { iat: NOW_S() - 60, exp: NOW_S() }),
  "expiry as text": (good) => withClaims(good, { exp: String(NOW_S() + 600) }),
  "not valid yet": (good) => withClaims(good, { nbf: NOW_S() + 600 }),
  "issued in the future": (good) => withClaims(good, { iat: NOW_S() + 600 }),
  "issued longer ago than any token may live": (good) => withClaims(good, { iat: NOW_S() - 86_500 }),
  "an account that is no UUID": (good) => withClaims(good, { sub: "admin" }),
  "a session that is no UUID": (good) => withClaims(good, { sid: "1" }),
  "a session as a list": (good) => withClaims(good, { sid: [good.claims.sid] }),
  "the account in upper case": (good) => withClaims(good, { sub: String(good.claims.sub).toUpperCase() }),
  ...Object.fromEntries(
    ["iss", "aud", "sub", "sid", "jti", "iat", "exp"].map((claim) => [
      `${claim} missing`,
      (good: Parts) => withClaims(good, { [claim]: undefined }),
    ]),
  ),
};

/** Spellings of a good token, and what is none at all. */
const MALFORMED: Record<string, (token: string) => string> = {
  "the last character of another spelling": (token) => respell(token),
  "padding behind the signature": (token) => `${token}=`,
  "white space in the signature": (token) => `${token.slice(0, -5)} ${token.slice(-5)}`,
  "a tab in the payload": (token) => token.replace(".", ".\t"),
  "base64 for base64url": (token) => `${token.slice(0, -43)}${"+/".repeat(21)}A`,
  "no signature": (token) => token.slice(0, token.lastIndexOf(".") + 1),
  "no dot before the signature": (token) => token.slice(0, token.lastIndexOf(".")),
  "a fourth part": (token) => `${token}.${token.split(".")[2]}`,
  "a part in front": (token) => `.${token}`,
  "the payload missing": (token) => token.replace(/\..*\./, ".."),
  "a signature cut short": (token) => token.slice(0, -1),
  "two tokens": (token) => `${token} ${token}`,
  "two tokens between commas": (token) => `${token},${token}`,
  "no token": () => "x",
  "a huge one": () => `${"A".repeat(6000)}.${"A".repeat(6000)}.${"A".repeat(43)}`,
  "a header that is no JSON": (token) => token.replace(/^[^.]*/, "AAAA"),
  "a header that is null": (token) => token.replace(/^[^.]*/, encode(null)),
  "a header that is a list": (token) => token.replace(/^[^.]*/, encode(["HS256"])),
  "a payload that is no object": (token) => token.replace(/\..*\./, `.${encode("x")}.`),
};

/** RFC 8725, section 2.1: every spelling of an unsigned token that libraries once took. */
const UNSIGNED = ["none", "None", "NONE", "nOnE", "none ", "", null];

useQuickHashes();

for (const engine of ENGINES) {
  describe(`access tokens on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let good: Parts;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
      good = { ...decode(user.token), secret: JWT_SECRET };
    });
    afterAll(() => server.stop());

    const refuse = (name: string, token: string, events = ["token-refused"]) =>
      play(server, {
        name,
        route: "GET /account",
        token,
        status: 401,
        code: "token-invalid",
        lacks: [user.username, ...(token.length > 20 ? [token] : [])],
        events,
      });

    test("are at+jwt by HS256 with every claim, and live as long as the answer says", async () => {
      expect(good.header).toEqual({ alg: "HS256", typ: "at+jwt", kid: server.deps.secrets[0].key_id });
      const { jwt, access_token_ms } = server.deps.config;
      expect(good.claims).toEqual({
        iss: jwt.issuer,
        aud: jwt.audience,
        sub: user.id,
        sid: expect.stringMatching(/^[0-9a-f-]{36}$/),
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
        iat: expect.any(Number),
        exp: expect.any(Number),
      });
      const { iat, exp } = good.claims as { iat: number; exp: number };
      expect(Math.abs(exp - iat - access_token_ms / 1000)).toBeLessThanOrEqual(1);
      const { username, password } = user;
      const login = await call(server, "POST /auth/login", { body: { username, password } });
      expect(login.body).toMatchObject({ token_type: "Bearer", expires_in: access_token_ms / 1000 });
    });

    test("made by hand to the same rules are let in: what follows fails for its one change", async () => {
      expect(await statusOf(server, forge(good))).toBe(200);
      expect(await statusOf(server, forge(withClaims(good, { jti: crypto.randomUUID(), extra: 1 })))).toBe(
        200,
      );
    });

    test("of a server whose clock is a little ahead are let in, and of one far ahead are not", async () => {
      const issuedIn = (seconds: number) =>
        forge(withClaims(good, { iat: NOW_S() + seconds, exp: NOW_S() + 600 }));
      expect(await statusOf(server, issuedIn(3))).toBe(200);
      expect(await statusOf(server, issuedIn(30))).toBe(401);
    });

    test("that are forged are 401 and audited", async () => {
      for (const [name, change] of Object.entries(FORGED)) {
        const answer = await refuse(name, forge(change(good)));
        expect(answer.headers.get("www-authenticate")).toBe(
          'Bearer realm="blindvault", error="invalid_token"',
        );
        // Nobody has proved whose token it was, so the line is nobody's.
        expect(await linesOf(server, answer)).toMatchObject([
          { success: false, reason: "invalid", address: "127.0.0.1", user_id: null, session_id: null },
        ]);
      }
    });

    test("without a signature are 401, however alg=none is spelled", async () => {
      for (const alg of UNSIGNED) {
        const parts = withHeader(good, { alg });
        const unsigned = `${encode(parts.header)}.${encode(parts.claims)}.`;
        await refuse(`alg ${alg}, signature empty`, unsigned);
        await refuse(`alg ${alg}, signature kept`, unsigned + user.token.split(".")[2]);
        await refuse(`alg ${alg}, signed`, forge(parts));
      }
    });

    test("with claims exchanged under the old signature are 401", async () => {
      const [header, , signature] = user.token.split(".");
      const other = await signUp(server);
      const claims = { ...good.claims, sub: other.id };
      await refuse("another subject", `${header}.${encode(claims)}.${signature}`);
      await refuse("the claims of another", `${header}.${other.token.split(".")[1]}.${signature}`);
    });

    test("of no living session are 401, though the signature is good", async () => {
      const theirs = decode((await signUp(server)).token).claims;
      const signed = (change: object) => forge(withClaims(good, { ...change }));
      const answer = await refuse("a session that never was", signed({ sid: crypto.randomUUID() }));
      expect(await linesOf(server, answer)).toMatchObject([{ reason: "session-ended", user_id: user.id }]);
      await refuse("the session of somebody else", signed({ sid: theirs.sid }));
      await refuse("one's own session for somebody else", signed({ sub: theirs.sub }));
      // A line about an account that does not exist would outlive every account that is deleted.
      await refuse("an account that never was", signed({ sub: crypto.randomUUID() }), []);
    });

    test("have one spelling each", async () => {
      // Each is tried before and after the good one was verified and remembered.
      for (const fresh of [user.token, (await signUp(server)).token]) {
        for (const [name, spell] of Object.entries(MALFORMED)) await refuse(name, spell(fresh));
        expect(await statusOf(server, fresh)).toBe(200);
        for (const [name, spell] of Object.entries(MALFORMED)) await refuse(name, spell(fresh));
      }
    });

    test("end when they say, although the session goes on", async () => {
      await withServer(engine, { ACCESS_TOKEN_EXPIRES_IN: "60s" }, async (short) => {
        const own = await signUp(short);
        expect(await statusOf(short, own.token)).toBe(200);
        short.clock.advance(50_000);
        expect(await statusOf(short, own.token)).toBe(200);
        short.clock.advance(10_000);
        await play(short, {
          name: "the same token, remembered",
          route: "GET /account",
          token: own.token,
          status: 401,
          code: "token-invalid",
          events: ["token-refused"],
        });
        const { body } = await call(short, "POST /auth/token", { body: { refreshToken: own.refresh_token } });
        expect(await statusOf(short, body.accessToken)).toBe(200);
      });
    });

    test("of one server are worth nothing on another with a secret, issuer or audience of its own", async () => {
      const others = [
        { JWT_SECRET: randomHex(32) },
        { JWT_ISSUER: "another-api" },
        { JWT_AUDIENCE: "other-clients" },
      ];
      for (const settings of others) {
        await withServer(engine, settings, async (other) => {
          expect(await statusOf(other, user.token)).toBe(401);
        });
      }
      await withServer(engine, {}, async (twin) => {
        expect(await statusOf(twin, user.token)).toBe(200);
      });
    });
  });
}

function withHeader(parts: Parts, change: Record<string, unknown>): Parts {
  return { ...parts, header: { ...parts.header, ...change } };
}

function withClaims(parts: Parts, change: Record<string, unknown>): Parts {
  return { ...parts, claims: { ...parts.claims, ...change } };
}
