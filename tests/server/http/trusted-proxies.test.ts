import { beforeAll, describe, expect, test } from "bun:test";
import { call, signUp, type TestUser } from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { exchange } from "../../support/wire.ts";

type Row = { trusted: string; forwarded: string[]; address: string };

/** The socket of each of these requests is 127.0.0.1. */
const ROWS: Record<string, Row> = {
  "nobody is trusted": { trusted: "", forwarded: ["203.0.113.7"], address: "127.0.0.1" },
  "somebody else is trusted": { trusted: "10.0.0.0/8", forwarded: ["203.0.113.7"], address: "127.0.0.1" },
  "the proxy is trusted": { trusted: "127.0.0.1", forwarded: ["203.0.113.7"], address: "203.0.113.7" },
  "the proxy says nothing": { trusted: "127.0.0.1", forwarded: [], address: "127.0.0.1" },
  "the client wrote addresses to the left": {
    trusted: "127.0.0.1",
    forwarded: ["198.51.100.1, 127.0.0.1, 203.0.113.7"],
    address: "203.0.113.7",
  },
  "a second proxy is trusted as well": {
    trusted: "127.0.0.1, 10.0.0.0/8",
    forwarded: ["198.51.100.1, 203.0.113.7, 10.1.2.3"],
    address: "203.0.113.7",
  },
  "the header comes in two lines": {
    trusted: "127.0.0.1",
    forwarded: ["198.51.100.1", "203.0.113.7"],
    address: "203.0.113.7",
  },
  "the proxy adds ports": { trusted: "127.0.0.1", forwarded: ["203.0.113.7:4711"], address: "203.0.113.7" },
  "the client has IPv6": {
    trusted: "127.0.0.1",
    forwarded: ["[2001:DB8:0:0::1]:4711"],
    address: "2001:db8::1",
  },
  "the entry is nonsense": {
    trusted: "127.0.0.1",
    forwarded: ["203.0.113.7, unknown"],
    address: "127.0.0.1",
  },
  "the entry is a name": { trusted: "127.0.0.1", forwarded: ["localhost"], address: "127.0.0.1" },
};

for (const engine of ENGINES) {
  describe(`the address of a session on ${engine}`, () => {
    let user: TestUser;
    beforeAll(async () => {
      const server = await startTestServer(engine);
      user = await signUp(server);
      await server.stop();
    });

    for (const [when, { trusted, forwarded, address }] of Object.entries(ROWS)) {
      test(`is ${address} when ${when}`, async () => {
        const server = await startTestServer(engine, { TRUSTED_PROXIES: trusted });
        try {
          const token = await logIn(
            server,
            user,
            forwarded.map((value) => `X-Forwarded-For: ${value}`),
          );
          const { sessions } = (await call(server, "GET /auth/sessions", { token })).body;
          expect(sessions.find((session: { current: boolean }) => session.current).address).toBe(address);
        } finally {
          await server.stop();
        }
      });
    }
  });
}

/** A new session; other headers of proxies are sent as well, which never count. */
async function logIn(server: TestServer, user: TestUser, lines: string[]): Promise<string> {
  const body = JSON.stringify({ username: user.username, password: user.password });
  const others = ["Forwarded: for=192.0.2.9", "X-Real-IP: 192.0.2.9", "True-Client-IP: 192.0.2.9"];
  const type = ["Content-Type: application/json", `Content-Length: ${body.length}`];
  const answer = await exchange(server, ["POST /auth/login HTTP/1.1", ...lines, ...others, ...type], body);
  expect(answer.status).toBe(200);
  return JSON.parse(answer.text).accessToken;
}
