import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LIMITS } from "../../../src/contract/limits.ts";
import { OPERATIONS } from "../../../src/contract/operations.ts";
import {
  type Answer,
  call,
  randomHex,
  randomName,
  randomPassword,
  sealedEntry,
  zeroKnowledgeKeys,
} from "../../support/client.ts";
import { startTestServer, type TestServer } from "../../support/server.ts";

/** What the server says is what its document says: `call` compares each answer with it, here and in every test. */
let server: TestServer;
const seen = new Set<string>();
let token = "";

beforeAll(async () => {
  server = await startTestServer("embedded", { RATE_LIMIT_API: "1000000/m" });
}, 30_000);
afterAll(() => server.stop());

async function ask(route: string, options: Parameters<typeof call>[2] = {}): Promise<Answer> {
  const answer = await call(server, route, { token, ...options });
  seen.add(`${route.replace(/\?.*/, "").replace(/[0-9a-f-]{36}/, "{id}")} ${answer.status}`);
  return answer;
}

describe("every answer of every operation is documented", () => {
  const username = randomName();
  const password = randomPassword();
  const somewhere = crypto.randomUUID();

  test("from registering to deleting the account", async () => {
    await ask("POST /auth/register", { body: { username, password } });
    await ask("POST /auth/prelogin", { body: { username } });
    const session = await ask("POST /auth/login", { body: { username, password, device_name: "Laptop" } });
    token = session.body.accessToken;
    const refreshed = await ask("POST /auth/token", { body: { refreshToken: session.body.refreshToken } });
    const { id } = (
      await ask("POST /entries", { body: { ...sealedEntry(), name: "n", meta: { a: [1, null] } } })
    ).body;
    await ask("POST /entries", { body: sealedEntry() });
    const batch = { entries: [{ id: crypto.randomUUID(), ...sealedEntry() }, sealedEntry()] };
    await ask("POST /entries/batch", { body: batch });
    expect((await ask("POST /entries/batch", { body: batch })).status).toBe(409);
    const page = await ask("GET /entries?limit=1");
    await ask(`GET /entries?limit=1&cursor=${page.body.next_cursor}`);
    await ask(`GET /entries/${id}`);
    await ask(`GET /entries/${id}`, { headers: { "if-none-match": '"1"' } });
    await ask(`PUT /entries/${id}`, { body: sealedEntry(), headers: { "if-match": '"1"' } });
    await ask(`PUT /entries/${id}`, { body: sealedEntry(), headers: { "if-match": '"1"' } });
    await ask(`DELETE /entries/${id}`, { headers: { "if-match": '"1"' } });
    await ask(`DELETE /entries/${id}`);
    await ask("POST /entries", { body: { id, ...sealedEntry() } });
    await server.deps.audit.flush();
    await ask("GET /audit?limit=3");
    const { sessions } = (await ask("GET /auth/sessions")).body;
    await ask("DELETE /auth/sessions");
    token = (await ask("POST /auth/login", { body: { username, password } })).body.accessToken;
    await ask(`DELETE /auth/sessions/${sessions[0].id}`);
    const auth_key = Buffer.from(randomHex(32), "hex").toString("base64");
    const change = { current_password: password, new_auth_key: auth_key, ...zeroKnowledgeKeys() };
    token = (await ask("PUT /auth/password", { body: change })).body.accessToken;
    await ask("GET /account");
    await ask("DELETE /account", { body: { current_auth_key: auth_key } });
    await ask("POST /auth/logout", { body: { refreshToken: refreshed.body.refreshToken } });
    await ask("GET /health");
    await ask("GET /ready");
  });

  test("to a stranger, and with a token that is none", async () => {
    for (const { method, path } of OPERATIONS.filter(({ signed_in }) => signed_in)) {
      const route = `${method} ${path.replace("{id}", somewhere)}`;
      expect((await ask(route, { headers: { authorization: "" } })).status).toBe(401);
      expect((await ask(route, { token: "none" })).status).toBe(401);
    }
  });

  test("to a body that is none, too large, of another type or against the rules", async () => {
    token = await signedUp();
    for (const { method, path, request } of OPERATIONS) {
      if (request === undefined) continue;
      const route = `${method} ${path.replace("{id}", somewhere)}`;
      expect((await ask(route, { raw: "{" })).status).toBe(400);
      const bytes_max = path === "/entries/batch" ? LIMITS.batch_body_bytes_max : LIMITS.body_bytes_max;
      expect((await ask(route, { raw: " ".repeat(bytes_max + 1) })).status).toBe(413);
      expect((await ask(route, { raw: "{}", headers: { "content-type": "text/plain" } })).status).toBe(415);
      expect((await ask(route, { body: { surplus: 1 } })).status).toBe(422);
    }
  });

  test("to what is not there, taken, wrong or against the rules of an address", async () => {
    token = await signedUp();
    for (const method of ["GET", "PUT", "DELETE"]) {
      const body = method === "PUT" ? { body: sealedEntry() } : {};
      expect((await ask(`${method} /entries/${somewhere}`, body)).status).toBe(404);
      expect((await ask(`${method} /entries/none`, body)).status).toBe(422);
      expect(
        (
          await ask(`${method} /entries/${somewhere}`, {
            ...body,
            headers: { "if-match": "1", "if-none-match": "1" },
          })
        ).status,
      ).toBe(422);
    }
    expect((await ask(`DELETE /auth/sessions/${somewhere}`)).status).toBe(404);
    expect((await ask("DELETE /auth/sessions/none")).status).toBe(422);
    for (const list of ["/entries", "/audit"])
      for (const query of ["limit=0", "cursor=AA", "surplus=1"])
        expect((await ask(`GET ${list}?${query}`)).status).toBe(422);
    const taken = randomName();
    await ask("POST /auth/register", { body: { username: taken, password } });
    expect((await ask("POST /auth/register", { body: { username: taken, password } })).status).toBe(409);
    expect((await ask("POST /auth/token", { body: { refreshToken: "none" } })).status).toBe(401);
    for (const [route, body] of [
      ["POST /auth/login", { username: randomName(), password }],
      ["PUT /auth/password", { current_password: password, new_password: password }],
      ["DELETE /account", { current_password: password }],
    ] as const) {
      token = await signedUp();
      const statuses: number[] = [];
      for (let attempt = 0; attempt < 6; attempt++) statuses.push((await ask(route, { body })).status);
      expect(statuses).toContain(401);
      expect(statuses.at(-1)).toBe(429);
    }
  });

  test("while the server is starting or stopping", async () => {
    server.lifecycle.state = "draining";
    expect((await ask("GET /ready")).status).toBe(503);
    server.lifecycle.state = "ready";
  });

  test("and every success that the document promises has been seen", () => {
    const promised = OPERATIONS.flatMap(({ method, path, answers }) =>
      Object.keys(answers).map((status) => `${method} ${path} ${status}`),
    );
    expect(promised.filter((one) => !seen.has(one))).toEqual([]);
  });
});

async function signedUp(): Promise<string> {
  const [username, password] = [randomName(), randomPassword()];
  await ask("POST /auth/register", { body: { username, password } });
  return (await ask("POST /auth/login", { body: { username, password } })).body.accessToken;
}
