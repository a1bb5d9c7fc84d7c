import { zipSync } from "fflate";
import type { ImportFormat } from "../../../src/cli/import/detect.ts";
import type { KdbxKey } from "../../../src/cli/import/kdbx-open.ts";
import { readImport } from "../../../src/cli/import/read.ts";
import type { Imported } from "../../../src/cli/import/result.ts";

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

export function jsonOf(value: unknown): Uint8Array<ArrayBuffer> {
  return bytesOf(JSON.stringify(value));
}

export function zipOf(files: Record<string, unknown>): Uint8Array {
  const entries = Object.entries(files).map(([name, value]) => [
    name,
    value instanceof Uint8Array ? value : jsonOf(value),
  ]);
  return zipSync(Object.fromEntries(entries));
}

/** The contents alone, of a file that is taken whole. */
export async function contentsOf(format: ImportFormat, bytes: Uint8Array, key?: KdbxKey) {
  const { entries } = await readImport(format, bytes, key);
  return entries.map(({ content }) => content);
}

/** The code of the error that an action ends in; "" when it ends well. */
export async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action();
    return "";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

export function reports({ unmapped, refused }: Imported): string[] {
  return [
    ...unmapped.map(({ source, what }) => `${source}: ${what}`),
    ...refused.map(({ source, reason }) => `${source}: ${reason}`),
  ];
}
