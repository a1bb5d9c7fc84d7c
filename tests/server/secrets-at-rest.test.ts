import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { is } from "drizzle-orm";
import { getTableConfig, PgTable } from "drizzle-orm/pg-core";
import * as schema from "../../src/server/db/schema.ts";
import { call, randomBase64, randomHex, randomPassword, sealedEntry, signUp } from "../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../support/server.ts";

for (const engine of ENGINES) {
  describe(`the database on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());

    test("holds none of the secrets of a whole session, and what a client sealed in its own columns alone", async () => {
      const user = await signUp(server);
      const [nobody, new_password, auth_key] = [`nobody_${randomHex(8)}`, randomPassword(), randomBase64(32)];
      const sealed = { ...sealedEntry(), ciphertext: Buffer.from(`canary ${randomHex(16)}`).toBase64() };
      const stored = await call(server, "POST /entries", { token: user.token, body: sealed });
      expect(stored.status).toBe(201);
      await call(server, "POST /auth/login", { body: { username: nobody, password: new_password } });
      await call(server, "POST /auth/login", { body: { username: user.username, auth_key } });
      const refreshed = await call(server, "POST /auth/token", {
        body: { refreshToken: user.refresh_token },
      });
      const { accessToken: token, refreshToken: refresh } = refreshed.body;
      const change = { current_password: user.password, new_password };
      const changed = await call(server, "PUT /auth/password", { token, body: change });
      expect(changed.status).toBe(200);
      await server.deps.audit.flush();

      const secrets = [user.password, new_password, nobody, user.token, token, user.refresh_token, refresh];
      const bytes = [user.refresh_token, refresh].map((text) => Buffer.from(text, "base64url").toHex());
      const never = [...secrets, ...bytes, auth_key, Buffer.from(auth_key, "base64").toHex()];
      for (const [column, text] of await columnsOf(server)) {
        for (const secret of never) expect(`${column}: ${text.includes(secret)}`).toBe(`${column}: false`);
        const sealed_here = text.includes(Buffer.from(sealed.ciphertext, "base64").toHex());
        expect(`${column}: ${sealed_here}`).toBe(`${column}: ${column === "entries.ciphertext"}`);
      }
    });
  });
}

/** All that stands in each column of each table, as text; bytes as they are, and in hexadecimal. */
async function columnsOf(server: TestServer): Promise<[string, string][]> {
  const tables = Object.values(schema).filter((value) => is(value, PgTable));
  const columns = await Promise.all(
    tables.map(async (table) => {
      const rows: Record<string, unknown>[] = await server.deps.db.select().from(table);
      const { name, columns } = getTableConfig(table);
      return columns.map((column): [string, string] => [
        `${name}.${column.name}`,
        rows.map((row) => textOf(row[column.name])).join("\n"),
      ]);
    }),
  );
  return columns.flat();
}

function textOf(value: unknown): string {
  if (value instanceof Uint8Array) return `${Buffer.from(value).toString("latin1")} ${value.toHex()}`;
  return value instanceof Date ? value.toISOString() : String(value);
}
