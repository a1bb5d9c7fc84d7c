import papa from "papaparse";
import type { EntryContent } from "../../client/content.ts";
import { BLINDVAULT_COLUMNS } from "../import/blindvault-csv.ts";

/**
 * Contents as CSV (RFC 4180) with the columns of `BLINDVAULT_COLUMNS`; `readBlindvaultCsv` gives them back as they
 * were. A value that begins with =, +, - or @ is not altered, so a spreadsheet that opens the file may run it as a
 * formula: the file is for import elsewhere, not for Excel.
 */
export function exportCsv(contents: readonly EntryContent[]): Uint8Array<ArrayBuffer> {
  const rows = [BLINDVAULT_COLUMNS, ...contents.map(rowOf)];
  return new TextEncoder().encode(
    `${papa.unparse(rows, { delimiter: ",", newline: "\r\n", quotes: false, header: false })}\r\n`,
  );
}

function rowOf(content: EntryContent): string[] {
  const { type, name, username = "", password = "", notes = "", totp = "" } = content;
  const { uris = [], fields = [], tags = [], favorite = false } = content;
  const lists = [uris, fields, tags].map((list) => (list.length === 0 ? "" : JSON.stringify(list)));
  const [uris_cell = "", fields_cell = "", tags_cell = ""] = lists;
  return [type, name, username, password, uris_cell, notes, totp, fields_cell, tags_cell, String(favorite)];
}
