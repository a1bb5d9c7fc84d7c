import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { EntryResponse } from "../../../src/contract/entries.ts";
import {
  type Answer,
  auditTypes,
  call,
  createEntry,
  expectProblem,
  sealedEntry,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

for (const engine of ENGINES) {
  describe(`changes of one entry at once on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    let entry: EntryResponse;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      user = await signUp(server);
      entry = await createEntry(server, user);
    });

    const replace = (headers: Record<string, string> = {}, extra: object = {}) =>
      call(server, `PUT /entries/${entry.id}`, {
        token: user.token,
        body: { ...sealedEntry(), ...extra },
        headers,
      });
    const remove = (headers: Record<string, string> = {}) =>
      call(server, `DELETE /entries/${entry.id}`, { token: user.token, headers });
    const read = () => call(server, `GET /entries/${entry.id}`, { token: user.token });
    const times = (count: number, work: () => Promise<Answer>) =>
      Promise.all(Array.from({ length: count }, work));
    const statuses = (answers: Answer[]) =>
      Object.fromEntries(
        [...Map.groupBy(answers, (answer) => answer.status)].map(([status, group]) => [status, group.length]),
      );
    const countEvents = async (type: string) =>
      (await auditTypes(server, user.id)).filter((one) => one === type).length;

    test.each([
      ["one ETag", { "if-match": '"1"' }, {}],
      ["one version in the body", {}, { version: 2 }],
    ])("of 50 updates with %s exactly one succeeds", async (_, headers, extra) => {
      const answers = await times(50, () => replace(headers, extra));
      expect(statuses(answers)).toEqual({ 200: 1, 412: 49 });
      const [winner] = answers.filter((answer) => answer.status === 200);
      const [loser] = answers.filter((answer) => answer.status === 412);
      expect(loser?.headers.get("etag")).toBe('"2"');
      expect((await read()).body).toStrictEqual(winner?.body);
      expect(winner?.body.version).toBe(2);
      expect(await countEvents("entry-updated")).toBe(1);
    });

    test("50 updates without If-Match all succeed, each at a version of its own", async () => {
      const answers = await times(50, () => replace());
      expect(statuses(answers)).toEqual({ 200: 50 });
      const versions = answers.map((answer) => answer.body.version).sort((a, b) => a - b);
      expect(versions).toEqual(Array.from({ length: 50 }, (_, index) => index + 2));
      const last = answers.find((answer) => answer.body.version === 51);
      expect((await read()).body).toStrictEqual(last?.body);
      expect(await countEvents("entry-updated")).toBe(50);
    });

    test("a deletion among updates ends them: what succeeded came before it, and nothing comes after", async () => {
      const [gone, ...answers] = await Promise.all([
        replace().then(() => remove()),
        ...Array.from({ length: 30 }, () => replace()),
      ]);
      expect(gone?.status).toBe(204);
      const { 200: updated = 0, 404: missed = 0, ...others } = statuses(answers);
      expect({ total: updated + missed, others }).toEqual({ total: 30, others: {} });
      expectProblem(await read(), 404, "entry-not-found");
      const events = (await auditTypes(server, user.id)).filter((type) => type.startsWith("entry-"));
      expect(events).toEqual([
        ...["entry-created", ...Array(updated + 1).fill("entry-updated"), "entry-deleted"],
      ]);
    });

    test("of 10 deletions exactly one succeeds, and one slot is given back", async () => {
      await createEntry(server, user);
      const answers = await times(10, () => remove());
      expect(statuses(answers)).toEqual({ 204: 1, 404: 9 });
      expect((await call(server, "GET /account", { token: user.token })).body.entries).toBe(1);
      expect(await countEvents("entry-deleted")).toBe(1);
    });

    test("of updates and deletions with one ETag exactly one succeeds", async () => {
      const headers = { "if-match": '"1"' };
      const answers = (
        await Promise.all([times(10, () => replace(headers)), times(10, () => remove(headers))])
      ).flat();
      const won = answers.filter((answer) => answer.status < 300);
      expect(won.length).toBe(1);
      const lost = won[0]?.status === 204 ? 404 : 412;
      expect(answers.filter((answer) => answer.status === lost).length).toBe(19);
      expect((await countEvents("entry-updated")) + (await countEvents("entry-deleted"))).toBe(1);
    });
  });
}
