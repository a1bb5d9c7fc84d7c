import { createHmac } from "node:crypto";

/** Tokens by hand (RFC 7515), so that a test can put into them what no library would sign. */
export type Parts = {
  header: Record<string, unknown>;
  claims: Record<string, unknown>;
  secret: string;
  hash?: "sha256" | "sha384" | "sha512";
};

export function forge({ header, claims, secret, hash = "sha256" }: Parts): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest("base64url")}`;
}

export function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}

// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever the token says
export function decode(token: string): { header: any; claims: any } {
  const [header = "", claims = ""] = token.split(".");
  const read = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString());
  return { header: read(header), claims: read(claims) };
}

/** The same bytes in another spelling: base64url's last character carries bits that nobody reads. */
export function respell(base64url: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const next = alphabet[alphabet.indexOf(base64url.at(-1) as string) + 1] as string;
  return base64url.slice(0, -1) + next;
}
