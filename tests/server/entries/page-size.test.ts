import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { LIMITS } from "../../../src/contract/limits.ts";
import { entries } from "../../../src/server/db/schema.ts";
import { type Answer, call, signUp, type TestUser } from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";

const MIB = 1024 * 1024;

for (const engine of ENGINES) {
  describe(`the size of pages on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      user = await signUp(server);
    });

    /** `count` entries of the user's, all alike, past the API. */
    async function insert(count: number, content: { ciphertext: Uint8Array; name?: string; meta?: string }) {
      const at = new Date();
      const rows = Array.from({ length: count }, () => ({
        ...{ user_id: user.id, id: crypto.randomUUID(), version: 1, created_at: at, updated_at: at },
        ...{ iv: new Uint8Array(12), tag: new Uint8Array(16), ...content },
      }));
      for (let start = 0; start < count; start += 100) {
        await server.deps.db.insert(entries).values(rows.slice(start, start + 100));
      }
      return rows.map(({ id }) => id).sort();
    }

    async function pages(): Promise<Answer[]> {
      const found: Answer[] = [];
      for (let cursor: string | null = ""; cursor !== null; cursor = found.at(-1)?.body.next_cursor ?? null) {
        const query = cursor === "" ? "" : `?cursor=${cursor}`;
        found.push(await call(server, `GET /entries${query}`, { token: user.token }));
      }
      return found;
    }

    const idsOf = (found: Answer[]) =>
      found.flatMap((page) => page.body.entries.map((entry: { id: string }) => entry.id));

    test("200 entries of 64 KiB come in pages of at most 4 MiB, each entry once", async () => {
      const inserted = await insert(200, { ciphertext: new Uint8Array(LIMITS.ciphertext_bytes_max) });
      const found = await pages();
      for (const page of found) expect(Buffer.byteLength(page.text)).toBeLessThanOrEqual(4 * MIB);
      // Full pages, all but the last: an entry more would not have fitted.
      for (const page of found.slice(0, -1)) expect(Buffer.byteLength(page.text)).toBeGreaterThan(3.8 * MIB);
      expect(idsOf(found).sort()).toEqual(inserted);
    });

    test("what is readable counts as it is written, escapes and all", async () => {
      const inserted = await insert(1000, {
        ciphertext: new Uint8Array(1000),
        name: "\u0001".repeat(LIMITS.name_characters_max),
        meta: JSON.stringify({ a: "\u0001".repeat(680) }),
      });
      const found = await pages();
      for (const page of found) expect(Buffer.byteLength(page.text)).toBeLessThanOrEqual(4 * MIB);
      expect(idsOf(found).sort()).toEqual(inserted);
    });
  });
}
