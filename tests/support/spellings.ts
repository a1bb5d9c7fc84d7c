/** Every way in which bytes might stand in other bytes, by its name: as they are, as text, and within longer texts. */
export function spellings(secret: string | Uint8Array): [string, Buffer][] {
  const text = typeof secret === "string" ? secret : undefined;
  const bytes = Buffer.from(secret as Uint8Array);
  const pairs = [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
  const spelled: [string, string | Buffer][] = [
    ["bytes", bytes],
    ["hexadecimal", pairs.join("")],
    ["upper-case hexadecimal", pairs.join("").toUpperCase()],
    ["hexadecimal with spaces", pairs.join(" ")],
    ["percent-encoded", pairs.map((pair) => `%${pair}`).join("")],
    ["upper-case percent-encoded", pairs.map((pair) => `%${pair.toUpperCase()}`).join("")],
    ["numbers", bytes.join(",")],
    ["backwards", Buffer.from(bytes).reverse()],
    ...[0, 1, 2].flatMap((offset): [string, string][] => [
      [`base64 at ${offset}`, base64Within(bytes, offset)],
      [`base64url at ${offset}`, base64Within(bytes, offset).replaceAll("+", "-").replaceAll("/", "_")],
    ]),
  ];
  if (text !== undefined) {
    const utf16 = Buffer.from(text, "utf16le");
    const escapes = text.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
    spelled.push(
      ["UTF-16", utf16],
      ["UTF-16 with the great end first", Buffer.from(utf16).swap16()],
      ["JSON escapes", escapes],
      ["lower case", text.toLowerCase()],
      ["upper case", text.toUpperCase()],
      ["base64 of UTF-16", base64Within(utf16, 0)],
    );
  }
  // Some are the same for some secrets, and one name is enough for each.
  const named = spelled.map(([name, value]): [string, Buffer] => [name, Buffer.from(value as Buffer)]);
  return named.filter(([, needle], index) => index === named.findIndex(([, other]) => other.equals(needle)));
}

/** The characters that stand for the bytes and for nothing else, where `offset` other bytes come before them. */
function base64Within(bytes: Buffer, offset: number): string {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
  return encoded.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
}

/** The spellings in which a secret stands in a text; none where it is not there. */
export function findSpellings(haystack: Buffer, secret: string | Uint8Array): string[] {
  return spellings(secret).flatMap(([name, needle]) => (haystack.includes(needle) ? [name] : []));
}
