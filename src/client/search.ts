import Fuse from "fuse.js";
import type { Entry } from "./entries.ts";

/**
 * The entries that resemble `query`, best first, by name, username, address and tag. An exact name, whatever its case, comes
 * before everything that only resembles it.
 */
export function searchEntries(entries: readonly Entry[], query: string): Entry[] {
  const exact = entries.filter((entry) => isNamed(entry, query));
  const index = new Fuse(
    entries.filter((entry) => !exact.includes(entry)),
    {
      keys: [
        { name: "content.name", weight: 4 },
        { name: "content.username", weight: 2 },
        { name: "content.uris", weight: 2 },
        { name: "content.tags", weight: 1 },
      ],
      threshold: 0.35,
      ignoreLocation: true,
    },
  );
  return [...exact, ...index.search(query).map(({ item }) => item)];
}

/** Whether an entry has exactly this name, without regard to case. */
export function isNamed(entry: Entry, name: string): boolean {
  return entry.content.name.toLowerCase() === name.toLowerCase();
}
