import { Problem } from "../../contract/problems.ts";
import type { Precondition } from "./entries.ts";

/** The strong entity tag of an entry: its version (RFC 9110, section 8.8.3). */
export function etagOf(entry: { version: number }): string {
  return `"${entry.version}"`;
}

/**
 * If-Match (RFC 9110, section 13.1.1): the versions that a change may replace. `*` asks only that the entry
 * is there, which every change does. Comparison is strong, so a weak tag matches nothing.
 */
export function preconditionOf(if_match: string | null): Precondition {
  if (if_match === null || if_match.trim() === "*") return undefined;
  const tags = parse("if-match", if_match);
  return { versions: tags.filter((tag) => !tag.weak).map((tag) => versionOf(tag.value)) };
}

/**
 * If-None-Match (RFC 9110, section 13.1.2): whether the client's copy of a version is the current one, compared weakly,
 * as it is for a read. A function, so that a malformed header is refused before anything is read.
 */
export function unchangedBy(if_none_match: string | null): (version: number) => boolean {
  if (if_none_match === null) return () => false;
  if (if_none_match.trim() === "*") return () => true;
  const versions = parse("if-none-match", if_none_match).map((tag) => versionOf(tag.value));
  return (version) => versions.includes(version);
}

/** A tag that is no version of ours is well-formed and matches none. */
function versionOf(value: string): number {
  return /^[1-9][0-9]{0,9}$/.test(value) ? Number(value) : 0;
}

const LIST = /^\s*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"(?:\s*,\s*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")*\s*$/;

function parse(header: string, text: string): { weak: boolean; value: string }[] {
  if (text.length > 1024 || !LIST.test(text)) {
    throw new Problem("request-invalid", {
      errors: [{ path: `headers.${header}`, reason: "must be * or a list of entity tags" }],
    });
  }
  return [...text.matchAll(/(W\/)?"([^"]*)"/g)].map(([, weak, value]) => ({
    weak: weak !== undefined,
    value: value ?? "",
  }));
}
