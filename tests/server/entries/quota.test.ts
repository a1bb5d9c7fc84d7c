import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { count, eq } from "drizzle-orm";
import { LIMITS } from "../../../src/contract/limits.ts";
import { entries, entryTombstones, entryUsage } from "../../../src/server/db/schema.ts";
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

const MAX = 5;

for (const engine of ENGINES) {
  describe(`the quota of entries on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine, { MAX_ENTRIES_PER_USER: String(MAX) });
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      user = await signUp(server);
    });

    const create = (body: object = {}) =>
      call(server, "POST /entries", { token: user.token, body: { ...sealedEntry(), ...body } });
    const remove = (id: string) => call(server, `DELETE /entries/${id}`, { token: user.token });
    const fill = async (entries: number) => {
      const answers = [];
      for (let n = 0; n < entries; n++) answers.push(await createEntry(server, user));
      return answers;
    };
    const tally = (answers: Answer[]) =>
      Object.fromEntries(
        [...Map.groupBy(answers, ({ status, body }) => body?.code ?? status)].map(([key, group]) => [
          key,
          group.length,
        ]),
      );

    /** What the counters say beside what is there, and what the account is told. */
    async function usage() {
      const { db } = server.deps;
      const [counted] = await db.select().from(entryUsage).where(eq(entryUsage.user_id, user.id));
      const [held] = await db.select({ rows: count() }).from(entries).where(eq(entries.user_id, user.id));
      const [buried] = await db
        .select({ rows: count() })
        .from(entryTombstones)
        .where(eq(entryTombstones.user_id, user.id));
      const told = (await call(server, "GET /account", { token: user.token })).body;
      expect({ entries: counted?.entries ?? 0, tombstones: counted?.tombstones ?? 0 }).toEqual({
        entries: held?.rows ?? 0,
        tombstones: buried?.rows ?? 0,
      });
      expect({ entries: told.entries, max: told.entries_max }).toEqual({ entries: held?.rows, max: MAX });
      return told.entries;
    }

    test.each([0, 1, MAX - 1])("with %d entries there is room for one more", async (held) => {
      await fill(held);
      expect(await usage()).toBe(held);
      expect((await create()).status).toBe(201);
      expect(await usage()).toBe(held + 1);
    });

    test("with max entries a creation is 409, and changes and reads go on", async () => {
      const [first] = await fill(MAX);
      const before = await auditTypes(server, user.id);
      expectProblem(await create(), 409, "entry-quota-reached");
      expect(await auditTypes(server, user.id)).toEqual(before);
      const body = sealedEntry();
      const replaced = await call(server, `PUT /entries/${first?.id}`, { token: user.token, body });
      expect(replaced.body.version).toBe(2);
      expect((await call(server, "GET /entries", { token: user.token })).body.entries.length).toBe(MAX);
      expect(await usage()).toBe(MAX);
    });

    test("of 20 creations at once exactly as many succeed as there is room for", async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => create()));
      expect(tally(answers)).toEqual({ 201: MAX, "entry-quota-reached": 20 - MAX });
      expect(await usage()).toBe(MAX);
      expect((await auditTypes(server, user.id)).filter((type) => type === "entry-created").length).toBe(MAX);
    });

    test("of 20 creations at once in one's last slot exactly one succeeds", async () => {
      await fill(MAX - 1);
      const answers = await Promise.all(Array.from({ length: 20 }, () => create()));
      expect(tally(answers)).toEqual({ 201: 1, "entry-quota-reached": 19 });
      expect(await usage()).toBe(MAX);
    });

    test("a deletion frees one slot", async () => {
      const [first] = await fill(MAX);
      expect((await remove(first?.id ?? "")).status).toBe(204);
      expect(tally([await create(), await create()])).toEqual({ 201: 1, "entry-quota-reached": 1 });
      expect(await usage()).toBe(MAX);
    });

    test("a creation or deletion that fails takes and frees no slot", async () => {
      const [first] = await fill(1);
      expectProblem(await create({ id: first?.id }), 409, "entry-id-taken");
      expectProblem(await create({ iv: "" }), 422, "request-invalid");
      expectProblem(await remove(crypto.randomUUID()), 404, "entry-not-found");
      const headers = { "if-match": '"9"' };
      const stale = await call(server, `DELETE /entries/${first?.id}`, { token: user.token, headers });
      expectProblem(stale, 412, "entry-conflict");
      expect(await usage()).toBe(1);
      await remove(first?.id ?? "");
      expectProblem(await create({ id: first?.id }), 409, "entry-id-taken");
      expectProblem(await remove(first?.id ?? ""), 404, "entry-not-found");
      expect(await usage()).toBe(0);
    });

    test("creations and deletions at once keep the counters exact, and none of them fails", async () => {
      let held = (await fill(MAX)).map(({ id }) => id);
      for (let round = 0; round < (process.env.SLOW ? 100 : 6); round++) {
        const work = [
          ...held.map((id) => remove(id)),
          ...Array.from({ length: 10 }, () => create()),
          ...held.map((id) => remove(id)),
        ];
        const answers = await Promise.all(work);
        const { 201: created = 0, 204: removed = 0, ...refused } = tally(answers);
        const { "entry-not-found": missed = 0, "entry-quota-reached": full = 0, ...others } = refused;
        expect(others).toEqual({});
        expect({ removed, missed, full }).toEqual({
          ...{ removed: held.length, missed: held.length, full: 10 - created },
        });
        expect(await usage()).toBe(created);
        held = answers.filter(({ status }) => status === 201).map(({ body }) => body.id);
      }
    });

    test("the quota of one account is no business of another's", async () => {
      await fill(MAX);
      const other = await signUp(server);
      expect((await createEntry(server, other)).version).toBe(1);
      expect(await usage()).toBe(MAX);
    });

    test.each([
      [LIMITS.tombstones_per_user_max - 1, 201],
      [LIMITS.tombstones_per_user_max, "entry-quota-reached"],
    ])("with %d ids of deleted entries to remember a creation is %p", async (tombstones, outcome) => {
      const held = await fill(2);
      await server.deps.db.update(entryUsage).set({ tombstones }).where(eq(entryUsage.user_id, user.id));
      expect(tally([await create()])).toEqual({ [outcome]: 1 });
      expect((await remove(held[0]?.id ?? "")).status).toBe(204);
    });

    test("an account that is deleted while its entries come and go leaves nothing, and nobody gets a 5xx", async () => {
      for (let round = 0; round < (process.env.SLOW ? 50 : 3); round++) {
        user = await signUp(server);
        const held = await fill(MAX);
        const { password: current_password } = user;
        const gone = call(server, "DELETE /account", { token: user.token, body: { current_password } });
        const answers: Answer[] = [];
        let ended = false;
        const traffic = async (work: () => Promise<Answer>) => {
          while (!ended) answers.push(await work());
        };
        const going = [
          traffic(async () => {
            const made = await create();
            return made.status === 201 ? remove(made.body.id) : made;
          }),
          traffic(() => create()),
          traffic(() => remove(held.pop()?.id ?? crypto.randomUUID())),
          traffic(() => call(server, "GET /entries", { token: user.token })),
        ];
        const { status } = await gone;
        ended = true;
        await Promise.all(going);
        expect(status).toBe(204);
        expect(answers.filter(({ status }) => status >= 500)).toEqual([]);
        const { db } = server.deps;
        for (const table of [entries, entryUsage, entryTombstones]) {
          expect(await db.select().from(table).where(eq(table.user_id, user.id))).toEqual([]);
        }
        expect(await auditTypes(server, user.id)).toEqual(["account-deleted"]);
      }
    });
  });
}
