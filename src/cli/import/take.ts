/**
 * Reading a foreign record so that nothing can be forgotten: what a reader asks for is crossed off, and what is left
 * at the end is there to be kept or reported.
 */

export type Take = {
  /** The text of a text, number or flag; "" when there is none. Lists and records stay for `rest`. */
  text(key: string): string;
  /** Whether it is true, 1, "true" or "1". */
  flag(key: string): boolean;
  list(key: string): unknown[];
  /** A list of texts; one with anything else in it stays for `rest`. */
  texts(key: string): string[];
  /** A record within: what is left of it is also left of this one. */
  record(key: string): Take;
  /** Whether there is anything but emptiness at the key. Crosses nothing off. */
  has(key: string): boolean;
  keys(): string[];
  /** All that is left and not empty, crossed off. */
  takeAll(): [string, unknown][];
  ignore(...keys: string[]): void;
  /** What nobody has asked for and is not empty; of records and lists the JSON. */
  rest(): { name: string; value: string }[];
};

/** What is no record has nothing to take, and is left whole. */
export function takeFrom(value: unknown): Take {
  return takeEntries(isRecord(value) ? Object.entries(value) : [["", value]]);
}

export function takeEntries(entries: Iterable<readonly [string, unknown]>): Take {
  const left = new Map(entries);
  const within: [string, Take][] = [];
  const take = <Value>(key: string, read: (value: unknown) => Value | undefined): Value | undefined => {
    const value = read(left.get(key));
    if (value !== undefined) left.delete(key);
    return value;
  };
  return {
    text: (key) => take(key, textOf) ?? "",
    flag: (key) => ["true", "1"].includes((take(key, textOf) ?? "").toLowerCase()),
    list: (key) => take(key, (value) => (Array.isArray(value) ? value : undefined)) ?? [],
    texts: (key) =>
      take(key, (value) => {
        const texts = Array.isArray(value) ? value.map(textOf) : undefined;
        return texts?.every((text) => text !== undefined) ? texts : undefined;
      }) ?? [],
    record: (key) => {
      const inner = takeFrom(take(key, (value) => (isRecord(value) ? value : undefined)));
      within.push([key, inner]);
      return inner;
    },
    has: (key) => !isEmpty(left.get(key)),
    keys: () => [...left.keys()],
    takeAll: () => {
      const all = [...left].filter(([, value]) => !isEmpty(value));
      left.clear();
      return all;
    },
    ignore: (...keys) => {
      for (const key of keys) left.delete(key);
    },
    rest: () => [
      ...[...left]
        .filter(([, value]) => !isEmpty(value))
        .map(([name, value]) => ({ name, value: textOf(value) ?? JSON.stringify(value) })),
      ...within.flatMap(([key, inner]) =>
        inner.rest().map(({ name, value }) => ({ name: `${key}: ${name}`, value })),
      ),
    ],
  };
}

/** The value of a table's own key: a foreign file may well ask for "constructor". */
export function lookUp<Value>(table: Readonly<Record<string, Value>>, key: string): Value | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === false) return true;
  if (Array.isArray(value)) return value.every(isEmpty);
  return isRecord(value) && Object.values(value).every(isEmpty);
}

export function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}
