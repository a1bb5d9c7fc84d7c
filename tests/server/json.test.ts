import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LIMITS } from "../../src/contract/limits.ts";
import { type JsonFault, readBody, readJson } from "../../src/server/http/json.ts";

const RUNS = process.env.SLOW ? 50_000 : 1000;
const KIB = 1024;

/** The pieces between white space. */
const words = (list: string) => list.trim().split(/\s+/);
const read = (text: string) => readJson(new TextEncoder().encode(text));
const bytes = (...values: number[]) => Uint8Array.from(values);

describe("readJson", () => {
  const accepted = words(String.raw`
    null true 0 -1 1.5 "" [] {} {"a":1,"A":1,"":1} {"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]} {"2":1,"1":2}
    {"a:":":","b":"::{\"a\":1}"} {"\"":":","\\":":"} ["\"",":"] "\\" "\\\"" "\\u0000" "\\ud800" "\ud83d\ude00"
    {"constructor":1,"toString":2,"hasOwnProperty":3} 9007199254740991 -9007199254740991 0.1 1e3 1E+300 5e-324
    1.7976931348623157e308 0e5 0.0e-5 0.00000000000000000000 0.30000000000000004 -0.5 "9007199254740993"`);
  const spaced = [
    ' \t\r\n{ "a" : [ 1 , "b" ] } \n',
    '{" ":1,"  ":2}',
    '"\u{1F600}"',
    '"\ufeff"',
    '" -0 1e999 "',
  ];
  test.each([...accepted, ...spaced])("reads %j as JSON.parse does", (text) => {
    expect(read(text)).toEqual({ value: JSON.parse(text) });
  });

  const refused: [JsonFault, string[]][] = [
    ["empty", [""]],
    ["byte-order-mark", ["\ufeff{}", "\ufeff"]],
    [
      "syntax",
      words(String.raw`{ {}{} {'a':1} {"a":1,} {"a"} [1,] 01 +1 .5 NaN undefined " "\" "\x41" /**/1`),
    ],
    ["syntax", [" ", "\u00a01", "1\0", '"\n"', '"\0"', "[".repeat(100_000), '{"a":'.repeat(40_000)]],
    [
      "duplicate-key",
      words(String.raw`{"a":1,"a":1} {"a":1,"b":2,"a":3} {"a":1,"\u0061":2} {"\u0061":1,"\u0061":1} {"":1,"":2}
        [[{"x":{"a":1,"a":{}}}]] {"a":{"b":1},"a":2} {"\"":1,"\u0022":2} {"/":1,"\/":2} {"1":1,"1":2}
        {"a\\":1,"a\u005c":2} {"é":1,"\u00E9":2}`),
    ],
    ["proto-key", words(String.raw`{"__proto__":1} [{"a":{"__proto__":{}}}] {"\u005f_proto__":null}`)],
    ["nul-character", words(String.raw`"\u0000" {"a":["x\u0000y"]} {"\u0000":1} ["\\\u0000"]`)],
    ["lone-surrogate", words(String.raw`"\ud800" "\uDFFF" "\udc00\ud800" {"\ud83d":1} ["\ud83dx"]`)],
    [
      "imprecise-number",
      words(`9007199254740992 -9007199254740992 9007199254740993 {"a":[1e999]} -1e999 -0 -0.0 -0e1 [1,-0] 1e-999
        -1e-999 100000000000000000000 ${"9".repeat(400)} ${"9".repeat(400)}.5 0.${"0".repeat(400)}1 9007199254740993.0 12345678901234567890.5 0.1234567890123456789`),
    ],
  ];
  for (const [fault, texts] of refused) {
    test.each(texts.map((text) => [text.length > 80 ? `${text.slice(0, 40)}...` : text, text]))(
      `refuses %j: ${fault}`,
      (_, text) => {
        expect(read(text)).toEqual({ fault });
      },
    );
  }

  test.each([
    ["an overlong slash", bytes(0x22, 0xc0, 0xaf, 0x22)],
    ["an encoded surrogate", bytes(0x22, 0xed, 0xa0, 0x80, 0x22)],
    ["a truncated character", bytes(0x22, 0xe2, 0x82)],
    ["a byte that is never UTF-8", bytes(0x22, 0xff, 0x22)],
    ["UTF-16 with its mark", bytes(0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00)],
  ])("refuses %s: encoding, and the next body is read as ever", (_, body) => {
    expect(readJson(body)).toEqual({ fault: "encoding" });
    expect(read('"é"')).toEqual({ value: "é" });
  });

  test("takes a depth of 0, 1, max-1 and max, and refuses max+1", () => {
    const max = LIMITS.json_depth_max;
    const arrays = (depth: number) => `${"[".repeat(depth)}1${"]".repeat(depth)}`;
    const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
    for (const nested of [arrays, objects]) {
      for (const depth of [0, 1, max - 1, max]) expect(read(nested(depth))).toHaveProperty("value");
      for (const depth of [max + 1, 40_000]) expect(read(nested(depth))).toEqual({ fault: "too-deep" });
    }
  });

  test("takes max-1 and max brackets and commas, and refuses max+1 before they become values", () => {
    const max = LIMITS.json_marks_max;
    const commas = (marks: number) => `[${"0,".repeat(marks - 1)}0]`;
    const objects = (marks: number) => `[${"{},".repeat(marks / 2 - 1)}${marks % 2 === 0 ? "{}" : "{},0"}]`;
    for (const texts of [commas, objects]) {
      for (const marks of [max - 1, max]) expect(read(texts(marks))).toHaveProperty("value");
      for (const marks of [max + 1, 8 * max])
        expect(read(texts(marks))).toEqual({ fault: "too-many-values" });
    }
  });

  test("does not count the brackets and commas of strings", () => {
    for (const inside of ["[", "{", ",", '\\"[', "\\\\"]) {
      const text = `{"a":"${inside.repeat(LIMITS.json_marks_max + 1)}"}`;
      expect(read(text)).toEqual({ value: JSON.parse(text) });
    }
    expect(read(`["${"[".repeat(LIMITS.json_marks_max + 1)}`)).toEqual({ fault: "syntax" });
  });

  test("gives back what JSON.stringify wrote, or says why not", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary", maxDepth: 5 }), (value) => {
        const text = JSON.stringify(value);
        const result = read(text);
        if ("value" in result) expect(JSON.stringify(result.value)).toBe(text);
        expect("value" in result ? undefined : result.fault).toBe(faultOfValue(value));
      }),
      { numRuns: RUNS },
    );
  });

  test("finds every duplicate key, however it is spelled, and no other", () => {
    fc.assert(
      fc.property(members(4), ({ text, duplicate }) => {
        expect(read(text)).toEqual(duplicate ? { fault: "duplicate-key" } : { value: JSON.parse(text) });
      }),
      { numRuns: RUNS },
    );
  });

  test("never throws, whatever the bytes", () => {
    const json_like = fc.array(
      fc.constantFrom(...'{}[]:,"\\u0d8 \n-1e9.', '"a"', "\\ud800", "true", "__proto__"),
    );
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      json_like.map((pieces) => new TextEncoder().encode(pieces.join(""))),
    );
    fc.assert(
      fc.property(body, (input) => {
        const result = readJson(input);
        expect(Object.keys(result)).toEqual(["value" in result ? "value" : "fault"]);
      }),
      { numRuns: RUNS },
    );
  });

  const size = 256 * KIB;
  test.each([
    ["[", "[".repeat(size), "syntax"],
    ["{", '{"":'.repeat(size / 4), "syntax"],
    ["backslashes", "\\".repeat(size), "syntax"],
    ["quotation marks", '"'.repeat(size), "syntax"],
    ["colons", ":".repeat(size), "syntax"],
    ["white space", " ".repeat(size), "syntax"],
    ["escaped backslashes", `"${"\\\\".repeat(size / 2)}"`, undefined],
    ["escaped quotation marks", `"${'\\"'.repeat(size / 2)}"`, undefined],
    ["strings", `[${'"",'.repeat(size / 3)}""]`, undefined],
    ["objects", `[${"{},".repeat(size / 3)}{}]`, undefined],
    ["zeros", `0.${"0".repeat(size)}`, "imprecise-number"],
    ["zeros between digits", `1.${"0".repeat(size)}1`, "imprecise-number"],
    ["minus signs and zeros", `[${"-0.5,".repeat(size / 5)}1]`, undefined],
    ["digits", "1".repeat(size), "imprecise-number"],
    ["one key", `{${'"a":1,'.repeat(size / 6)}"a":1}`, "duplicate-key"],
    ["brackets", "[".repeat(size / 2) + "]".repeat(size / 2), "too-deep"],
  ])("answers 256 KiB of %s without overflowing the stack", (_, text, fault) => {
    const result = read(text);
    expect("fault" in result ? result.fault : undefined).toBe(fault as JsonFault | undefined);
  });
});

