import { CONTENT_FIELDS, type CustomField, type EntryContent } from "./content.ts";

/** A change of some fields; undefined and null take a field away. */
export type EntryPatch = { [Field in keyof EntryContent]?: EntryContent[Field] | null };

/** A content with a patch applied. Fields that the patch does not name stay. */
export function applyPatch(content: EntryContent, patch: EntryPatch): EntryContent {
  // All that the patch has, known or not: a field of no entry is refused when this is sealed, not dropped in silence.
  const patched = Object.entries({ ...content, ...patch });
  return Object.fromEntries(patched.filter(([, value]) => value != null)) as EntryContent;
}

export type Merge = { content: EntryContent; conflicts: (keyof EntryContent)[] };

/**
 * Three ways: what either side changed of `base` is kept, and a field that both changed to different values is a conflict,
 * in which `ours` stands for the time being. Lists are taken whole: half of each would be nobody's intention.
 */
export function mergeContents(base: EntryContent, ours: EntryContent, theirs: EntryContent): Merge {
  const conflicts: (keyof EntryContent)[] = [];
  const merged = CONTENT_FIELDS.map((field) => {
    const ours_changed = !isSame(base[field], ours[field]);
    const theirs_changed = !isSame(base[field], theirs[field]);
    if (ours_changed && theirs_changed && !isSame(ours[field], theirs[field])) conflicts.push(field);
    return [field, ours_changed ? ours[field] : theirs[field]];
  });
  return {
    content: Object.fromEntries(merged.filter(([, value]) => value != null)) as EntryContent,
    conflicts,
  };
}

/** Whether two values of a field are the same, in whatever order the parts of a custom field stand. */
function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a, CUSTOM_FIELD) === JSON.stringify(b, CUSTOM_FIELD);
}

const CUSTOM_FIELD = ["name", "value", "hidden"] satisfies (keyof CustomField)[];
