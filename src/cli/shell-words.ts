/** A word as it stands on a command line, without its quotes; an open one counts as closed at the end. Nothing is expanded. */
export function unquote(word: string): string {
  let plain = "";
  let quote = "";
  for (let at = 0; at < word.length; at++) {
    const character = word[at] as string;
    const next = word[at + 1];
    if (quote === "" && (character === "'" || character === '"')) quote = character;
    else if (character === quote) quote = "";
    else if (character === "\\" && quote !== "'" && next !== undefined) {
      if (quote === '"' && !/["\\$`]/.test(next)) plain += character;
      plain += next;
      at += 1;
    } else plain += character;
  }
  return plain;
}

/** A value as bash is to put it onto the line, where `start` stands so far: behind an opening quote, which bash keeps, or none. */
export function quoteForBash(value: string, start: string): string {
  if (start.startsWith("'")) return value.replaceAll("'", "'\\''");
  if (start.startsWith('"')) return value.replace(/["\\$`]/g, "\\$&");
  return value.replace(/[^\p{L}\p{N}_@%+=:,./-]/gu, "\\$&");
}