/** What a value that JSON.stringify wrote out cannot be stored for; the rules once more, in the plainest way. */
function faultOfValue(value: unknown): JsonFault | undefined {
  const faults = new Set<JsonFault>();
  JSON.parse(JSON.stringify(value), function (this: unknown, key: string, child: unknown) {
    if (key === "__proto__") faults.add("proto-key");
    for (const text of [key, child]) {
      if (typeof text === "string" && text.includes("\0")) faults.add("nul-character");
      if (typeof text === "string" && !text.isWellFormed()) faults.add("lone-surrogate");
    }
    if (typeof child === "number" && /^-?\d{16,}$/.test(String(child)) && !Number.isSafeInteger(child)) {
      faults.add("imprecise-number");
    }
    return child;
  });
  fc.pre(faults.size <= 1);
  return [...faults][0];
}

type Written = { text: string; duplicate: boolean };

/** JSON texts of objects in objects and arrays, whose keys come from so few that some are there twice. */
function members(depth: number): fc.Arbitrary<Written> {
  const leaf = fc
    .constantFrom("1", "null", '":"', '"\\":"', '"{\\"a\\":1}"', '"\\\\"', "[]", "{}", '[":"]')
    .map((text): Written => ({ text, duplicate: false }));
  const inner = depth === 0 ? leaf : fc.oneof(leaf, members(depth - 1));
  const key = fc.tuple(fc.constantFrom("a", "b", "ab", '"', "\\", ":", "é", "1"), fc.boolean(), fc.boolean());
  const space = fc.constantFrom("", " ", "\n\t ");
  const member = fc.record({ key, inner, before: space, after: space });
  return fc.tuple(fc.array(member, { maxLength: 4 }), fc.boolean()).map(([list, wrapped]): Written => {
    const written = list.map(({ key: [name, escaped, upper], inner: child, before, after }) => {
      return `${before}${escaped ? escapedKey(name, upper) : JSON.stringify(name)}${after}:${child.text}`;
    });
    const text = `{${written.join(",")}}`;
    const twice = new Set(list.map(({ key: [name] }) => name)).size < list.length;
    return {
      text: wrapped ? `[${text},${text}]` : text,
      duplicate: twice || list.some(({ inner: child }) => child.duplicate),
    };
  });
}

