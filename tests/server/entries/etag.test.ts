import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { EntryResponse } from "../../../src/contract/entries.ts";
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

/** Against an entry at version 3. */
const holds = [...['"3"', '"1", "3"', '"3","4"', '"x","3"', 'W/"3", "3"', "*", " * ", '  "3"  ', '"",\t"3"']];
const fails = [
  ...['"2"', '"4"', '"1", "2"', 'W/"3"', 'W/"3", W/"4"', '""', '"03"', '"3.0"', '"+3"', '"x"', '"\u00e9"'],
  ...['"99999999999999999999"', '"*"'],
];
const malformed = [
  ...["3", '"3', '3"', "'3'", '"3" "4"', '"3",', ',"3"', 'w/"3"', 'W/ "3"', "W/3", '*, "3"', '"3", *', "**"],
  ...["x", '" 3"', `"${"3".repeat(1023)}"`, "null", '"3";'],
];

const unchanged = ['"3"', 'W/"3"', '"1", "3"', 'W/"1",W/"3"', "*"];
const changed = ['"2"', 'W/"2"', '"1", "2"', '""', '"03"', '"x"'];

for (const engine of ENGINES) {
  describe(`the version of an entry on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let entry: EntryResponse;
    let events_before: string[];

    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    const send = (route: string, options: { body?: unknown; headers?: Record<string, string> } = {}) =>
      call(server, route, { token: user.token, ...options });
    const replace = (headers: Record<string, string> = {}, extra: object = {}) =>
      send(`PUT /entries/${entry.id}`, { body: { ...sealedEntry(), ...extra }, headers });
    const current = async () => (await send(`GET /entries/${entry.id}`)).body;
    const changes = async () => {
      const types = (await auditTypes(server, user.id)).filter((type) => type !== "entry-read");
      return types.slice(events_before.filter((type) => type !== "entry-read").length);
    };

    beforeEach(async () => {
      entry = await createEntry(server, user);
      for (const version of [2, 3]) expect((await replace()).body.version).toBe(version);
      entry = await current();
      events_before = await auditTypes(server, user.id);
    });

    test.each(holds)("PUT and DELETE go through for If-Match: %s", async (tags) => {
      const answer = await replace({ "if-match": tags });
      expect({ status: answer.status, etag: answer.headers.get("etag") }).toEqual({
        status: 200,
        etag: '"4"',
      });
      expect(answer.body.version).toBe(4);
      const tags_now = tags.replaceAll("3", "4");
      const gone = await send(`DELETE /entries/${entry.id}`, { headers: { "if-match": tags_now } });
      expect(gone.status).toBe(204);
      expect(await changes()).toEqual(["entry-updated", "entry-deleted"]);
    });

    test.each(fails)("PUT and DELETE are 412 with the current tag for If-Match: %s", async (tags) => {
      for (const method of ["PUT", "DELETE"]) {
        const answer = await send(`${method} /entries/${entry.id}`, {
          headers: { "if-match": tags },
          ...(method === "PUT" && { body: sealedEntry() }),
        });
        expectProblem(answer, 412, "entry-conflict");
        expect(answer.headers.get("etag")).toBe('"3"');
      }
      expect(await current()).toEqual(entry);
      expect(await changes()).toEqual([]);
    });

    test.each(malformed)("PUT, DELETE and GET are 422 for the malformed tags %s", async (tags) => {
      for (const [method, header] of [
        ...[
          ["PUT", "if-match"],
          ["DELETE", "if-match"],
          ["GET", "if-none-match"],
        ],
      ] as [string, string][]) {
        const answer = await send(`${method} /entries/${entry.id}`, {
          headers: { [header]: tags },
          ...(method === "PUT" && { body: sealedEntry() }),
        });
        expectProblem(answer, 422, "request-invalid");
        expect(answer.body.errors).toMatchObject([{ path: `headers.${header}` }]);
        expect(answer.headers.has("etag")).toBe(false);
      }
      expect(await auditTypes(server, user.id)).toEqual(events_before);
      expect(await current()).toEqual(entry);
    });

    test("empty tags are malformed too, and no permission", async () => {
      expectProblem(await replace({ "if-match": "" }), 422, "request-invalid");
      expect(await current()).toEqual(entry);
    });

    test("a precondition on an entry that is not there is 404", async () => {
      for (const tags of ['"1"', "*", 'W/"1"']) {
        const headers = { "if-match": tags };
        const missing = `/entries/${crypto.randomUUID()}`;
        expectProblem(await send(`PUT ${missing}`, { body: sealedEntry(), headers }), 404, "entry-not-found");
        expectProblem(await send(`DELETE ${missing}`, { headers }), 404, "entry-not-found");
      }
    });

    test("a refused deletion keeps the slot, the entry and its id", async () => {
      const before = (await send("GET /account")).body.entries;
      await send(`DELETE /entries/${entry.id}`, { headers: { "if-match": '"2"' } });
      expect((await send("GET /account")).body.entries).toBe(before);
      expect((await replace({ "if-match": '"3"' })).body.version).toBe(4);
    });

    test("PUT with the version it makes goes through, and grows it by exactly 1", async () => {
      expect((await replace({}, { version: 4 })).body.version).toBe(4);
      expect((await replace({ "if-match": '"4"' }, { version: 5 })).body.version).toBe(5);
    });

    test.each([1, 2, 3, 5, 2_147_483_648, Number.MAX_SAFE_INTEGER])(
      "PUT with version %d in the place of 4 is 412, whatever If-Match says",
      async (version) => {
        for (const headers of [{}, { "if-match": '"3"' }, { "if-match": "*" }]) {
          const answer = await replace(headers, { version });
          expectProblem(answer, 412, "entry-conflict");
          expect(answer.headers.get("etag")).toBe('"3"');
        }
        expectProblem(await replace({ "if-match": '"2"' }, { version: 4 }), 412, "entry-conflict");
        expect(await current()).toEqual(entry);
        expect(await changes()).toEqual([]);
      },
    );

    test.each(unchanged)("GET is 304 without a body for If-None-Match: %s", async (tags) => {
      for (const method of ["GET", "HEAD"]) {
        const answer = await send(`${method} /entries/${entry.id}`, { headers: { "if-none-match": tags } });
        expect({ status: answer.status, text: answer.text }).toEqual({ status: 304, text: "" });
        expect(answer.headers.get("etag")).toBe('"3"');
        expect(answer.headers.get("cache-control")).toBe("no-store");
        expect(answer.headers.has("x-request-id")).toBe(true);
        expect(answer.headers.has("content-type")).toBe(false);
      }
    });

    test.each(changed)("GET is 200 with the entry for If-None-Match: %s", async (tags) => {
      const answer = await send(`GET /entries/${entry.id}`, { headers: { "if-none-match": tags } });
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual(entry);
      expect(answer.headers.get("etag")).toBe('"3"');
    });

    test("HEAD has GET's headers and no body", async () => {
      const [get, head] = [await send(`GET /entries/${entry.id}`), await send(`HEAD /entries/${entry.id}`)];
      expect({ status: head.status, text: head.text }).toEqual({ status: 200, text: "" });
      for (const header of ["etag", "content-type", "content-length"]) {
        expect(head.headers.get(header) ?? "").toBe(get.headers.get(header) ?? "none");
      }
    });
  });
}
