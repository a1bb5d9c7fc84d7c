import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { originOf, requestId } from "../../../src/server/http/origin.ts";
import { auditLog, call, createEntry, signUp } from "../../support/client.ts";
import { ENGINES, startTestServer, type TestServer } from "../../support/server.ts";
import { exchange } from "../../support/wire.ts";

const RUNS = process.env.SLOW ? 20_000 : 1000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("a request id", () => {
  test("of 8 to 64 harmless characters is kept", () => {
    for (const length of [8, 9, 63, 64]) expect(requestId("a".repeat(length))).toBe("a".repeat(length));
    for (const id of ["ABCDEFGH", "01234567", "--------", "________", "aB3-_xyz"])
      expect(requestId(id)).toBe(id);
  });

  test("that is too short, too long, missing or of other characters is replaced by a random one", () => {
    for (const length of [0, 1, 7, 65, 66, 10_000]) expect(requestId("a".repeat(length))).toMatch(UUID);
    expect(requestId(null)).toMatch(UUID);
    const wrong = [
      "abcd efgh",
      "abcdefgh\n",
      "abcdefgh\r\nx: y",
      "abcdefgh\0",
      "abcdefgé",
      "abcdefg\u{1F600}",
    ];
    for (const id of [
      ...wrong,
      " abcdefgh",
      "abcdefgh ",
      "abcdefgh;",
      'abcdefg"',
      "../../etc",
      "abcdefgh\t",
      "<script>",
    ])
      expect(requestId(id)).toMatch(UUID);
    expect(requestId(null)).not.toBe(requestId(null));
  });

  test("is always one that would be kept", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 80 }), (text) => {
        const id = requestId(text);
        expect(requestId(id)).toBe(id);
        expect(id).toMatch(/^[A-Za-z0-9_-]{8,64}$/);
      }),
      { numRuns: RUNS },
    );
  });

  test("of a request that nobody noted is no empty word", () => {
    expect(originOf(new Request("http://localhost/"))).toEqual({
      request_id: "unknown",
      address: "unknown",
      network: "unknown",
    });
  });
});

for (const engine of ENGINES) {
  describe(`a request id over the wire on ${engine}`, () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer(engine);
    });
    afterAll(() => server.stop());

    test("comes back, and stands in the audit line of what was done", async () => {
      const user = await signUp(server);
      const headers = { "x-request-id": "my-request_0001" };
      const created = await call(server, "POST /entries", {
        token: user.token,
        body: { ciphertext: "AA==", iv: "A".repeat(16), tag: `${"A".repeat(22)}==` },
        headers,
      });
      expect(created.headers.get("x-request-id")).toBe("my-request_0001");
      const [event] = (await auditLog(server, user.id)).filter(({ type }) => type === "entry-created");
      expect(event).toMatchObject({ request_id: "my-request_0001", address: "127.0.0.1" });
      await createEntry(server, user);
      const events = await auditLog(server, user.id);
      expect(events.at(-1)?.request_id).toMatch(UUID);
    });

    const KEPT: [sent: string, kept: boolean][] = [
      ["a".repeat(7), false],
      ["a".repeat(8), true],
      ["a".repeat(64), true],
      ["a".repeat(65), false],
      ["abcd efgh", false],
      ["abcdefg\u00e9", false],
      ["abcdefgh%0d%0a", false],
      ["abcdefgh\tx", false],
      ["", false],
    ];
    for (const [sent, kept] of KEPT) {
      test(`${JSON.stringify(sent)} is ${kept ? "kept" : "replaced"}`, async () => {
        for (const path of ["/health", "/entries", "/nothing-here"]) {
          const answer = await exchange(server, [`GET ${path} HTTP/1.1`, `X-Request-Id: ${sent}`]);
          const id = answer.headers.get("x-request-id") ?? "";
          if (kept) expect(id).toBe(sent);
          else expect(id).toMatch(UUID);
        }
      });
    }

    test("with a line break reaches no answer and no log", async () => {
      for (const sent of ["abcdefgh\r\n injected: 1", "abcdefgh\nInjected: 1", "abcdefgh\rInjected: 1"]) {
        const answer = await exchange(server, ["GET /entries HTTP/1.1", `X-Request-Id: ${sent}`]);
        expect(answer.headers.has("injected")).toBe(false);
        expect([400, 401]).toContain(answer.status);
      }
      expect(server.logged.join("")).not.toMatch(/injected/i);
    });

    test("sent twice is replaced", async () => {
      const lines = ["GET /health HTTP/1.1", "X-Request-Id: request-one", "X-Request-Id: request-two"];
      expect((await exchange(server, lines)).headers.get("x-request-id")).toMatch(UUID);
    });
  });
}
