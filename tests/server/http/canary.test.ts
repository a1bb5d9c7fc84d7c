import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  type Answer,
  call,
  createEntry,
  randomBase64,
  randomHex,
  randomPassword,
  sealedEntry,
  signUp,
  type TestUser,
  zeroKnowledgeKeys,
} from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { exchange } from "../../support/wire.ts";

/** A secret that stands wherever a client can put one, and must come back from nowhere. Fits a username, too. */
const CANARY = `canary_${randomHex(10)}`;
const ID = crypto.randomUUID();

/** A good body of each route, from which each test spoils one thing. */
const BODIES: Record<string, Record<string, unknown>> = {
  "POST /auth/register": { username: CANARY, password: randomPassword() },
  "POST /auth/register by key": {
    id: ID,
    username: CANARY,
    auth_key: randomBase64(32),
    ...zeroKnowledgeKeys(),
  },
  "POST /auth/prelogin": { username: CANARY },
  "POST /auth/login": { username: CANARY, password: randomPassword(), device_name: "phone" },
  "POST /auth/login by key": { username: CANARY, auth_key: randomBase64(32) },
  "POST /auth/token": { refreshToken: randomHex(20) },
  "POST /auth/logout": { refreshToken: randomHex(20) },
  "PUT /auth/password": { current_password: randomPassword(), new_password: randomPassword() },
  "PUT /auth/password by key": {
    current_auth_key: randomBase64(32),
    new_auth_key: randomBase64(32),
    ...zeroKnowledgeKeys(),
  },
  "POST /entries": { id: ID, ...sealedEntry(), name: "name", meta: { a: "b" } },
  "POST /entries/batch": { entries: [{ id: ID, ...sealedEntry(), name: "name", meta: { a: "b" } }] },
  [`PUT /entries/${ID}`]: { version: 2, ...sealedEntry(), name: "name", meta: { a: "b" } },
  "DELETE /account": { current_password: randomPassword() },
};
const READS = ["GET /entries", `GET /entries/${ID}`, "GET /auth/sessions", "GET /account", "GET /audit"];

for (const engine of ENGINES) {
  describe(`a secret in the wrong place on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    beforeAll(async () => {
      server = await startTestServer(engine, { MAX_FAILED_LOGINS: "100" });
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    async function expectSilentRefusal(route: string, options: Parameters<typeof call>[2]): Promise<void> {
      const answer = await call(server, route, { token: user.token, ...options });
      expectSilence(failed(answer));
    }

    for (const [title, body] of Object.entries(BODIES)) {
      const route = title.replace(" by key", "");
      test(`is not repeated: ${title.replace(ID, "{id}")}, as value, as key, as all of it`, async () => {
        for (const spoilt of spoil(body)) await expectSilentRefusal(route, { body: spoilt });
        for (const raw of [CANARY, `"${CANARY}"`, `{"${CANARY}":`, `{"${CANARY}":1,"${CANARY}":2}`])
          await expectSilentRefusal(route, { raw });
        const headers = { "content-type": `text/${CANARY}` };
        await expectSilentRefusal(route, { raw: JSON.stringify(body), headers });
      });
    }

    test("is not repeated: in the address and the query", async () => {
      for (const route of READS) {
        const query = [`${CANARY}=1`, `limit=${CANARY}`, `cursor=${CANARY}`, `limit=1&${CANARY}[]=x`];
        for (const part of query) expectSilence(failed(await call(server, `${route}?${part}`)));
        await expectSilentRefusal(`${route}/${CANARY}/${CANARY}`, {});
      }
      for (const part of query(["limit", "cursor"])) await expectSilentRefusal(`GET /entries?${part}`, {});
      for (const path of [
        `/${CANARY}`,
        `/entries/${CANARY}`,
        `/entries/%22${CANARY}`,
        `/${CANARY}?${CANARY}`,
      ])
        await expectSilentRefusal(`GET ${path}`, {});
      for (const method of ["PUT", "DELETE"])
        await expectSilentRefusal(`${method} /entries/${CANARY}`, { body: sealedEntry() });
      await expectSilentRefusal(`DELETE /auth/sessions/${CANARY}`, {});
    });

    test("is not repeated: in a header", async () => {
      const names = [
        "Authorization",
        "If-Match",
        "If-None-Match",
        "Cookie",
        "User-Agent",
        "Origin",
        "Referer",
      ];
      const more = ["X-Forwarded-For", "Accept", "Content-Encoding", "Host", "X-Request-Id", CANARY];
      for (const name of [...names, ...more]) {
        for (const value of [
          CANARY,
          `"${CANARY}`,
          `Bearer ${CANARY}`,
          `${CANARY} !`,
          `${CANARY}`.repeat(4),
        ]) {
          for (const target of ["GET /entries/x", "GET /nothing-here", `PATCH /entries/${ID}`]) {
            const answer = await exchange(server, [`${target} HTTP/1.1`, `${name}: ${value}`]);
            // The one thing that a client may have back: a request id of its own choice.
            if (name === "X-Request-Id" && value === CANARY) continue;
            expect(answer.status).toBeGreaterThanOrEqual(400);
            expectSilence(answer);
          }
        }
      }
      const { id } = await createEntry(server, user);
      const conditions = { "if-match": `PUT /entries/${id}`, "if-none-match": `GET /entries/${id}` };
      for (const [name, route] of Object.entries(conditions)) {
        const body = route.startsWith("PUT") ? { body: sealedEntry() } : {};
        await expectSilentRefusal(route, { headers: { [name]: `"${CANARY}` }, ...body });
      }
    });

    test("is not repeated when it is right and refused all the same: a name that is taken", async () => {
      const body = { username: CANARY, password: randomPassword() };
      const first = await call(server, "POST /auth/register", { body });
      expect([201, 409]).toContain(first.status);
      await expectSilentRefusal("POST /auth/register", { body });
    });

    test("stands in no line of the log after all of that, nor does any request of it count as our mistake", () => {
      expectSilence({ text: server.logged.join("") });
      expect(server.logged.filter((line) => line.includes('"level":"error"'))).toEqual([]);
    });
  });
}

