import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { EntryResponse } from "../../../src/contract/entries.ts";
import {
  type Answer,
  auditLog,
  auditTypes,
  call,
  createEntry,
  sealedEntry,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

type Row = [what: string, method: string, options: { body?: object; headers?: Record<string, string> }];

/** Every verb an entry knows, with all that could make a difference. */
const attempts: Row[] = [
  ["GET", "GET", {}],
  ["GET with the tag it has", "GET", { headers: { "if-none-match": '"1"' } }],
  ["GET with any tag", "GET", { headers: { "if-none-match": "*" } }],
  ["HEAD", "HEAD", {}],
  ["PUT", "PUT", { body: sealedEntry() }],
  ["PUT with the tag it has", "PUT", { body: sealedEntry(), headers: { "if-match": '"1"' } }],
  ["PUT with another tag", "PUT", { body: sealedEntry(), headers: { "if-match": '"9"' } }],
  ["PUT with any tag", "PUT", { body: sealedEntry(), headers: { "if-match": "*" } }],
  ["PUT with a malformed tag", "PUT", { body: sealedEntry(), headers: { "if-match": "x" } }],
  ["PUT with the version it makes", "PUT", { body: { ...sealedEntry(), version: 2 } }],
  ["PUT with another version", "PUT", { body: { ...sealedEntry(), version: 9 } }],
  ["PUT with an invalid body", "PUT", { body: { ...sealedEntry(), iv: "" } }],
  ["DELETE", "DELETE", {}],
  ["DELETE with the tag it has", "DELETE", { headers: { "if-match": '"1"' } }],
  ["DELETE with another tag", "DELETE", { headers: { "if-match": '"9"' } }],
  ["POST", "POST", { body: sealedEntry() }],
  ["PATCH", "PATCH", { body: sealedEntry() }],
];

/** All that a stranger can see of an answer, but for what is drawn anew for every request. */
function visible(answer: Answer, id: string) {
  const { request_id, ...body } = answer.body ?? {};
  const headers = Object.fromEntries(answer.headers);
  for (const name of ["x-request-id", "date"]) delete headers[name];
  expect(answer.text).not.toContain(id);
  return { status: answer.status, headers, body, length: answer.text.length };
}

for (const engine of ENGINES) {
  describe(`somebody else's data on ${engine}`, () => {
    let server: TestServer;
    let victim: TestUser;
    let stranger: TestUser;
    let entry: EntryResponse;
    beforeAll(async () => {
      server = await startTestServer(engine);
      [victim, stranger] = await Promise.all([signUp(server), signUp(server)]);
      entry = await createEntry(server, victim, { name: "the victim's", meta: { of: "the victim" } });
      await createEntry(server, stranger);
    });
    afterAll(() => server.stop());

    const as = (user: TestUser, route: string, options: object = {}) =>
      call(server, route, { token: user.token, ...options });

    test.each(attempts)(
      "%s of an entry is answered as for an entry that nobody has",
      async (_, method, options) => {
        const [mine, theirs] = [await auditLog(server, stranger.id), await auditLog(server, victim.id)];
        const nobodys = crypto.randomUUID();
        const there = visible(await as(stranger, `${method} /entries/${entry.id}`, options), entry.id);
        const missing = visible(await as(stranger, `${method} /entries/${nobodys}`, options), nobodys);
        expect(there).toEqual(missing);
        expect(there.status).toBeOneOf([404, 405, 422]);
        expect(there.headers).not.toHaveProperty("etag");
        // Nothing happened, in either log.
        expect(await auditLog(server, victim.id)).toEqual(theirs);
        expect(await auditLog(server, stranger.id)).toEqual(mine);
        expect((await as(victim, `GET /entries/${entry.id}`)).body).toEqual(entry);
      },
    );

    test.each(attempts.filter(([, method]) => ["GET", "HEAD", "PUT", "DELETE"].includes(method)))(
      "%s is the owner's right all the same",
      async (_, method, options) => {
        const own = await createEntry(server, victim);
        const answer = await as(victim, `${method} /entries/${own.id}`, options);
        expect(answer.status).toBeOneOf([200, 204, 304, 412, 422]);
      },
    );

    test("the id of somebody else's entry, or of one that was, may be anybody's", async () => {
      const own = await createEntry(server, victim);
      expect((await createEntry(server, stranger, { id: own.id })).version).toBe(1);
      const gone = await createEntry(server, victim);
      await as(victim, `DELETE /entries/${gone.id}`);
      expect((await createEntry(server, stranger, { id: gone.id })).version).toBe(1);
    });

    test("an owner in the body is refused, not obeyed", async () => {
      const before = (await as(victim, "GET /entries")).text;
      for (const field of ["user_id", "userId", "owner", "account"]) {
        const body = { ...sealedEntry(), [field]: victim.id };
        expect((await as(stranger, "POST /entries", { body })).status).toBe(422);
      }
      expect((await as(victim, "GET /entries")).text).toBe(before);
    });

    test("lists of entries, sessions and events, and the account, tell of oneself alone", async () => {
      const sessions = (await as(victim, "GET /auth/sessions")).body.sessions;
      await as(victim, `GET /entries/${entry.id}`);
      const events = await auditLog(server, victim.id);
      const secrets = [
        ...[victim.id, victim.username, entry.id, entry.ciphertext, "the victim"],
        ...sessions.map((session: { id: string }) => session.id),
        ...events.map((event) => event.id),
      ];
      expect(secrets.length).toBeGreaterThan(8);
      for (const route of ["GET /entries", "GET /auth/sessions", "GET /audit", "GET /account"]) {
        const answer = await as(stranger, route);
        expect(answer.status).toBe(200);
        for (const secret of secrets) expect(answer.text).not.toContain(secret);
      }
    });

    test("a session is ended by its account alone; for others it is as if it were not there", async () => {
      const [session] = (await as(victim, "GET /auth/sessions")).body.sessions;
      const before = await auditTypes(server, victim.id);
      const nobodys = crypto.randomUUID();
      const there = visible(await as(stranger, `DELETE /auth/sessions/${session.id}`), session.id);
      const missing = visible(await as(stranger, `DELETE /auth/sessions/${nobodys}`), nobodys);
      expect(there).toEqual(missing);
      expect(there.status).toBe(404);
      expect((await as(stranger, "DELETE /auth/sessions")).status).toBe(204);
      expect((await as(victim, "GET /auth/sessions")).status).toBe(200);
      expect(await auditTypes(server, victim.id)).toEqual(before);
    });
  });
}
