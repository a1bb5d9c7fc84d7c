import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { PROBLEMS, type ProblemCode } from "../../../src/contract/problems.ts";
import {
  auditTypes,
  call,
  createEntry,
  expectProblem,
  sealedEntry,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { expectPromisedHeaders } from "../../support/wire.ts";

const BOM = "\uFEFF";
const bytes = (...values: number[]) => new Uint8Array(values);
const utf8 = (text: string) => new TextEncoder().encode(text);
const joined = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
/** A good entry but for its `meta`, which is put in as it is written. */
const withMeta = (meta: string) => `${JSON.stringify(sealedEntry()).slice(0, -1)},"meta":${meta}}`;
const good = JSON.stringify(sealedEntry());
/** A body whose containers nest `levels` deep: the entry, its meta, and so on. */
const chain = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
const nested = (levels: number) => withMeta(chain(levels - 1));

type Row = [what: string, code: ProblemCode, raw: string | Uint8Array, detail?: string];

/** Bodies that some parser takes; each answer is a clear 4xx, and nothing is stored. */
const REFUSED: Row[] = [
  ["nothing", "malformed-json", "", "The body is empty"],
  ["white space", "malformed-json", " \n", "The body is not JSON"],
  ["a byte order mark before JSON", "malformed-json", BOM + good, "The body begins with a byte order mark"],
  ["UTF-16", "malformed-json", joined(bytes(0xff, 0xfe), new Uint8Array(Buffer.from(good, "utf16le")))],
  ["UTF-8 that is not", "malformed-json", joined(utf8(`{"name":"`), bytes(0xc0, 0xaf), utf8(`"}`))],
  ["a surrogate in UTF-8", "malformed-json", joined(utf8(`{"name":"`), bytes(0xed, 0xa0, 0x80), utf8(`"}`))],
  ["half a text", "malformed-json", good.slice(0, -1), "The body is not JSON"],
  ["JSON and garbage", "malformed-json", `${good}x`],
  ["two texts", "malformed-json", good + good],
  ["JSON and U+0000", "malformed-json", `${good}\0`],
  ["a trailing comma", "malformed-json", `${good.slice(0, -1)},}`],
  ["a comment", "malformed-json", `/* */${good}`],
  ["single quotes", "malformed-json", good.replaceAll('"', "'")],
  ["a bare name", "malformed-json", "NaN"],
  ["a tab in a string", "malformed-json", withMeta('{"a":"\t"}')],
  [
    "the same key twice",
    "malformed-json",
    `${good.slice(0, -1)},"iv":"AAAAAAAAAAAAAAAA"}`,
    "An object has the same key twice",
  ],
  [
    "the same key twice, once escaped",
    "malformed-json",
    `${good.slice(0, -1)},"i\\u0076":"AAAAAAAAAAAAAAAA"}`,
  ],
  ["the same key twice, deep down", "malformed-json", withMeta('{"a":[{"b":1,"b":1}]}')],
  [
    "__proto__",
    "malformed-json",
    `${good.slice(0, -1)},"__proto__":{}}`,
    "An object has a key that is not allowed",
  ],
  ["__proto__ escaped", "malformed-json", withMeta('{"\\u005f_proto__":{"a":1}}')],
  ["U+0000 in a value", "request-invalid", withMeta('{"a":"\\u0000"}'), "A text has the character U+0000"],
  ["U+0000 in a key", "request-invalid", withMeta('{"\\u0000":1}')],
  ["a lone high surrogate", "request-invalid", withMeta('{"a":"\\ud800"}'), "A text has a lone surrogate"],
  ["a lone low surrogate in a key", "request-invalid", withMeta('{"x\\udc00":1}')],
  ["surrogates the wrong way round", "request-invalid", withMeta('{"a":"\\udc00\\ud800"}')],
  ["33 levels", "request-invalid", nested(33), "The body nests deeper than 32 levels"],
  ["30,000 levels", "request-invalid", "[".repeat(30_000) + "]".repeat(30_000)],
  [
    "an integer past 2^53",
    "request-invalid",
    withMeta('{"a":9007199254740993}'),
    "A number cannot be kept as it is",
  ],
  ["a number that overflows", "request-invalid", withMeta('{"a":1e400}')],
  ["a number that underflows", "request-invalid", withMeta('{"a":1e-400}')],
  ["minus zero", "request-invalid", withMeta('{"a":-0}')],
  ["a list", "request-invalid", "[]"],
  ["null", "request-invalid", "null"],
  ["a string", "request-invalid", JSON.stringify(good)],
  ["a number", "request-invalid", "1"],
  ["true", "request-invalid", "true"],
  ["constructor", "request-invalid", `${good.slice(0, -1)},"constructor":{}}`],
  ["toString", "request-invalid", `${good.slice(0, -1)},"toString":1}`],
];

const ACCEPTED: [what: string, raw: string, meta: unknown][] = [
  ["white space around it", ` \r\n\t${good}\n`, null],
  ["escapes for what needs none", withMeta('{"\\u0061":"\\u0062\\/"}'), { a: "b/" }],
  ["a pair of surrogates", withMeta('{"a":"\\ud83d\\ude00"}'), { a: "\u{1F600}" }],
  ["32 levels", nested(32), JSON.parse(chain(31))],
  ["the largest exact integer", withMeta('{"a":9007199254740991}'), { a: 9007199254740991 }],
  [
    "keys that only look dangerous",
    withMeta('{"constructor":1,"toString":2}'),
    { constructor: 1, toString: 2 },
  ],
  ["the same key in two objects", withMeta('{"a":{"b":1},"c":{"b":1}}'), { a: { b: 1 }, c: { b: 1 } }],
];

/** Each route that takes a body; its token is sent where it needs one. */
const ROUTES = [
  "POST /auth/register",
  "POST /auth/prelogin",
  "POST /auth/login",
  "POST /auth/token",
  "POST /auth/logout",
  "PUT /auth/password",
  "POST /entries",
  "POST /entries/batch",
  "PUT /entries/{id}",
  "DELETE /account",
];

for (const engine of ENGINES) {
  describe(`a body on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let other: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      [user, other] = [await signUp(server), await signUp(server)];
    });
    afterAll(() => server.stop());

    for (const [what, code, raw, detail] of REFUSED) {
      test(`of ${what} is ${code}, and nothing is stored`, async () => {
        const answer = await call(server, "POST /entries", { token: user.token, raw });
        expectProblem(answer, PROBLEMS[code].status, code);
        if (detail !== undefined) expect(answer.body.detail).toBe(detail);
        expect((await call(server, "GET /account", { token: user.token })).body.entries).toBe(0);
        expect(await auditTypes(server, user.id)).toEqual(["account-registered", "login-succeeded"]);
      });
    }

    test("on every route that takes one is checked alike", async () => {
      const entry = await createEntry(server, other);
      for (const route of ROUTES.map((one) => one.replace("{id}", entry.id))) {
        const send = (raw: string, type = "application/json") =>
          call(server, route, { token: other.token, raw, headers: { "content-type": type } });
        const answers = [
          await send(""),
          await send('{"a":1,"a":1}'),
          await send('{"__proto__":{"username":"alice"}}'),
          await send('{"a":"\\ud800"}'),
          await send("{}", "text/plain"),
          await send("{}"),
          await send(JSON.stringify({ ...entry, username: other.username, is_admin: true })),
        ];
        const codes = answers.map((answer) => answer.body?.code);
        expect([route, ...codes]).toEqual([
          route,
          "malformed-json",
          "malformed-json",
          "malformed-json",
          "request-invalid",
          "media-type-unsupported",
          "request-invalid",
          "request-invalid",
        ]);
        for (const answer of answers) expectPromisedHeaders(answer);
      }
      const kept = await call(server, `GET /entries/${entry.id}`, { token: other.token });
      expect(kept.body).toEqual(entry);
    });

    for (const [what, raw, meta] of ACCEPTED) {
      test(`with ${what} is taken, and given back as it was meant`, async () => {
        const created = await call(server, "POST /entries", { token: other.token, raw });
        expect(created.status).toBe(201);
        expect(created.body.meta).toEqual(meta);
        const { body } = await call(server, `GET /entries/${created.body.id}`, { token: other.token });
        expect(body).toEqual(created.body);
      });
    }
  });
}
