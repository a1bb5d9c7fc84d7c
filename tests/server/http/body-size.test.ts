import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { call, expectProblem, sealedEntry, signUp, type TestUser } from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { exchange, expectPromisedHeaders, head, openConnection } from "../../support/wire.ts";

const LIMIT = 262_144;
const MEDIA_TYPES: [type: string | undefined, accepted: boolean][] = [
  ["application/json", true],
  ["application/json; charset=utf-8", true],
  ['application/json;charset="UTF-8"', true],
  ["Application/JSON", true],
  [undefined, false],
  ["", false],
  ["text/plain", false],
  ["text/json", false],
  ["application/x-www-form-urlencoded", false],
  ["multipart/form-data; boundary=x", false],
  ["application/octet-stream", false],
  ["application/problem+json", false],
  ["application/jsonp", false],
  ["application/json; charset=latin1", false],
  ["application/json; charset=utf-16", false],
  ["application/json; charset=utf-8; charset=latin1", false],
  ["application/json, text/plain", false],
  ["text/plain; application/json", false],
];

for (const engine of ENGINES) {
  describe(`a body's size and type on ${engine}`, () => {
    let server: TestServer;
    let user: TestUser;
    const post = (more: string[]) => [
      "POST /entries HTTP/1.1",
      `Authorization: Bearer ${user.token}`,
      "Content-Type: application/json",
      ...more,
    ];
    const stored = async () => (await call(server, "GET /account", { token: user.token })).body.entries;

    beforeAll(async () => {
      server = await startTestServer(engine);
      user = await signUp(server);
    });
    afterAll(() => server.stop());

    for (const [type, accepted] of MEDIA_TYPES) {
      test(`${type === undefined ? "none" : JSON.stringify(type)} is ${accepted ? "taken" : "415"}`, async () => {
        const before = await stored();
        const body = JSON.stringify(sealedEntry());
        const lines = ["POST /entries HTTP/1.1", `Authorization: Bearer ${user.token}`];
        if (type !== undefined) lines.push(`Content-Type: ${type}`);
        const answer = await exchange(server, [...lines, `Content-Length: ${body.length}`], body);
        expect(answer.status).toBe(accepted ? 201 : 415);
        expectPromisedHeaders(answer);
        expect(await stored()).toBe(before + (accepted ? 1 : 0));
      });
    }

    test("two types are 415, also when one of them is right", async () => {
      const body = JSON.stringify(sealedEntry());
      const answer = await exchange(
        server,
        post(["Content-Type: text/plain", `Content-Length: ${body.length}`]),
        body,
      );
      expect(answer.status).toBe(415);
    });

    for (const framing of ["content-length", "chunked"] as const) {
      for (const [size, status] of [
        [LIMIT - 1, 201],
        [LIMIT, 201],
        [LIMIT + 1, 413],
        [3 * LIMIT, 413],
      ] as const) {
        test(`${size} bytes, ${framing}, is ${status}`, async () => {
          const before = await stored();
          const body = JSON.stringify(sealedEntry()).padEnd(size, " ");
          const raw = framing === "chunked" ? inChunks(body) : body;
          const answer = await call(server, "POST /entries", { token: user.token, raw });
          if (status === 201) expect(answer.status).toBe(201);
          else expectProblem(answer, 413, "body-too-large");
          expectPromisedHeaders(answer);
          expect(await stored()).toBe(before + (status === 201 ? 1 : 0));
        });
      }
    }

    for (const declared of [LIMIT + 1, 10_000_000_000, Number.MAX_SAFE_INTEGER]) {
      test(`${declared} bytes declared is 413 at once, before any of them is sent`, async () => {
        const answer = await exchange(server, post([`Content-Length: ${declared}`]));
        expect([answer.status, answer.headers.get("connection")]).toEqual([413, "close"]);
        expectPromisedHeaders(answer);
      });
    }

    test("chunks without end are 413 as soon as they are too many", async () => {
      const connection = openConnection(server);
      connection.write(head(server, post(["Transfer-Encoding: chunked"])));
      for (let sent = 0; sent <= LIMIT; sent += 4096) connection.write(`1000\r\n${" ".repeat(4096)}\r\n`);
      const answer = await connection.answered;
      expect(answer.status).toBe(413);
      expectPromisedHeaders(answer);
    });

    for (const framing of [
      ["Content-Length: -1"],
      ["Content-Length: 1e3"],
      ["Content-Length: 0x10"],
      ["Content-Length: 100000000000000000000"],
      ["Content-Length: 2", "Content-Length: 3"],
      ["Content-Length: 2", "Transfer-Encoding: chunked"],
      ["Transfer-Encoding: chunked, identity"],
      ["Transfer-Encoding: gzip"],
    ]) {
      test(`${framing.join(" and ")} is 400, and nothing that follows is taken for a request`, async () => {
        const smuggled = `DELETE /auth/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${user.token}\r\n\r\n`;
        const answer = await exchange(server, post(framing), `0\r\n\r\n${smuggled}`);
        expect([framing, answer.status]).toEqual([framing, 400]);
        expect(answer.text).not.toContain("HTTP/1.1 2");
      });
    }

    test("a token that is refused is told before a body is read, whatever the body", async () => {
      const lines = ["POST /entries HTTP/1.1", "Content-Type: text/plain", "Content-Length: 10000000000"];
      expect((await exchange(server, lines)).status).toBe(401);
    });

    test("a client that asks before sending is told to go on (RFC 9110, section 10.1.1)", async () => {
      const body = JSON.stringify(sealedEntry());
      const answer = await exchange(
        server,
        post(["Expect: 100-continue", `Content-Length: ${body.length}`]),
        body,
      );
      expect(answer.status).toBe(100);
      expect(answer.text).toStartWith("HTTP/1.1 201 ");
    });

    test.skipIf(!process.env.SLOW)(
      "a body that takes more than 30 seconds is 408, whether it stands still or trickles",
      async () => {
        const connections = [openConnection(server), openConnection(server)];
        for (const connection of connections)
          connection.write(`${head(server, post(["Content-Length: 1000"]))}{`);
        const trickle = setInterval(() => connections[0]?.write(" "), 1000);
        for (const { answered } of connections) {
          const answer = await answered;
          expect([answer.status, JSON.parse(answer.text).code]).toEqual([408, "request-timeout"]);
          expectPromisedHeaders(answer);
        }
        clearInterval(trickle);
      },
      60_000,
    );

    test("a client that goes away in the middle of a body leaves nothing behind", async () => {
      const before = await stored();
      const body = JSON.stringify(sealedEntry());
      const connection = openConnection(server);
      connection.write(head(server, post([`Content-Length: ${body.length + 1}`])) + body);
      await call(server, "GET /health");
      connection.close();
      expect((await call(server, "GET /health")).status).toBe(200);
      expect(await stored()).toBe(before);
      expect(server.logged.filter((line) => line.includes('"error"'))).toEqual([]);
    });
  });
}

/** The text in pieces whose number and sizes Content-Length does not tell. */
function inChunks(text: string): ReadableStream<Uint8Array> {
  const data = new TextEncoder().encode(text);
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent >= data.length) return controller.close();
      controller.enqueue(data.slice(sent, sent + 10_007));
      sent += 10_007;
    },
  });
}
