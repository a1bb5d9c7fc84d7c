import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeContent, type EntryContent, encodeContent } from "../../src/client/content.ts";
import { VaultError } from "../../src/client/index.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { anyContent, RUNS, shuffled } from "../support/contents.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const note = (extra: object = {}): EntryContent => ({ type: "note", name: "n", ...extra });

describe("the content of an entry", () => {
  test("comes back as it was", () => {
    fc.assert(
      fc.property(anyContent, (content) => expect(decodeContent(encodeContent(content))).toEqual(content)),
      { numRuns: RUNS },
    );
  });

  test("is equal bytes when it is equal, in whatever order its fields stand", () => {
    fc.assert(
      fc.property(anyContent, fc.infiniteStream(fc.nat()), (content, numbers) => {
        expect(encodeContent(shuffled(content, numbers))).toEqual(encodeContent(content));
      }),
      { numRuns: RUNS },
    );
  });

  test("says its version first", () => {
    expect(decode(encodeContent({ name: "n", type: "note" }))).toBe('{"v":1,"type":"note","name":"n"}');
  });

  test("leaves out what is undefined", () => {
    expect(encodeContent(note({ notes: undefined }))).toEqual(encodeContent(note()));
  });

  const empty = encodeContent(note({ notes: "" })).length;
  const longest = "x".repeat(LIMITS.content_bytes_max - empty);
  const items = (count: number) => Array.from({ length: count }, () => "i");
  const fields = (count: number) => items(count).map((name) => ({ name, value: "" }));

  test.each([
    ["a name of one character", note()],
    ["empty texts but for the name", note({ username: "", password: "", notes: "", totp: "" })],
    ["no items", note({ uris: [], tags: [], fields: [] })],
    ["as many bytes as fit, less one", note({ notes: longest.slice(1) })],
    ["as many bytes as fit", note({ notes: longest })],
    ["as many items as fit, less one", note({ tags: items(LIMITS.content_items_max - 1) })],
    ["as many items as fit", note({ tags: items(LIMITS.content_items_max) })],
    ["U+0000, which no database of the server ever sees", note({ notes: "\0" })],
  ])("may have %s", (_, content) => {
    expect(decodeContent(encodeContent(content))).toEqual(content);
  });

  test.each<[string, object, string]>([
    ["an empty name", note({ name: "" }), "name"],
    ["no name", { type: "note" }, "name"],
    ["no type", { name: "n" }, "type"],
    ["a type of no kind", note({ type: "wallet" }), "type"],
    ["a field that no entry has", note({ pasword: "x" }), "unrecognized_keys"],
    [
      "a field of a custom field that none has",
      note({ fields: [{ name: "n", value: "", kind: 1 }] }),
      "fields.0",
    ],
    ["a lone surrogate in its name", note({ name: "\ud800" }), "name"],
    ["a lone surrogate in a list", note({ uris: ["ok", "\udc00"] }), "uris.1"],
    [
      "a lone surrogate in a custom field",
      note({ fields: [{ name: "n", value: "\ud800x" }] }),
      "fields.0.value",
    ],
    ["one address too many", note({ uris: items(LIMITS.content_items_max + 1) }), "uris"],
    ["one tag too many", note({ tags: items(LIMITS.content_items_max + 1) }), "tags"],
    ["one field too many", note({ fields: fields(LIMITS.content_items_max + 1) }), "fields"],
    ["a favourite that is no yes or no", note({ favorite: "yes" }), "favorite"],
  ])("has not %s", (_, content, path) => {
    const error = thrownBy(() => encodeContent(content as EntryContent));
    expect(error).toMatchObject({ code: "content-invalid", hostile: false });
    expect(error.message).toEndWith(`: ${path}`);
  });

  test("has at most as many bytes as fit, counted as UTF-8", () => {
    const one_more = thrownBy(() => encodeContent(note({ notes: `${longest}x` })));
    expect(one_more.code).toBe("content-too-large");
    expect(one_more.message).toContain(String(LIMITS.content_bytes_max + 1));
    expect(thrownBy(() => encodeContent(note({ notes: `${longest.slice(1)}é` }))).code).toBe(
      "content-too-large",
    );
  });

  test.each([
    ["a newer version", '{"v":2,"type":"note","name":"n"}'],
    ["no version", '{"type":"note","name":"n"}'],
    ["a field that this version does not know", '{"v":1,"type":"note","name":"n","color":"red"}'],
    ["a type that this version does not know", '{"v":1,"type":"passkey","name":"n"}'],
    ["a list", "[]"],
    ["null", "null"],
    ["nothing", ""],
    ["no JSON", '{"v":1,"type":"note","name":"secret-canary'],
    ["two values", '{"v":1,"type":"note","name":"n"}{}'],
  ])("cannot be read from %s", (_, text) => {
    const error = thrownBy(() => decodeContent(encode(text)));
    expect(error).toMatchObject({ code: "content-unreadable", hostile: false });
    expect(Bun.inspect(error)).not.toContain("secret-canary");
  });

  test("cannot be read from bytes that are no UTF-8", () => {
    expect(thrownBy(() => decodeContent(new Uint8Array([0x22, 0xff, 0x22]))).code).toBe("content-unreadable");
  });
});

function thrownBy(work: () => unknown): VaultError {
  try {
    work();
  } catch (error) {
    if (error instanceof VaultError) return error;
    throw error;
  }
  throw new Error("it did not throw");
}
