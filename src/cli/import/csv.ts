import papa from "papaparse";
import { IMPORT_LIMITS } from "./limits.ts";
import { importError } from "./result.ts";
import { type Take, takeEntries } from "./take.ts";
import { decodeText } from "./text.ts";

/** `place` is "row 2" and so on: the header is row 1, and a row may be several lines long. */
export type Row = { place: string; take: Take };

/**
 * The rows of a CSV file (RFC 4180, and what Excel makes of it: semicolons, tabs). A column is found by its name in
 * lower case when it is one of `known`, else by its name as it is written; a cell beyond the header is "column 9".
 * Throws `import-damaged` when a column of `needed` is missing or a quote does not end.
 */
export function readCsv(bytes: Uint8Array, known: readonly string[], needed: readonly string[]): Row[] {
  const [header = [], ...rows] = parse(decodeText(bytes));
  const keys = uniqueKeys(header, known);
  const missing = needed.filter((column) => !keys.includes(column));
  if (missing.length > 0) {
    throw importError("import-damaged", `The header has no column ${missing.join(", ")}`);
  }
  return rows.map((cells, index) => ({
    place: `row ${index + 2}`,
    take: takeEntries(cells.map((cell, column) => [keys[column] ?? `column ${column + 1}`, cell])),
  }));
}

/** The column names of a text's first row, in lower case; [] where there is none. */
export function headerOf(text: string): string[] {
  const { data } = papa.parse(text.slice(0, HEADER_CHARACTERS_MAX), { ...options(text), preview: 1 });
  return (data[0] ?? []).map(normal);
}

const HEADER_CHARACTERS_MAX = 16_384;

function parse(text: string): string[][] {
  const { data, errors } = papa.parse(text, {
    ...options(text),
    preview: IMPORT_LIMITS.entries_max + 2,
  });
  if (data.length > IMPORT_LIMITS.entries_max + 1) {
    throw importError("import-too-large", `The file has more than ${IMPORT_LIMITS.entries_max} rows`);
  }
  const [error] = errors;
  if (error !== undefined) {
    throw importError("import-damaged", `Row ${(error.row ?? 0) + 1} has a quote that does not end`);
  }
  return data;
}

function options(text: string) {
  // The parser's own guess reads the first MiB, and the line ends within long fields lead it astray.
  const newline = /\r\n|\n|\r/.exec(text)?.[0] ?? "\n";
  return {
    delimiter: delimiterOf(text),
    newline,
    quoteChar: '"',
    header: false,
    skipEmptyLines: true,
  } as const;
}

/** Exports have commas; a spreadsheet that saved one again may have put what its country uses. */
function delimiterOf(text: string): string {
  const first = /^[^\r\n]*/.exec(text.slice(0, HEADER_CHARACTERS_MAX))?.[0] ?? "";
  if (first.includes(",")) return ",";
  return [";", "\t"].find((delimiter) => first.includes(delimiter)) ?? ",";
}

/** A name that is there twice would lose the first column's cells. */
function uniqueKeys(header: string[], known: readonly string[]): string[] {
  const keys: string[] = [];
  for (const [index, name] of header.entries()) {
    const key = known.includes(normal(name)) ? normal(name) : name.trim() || `column ${index + 1}`;
    keys.push(keys.includes(key) ? `${key} (column ${index + 1})` : key);
  }
  return keys;
}

function normal(name: string): string {
  return name.trim().toLowerCase();
}
