import { LIMITS } from "../contract/limits.ts";

/**
 * The JSON of an answer; undefined when it is no object, or when a list in it is longer than any of the contract: to find something wrong
 * with each of eight million things would keep the client busy for longer than anybody waits.
 */
export function readAnswer(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    return Object.values(value).some(isTooLong) ? undefined : value;
  } catch {
    return undefined;
  }
}

function isTooLong(value: unknown): boolean {
  return Array.isArray(value) && value.length > LIMITS.page_entries_max;
}
