import { describe, expect, test } from "bun:test";
import type { EntryResponse } from "../../src/contract/entries.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { randomBase64 } from "../support/client.ts";
import { type Attack, on } from "../support/hostile-server.ts";
import type { Device } from "../support/vault.ts";
import { expectRefused, newDevice, useVictim } from "../support/victim.ts";

const victim = useVictim();

const list = (device: Device) => device.vault.list();

/** A list that the server makes up: `page` tells what comes as the first page, the second, and so on for ever. */
function pages(
  page: (number: number, real: EntryResponse[]) => { entries: unknown[]; next_cursor: unknown },
): Attack {
  let number = 0;
  return on("GET /entries", async (_, pass) => {
    const { body } = await pass("/entries");
    return { status: 200, body: page(number++, body.entries) };
  });
}

/** An entry at a place of its own in the order, older with each number. */
function older(entry: EntryResponse | undefined, number: number): object {
  return { ...entry, created_at: new Date(Date.parse("2020-01-01") - number * 1000).toISOString() };
}

describe("a list out of order", () => {
  const refused = { code: "list-disordered", requests: 2 } as const;

  test.each<[string, (real: EntryResponse[]) => unknown[]]>([
    ["turned around", (real) => real.toReversed()],
    ["with two exchanged", ([first, ...rest]) => [...rest.slice(0, 1), first, ...rest.slice(1)]],
    ["with one repeated at once", ([first, ...rest]) => [first, first, ...rest]],
    ["with one repeated at its end", (real) => [...real, real[0]]],
    ["with one repeated as if it were older", (real) => [...real, older(real[0], 1)]],
    ["with two of one time, the smaller id first", sameTime],
  ])("is refused: %s", async (_, change) => {
    const attack = pages((_number, real) => ({ entries: change(real), next_cursor: null }));
    await expectRefused(victim, victim, attack, list, { ...refused, requests: 1 });
    await expectRefused(victim, await newDevice(victim), attack, list, { ...refused, requests: 1 });
  });

  test("is refused: with its pages turned around", async () => {
    const attack = pages((number, real) =>
      number === 0
        ? { entries: real.slice(1), next_cursor: "next" }
        : { entries: real.slice(0, 1), next_cursor: null },
    );
    await expectRefused(victim, victim, attack, list, refused);
  });

  test("is refused: with an entry on two pages", async () => {
    const attack = pages((number, real) =>
      number === 0
        ? { entries: real.slice(0, 2), next_cursor: "next" }
        : { entries: real.slice(1), next_cursor: null },
    );
    await expectRefused(victim, victim, attack, list, refused);
  });

  test("is refused: with its first page again for every cursor", async () => {
    const attack = pages((_, real) => ({ entries: real, next_cursor: "next" }));
    await expectRefused(victim, victim, attack, list, refused);
  });

  test("is refused: with an entry again and again, always older than before", async () => {
    const attack = pages((number, real) => ({ entries: [older(real[0], number)], next_cursor: "next" }));
    await expectRefused(victim, await newDevice(victim), attack, list, refused);
  });

  function sameTime(real: EntryResponse[]): unknown[] {
    const created_at = "2020-01-01T00:00:00.000Z";
    return real.map((entry) => ({ ...entry, created_at })).sort((a, b) => (a.id < b.id ? -1 : 1));
  }
});

describe("a list without an end", () => {
  test("is refused at the first page that has nothing and promises more", async () => {
    const attack = pages((_, real) => ({ entries: [], next_cursor: `next-${real.length}` }));
    await expectRefused(victim, victim, attack, list, { code: "list-endless", requests: 1 });
    const later = pages((number, real) => ({ entries: number === 0 ? real : [], next_cursor: "next" }));
    await expectRefused(victim, victim, later, list, { code: "list-endless", requests: 2 });
  });

  test.each([1, 7, 1000])("is refused although it brings %p new ones with each page", async (size) => {
    const made = (number: number) => ({
      ...older(undefined, number),
      ...{
        id: crypto.randomUUID(),
        name: null,
        meta: null,
        version: 1,
        updated_at: "2020-01-01T00:00:00.000Z",
      },
      ...{ ciphertext: FILL, iv: randomBase64(12), tag: randomBase64(16) },
    });
    const attack = pages((number) => ({
      entries: Array.from({ length: size }, (_, index) => made(number * size + index)),
      next_cursor: `next-${number}`,
    }));
    const requests = Math.ceil(LIMITS.client_forged_max / size) + 1;
    await expectRefused(victim, victim, attack, list, { code: "list-endless", requests });
  });

  const FILL = randomBase64(256);
});

describe("a page that is none", () => {
  test.each<[string, unknown]>([
    ["too long", "A".repeat(LIMITS.cursor_characters_max + 1)],
    ["with a lone surrogate", "\ud800"],
    ["with a way out of its place", "a&limit=1000"],
    ["of nothing", ""],
    ["as a number", 7],
  ])("is no answer of this protocol: a cursor %s", async (_, next_cursor) => {
    const attack = pages((_number, real) => ({ entries: real, next_cursor }));
    await expectRefused(victim, victim, attack, list, { code: "response-invalid", requests: 1 });
  });

  test("is too large beyond what a page may have", async () => {
    const attack = on("GET /entries", () => ({
      status: 200,
      body: " ".repeat(LIMITS.client_answer_bytes_max + 1),
    }));
    await expectRefused(victim, victim, attack, list, { code: "response-too-large", requests: 1 });
    expect(victim.vault.locked).toBe(false);
  });

  test("is read in good time however many wrong things are on it", async () => {
    const entries = `[${"0,".repeat(LIMITS.client_answer_bytes_max / 2 - 64)}0]`;
    const attack = on("GET /entries", () => ({
      status: 200,
      body: `{"next_cursor":null,"entries":${entries}}`,
    }));
    await expectRefused(victim, victim, attack, list, { code: "response-invalid", requests: 1 });
  });
});
