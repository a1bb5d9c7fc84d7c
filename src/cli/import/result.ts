import { type EntryContent, encodeContent } from "../../client/content.ts";
import { VaultError } from "../../client/errors.ts";
import { type Draft, toContent } from "./draft.ts";
import { IMPORT_LIMITS } from "./limits.ts";
import type { Take } from "./take.ts";

/** `source` is how a person finds the item in the file: its row or its name. None of the texts holds a secret. */
export type Imported = {
  format: string;
  entries: { content: EntryContent; source: string }[];
  /** What came in only in part, or has no place here. What concerns many items stands here once, with their number. */
  unmapped: { source: string; what: string }[];
  /** What did not come in at all. */
  refused: { source: string; reason: string }[];
};

export type Collector = {
  /** Takes an entry, or reports why it breaks the rules of content. Throws `import-too-large` beyond `entries_max`. */
  add(draft: Draft, source: string): void;
  unmapped(source: string, what: string): void;
  /** The same as `unmapped` for what many items have: counted, and reported once. */
  often(what: string): void;
  refuse(source: string, reason: string): void;
  /** Reports what is left of a part of the file that is no entry. */
  leftOver(source: string, take: Take): void;
  done(): Imported;
};

export function collect(format: string): Collector {
  const result: Imported = { format, entries: [], unmapped: [], refused: [] };
  const counts = new Map<string, number>();
  const refuse = (source: string, reason: string): void => {
    guardCount(result);
    result.refused.push({ source, reason });
  };
  return {
    refuse,
    add(draft, source) {
      const content = toContent(draft);
      const reason = whyNot(content);
      if (reason !== undefined) return refuse(source, reason);
      guardCount(result);
      result.entries.push({ content, source });
    },
    unmapped(source, what) {
      guardCount(result);
      result.unmapped.push({ source, what });
    },
    leftOver(source, take) {
      for (const { name } of take.rest()) {
        result.unmapped.push({ source, what: sourceOf("a part of it is not known", name) });
      }
    },
    often(what) {
      counts.set(what, (counts.get(what) ?? 0) + 1);
    },
    done() {
      for (const [what, count] of counts) {
        result.unmapped.push({ source: count === 1 ? "1 item" : `${count} items`, what });
      }
      return result;
    },
  };
}

/** Throws `import-too-large` for a file that no export is as large as. */
export function guardFileSize(bytes: Uint8Array): void {
  if (bytes.length > IMPORT_LIMITS.file_bytes_max) {
    throw importError("import-too-large", "The file is larger than 256 MiB");
  }
}

export type ImportErrorCode =
  | "import-damaged"
  | "import-encrypted"
  | "import-unknown-format"
  | "import-password-wrong"
  | "import-too-large";
export type ImportError = Error & { code: ImportErrorCode };

/** Makes every error that a reader ends with. The message is for people and holds nothing of the file's contents. */
export function importError(code: ImportErrorCode, message: string): ImportError {
  return Object.assign(new Error(message), { code, name: "ImportError" });
}

/** What `read` gives. What it throws becomes `import-damaged` with this message, unless it is an import's error. */
export function orDamaged<Value>(message: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw asImportError(error, message);
  }
}

/** Libraries quote what they read in their errors, so nothing of theirs is kept. */
export function asImportError(error: unknown, message: string): ImportError {
  if (error instanceof Error && error.name === "ImportError") return error as ImportError;
  return importError("import-damaged", message);
}

/** "12 (Example)": where an item stands, and its name without what would reach a terminal's controls. */
export function sourceOf(place: string, name: string): string {
  const shown = [...name.slice(0, 160).replace(/\p{C}+/gu, " ")].slice(0, 60).join("").trim();
  return shown === "" ? place : `${place} (${shown})`;
}

function guardCount({ entries, refused, unmapped }: Imported): void {
  if (Math.max(entries.length + refused.length, unmapped.length) >= IMPORT_LIMITS.entries_max) {
    throw importError("import-too-large", `The file has more than ${IMPORT_LIMITS.entries_max} entries`);
  }
}

function whyNot(content: EntryContent): string | undefined {
  try {
    encodeContent(content);
    return undefined;
  } catch (error) {
    if (error instanceof VaultError) return error.message;
    throw error;
  }
}
