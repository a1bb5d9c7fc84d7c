import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import fc from "fast-check";
import { LIMITS } from "../../../src/contract/limits.ts";
import { entries } from "../../../src/server/db/schema.ts";
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

const RUNS = process.env.SLOW ? 200 : 6;
const max = LIMITS.page_entries_max;

const base64url = (bytes: Uint8Array) => bytes.toBase64({ alphabet: "base64url", omitPadding: true });
/** A cursor in the server's own form: 8 bytes of milliseconds, 16 of an id. */
function cursorOf(ms: bigint, id_byte = 0, bytes = 24): string {
  const cursor = new Uint8Array(bytes).fill(id_byte, 8);
  new DataView(cursor.buffer).setBigInt64(0, ms);
  return base64url(cursor);
}

for (const engine of ENGINES) {
  describe(`pages of entries on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine, { MAX_ENTRIES_PER_USER: "2000" });
      user = await signUp(server);
    });
    afterAll(() => server.stop());
    const empty = async () => void (await server.deps.db.delete(entries).where(eq(entries.user_id, user.id)));
    beforeEach(empty);

    const get = (query = "", caller = user) => call(server, `GET /entries${query}`, { token: caller.token });
    const ids = (page: { body: { entries: { id: string }[] } }) => page.body.entries.map(({ id }) => id);

    /** Rows of the user's, created at the times given, past the API. */
    async function insert(times: Date[]): Promise<string[]> {
      const rows = times.map((created_at) => ({
        ...{ user_id: user.id, id: crypto.randomUUID(), version: 1, created_at, updated_at: created_at },
        ...{ ciphertext: new Uint8Array(1), iv: new Uint8Array(12), tag: new Uint8Array(16) },
      }));
      await server.deps.db.insert(entries).values(rows);
      return rows.map(({ id }) => id);
    }

    /** Every id of every page, in the order of the pages; `between` runs after each page. */
    async function walk(limit: string, between: () => Promise<unknown> = async () => {}): Promise<string[]> {
      const seen: string[] = [];
      for (let cursor = ""; ; ) {
        const page = await get(`?${limit}${cursor}`);
        expect(page.status).toBe(200);
        seen.push(...ids(page));
        if (page.body.next_cursor === null) return seen;
        expect(page.body.next_cursor).toMatch(/^[A-Za-z0-9_-]{1,128}$/);
        cursor = `&cursor=${page.body.next_cursor}`;
        await between();
      }
    }

    test("an account without entries has one empty page", async () => {
      expect((await get()).body).toStrictEqual({ entries: [], next_cursor: null });
    });

    test("the newest comes first, whatever was changed last", async () => {
      const created = [];
      for (let count = 0; count < 4; count++) {
        server.clock.advance(2);
        created.unshift((await createEntry(server, user)).id);
      }
      const body = sealedEntry();
      await call(server, `PUT /entries/${created[3]}`, { token: user.token, body });
      expect(ids(await get())).toEqual(created);
      expect(await walk("limit=1")).toEqual(created);
    });

    test.each([
      ["?limit=1", 1],
      ["?limit=2", 2],
      [`?limit=${max - 1}`, max - 1],
      [`?limit=${max}`, max],
      ["", max],
    ])("GET /entries%s has that many entries, and a cursor where more exist", async (query, length) => {
      const newest_first = (await insert(Array.from({ length: max + 1 }, (_, ms) => new Date(ms)))).reverse();
      const page = await get(query);
      expect(ids(page)).toEqual(newest_first.slice(0, length));
      const next = await get(`?cursor=${page.body.next_cursor}`);
      expect(ids(next)).toEqual(newest_first.slice(length));
      expect(next.body.next_cursor).toBeNull();
    });

    test("a page that ends with the last entry has no next one", async () => {
      await insert([1, 2, 3].map((ms) => new Date(ms)));
      for (const limit of [3, 4]) expect((await get(`?limit=${limit}`)).body.next_cursor).toBeNull();
      expect((await get("?limit=2")).body.next_cursor).toBeString();
    });

    test.each([
      ...[
        "limit=0",
        `limit=${max + 1}`,
        "limit=",
        "limit=x",
        "limit=-1",
        "limit=1.5",
        "limit=1e2",
        "limit=%201",
      ],
      ...["limit=01", "limit=+5", "limit=0x10", "limit=99999999999999999999", "limit=1&limit=1", "limit[]=1"],
      ...["limit=1&limit=2", "Limit=1", "offset=1", "page=2", "user_id=x", "limit=1&x", "limit=%D9%A1"],
      ...["cursor=", "cursor=x", "cursor=%00", `cursor=${"A".repeat(33)}`, `cursor=${"A".repeat(31)}`],
      ...[`cursor=${"A".repeat(129)}`, "cursor=%2B%2F%2B%2F", `cursor=${cursorOf(-1n)}`, "cursor=null"],
      ...[`cursor=${cursorOf(1n)}%0A`, `cursor=${cursorOf(1n)}=`, `cursor=${cursorOf(253_402_300_800_000n)}`],
      ...[
        `cursor=${cursorOf(2n ** 63n - 1n)}`,
        `cursor=${cursorOf(1n, 0, 23)}`,
        `cursor=${cursorOf(1n, 0, 25)}`,
      ],
      ...[`cursor=${cursorOf(1n)}&cursor=${cursorOf(1n)}`, "cursor='%20or%201=1"],
    ])("GET /entries?%s is 422 and is not audited", async (query) => {
      const before = await auditTypes(server, user.id);
      const answer = await get(`?${query}`);
      expectProblem(answer, 422, "request-invalid");
      expect(answer.body.errors.length).toBeGreaterThan(0);
      expect(await auditTypes(server, user.id)).toEqual(before);
    });

    test("entries of the same millisecond come once each, over any number of pages", async () => {
      const inserted = await insert(Array(25).fill(new Date(1_700_000_000_123)));
      for (const limit of [1, 7, 24, 25]) {
        const seen = await walk(`limit=${limit}`);
        expect(seen).toEqual([...inserted].sort().reverse());
      }
    });

    test("a cursor outlives its entry, and may be used with another limit", async () => {
      const [oldest, middle, newest] = await insert([1, 2, 3].map((ms) => new Date(ms)));
      const { next_cursor } = (await get("?limit=1")).body;
      expect((await call(server, `DELETE /entries/${newest}`, { token: user.token })).status).toBe(204);
      expect(ids(await get(`?cursor=${next_cursor}`))).toEqual([middle, oldest] as string[]);
    });

    test("a cursor of another account, or one made up, shows one's own entries and no others", async () => {
      const other = await signUp(server);
      const mine = await insert([10, 20, 30].map((ms) => new Date(ms)));
      await createEntry(server, other);
      await createEntry(server, other);
      const { next_cursor } = (await get("?limit=1", other)).body;
      expect(ids(await get(`?cursor=${next_cursor}`))).toEqual([...mine].reverse());
      expect(ids(await get(`?cursor=${cursorOf(25n, 255)}`))).toEqual(mine.slice(0, 2).reverse());
      expect(ids(await get(`?cursor=${cursorOf(0n)}`))).toEqual([]);
      expect(ids(await get(`?cursor=${cursorOf(253_402_300_799_999n, 255)}`))).toEqual([...mine].reverse());
    });

    type Change = { verb: "create" | "update" | "delete"; at: number };
    const change = fc.record<Change>({
      verb: fc.constantFrom("create", "update", "delete"),
      at: fc.nat({ max: 39 }),
    });

    test("pages skip and repeat nothing that was there, while entries are created, changed and deleted", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 15 }),
          fc.array(fc.array(change, { maxLength: 6 }), { minLength: 40, maxLength: 40 }),
          async (limit, rounds) => {
            await empty();
            // A few to each millisecond, up to the present one: what is created meanwhile may share the newest's.
            const now_ms = server.clock.now_ms();
            const there = await insert(Array.from({ length: 40 }, (_, n) => new Date(now_ms - (n >> 2))));
            const deleted = new Set<string>();
            const left = rounds[Symbol.iterator]();
            const seen = await walk(`limit=${limit}`, () =>
              Promise.all((left.next().value ?? []).map(({ verb, at }) => apply(verb, there[at] ?? ""))),
            );
            async function apply(verb: Change["verb"], id: string): Promise<void> {
              const { token } = user;
              if (verb === "create") await call(server, "POST /entries", { token, body: sealedEntry() });
              if (verb === "update") await call(server, `PUT /entries/${id}`, { token, body: sealedEntry() });
              if (verb === "delete") await call(server, `DELETE /entries/${id}`, { token });
              if (verb === "delete") deleted.add(id);
            }
            expect(new Set(seen).size).toBe(seen.length);
            const stayed = there.filter((id) => !deleted.has(id));
            expect(stayed.filter((id) => !seen.includes(id))).toEqual([]);
          },
        ),
        { numRuns: RUNS },
      );
    });
  });
}