function escapedKey(name: string, upper: boolean): string {
  const escapes = [...name].map((character) => {
    const digits = character.charCodeAt(0).toString(16).padStart(4, "0");
    return `\\u${upper ? digits.toUpperCase() : digits}`;
  });
  return `"${escapes.join("")}"`;
}

/** A stream of the given chunks, and what became of it. */
function streamOf(chunks: Uint8Array[]) {
  const seen = { pulled: 0, cancelled: false };
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = chunks[seen.pulled];
        if (chunk === undefined) return controller.close();
        seen.pulled++;
        controller.enqueue(chunk);
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, seen };
}

describe("readBody", () => {
  const content = (length: number) => Uint8Array.from({ length }, (_, index) => (index * 7) % 251);
  const chunked = (body: Uint8Array, chunk_bytes: number) => {
    const count = Math.ceil(body.length / chunk_bytes);
    return Array.from({ length: count }, (_, index) =>
      body.slice(index * chunk_bytes, (index + 1) * chunk_bytes),
    );
  };

  test("of no body is empty", async () => {
    expect(await readBody(null, 10)).toEqual(bytes());
    expect(await readBody(streamOf([]).stream, 0)).toEqual(bytes());
  });

  const max = 1000;
  for (const chunk_bytes of [1, 7, 999, 1000, 1001]) {
    test(`takes 0, 1, max-1 and max and refuses max+1 in chunks of ${chunk_bytes}`, async () => {
      for (const length of [0, 1, max - 1, max]) {
        const { stream, seen } = streamOf(chunked(content(length), chunk_bytes));
        expect(await readBody(stream, max)).toEqual(content(length));
        expect(seen.cancelled).toBe(false);
      }
      const { stream, seen } = streamOf(chunked(content(max + 1), chunk_bytes));
      expect(await readBody(stream, max)).toBe("too-large");
      expect(seen.cancelled).toBe(true);
    });
  }

  test("of limit 0 takes nothing", async () => {
    expect(await readBody(streamOf([bytes()]).stream, 0)).toEqual(bytes());
    expect(await readBody(streamOf([bytes(1)]).stream, 0)).toBe("too-large");
  });

  test("reads no further than the chunk that goes beyond the limit", async () => {
    const { stream, seen } = streamOf(Array.from({ length: 100 }, () => content(10)));
    expect(await readBody(stream, 25)).toBe("too-large");
    expect(seen).toEqual({ pulled: 3, cancelled: true });
  });

  test("joins chunks of any size, empty ones too, and leaves them as they were", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 50 })), async (chunks) => {
        const before = chunks.map((chunk) => chunk.slice());
        const joined = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
        expect(await readBody(streamOf(chunks).stream, joined.length)).toEqual(joined);
        expect(chunks).toEqual(before);
      }),
      { numRuns: RUNS / 5 },
    );
  });

  test("answers too-large also when cancelling fails or never ends", async () => {
    const broken = [() => Promise.reject(new Error("gone")), () => new Promise<void>(() => {})];
    for (const cancel of broken) {
      const stream = new ReadableStream<Uint8Array>({ start: (one) => one.enqueue(bytes(1, 2)), cancel });
      expect(await readBody(stream, 1)).toBe("too-large");
    }
  });

  test("rejects as the stream does", async () => {
    const stream = new ReadableStream<Uint8Array>({
      start: (one) => one.error(new Error("client went away")),
    });
    expect(readBody(stream, 10)).rejects.toThrow("client went away");
  });

  test("reads a real request body, chunked or not", async () => {
    const server = Bun.serve({
      port: 0,
      fetch: async (request) => {
        const body = await readBody(request.body, 100_000);
        return new Response(typeof body === "string" ? body : String(body.length));
      },
    });
    const post = async (body: BodyInit) => (await fetch(server.url, { method: "POST", body })).text();
    try {
      for (const [length, answer] of [
        [0, "0"],
        [1, "1"],
        [100_000, "100000"],
        [100_001, "too-large"],
      ] as const) {
        expect(await post(content(length))).toBe(answer);
        expect(await post(streamOf(chunked(content(length), 9999)).stream)).toBe(answer);
      }
    } finally {
      await server.stop(true);
    }
  });
});
