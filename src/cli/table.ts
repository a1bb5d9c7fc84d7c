import { oneLine, type Terminal } from "./terminal.ts";

const GAP = "  ";

/** Rows with their columns under each other, as wide as a terminal shows them. Every cell is made safe to be shown. */
export function printTable(terminal: Terminal, rows: readonly (readonly string[])[]): void {
  const cells = rows.map((row) => row.map((cell) => oneLine(cell)));
  const columns = Math.max(0, ...cells.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, index) =>
    Math.max(...cells.map((row) => Bun.stringWidth(row[index] ?? ""))),
  );
  for (const row of cells) {
    const padded = row.map((cell, index) => cell + " ".repeat((widths[index] ?? 0) - Bun.stringWidth(cell)));
    terminal.print(padded.join(GAP).trimEnd());
  }
}
