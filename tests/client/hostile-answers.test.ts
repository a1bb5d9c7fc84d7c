import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import type { Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { LIMITS } from "../../src/contract/limits.ts";
import { head, on, type Raw, under } from "../support/hostile-server.ts";
import type { Device } from "../support/vault.ts";
import { expectAnswerRefused, expectRefused, useVictim } from "../support/victim.ts";

const victim = useVictim();

const list = (device: Device) => device.vault.list();
const get = (device: Device) => device.vault.get(victim.entries[0]?.id ?? "");
const unlock = (device: Device) => device.vault.unlock(device);

/** A whole answer of status 200 with this body. */
const body = (text: string | Uint8Array): Raw => head(`content-length: ${Buffer.byteLength(text)}`, text);
describe("an answer that is garbage", () => {
  const BOM = "\ufeff";
  const list_body = '{"entries":[],"next_cursor":null}';

  test.each<[string, Raw]>([
    ["nothing", body("")],
    ["a page of HTML", body("<!doctype html><title>Log in to this network</title>")],
    ["a page of HTML that calls itself so", head("content-type: text/html\r\ncontent-length: 6", "<html>")],
    ["null", body("null")],
    ["a number", body("1e999")],
    ["a text", body(`"${"text".repeat(100)}"`)],
    ["a list", body("[[[]]]")],
    ["an object of nothing", body("{}")],
    ["two objects", body(`${list_body}${list_body}`)],
    ["an object before which a byte order mark stands", body(BOM + list_body)],
    ["an object behind which U+0000 stands", body(`${list_body}\0`)],
    ["UTF-8 that is none", body(Buffer.from([0x22, 0xff, 0xfe, 0x22]))],
    ["UTF-8 cut within a character", body(Buffer.from([0x22, 0xe2, 0x82]))],
    ["UTF-16", body(Buffer.from(list_body, "utf16le"))],
    ["lists within lists, a million deep", body("[".repeat(1_000_000) + "]".repeat(1_000_000))],
    [
      "objects within objects, a million deep",
      body(`${'{"entries":'.repeat(1_000_000)}1${"}".repeat(1_000_000)}`),
    ],
    ["a list that stands for its numbers", body('{"entries":{"0":{},"length":1},"next_cursor":null}')],
    ["an object with another prototype", body('{"__proto__":{"entries":[],"next_cursor":null}}')],
    ["what a length cuts off", head(`content-length: ${list_body.length - 3}`, list_body)],
    ["what ends with its connection, too early", head("connection: close", list_body.slice(0, -3))],
    [
      "a body in chunks that ends in the middle",
      head("transfer-encoding: chunked", `5\r\n{"ent\r\n0\r\n\r\n`),
    ],
  ])("ends at once: %s", async (_, raw) => {
    const expected = { code: "response-invalid", requests: 1 } as const;
    await expectAnswerRefused(victim, "GET /entries", raw, list, expected);
    await expectAnswerRefused(victim, "GET /entries/:id", raw, get, expected);
    // What logs in is sent once, whatever becomes of it.
    const login = on("POST /auth/login", () => raw);
    await expectRefused(victim, victim, login, unlock, { ...expected, requests: 2 });
  });

  test("with keys that name a prototype changes nothing but what is asked for", async () => {
    const attack = on("GET /entries/:id", async (_, pass) => {
      const real = JSON.stringify((await pass()).body);
      const keys = '"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},';
      return {
        status: 200,
        body: `{${keys}"meta":{${keys.slice(0, -1)}},${real.slice(1).replace('"meta":null,', "")}`,
      };
    });
    const entry = await under(victim.hostile, attack, () => get(victim));
    expect(entry).toEqual(victim.entries[0] as typeof entry);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe("an answer that breaks off", () => {
  test.each<[string, Raw]>([
    ["before it begins", (socket) => socket.destroy()],
    ["within its head", (socket) => socket.write("HTTP/1.1 200 Answer\r\ncontent-len")],
    ["within its body", head("content-length: 100", '{"entries":')],
    ["within a chunk", head("transfer-encoding: chunked", 'ff\r\n{"entries":')],
    ["between two chunks", head("transfer-encoding: chunked", '5\r\n{"ent\r\n')],
    ["before it was HTTP", (socket) => socket.write("220 mail.example.org ESMTP\r\n")],
    ["in a coding that it is not in", head("content-encoding: gzip\r\ncontent-length: 2", "{}")],
    [
      "behind a head without an end",
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${"x".repeat(1 << 20)}`),
    ],
  ])("%s cannot be told from a bad network", async (_, raw) => {
    const attack = on("POST /auth/login", () => raw);
    const expected = { code: "server-unreachable", requests: 2 } as const;
    const seen = await expectRefused(victim, victim, attack, unlock, expected);
    expect(seen.map(({ path }) => path)).toEqual(["/auth/prelogin", "/auth/login"]);
  });

  test("is asked for again a few times where that does no harm, and then no more", async () => {
    const attack = on("GET /entries", () => (socket: Socket) => socket.destroy());
    const expected = { code: "server-unreachable", requests: LIMITS.client_attempts_max } as const;
    const seen = await expectRefused(victim, victim, attack, list, expected);
    expect(seen.length).toBe(LIMITS.client_attempts_max);
  });
});

describe("an answer that does not end", () => {
  const GIB = 1 << 30;
  const CHUNK = Buffer.alloc(1 << 16, " ");

  /** Writes until the client has had enough, or has taken a GiB. */
  function flood(header: string, chunk: Buffer, written: { bytes: number }, status = 200): Raw {
    return async (socket) => {
      head(header, "", status)(socket);
      while (!socket.destroyed && written.bytes < GIB) {
        if (!socket.write(chunk))
          await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
        written.bytes += chunk.length;
      }
    };
  }

  test.each([200, 500])("is cut off at the size that no answer has, with status %p", async (status) => {
    const written = { bytes: 0 };
    const raw = flood(`content-length: ${GIB}`, CHUNK, written, status);
    const expected = { code: "response-too-large", requests: 1 } as const;
    await expectAnswerRefused(victim, "GET /entries", raw, list, expected);
    expect(written.bytes).toBeLessThan(8 * LIMITS.client_answer_bytes_max);
  });

  test("is cut off at that size where a gigabyte comes as a megabyte", async () => {
    const bomb = gzipSync(Buffer.alloc(GIB / 4, " "));
    const raw = head(`content-encoding: gzip\r\ncontent-length: ${bomb.length}`, bomb);
    const expected = { code: "response-too-large", requests: 1 } as const;
    await expectAnswerRefused(victim, "GET /entries", raw, list, expected);
  });

  describe("by the client's clock", () => {
    // The platform's timer is made to run a hundred times as fast; how long the client waits is asserted by itself.
    const asked = new Set<number>();
    const spies: { mockRestore(): void }[] = [];
    beforeAll(() => {
      const timeout = AbortSignal.timeout.bind(AbortSignal);
      const quick = (wait_ms: number) => {
        asked.add(wait_ms);
        return timeout(wait_ms / 100);
      };
      spies.push(spyOn(AbortSignal, "timeout").mockImplementation(quick));
    });
    afterAll(() => {
      for (const spy of spies) spy.mockRestore();
      expect([...asked]).toEqual([LIMITS.client_answer_ms]);
    });

    /** Goes on writing for as long as the client listens. */
    const drip =
      (first: string, more: string): Raw =>
      async (socket) => {
        socket.write(first);
        while (!socket.destroyed) {
          await Bun.sleep(20);
          socket.write(more);
        }
      };
    const HEAD = "HTTP/1.1 200 Answer\r\ncontent-type: application/json\r\n";

    test.each<[string, Raw]>([
      ["its body comes a byte at a time", drip(`${HEAD}content-length: 999999\r\n\r\n{`, " ")],
      ["its head comes a line at a time", drip(HEAD, "x-more: more\r\n")],
      [
        "one interim answer follows the other",
        drip("HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"),
      ],
      ["it never begins", drip("", "")],
    ])("is given up: %s", async (_, raw) => {
      const expected = { code: "server-timeout", requests: 2 } as const;
      await expectAnswerRefused(victim, "POST /auth/login", raw, unlock, expected);
    });
  });
});
