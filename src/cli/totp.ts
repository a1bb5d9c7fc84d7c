import { CLI_EXIT, commandFault } from "./exit.ts";

export type TotpCode = { code: string; valid_s: number };

/** As short as any service gives: less is a word that happens to be base32. */
const SECRET_BYTES_MIN = 5;
/** RFC 4226, section 5.3, asks for six at least; nobody shows more than ten. */
const DIGITS = { min: 6, max: 10 };
const PERIOD_S_MAX = 3600;

/**
 * The one-time code of now (RFC 6238) for an otpauth:// URI or a secret in base32, which is then of 6 digits, 30 seconds and SHA-1 as
 * authenticators take it to be. Throws `totp-invalid` where it would be a code that no service takes.
 */
export async function totpCode(text: string, now_ms: number): Promise<TotpCode> {
  if (/^steam:|^otpauth:\/\/steam\/|[?&]encoder=steam(&|$)/i.test(text)) throw refused("is Steam's own kind");
  if (/^otpauth:\/\/hotp\//i.test(text)) throw refused("counts (HOTP) instead of following the clock");
  const totp = await parse(text);
  const usable =
    totp.secret.bytes.length >= SECRET_BYTES_MIN &&
    totp.digits >= DIGITS.min &&
    totp.digits <= DIGITS.max &&
    totp.period <= PERIOD_S_MAX;
  if (!usable) throw refused("is none that this version knows");
  return {
    code: totp.generate({ timestamp: now_ms }),
    valid_s: Math.ceil(totp.remaining({ timestamp: now_ms }) / 1000),
  };
}

async function parse(text: string) {
  const { Secret, TOTP, URI } = await import("otpauth");
  try {
    const isUri = /^otpauth:/i.test(text);
    const totp = isUri
      ? URI.parse(text)
      : new TOTP({ secret: Secret.fromBase32(text.replace(/[\s-]/g, "")) });
    if (totp instanceof TOTP) return totp;
  } catch {
    // Told below, without the secret that the library quotes.
  }
  throw refused("is none that this version knows");
}

function refused(why: string): Error {
  return commandFault(CLI_EXIT.data, "totp-invalid", `the entry's TOTP secret ${why}`);
}
