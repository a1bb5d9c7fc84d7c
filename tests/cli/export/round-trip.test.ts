import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { exportBitwardenJson } from "../../../src/cli/export/bitwarden-json.ts";
import { exportCsv } from "../../../src/cli/export/csv.ts";
import { exportKdbx } from "../../../src/cli/export/kdbx.ts";
import { detectFormat } from "../../../src/cli/import/detect.ts";
import { readImport } from "../../../src/cli/import/read.ts";
import { type EntryContent, encodeContent } from "../../../src/client/content.ts";
import { LIMITS } from "../../../src/contract/limits.ts";
import { cards, contents, ROUNDS } from "./contents.ts";

const CHEAPEST = { memory_kib: 8, iterations: 1, parallelism: 1 };
const PASSPHRASE = "example-passphrase-1";

const EXPORTS = {
  "blindvault-csv": exportCsv,
  "bitwarden-json": exportBitwardenJson,
  "keepass-kdbx": (list: readonly EntryContent[]) => exportKdbx(list, PASSPHRASE, CHEAPEST),
};

describe.each(["blindvault-csv", "bitwarden-json", "keepass-kdbx"] as const)("%s", (format) => {
  const back = async (list: readonly EntryContent[]) => {
    const bytes = await EXPORTS[format](list);
    expect(detectFormat(bytes, "export")).toBe(format);
    return await readImport(format, bytes, { passphrase: PASSPHRASE });
  };

  test("gives back every content as it was", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof({ weight: 4, arbitrary: contents }, cards), { maxLength: 20 }),
        async (list) => {
          const { entries, refused } = await back(list);
          expect(entries.map(({ content }) => content)).toEqual(list);
          expect(refused).toEqual([]);
        },
      ),
      // A KeePass file costs 20 ms whatever is in it, and the others next to nothing.
      { numRuns: format === "keepass-kdbx" ? ROUNDS / 10 : ROUNDS },
    );
  });

  test("exports an empty vault", async () => {
    expect((await back([])).entries).toEqual([]);
  });

  test("gives back the largest content", async () => {
    const small: EntryContent = { type: "note", name: "Large", notes: "" };
    const room = LIMITS.content_bytes_max - encodeContent(small).length;
    const list: EntryContent[] = [{ ...small, notes: "n".repeat(room) }];
    expect((await back(list)).entries.map(({ content }) => content)).toEqual(list);
  });
});

test("exporting to Bitwarden fills the parts of a card", () => {
  const fields = [
    { name: "Number", value: "example-number-1", hidden: true },
    { name: "Branch", value: "Example Street" },
  ];
  const bytes = exportBitwardenJson([{ type: "card", name: "Card", fields }]);
  const [item] = JSON.parse(new TextDecoder().decode(bytes)).items;
  expect(item).toMatchObject({ type: 3, card: { number: "example-number-1", code: null } });
  expect(item.fields).toEqual([{ name: "Branch", value: "Example Street", type: 0, linkedId: null }]);
});

test("exporting to Bitwarden puts an entry into the folder of its first tag", () => {
  const bytes = exportBitwardenJson([{ type: "login", name: "A", tags: ["Work", "Old"] }]);
  const { folders, items } = JSON.parse(new TextDecoder().decode(bytes));
  expect(folders).toEqual([{ id: items[0].folderId, name: "Work" }]);
  expect(items[0].fields).toEqual([{ name: "Tag", value: "Old", type: 0, linkedId: null }]);
});

test("exporting CSV leaves alone what a spreadsheet would run", () => {
  const bytes = exportCsv([{ type: "login", name: "=cmd", password: "+1" }]);
  expect(new TextDecoder().decode(bytes)).toBe(
    "type,name,username,password,uris,notes,totp,fields,tags,favorite\r\nlogin,=cmd,,+1,,,,,,false\r\n",
  );
});
