import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as users from "../../../src/server/auth/users.ts";
import { expectSilent, play, statusOf } from "../../support/auth.ts";
import { call, randomName, signUp, type TestUser } from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

/** Four code points of 4 bytes each, one of every class: no letter, digit or sign outside the BMP is special. */
const WIDE = "\u{10400}\u{10428}\u{1D7CE}\u{1F600}";

/** A password of so many code points with every class in it, beyond that filled up with `fill`. */
function ofLength(code_points: number, fill = "x"): string {
  return `Aa1!${fill.repeat(code_points - 4)}`;
}

const ACCEPTED: Record<string, string> = {
  "min, 20 characters": ofLength(20),
  "max - 1, 255 characters": ofLength(255),
  "max, 256 characters": ofLength(256),
  "min in code points, of more UTF-16 units": ofLength(20, "\u{1F600}"),
  "max in code points, of more UTF-16 units": ofLength(256, "\u{1F600}"),
  "max - 1 in bytes, 1,023": `${WIDE.repeat(63)}\u{10400}\u{10428}\u{1D7CE}\u20ac`,
  "max in bytes, 1,024": WIDE.repeat(64),
  "every class outside ASCII": "\u00c4\u00df\u0663\u20ac".repeat(5),
  "white space at both ends": ` ${ofLength(20)} `,
};

const REFUSED: Record<string, string> = {
  "0 characters": "",
  "1 character": "A",
  "min - 1, 19 characters": ofLength(19),
  "max + 1, 257 characters": ofLength(257),
  "min - 1 in code points, of more UTF-16 units": ofLength(19, "\u{1F600}"),
  "max + 1 in code points": ofLength(257, "\u{1F600}"),
  "max + 1 in bytes": `${WIDE.repeat(64)}x`,
  "far too long": ofLength(100_000),
  "no upper-case letter": "aa1!".repeat(5),
  "no lower-case letter": "AA1!".repeat(5),
  "no digit": "Aaa!".repeat(5),
  "no special character": "Aa11".repeat(5),
  "white space alone for special": "Aa1 \t\n\u00a0\u3000".repeat(3),
  "a letter outside ASCII for special": "Aa1\u00e9\u4e2d".repeat(5),
  "a digit outside ASCII for special": "Aa1\u0663".repeat(5),
  "U+0000": `${ofLength(20)}\0`,
  "a lone high surrogate": `${ofLength(20)}\ud800`,
  "a lone low surrogate": `${ofLength(20)}\udc00`,
  "a surrogate pair the wrong way round": `${ofLength(20)}\ude00\ud83d`,
};

const NO_TEXT: Record<string, unknown> = {
  null: null,
  number: 12_345_678_901_234,
  array: [ofLength(20)],
  object: {},
};

for (const engine of ENGINES) {
  describe(`the rules of a new password on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    test("let pass what is within the bounds, and such a password logs in", async () => {
      for (const [name, password] of Object.entries(ACCEPTED)) {
        const username = randomName();
        const body = { username, password };
        const registered = await call(server, "POST /auth/register", { body });
        expect({ name, status: registered.status }).toEqual({ name, status: 201 });
        const login = await call(server, "POST /auth/login", { body });
        expect({ name, status: login.status }).toEqual({ name, status: 200 });
      }
      await expectSilent(server, Object.values(ACCEPTED));
    });

    test("refuse everything else at registration with 422, and never echo it", async () => {
      const username = randomName();
      for (const [name, password] of Object.entries({ ...REFUSED, ...NO_TEXT })) {
        const answer = await play(server, {
          name,
          route: "POST /auth/register",
          body: { username, password },
          status: 422,
          code: "request-invalid",
          lacks: typeof password === "string" && password.length > 1 ? [password, username] : [username],
          events: [],
        });
        const paths = answer.body.errors?.map((fault: { path: string }) => fault.path) ?? ["body.password"];
        expect({ name, paths: [...new Set(paths)] }).toEqual({ name, paths: ["body.password"] });
      }
      expect(await users.findByName(server.deps.db, username)).toBeUndefined();
    });

    test("hold for a change as well, before the current secret is looked at", async () => {
      for (const [name, new_password] of Object.entries({ ...REFUSED, ...NO_TEXT })) {
        await play(server, {
          name,
          route: "PUT /auth/password",
          token: user.token,
          body: { current_password: "wrong", new_password },
          status: 422,
          code: "request-invalid",
          events: [],
        });
      }
      expect(await statusOf(server, user.token)).toBe(200);
    });

    test("name each class that is missing", async () => {
      const reasons = async (password: string) => {
        const body = { username: randomName(), password };
        const answer = await call(server, "POST /auth/register", { body });
        return answer.body.errors.map((fault: { reason: string }) => fault.reason);
      };
      expect(await reasons("aa1!".repeat(5))).toEqual(["must have an upper-case letter"]);
      expect(await reasons("AA1!".repeat(5))).toEqual(["must have a lower-case letter"]);
      expect(await reasons("Aaa!".repeat(5))).toEqual(["must have a digit"]);
      expect(await reasons("Aa11".repeat(5))).toEqual(["must have a special character"]);
      expect(await reasons("x".repeat(19))).toHaveLength(4);
    });
  });
}
