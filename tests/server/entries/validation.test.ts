import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { EntryResponse } from "../../../src/contract/entries.ts";
import { LIMITS } from "../../../src/contract/limits.ts";
import {
  auditTypes,
  call,
  createEntry,
  expectProblem,
  randomBase64,
  randomHex,
  sealedEntry,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

/** Stands in refused values: no answer may hold it. */
const CANARY = `canary${randomHex(8)}`;

/** A JSON object of exactly so many bytes in compact form. */
const metaOf = (bytes: number) => ({ a: "x".repeat(bytes - '{"a":""}'.length) });

function nested(levels: number): object {
  return levels === 1 ? {} : { a: nested(levels - 1) };
}

type Body = Record<string, unknown>;
type Row = [what: string, body: Body];
type RefusedRow = [what: string, body: Body, path: string];

const max = LIMITS.ciphertext_bytes_max;

const accepted: Row[] = [
  ...[1, 2, 3, max - 1, max].map((n): Row => [`ciphertext of ${n} bytes`, { ciphertext: randomBase64(n) }]),
  ["ciphertext of the two letters that base64url has not", { ciphertext: "+/+w" }],
  ["iv of 12 bytes, all zero", { iv: "A".repeat(16) }],
  ["tag of 16 bytes, all ones", { tag: "/////////////////////w==" }],
  ...[0, 1, 255, 256].map((n): Row => [`name of ${n} characters`, { name: "é".repeat(n) }]),
  ["name of 256 characters beyond the basic plane", { name: "\u{1f511}".repeat(256) }],
  ["name of control characters, quotes and markup", { name: '\u0001\n\t"\\</script>\u2028\u007f' }],
  ["name null", { name: null }],
  ["meta {}", { meta: {} }],
  ["meta null", { meta: null }],
  ...[4095, 4096].map((n): Row => [`meta of ${n} bytes`, { meta: metaOf(n) }]),
  ["meta of 4096 bytes that are fewer characters", { meta: { a: `${"é".repeat(2043)}xx` } }],
  ["meta nested as deep as a body may be", { meta: nested(LIMITS.json_depth_max - 1) }],
  ["meta with every kind of value", { meta: { a: [null, true, false, 0, -1.5, "", [[]], {}] } }],
  ["meta with keys that objects have by birth", { meta: { constructor: 1, toString: null, length: 0 } }],
];

const refused: RefusedRow[] = [
  ...["ciphertext", "iv", "tag"].flatMap((field): RefusedRow[] => [
    [`no ${field}`, { [field]: undefined }, `body.${field}`],
    ...[null, 1, true, [], {}, [CANARY], { a: CANARY }].map(
      (value): RefusedRow => [`${field} ${JSON.stringify(value)}`, { [field]: value }, `body.${field}`],
    ),
    [`${field} in base64url`, { [field]: randomBase64(16).replace(/^.{2}/, "-_") }, `body.${field}`],
    [`${field} with white space`, { [field]: `${randomBase64(12)}\n` }, `body.${field}`],
    [`${field} that is no base64`, { [field]: CANARY }, `body.${field}`],
    [`${field} of padding alone`, { [field]: "====" }, `body.${field}`],
    [`${field} with padding in the middle`, { [field]: "AA==AA==AA==AAAAAAAAAA==" }, `body.${field}`],
  ]),
  ["ciphertext of 0 bytes", { ciphertext: "" }, "body.ciphertext"],
  [`ciphertext of ${max + 1} bytes`, { ciphertext: randomBase64(max + 1) }, "body.ciphertext"],
  ["ciphertext without its padding", { ciphertext: "AAA" }, "body.ciphertext"],
  ["ciphertext with too much padding", { ciphertext: "AAA==" }, "body.ciphertext"],
  ["ciphertext with bits left over in one byte", { ciphertext: "AB==" }, "body.ciphertext"],
  ["ciphertext with bits left over in two bytes", { ciphertext: "AAB=" }, "body.ciphertext"],
  ...[0, 1, 11, 13, 16].map((n): RefusedRow => [`iv of ${n} bytes`, { iv: randomBase64(n) }, "body.iv"]),
  ["iv with padding after 12 bytes", { iv: `${randomBase64(12)}====` }, "body.iv"],
  ...[0, 15, 17, 32].map((n): RefusedRow => [`tag of ${n} bytes`, { tag: randomBase64(n) }, "body.tag"]),
  ["tag without its padding", { tag: "A".repeat(22) }, "body.tag"],
  ["tag with bits left over", { tag: `${"A".repeat(21)}B==` }, "body.tag"],
  ["name of 257 characters", { name: "x".repeat(257) }, "body.name"],
  ["name of 257 characters beyond the basic plane", { name: "\u{1f511}".repeat(257) }, "body.name"],
  ["name of 100000 characters", { name: CANARY.repeat(5000) }, "body.name"],
  ...[1, true, [CANARY], { a: CANARY }].map(
    (value): RefusedRow => [`name ${JSON.stringify(value)}`, { name: value }, "body.name"],
  ),
  ["meta of 4097 bytes", { meta: metaOf(4097) }, "body.meta"],
  ["meta of 4097 bytes in fewer characters", { meta: { a: `${"é".repeat(2044)}x` } }, "body.meta"],
  ...[[], [{ a: CANARY }], CANARY, "{}", "", 1, true].map(
    (value): RefusedRow => [`meta ${JSON.stringify(value)}`, { meta: value }, "body.meta"],
  ),
  ...[
    "user_id",
    "userId",
    "owner",
    "created_at",
    "updated_at",
    "Name",
    "password",
    "constructor",
    CANARY,
  ].map((field): RefusedRow => [`a field ${field}`, { [field]: CANARY }, "body"]),
];

const refusedIds = [
  ...["", CANARY, "123", 1, null, {}, [], `${crypto.randomUUID()}\n`, ` ${crypto.randomUUID()}`],
  ...[`{${crypto.randomUUID()}}`, `urn:uuid:${crypto.randomUUID()}`, crypto.randomUUID().replaceAll("-", "")],
  ...["00000000-0000-9000-8000-000000000000", "00000000-0000-4000-0000-000000000000"],
];
const onlyCreate: RefusedRow[] = [
  ...refusedIds.map((id): RefusedRow => [`id ${JSON.stringify(id)}`, { id }, "body.id"]),
  ["a version", { version: 1 }, "body"],
];
const onlyReplace: RefusedRow[] = [
  ["an id", { id: crypto.randomUUID() }, "body"],
  ...[0, -1, 1.5, "2", null, true, [2]].map(
    (version): RefusedRow => [`version ${JSON.stringify(version)}`, { version }, "body.version"],
  ),
];

/** What readJson refuses as such, whatever the schema says. */
const refusedText: [what: string, json: string, status: number][] = [
  ["a key __proto__", '"__proto__":{"user_id":"x"}', 400],
  ["a key __proto__ in meta", '"meta":{"a":{"__proto__":1}}', 400],
  ["the same field twice", '"name":"a","name":"b"', 400],
  ["U+0000 in a name", String.raw`"name":"a\u0000b"`, 422],
  ["a lone surrogate in a name", String.raw`"name":"\ud83d"`, 422],
  ["U+0000 in a key of meta", String.raw`"meta":{"\u0000":1}`, 422],
  ["a lone surrogate in meta", String.raw`"meta":{"a":["\udc00"]}`, 422],
  ["a number in meta that could not be given back", '"meta":{"a":9007199254740993}', 422],
  ["meta nested too deep", `"meta":${JSON.stringify(nested(LIMITS.json_depth_max))}`, 422],
];

for (const engine of ENGINES) {
  describe(`the input of entries on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let entry: EntryResponse;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
      entry = await createEntry(server, user, { name: "as it was", meta: { as: ["it", "was"] } });
    });
    afterAll(() => server.stop());

    const send = (route: string, body: Body) =>
      call(server, route, { token: user.token, body: { ...sealedEntry(), ...body } });

    test.each(accepted)("takes %s and gives it back", async (_, body) => {
      const created = await send("POST /entries", body);
      expect({ status: created.status, body: created.body }).toMatchObject({ status: 201, body });
      const replaced = await send(`PUT /entries/${created.body.id}`, body);
      expect({ status: replaced.status, body: replaced.body }).toMatchObject({ status: 200, body });
      const read = await call(server, `GET /entries/${created.body.id}`, { token: user.token });
      expect(read.body).toStrictEqual(replaced.body);
      await call(server, `DELETE /entries/${created.body.id}`, { token: user.token });
    });

    describe("refuses, and changes nothing for", () => {
      let before: string;
      const state = async () =>
        (await call(server, "GET /entries", { token: user.token })).text +
        (await call(server, "GET /account", { token: user.token })).text +
        (await auditTypes(server, user.id)).filter((type) => type !== "entries-listed").join();
      beforeAll(async () => {
        before = await state();
      });
      afterAll(async () => expect(await state()).toBe(before));

      async function refuses(route: string, body: Body, path: string): Promise<void> {
        const answer = await send(route, body);
        expectProblem(answer, 422, "request-invalid");
        expect(answer.body.errors.map((error: { path: string }) => error.path)).toEqual([path]);
        expect(answer.text).not.toContain(CANARY);
        expect(answer.text.length).toBeLessThan(500);
      }

      test.each(refused)("%s", async (_, body, path) => {
        await refuses("POST /entries", body, path);
        await refuses(`PUT /entries/${entry.id}`, body, path);
      });
      test.each(onlyCreate)("%s at creation", (_, body, path) => refuses("POST /entries", body, path));
      test.each(onlyReplace)("%s at replacement", (_, body, path) =>
        refuses(`PUT /entries/${entry.id}`, body, path),
      );

      test.each(refusedText)("%s", async (_, json, status) => {
        const raw = `${JSON.stringify(sealedEntry()).slice(0, -1)},${json}}`;
        for (const route of ["POST /entries", `PUT /entries/${entry.id}`]) {
          const answer = await call(server, route, { token: user.token, raw });
          expectProblem(answer, status, status === 400 ? "malformed-json" : "request-invalid");
        }
      });

      test.each([
        ...["not-a-uuid", "0", "%00", "..%2f", "*", CANARY, `${crypto.randomUUID()}x`],
        ...[`'${crypto.randomUUID()}'`, "00000000-0000-4000-0000-000000000000"],
      ])("an address /entries/%s", async (id) => {
        for (const method of ["GET", "PUT", "DELETE"]) {
          const answer = await call(server, `${method} /entries/${id}`, {
            token: user.token,
            ...(method === "PUT" && { body: sealedEntry() }),
          });
          expectProblem(answer, 422, "request-invalid");
          expect(answer.body.errors).toEqual([{ path: "params.id", reason: "must be a UUID" }]);
        }
      });

      test.each(["[]", '"x"', "null", "1", "true", "[{}]"])("a body %s", async (raw) => {
        for (const route of ["POST /entries", `PUT /entries/${entry.id}`]) {
          expectProblem(await call(server, route, { token: user.token, raw }), 422, "request-invalid");
        }
      });
    });
  });
}