test("a server's whole log of a session holds no secret of it", async () => {
  const server = await startTestServer("embedded");
  try {
    const user = await signUp(server);
    const entry = { ...sealedEntry(), name: randomHex(9), meta: { key: randomHex(9) } };
    await call(server, "POST /entries", { token: user.token, body: entry });
    await call(server, "GET /entries", { token: user.token });
    const again = await call(server, "POST /auth/token", { body: { refreshToken: user.refresh_token } });
    const body = { current_password: user.password, new_password: randomPassword() };
    const changed = await call(server, "PUT /auth/password", { token: again.body.accessToken, body });
    await call(server, "POST /auth/logout", { body: { refreshToken: changed.body.refreshToken } });
    const tokens = [again.body, changed.body].flatMap((one) => [one.accessToken, one.refreshToken]);
    const secrets = [...Object.values(body), user.token, user.refresh_token, ...tokens, entry.ciphertext];
    for (const secret of [...secrets, entry.name, entry.meta.key, server.deps.config.jwt.secret]) {
      expect(secret.length).toBeGreaterThan(10);
      expect(server.logged.join("")).not.toContain(secret);
    }
  } finally {
    await server.stop();
  }
});

/** Each field in turn replaced by the canary in several guises, and the canary as a field nobody knows. */
function* spoil(body: Record<string, unknown>): Generator<unknown> {
  yield CANARY;
  yield [CANARY];
  yield { ...body, [CANARY]: 1 };
  yield { [CANARY]: body };
  const put = (field: string, value: unknown) =>
    Array.isArray(body) ? body.with(Number(field), value) : { ...body, [field]: value };
  for (const field of Object.keys(body)) {
    const guises = [[CANARY], `${CANARY}\u0000`, `${CANARY} ${"x".repeat(2000)}`];
    for (const guise of guises) yield put(field, guise);
    const value = body[field];
    // What stands in meta is the client's own affair, but it has a size.
    if (field === "meta") yield put(field, { [CANARY]: CANARY.repeat(200) });
    else if (typeof value === "object" && value !== null)
      for (const part of spoil(value as Record<string, unknown>)) yield put(field, part);
    else yield put(field, { [CANARY]: CANARY });
  }
}

function query(names: string[]): string[] {
  return [`${CANARY}=1`, ...names.flatMap((name) => [`${name}=${CANARY}!`, `${name}[${CANARY}]=1`])];
}

function failed(answer: Answer): Answer {
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  return answer;
}

function expectSilence(answer: { text: string; headers?: Headers }): void {
  const headers = [...(answer.headers ?? [])].flat().join("\n");
  expect(`${headers}\n${answer.text}`.toLowerCase()).not.toContain(CANARY);
}
