import { IMPORT_LIMITS } from "./limits.ts";
import { importError, orDamaged } from "./result.ts";

/** The text of a file: UTF-8, or UTF-16 that says so by its byte order mark. The mark is left out. */
export function decodeText(bytes: Uint8Array): string {
  return orDamaged("The file is not text in UTF-8 or UTF-16", () =>
    new TextDecoder(encodingOf(bytes), { fatal: true }).decode(bytes),
  );
}

/** Throws `import-damaged` for what is no JSON, or is nested as no export is. */
export function parseJson(bytes: Uint8Array): unknown {
  const text = decodeText(bytes);
  if (depthOf(text) > IMPORT_LIMITS.json_depth_max) {
    throw importError("import-damaged", "The file is nested too deeply");
  }
  return orDamaged("The file is not JSON: it is damaged, or was cut off", () => JSON.parse(text));
}

function encodingOf(bytes: Uint8Array): "utf-8" | "utf-16le" | "utf-16be" {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  return bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
}

/** How deep the brackets outside of strings go, so that no parser has to be trusted with a million of them. */
function depthOf(text: string): number {
  let [depth, deepest, quoted] = [0, 0, false];
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (quoted) {
      if (code === 0x5c) index++;
      else if (code === 0x22) quoted = false;
    } else if (code === 0x22) quoted = true;
    else if (code === 0x7b || code === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (code === 0x7d || code === 0x5d) depth--;
  }
  return deepest;
}
