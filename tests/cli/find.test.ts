import { expect, test } from "bun:test";
import { findExactly, findToChange } from "../../src/cli/find.ts";
import { makeTerminal } from "../../src/cli/terminal.ts";
import type { Entry } from "../../src/client/index.ts";

const time = new Date(0).toISOString();
const entry = (name: string): Entry => {
  return {
    id: crypto.randomUUID(),
    version: 1,
    content: { type: "login", name },
    created_at: time,
    updated_at: time,
  };
};
const entries = ["GitHub", "Site 25", "Gut Hof"].map(entry);

test("a name is found by a part of it before what is only nearly so written", () => {
  expect(() => findExactly(entries, "git")).toThrow('the nearest is "GitHub"');
});

test("what is changed without anybody to ask has to be named in full", async () => {
  const terminal = makeTerminal({ quiet: true });
  await expect(findToChange(terminal, entries, "git")).rejects.toThrow("no entry is called");
  expect((await findToChange(terminal, entries, "github")).content.name).toBe("GitHub");
});
