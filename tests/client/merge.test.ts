import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CONTENT_FIELDS, type EntryContent, encodeContent } from "../../src/client/content.ts";
import { applyPatch, type EntryPatch, mergeContents } from "../../src/client/merge.ts";
import { anyContent, RUNS, shuffled } from "../support/contents.ts";

/** What two people make of one content: now and then the same, now and then the same as it was. */
const threeContents = fc
  .tuple(anyContent, anyContent, anyContent, fc.array(fc.nat({ max: 3 }), { minLength: 10, maxLength: 10 }))
  .map(([base, ours, theirs, choices]) => {
    const [our_side, their_side] = [{ ...base }, { ...base }] as Record<string, unknown>[];
    for (const [index, field] of CONTENT_FIELDS.entries()) {
      const choice = choices[index] ?? 0;
      if (choice === 1 || choice === 3) put(our_side, field, ours[field]);
      if (choice === 2) put(their_side, field, theirs[field]);
      if (choice === 3) put(their_side, field, index % 2 === 0 ? ours[field] : theirs[field]);
    }
    return { base, ours: our_side as EntryContent, theirs: their_side as EntryContent };
  });

function put(side: Record<string, unknown> | undefined, field: string, value: unknown): void {
  if (side === undefined) return;
  if (value === undefined) delete side[field];
  else side[field] = value;
}

const always = (rule: (three: Record<"base" | "ours" | "theirs", EntryContent>) => void) =>
  fc.assert(fc.property(threeContents, rule), { numRuns: RUNS });

describe("merging three contents", () => {
  test("gives the same from either side where there is no conflict", () => {
    always(({ base, ours, theirs }) => {
      const [ahead, back] = [mergeContents(base, ours, theirs), mergeContents(base, theirs, ours)];
      expect(back.conflicts).toEqual(ahead.conflicts);
      if (ahead.conflicts.length === 0) expect(back.content).toEqual(ahead.content);
    });
  });

  test("gives ours where they changed nothing, and theirs where we did", () => {
    always(({ base, ours, theirs }) => {
      expect(mergeContents(base, ours, base)).toEqual({ content: ours, conflicts: [] });
      expect(mergeContents(base, base, theirs)).toEqual({ content: theirs, conflicts: [] });
    });
  });

  test("is no conflict when both made the same change, in whatever order it is spelled", () => {
    fc.assert(
      fc.property(anyContent, anyContent, fc.infiniteStream(fc.nat()), (base, ours, numbers) => {
        const merged = mergeContents(base, ours, shuffled(ours, numbers));
        expect(merged.conflicts).toEqual([]);
        expect(encodeContent(merged.content)).toEqual(encodeContent(ours));
      }),
      { numRuns: RUNS },
    );
  });

  test("is a conflict in exactly the fields that both changed to different values, where ours stands", () => {
    always(({ base, ours, theirs }) => {
      const { content, conflicts } = mergeContents(base, ours, theirs);
      for (const field of CONTENT_FIELDS) {
        const [was, our, their] = [base[field], ours[field], theirs[field]];
        const [we, they] = [!Bun.deepEquals(was, our), !Bun.deepEquals(was, their)];
        expect(conflicts.includes(field)).toBe(we && they && !Bun.deepEquals(our, their));
        expect(content[field]).toEqual((we ? our : their) as never);
      }
    });
  });

  test("merged again changes nothing more", () => {
    always(({ base, ours, theirs }) => {
      const { content } = mergeContents(base, ours, theirs);
      expect(mergeContents(theirs, content, theirs)).toEqual({ content, conflicts: [] });
    });
  });
});

describe("a patch", () => {
  const content: EntryContent = { type: "login", name: "n", username: "u", tags: ["a"] };

  test("changes what it names, takes away what it has as null or undefined, and leaves the rest", () => {
    const patch = { name: "m", username: null, tags: undefined, notes: "new" };
    expect(applyPatch(content, patch)).toEqual({ type: "login", name: "m", notes: "new" });
    expect(applyPatch(content, {})).toEqual(content);
    expect(content).toEqual({ type: "login", name: "n", username: "u", tags: ["a"] });
  });

  test("keeps false, zero characters and empty lists", () => {
    const patch = { favorite: false, username: "", tags: [] };
    expect(applyPatch(content, patch)).toEqual({
      type: "login",
      name: "n",
      favorite: false,
      username: "",
      tags: [],
    });
  });

  test("cannot take the name or the type away, nor smuggle in a field that no entry has", () => {
    for (const patch of [{ name: null }, { type: null }, { pasword: "x" }]) {
      expect(() => encodeContent(applyPatch(content, patch as EntryPatch))).toThrow("breaks the rules");
    }
  });
});
