import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { LIMITS } from "../../../src/contract/limits.ts";
import {
  type Answer,
  auditLog,
  auditTypes,
  call,
  createEntry,
  expectProblem,
  randomHex,
  sealedEntry,
  signUp,
  type TestUser,
} from "../../support/client.ts";
import { accountRows, type FragileServer, startFragileServer } from "../../support/fragile-server.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

const max = LIMITS.batch_entries_max;

type Item = Record<string, unknown> & { id?: string };

/** Items as our own client sends them: each with an id. */
const itemsOf = (count: number): (Item & { id: string })[] =>
  Array.from({ length: count }, () => ({ id: crypto.randomUUID(), ...sealedEntry(16) }));

const pathsOf = (answer: Answer): string[] => answer.body.errors.map(({ path }: { path: string }) => path);

for (const engine of ENGINES) {
  describe(`a batch of entries on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine, { MAX_ENTRIES_PER_USER: "1000" });
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      user = await signUp(server);
    });

    const send = (entries: unknown) =>
      call(server, "POST /entries/batch", { token: user.token, body: { entries } });
    const held = async () => (await call(server, "GET /account", { token: user.token })).body.entries;
    /** Asserts that nothing of a batch was stored, counted or audited. */
    async function expectNothing(before = 0): Promise<void> {
      expect(await held()).toBe(before);
      const created = (await auditTypes(server, user.id)).filter((type) => type === "entry-created");
      expect(created.length).toBe(before);
    }
    async function listed(limit: number) {
      const found = [];
      for (let cursor = ""; ; ) {
        const { body } = await call(server, `GET /entries?limit=${limit}${cursor}`, { token: user.token });
        found.push(...body.entries);
        if (body.next_cursor === null) return found;
        cursor = `&cursor=${body.next_cursor}`;
      }
    }

    test.each([1, 2, max - 1, max])("of %d is stored whole and told in its order", async (count) => {
      const items = itemsOf(count).map((item, index) => ({ ...item, name: `n${index}`, meta: { index } }));
      const answer = await send(items);
      expect(answer.status).toBe(201);
      expect(answer.headers.get("location")).toBeNull();
      const [{ created_at }] = answer.body.entries;
      expect(answer.body).toStrictEqual({
        entries: items.map(({ id }) => ({ id, version: 1, created_at, updated_at: created_at })),
      });
      const stored = new Map((await listed(1000)).map((entry) => [entry.id, entry]));
      expect(items.map(({ id }) => stored.get(id))).toStrictEqual(
        items.map((item) => ({ ...item, version: 1, created_at, updated_at: created_at })),
      );
      expect(await held()).toBe(count);
    });

    test.each([
      ["0", []],
      [`${max + 1}`, itemsOf(max + 1)],
      [`${max + 1} that are none`, Array(max + 1).fill(null)],
      ["no list", { 0: sealedEntry() }],
      ["nothing", undefined],
    ])("of %s is refused as a whole", async (_, entries) => {
      const answer = await send(entries);
      expectProblem(answer, 422, "request-invalid");
      expect(pathsOf(answer)).toEqual(["body.entries"]);
      await expectNothing();
    });

    test("gives ids where the client gave none, and takes them in any case", async () => {
      const [first, second] = [crypto.randomUUID(), crypto.randomUUID()];
      const items = [sealedEntry(), { id: first.toUpperCase(), ...sealedEntry() }, sealedEntry()];
      const { body } = await send([...items, { id: second, ...sealedEntry() }]);
      const ids = body.entries.map(({ id }: Item) => id);
      expect([ids[1], ids[3]]).toEqual([first, second]);
      expect(new Set(ids).size).toBe(4);
      for (const id of ids)
        expect((await call(server, `GET /entries/${id}`, { token: user.token })).body.version).toBe(1);
    });

    test("names each item that breaks a rule, and no value, and no word of meta", async () => {
      const canary = `canary${randomHex(8)}`;
      const items: Item[] = itemsOf(5);
      items[1] = { ...items[1], iv: canary };
      items[2] = { ...items[2], meta: { [canary]: { [canary]: "x".repeat(LIMITS.meta_bytes_max) } } };
      items[3] = { ...items[3], [canary]: canary };
      items[4] = { ...items[4], id: canary };
      const answer = await send(items);
      expectProblem(answer, 422, "request-invalid");
      expect(pathsOf(answer)).toEqual([
        ...["body.entries.1.iv", "body.entries.2.meta", "body.entries.3", "body.entries.4.id"],
      ]);
      expect(answer.text).not.toContain(canary);
      await expectNothing();
    });

    test("with a fault in each item names the first of them, as many as any answer does", async () => {
      const answer = await send(itemsOf(max).map((item) => ({ ...item, tag: "" })));
      expectProblem(answer, 422, "request-invalid");
      expect(pathsOf(answer)).toEqual(
        Array.from({ length: LIMITS.validation_errors_max }, (_, index) => `body.entries.${index}.tag`),
      );
    });

    test("with one id twice is refused, in whichever case it is written", async () => {
      const items = itemsOf(4);
      const twice = [items[0], items[1], { ...items[2], id: items[0]?.id.toUpperCase() }, items[1], items[3]];
      const answer = await send(twice);
      expectProblem(answer, 422, "request-invalid");
      expect(pathsOf(answer)).toEqual(["body.entries.2.id", "body.entries.3.id"]);
      await expectNothing();
    });

    test("names every item whose id is taken, or was once", async () => {
      const items = itemsOf(5);
      await createEntry(server, user, { id: items[1]?.id });
      await createEntry(server, user, { id: items[3]?.id });
      await call(server, `DELETE /entries/${items[3]?.id}`, { token: user.token });
      const answer = await send(items);
      expectProblem(answer, 409, "entry-id-taken");
      expect(pathsOf(answer)).toEqual(["body.entries.1.id", "body.entries.3.id"]);
      expect(await held()).toBe(1);
      for (const item of items.slice(2)) {
        const read = await call(server, `GET /entries/${item.id}`, { token: user.token });
        expectProblem(read, 404, "entry-not-found");
      }
      expect((await send([items[0], items[2], items[4]])).status).toBe(201);
    });

    test("that is sent again is refused with all of its items, also where it has filled the account", async () => {
      const items = itemsOf(max);
      expect([(await send(items)).status, (await send(itemsOf(max))).status]).toEqual([201, 201]);
      const again = await send(items);
      expectProblem(again, 409, "entry-id-taken");
      expect(pathsOf(again)).toEqual(items.map((_, index) => `body.entries.${index}.id`));
      await expectNothing(2 * max);
      const one = await call(server, "POST /entries", { token: user.token, body: items[0] });
      expectProblem(one, 409, "entry-id-taken");
      expectProblem(await send(itemsOf(1)), 409, "entry-quota-reached");
    });

    test("may have the ids of another account's entries, and touches none of those", async () => {
      const other = await signUp(server);
      const items = itemsOf(3);
      const theirs = await createEntry(server, other, { id: items[1]?.id });
      expect((await send(items)).status).toBe(201);
      const read = (token: string) => call(server, `GET /entries/${theirs.id}`, { token });
      expect((await read(other.token)).body).toEqual(theirs);
      expect((await read(user.token)).body.ciphertext).toBe(items[1]?.ciphertext as string);
      expect((await call(server, "GET /account", { token: other.token })).body.entries).toBe(1);
    });

    test("is audited entry by entry, in its order", async () => {
      const items = itemsOf(max);
      const headers = { "x-request-id": `batch-${randomHex(8)}` };
      await call(server, "POST /entries/batch", { token: user.token, body: { entries: items }, headers });
      const events = (await auditLog(server, user.id)).slice(2);
      expect(events.map(({ entry_id }) => entry_id)).toEqual(items.map(({ id }) => id));
      const { id: _, entry_id: __, ...single } = await createdEvent();
      for (const { id: _id, entry_id: _entry, ...event } of events)
        expect(event).toEqual({ ...single, at: event.at, request_id: headers["x-request-id"] });
    });

    /** What a creation of its own writes, in the same session. */
    async function createdEvent() {
      await createEntry(server, user);
      return (await auditLog(server, user.id)).at(-1) as Awaited<ReturnType<typeof auditLog>>[number];
    }

    test("is listed between what came before and after it, each entry on one page", async () => {
      const before = await createEntry(server, user);
      server.clock.advance(1000);
      const items = itemsOf(30);
      await send(items);
      server.clock.advance(1000);
      const after = await createEntry(server, user);
      const ids = items.map(({ id }) => id);
      const expected = [after.id, ...ids.sort().reverse(), before.id];
      for (const limit of [1, 7, 30, 31, 32]) {
        expect((await listed(limit)).map(({ id }) => id)).toEqual(expected);
      }
    });

    test("is refused to a stranger before anything of it is looked at", async () => {
      for (const options of [{ body: { entries: itemsOf(1) } }, { raw: "{" }, { body: {} }])
        expectProblem(await call(server, "POST /entries/batch", options), 401, "token-missing");
    });
  });

  describe(`the quota and a batch on ${engine}`, () => {
    const MAX = 5;
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine, { MAX_ENTRIES_PER_USER: String(MAX) });
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      user = await signUp(server);
    });

    const send = (items: unknown[]) =>
      call(server, "POST /entries/batch", { token: user.token, body: { entries: items } });
    const create = () => call(server, "POST /entries", { token: user.token, body: sealedEntry() });
    const remove = (id: string) => call(server, `DELETE /entries/${id}`, { token: user.token });
    const held = async () => (await call(server, "GET /account", { token: user.token })).body.entries;
    const tally = (answers: Answer[]) =>
      Object.fromEntries(
        [...Map.groupBy(answers, ({ status, body }) => body?.code ?? status)].map(([key, group]) => [
          key,
          group.length,
        ]),
      );

    test.each([
      [0, MAX - 1, true],
      [0, MAX, true],
      [0, MAX + 1, false],
      [2, MAX - 3, true],
      [2, MAX - 2, true],
      [2, MAX - 1, false],
      [MAX, 1, false],
    ])("beside %d entries one of %d fits: %p", async (present, count, fits) => {
      if (present > 0) expect((await send(itemsOf(present))).status).toBe(201);
      const answer = await send(itemsOf(count));
      if (fits) expect(answer.status).toBe(201);
      else expectProblem(answer, 409, "entry-quota-reached");
      const entries = present + (fits ? count : 0);
      expect(await held()).toBe(entries);
      expect((await auditTypes(server, user.id)).filter((type) => type === "entry-created").length).toBe(
        entries,
      );
    });

    test("after deletions there is room for as many as went", async () => {
      const { body } = await send(itemsOf(MAX));
      for (const { id } of body.entries.slice(0, 2)) expect((await remove(id)).status).toBe(204);
      expectProblem(await send(itemsOf(3)), 409, "entry-quota-reached");
      expect((await send(itemsOf(2))).status).toBe(201);
      expect(await held()).toBe(MAX);
    });

    test("batches, creations and deletions at once keep it exact, and none of them fails", async () => {
      const present: string[] = [];
      for (let round = 0; round < (process.env.SLOW ? 50 : 5); round++) {
        const answers = await Promise.all([
          ...Array.from({ length: 6 }, () => send(itemsOf(2))),
          ...Array.from({ length: 6 }, () => create()),
          ...present.splice(0).map((id) => remove(id)),
        ]);
        const { 201: made = 0, 204: _, "entry-quota-reached": full = 0, ...others } = tally(answers);
        expect({ others, made: made + full }).toEqual({ others: {}, made: 12 });
        const { body } = await call(server, "GET /entries", { token: user.token });
        present.push(...body.entries.map(({ id }: { id: string }) => id));
        expect(await held()).toBe(present.length);
        expect(present.length).toBeLessThanOrEqual(MAX);
        expect(present.length).toBeGreaterThanOrEqual(MAX - 1);
      }
    });

    test("of one batch sent ten times at once one is stored, and the others are told of all its ids", async () => {
      const items = itemsOf(3);
      const answers = await Promise.all(Array.from({ length: 10 }, () => send(items.toReversed())));
      expect(tally(answers)).toEqual({ 201: 1, "entry-id-taken": 9 });
      for (const answer of answers.filter(({ status }) => status === 409))
        expect(pathsOf(answer)).toEqual(["body.entries.0.id", "body.entries.1.id", "body.entries.2.id"]);
      expect(await held()).toBe(3);
    });

    test("a batch takes one token of the rate limit, whatever its size", async () => {
      const limited = await startTestServer(engine, { RATE_LIMIT_API: "3/m" });
      const statuses: number[] = [];
      for (const count of [1, max, 2, 1]) {
        const body = { entries: itemsOf(count) };
        statuses.push((await call(limited, "POST /entries/batch", { token: user.token, body })).status);
      }
      await limited.stop();
      expect(statuses).toEqual([201, 201, 201, 429]);
    });
  });

  describe(`a batch of entries and a database that fails on ${engine}`, () => {
    let server: FragileServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startFragileServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    const send = (items: unknown[]) =>
      call(server, "POST /entries/batch", { token: user.token, body: { entries: items } });

    test("is nowhere when any of its statements fails, and these are as many for 500 items as for one", async () => {
      const items = itemsOf(max);
      await send(itemsOf(1));
      const before = await accountRows(server.direct, user.id);
      let failing = 0;
      for (;;) {
        server.faults.clear();
        server.faults.fail((_query, nth) => nth === failing + 1);
        const answer = await send(items);
        if (answer.status === 201) break;
        failing++;
        expectProblem(answer, 500, "internal-error");
        expect(await accountRows(server.direct, user.id)).toEqual(before);
      }
      server.faults.clear();
      await send(itemsOf(1));
      // Whether the session lives, twice; slots, ids, entries, events.
      expect([failing, server.faults.queries.length]).toEqual([6, 6]);
      const after = await accountRows(server.direct, user.id);
      expect(after.entries?.length).toBe(max + 2);
    });

    test("is stored and told as taken when its answer was lost", async () => {
      const items = itemsOf(3);
      server.faults.loseAnswers();
      expectProblem(await send(items), 503, "database-unavailable");
      server.faults.clear();
      const again = await send(items);
      expectProblem(again, 409, "entry-id-taken");
      expect(pathsOf(again).length).toBe(3);
    });
  });
}
