import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  auditLog,
  auditTypes,
  call,
  createEntry,
  expectProblem,
  sealedEntry,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

for (const engine of ENGINES) {
  describe(`entries on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    const send = (route: string, body?: unknown, caller = user) =>
      call(server, route, { token: caller.token, body });

    test("a new entry has version 1, an id, its address and its tag, and no field beyond the contract's", async () => {
      const sealed = sealedEntry();
      const before_ms = server.clock.now_ms();
      const answer = await send("POST /entries", sealed);
      expect(answer.status).toBe(201);
      const { id, created_at, updated_at } = answer.body;
      expect(answer.body).toStrictEqual({
        ...{ id, name: null, ...sealed, meta: null, version: 1, created_at, updated_at },
      });
      expect(id).toMatch(UUID);
      expect(created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(updated_at).toBe(created_at);
      expect(Date.parse(created_at)).toBeWithin(Math.floor(before_ms), server.clock.now_ms() + 1);
      expect(answer.headers.get("location")).toBe(`/entries/${id}`);
      expect(answer.headers.get("etag")).toBe('"1"');
      const read = await send(`GET ${answer.headers.get("location")}`);
      expect({ status: read.status, text: read.text }).toEqual({ status: 200, text: answer.text });
    });

    test("an entry is the same whether it is created, read, listed or found with a slash at the end", async () => {
      const owner = await signUp(server);
      const created = await createEntry(server, owner, { name: "n", meta: { b: 1, a: [2] } });
      for (const route of [`GET /entries/${created.id}`, `GET /entries/${created.id}/`]) {
        expect((await send(route, undefined, owner)).body).toStrictEqual(created);
      }
      for (const route of ["GET /entries", "GET /entries/"]) {
        const { body } = await send(route, undefined, owner);
        expect(body).toStrictEqual({ entries: [created], next_cursor: null });
      }
    });

    test("a client may choose the id; upper case comes back, and is found, in canonical form", async () => {
      const id = crypto.randomUUID();
      const answer = await send("POST /entries", { id: id.toUpperCase(), ...sealedEntry() });
      expect(answer.status).toBe(201);
      expect(answer.body.id).toBe(id);
      expect(answer.headers.get("location")).toBe(`/entries/${id}`);
      for (const spelling of [id, id.toUpperCase()]) {
        expect((await send(`GET /entries/${spelling}`)).body.id).toBe(id);
      }
      expect((await send(`PUT /entries/${id.toUpperCase()}`, sealedEntry())).body.version).toBe(2);
    });

    test.each([
      ["of version 7", "0190b3a6-7d1e-7c3a-8f21-5d2a4c6e8b01"],
      ["of zeros", "00000000-0000-0000-0000-000000000000"],
      ["of ones", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    ])("takes a UUID %s as an id", async (_, id) => {
      expect((await send("POST /entries", { id, ...sealedEntry() })).body.id).toBe(id);
    });

    test("an id that the account has in use is 409, and the entry is as it was", async () => {
      const owner = await signUp(server);
      const entry = await createEntry(server, owner, { name: "first" });
      for (const id of [entry.id, entry.id.toUpperCase()]) {
        const answer = await send("POST /entries", { id, ...sealedEntry(), name: "second" }, owner);
        expectProblem(answer, 409, "entry-id-taken");
        expect(answer.headers.has("etag")).toBe(false);
      }
      expect((await send("GET /entries", undefined, owner)).body.entries).toEqual([entry]);
      expect(await auditTypes(server, owner.id)).toEqual([
        ...["account-registered", "login-succeeded", "entry-created", "entries-listed"],
      ]);
    });

    test("the same id in two accounts is no clash: neither learns of the other's entry", async () => {
      const other = await signUp(server);
      const mine = await createEntry(server, user, { name: "mine" });
      const theirs = await createEntry(server, other, { id: mine.id, name: "theirs" });
      expect(theirs.id).toBe(mine.id);
      expect((await send(`PUT /entries/${mine.id}`, sealedEntry(), other)).body.version).toBe(2);
      expect((await send(`DELETE /entries/${mine.id}`, undefined, other)).status).toBe(204);
      expect((await send(`GET /entries/${mine.id}`)).body).toEqual(mine);
    });

    test("the id of a deleted entry is 409 for ever, in its own account and in no other", async () => {
      const { id } = await createEntry(server, user);
      const stranger = await signUp(server);
      expect((await send(`DELETE /entries/${id}`)).status).toBe(204);
      for (const spelling of [id, id.toUpperCase(), id]) {
        const answer = await send("POST /entries", { id: spelling, ...sealedEntry() });
        expectProblem(answer, 409, "entry-id-taken");
      }
      expectProblem(await send(`GET /entries/${id}`), 404, "entry-not-found");
      expect((await send("POST /entries", { id, ...sealedEntry() }, stranger)).status).toBe(201);
    });

    test("of 20 creations of one id at once exactly one succeeds", async () => {
      const owner = await signUp(server);
      const id = crypto.randomUUID();
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => send("POST /entries", { id, ...sealedEntry() }, owner)),
      );
      const codes = answers.map((answer) => answer.body.code ?? answer.status).sort();
      expect(codes).toEqual([201, ...Array(19).fill("entry-id-taken")]);
      const [winner] = answers.filter((answer) => answer.status === 201);
      expect((await send("GET /entries", undefined, owner)).body.entries).toEqual([winner?.body]);
      expect((await send("GET /account", undefined, owner)).body.entries).toBe(1);
    });

    test("PUT replaces the whole entry: what is left out is gone, and only the time of creation stays", async () => {
      const entry = await createEntry(server, user, { name: "old", meta: { old: true } });
      server.clock.advance(5);
      const sealed = sealedEntry();
      const answer = await send(`PUT /entries/${entry.id}`, sealed);
      expect({ status: answer.status, etag: answer.headers.get("etag") }).toEqual({
        status: 200,
        etag: '"2"',
      });
      const { updated_at } = answer.body;
      expect(answer.body).toStrictEqual({
        ...{ id: entry.id, name: null, ...sealed, meta: null, version: 2 },
        ...{ created_at: entry.created_at, updated_at },
      });
      expect(Date.parse(updated_at)).toBeGreaterThan(Date.parse(entry.updated_at));
      expect((await send(`GET /entries/${entry.id}`)).body).toStrictEqual(answer.body);
    });

    test.each([
      ["null is like left out", { name: null, meta: null }, { name: null, meta: null }],
      ["an empty name and an empty object are kept", { name: "", meta: {} }, { name: "", meta: {} }],
    ])("of name and meta %s", async (_, given, kept) => {
      const created = await createEntry(server, user, given);
      expect(created).toMatchObject(kept);
      const before = await createEntry(server, user, { name: "x", meta: { x: 1 } });
      const replaced = await send(`PUT /entries/${before.id}`, { ...sealedEntry(), ...given });
      expect(replaced.body).toMatchObject(kept);
    });

    test("a deleted entry is gone for every verb and every list", async () => {
      const owner = await signUp(server);
      const { id } = await createEntry(server, owner);
      const gone = await send(`DELETE /entries/${id}`, undefined, owner);
      expect({ status: gone.status, text: gone.text, etag: gone.headers.get("etag") }).toEqual({
        ...{ status: 204, text: "", etag: null },
      });
      expectProblem(await send(`GET /entries/${id}`, undefined, owner), 404, "entry-not-found");
      expectProblem(await send(`PUT /entries/${id}`, sealedEntry(), owner), 404, "entry-not-found");
      expectProblem(await send(`DELETE /entries/${id}`, undefined, owner), 404, "entry-not-found");
      expect((await send("GET /entries", undefined, owner)).body.entries).toEqual([]);
      const events = await auditLog(server, owner.id);
      expect(events.slice(2).map((event) => [event.type, event.entry_id])).toEqual([
        ...[
          ["entry-created", id],
          ["entry-deleted", id],
          ["entries-listed", null],
        ],
      ]);
    });

    test("PUT to an id that nobody has makes no entry", async () => {
      const id = crypto.randomUUID();
      expectProblem(await send(`PUT /entries/${id}`, sealedEntry()), 404, "entry-not-found");
      expectProblem(await send(`GET /entries/${id}`), 404, "entry-not-found");
    });
  });
}
