import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { call, sealedEntry, signUp, type TestUser } from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

const RUNS = process.env.SLOW ? 1000 : 40;

const base64 = (bytes: Uint8Array) => bytes.toBase64();
const bytes = (min: number, max = min) =>
  fc.uint8Array({ minLength: min, maxLength: max, size: "max" }).map(base64);

/** Any text that PostgreSQL can hold, and of the numbers those that are given back as they came. */
const text = fc.string({ unit: "binary", maxLength: 40 }).filter((value) => !value.includes("\0"));
const key = text.filter((value) => value !== "__proto__");
const number = fc.oneof(
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter(isExact),
);
/** Digits without an exponent that stand for another integer, and -0, are refused. */
function isExact(value: number): boolean {
  if (Number.isInteger(value) && Math.abs(value) < 1e21)
    return Number.isSafeInteger(value) && !Object.is(value, -0);
  return true;
}
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.oneof(text, number, fc.boolean(), fc.constant(null)),
    fc.array(tie("json"), { maxLength: 4 }),
    fc.dictionary(key, tie("json"), { maxKeys: 4 }),
  ),
}));
const meta = fc
  .dictionary(key, json, { maxKeys: 6 })
  .filter((value) => Buffer.byteLength(JSON.stringify(value)) <= 4096);

const entry = fc.record({
  ciphertext: fc.oneof({ weight: 9, arbitrary: bytes(1, 500) }, bytes(65_530, 65_536)),
  iv: bytes(12),
  tag: bytes(16),
  name: fc.option(text),
  meta: fc.option(meta),
});

/** The members that a client sent, as they must stand in the answer: `meta` is compared letter by letter. */
function stored(body: Record<string, unknown>): string {
  const { name, ciphertext, iv, tag, meta } = body;
  return JSON.stringify({ name, ciphertext, iv, tag, meta }).slice(1, -1);
}

for (const engine of ENGINES) {
  describe(`what is stored on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    const send = (route: string, body?: unknown) => call(server, route, { token: user.token, body });
    const metaText = (answer: string) => /"meta":(.*),"version":/s.exec(answer)?.[1];

    test("comes back byte for byte from every verb", async () => {
      await fc.assert(
        fc.asyncProperty(entry, entry, async (first, second) => {
          const created = await send("POST /entries", first);
          expect(created.text).toContain(stored(first));
          const route = `/entries/${created.body.id}`;
          expect((await send(`GET ${route}`)).text).toContain(stored(first));
          expect((await send(`PUT ${route}`, second)).text).toContain(stored(second));
          expect((await send(`GET ${route}`)).text).toContain(stored(second));
          expect((await send("GET /entries?limit=1")).text).toContain(stored(second));
          expect((await send(`DELETE ${route}`)).status).toBe(204);
        }),
        { numRuns: RUNS },
      );
    });

    test("comes back byte for byte when it came in a batch", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 5 }), async (items) => {
          const created = await send("POST /entries/batch", { entries: items });
          expect(created.status).toBe(201);
          for (const [index, item] of items.entries()) {
            const read = await send(`GET /entries/${created.body.entries[index].id}`);
            expect(read.text).toContain(stored(item));
          }
        }),
        { numRuns: RUNS },
      );
    });

    test.each([
      ["the order of keys", '{"zeta":1,"alpha":2,"Alpha":3,"":4,"é":5,"alpha ":6}'],
      ["keys that differ only in Unicode form", '{"\u00e9":1,"e\u0301":2}'],
      [
        "numbers at the ends of their range",
        "[0,9007199254740991,-9007199254740991,5e-324,1.7976931348623157e+308]",
      ],
      ["numbers that jsonb would rewrite", "[0.1,1e+21,1e-7,123456789012345.6,0.30000000000000004]"],
      ["letters that JSON may escape", '"\\u0001\\b\\t\\n\\f\\r\\"\\\\/ é🔑"'],
      ["empty and nested values", '[[],{},"",[[[{"a":{}}]]],null,false]'],
    ])("keeps in meta %s", async (_, value) => {
      const json = value.startsWith("{") ? value : `{"a":${value}}`;
      const raw = `${JSON.stringify(sealedEntry()).slice(0, -1)},"meta":${json}}`;
      const created = await call(server, "POST /entries", { token: user.token, raw });
      expect(metaText(created.text)).toBe(json);
      expect(metaText((await send(`GET /entries/${created.body.id}`)).text)).toBe(json);
    });

    test("meta is kept as compact JSON: of one value there is one spelling, JavaScript's", async () => {
      const raw = `${JSON.stringify(sealedEntry()).slice(0, -1)}, "meta" : { "a" : [ 1.0, 1E3, "\\u0061\\/" ], "2": 0, "1": 0 } }`;
      const created = await call(server, "POST /entries", { token: user.token, raw });
      expect(metaText(created.text)).toBe('{"1":0,"2":0,"a":[1,1000,"a/"]}');
    });
  });
}
