import { lookUp } from "./take.ts";

/** The ways in which KeePass, its forks and its plug-ins keep one-time passwords: which fields they take, as one secret. */
export type KdbxOtp = { keys: string[]; totp: string };

const ALGORITHMS: Record<string, string> = {
  "HMAC-SHA-1": "SHA1",
  "HMAC-SHA-256": "SHA256",
  "HMAC-SHA-512": "SHA512",
};

/**
 * `otp` of KeePassXC (an otpauth: address) and of KeeOtp (`key=...&step=...`), `TOTP Seed` with `TOTP Settings` of
 * TrayTOTP and old KeePassXC, and `TimeOtp-...` of KeePass itself. Secrets without settings stay bare.
 */
export function readOtps(fields: Map<string, string>, name: string): KdbxOtp[] {
  return [fromOtp(fields, name), fromSeed(fields, name), fromTimeOtp(fields, name)].filter(
    (otp) => otp !== undefined,
  );
}

function fromOtp(fields: Map<string, string>, name: string): KdbxOtp | undefined {
  const value = fields.get("otp") ?? "";
  if (value === "") return undefined;
  const query = new URLSearchParams(value);
  const key = query.get("key");
  if (value.startsWith("otpauth:") || key === null) return { keys: ["otp"], totp: value };
  const settings = { period: query.get("step") ?? "30", digits: query.get("size") ?? "6" };
  return { keys: ["otp"], totp: spell(name, key, settings) };
}

/** "30;6" is period and digits; "30;S" is Steam's code of five letters, which KeePassXC writes as an encoder. */
function fromSeed(fields: Map<string, string>, name: string): KdbxOtp | undefined {
  const seed = fields.get("TOTP Seed") ?? "";
  if (seed === "") return undefined;
  const [period = "30", digits = "6", ...more] = (fields.get("TOTP Settings") ?? "")
    .split(";")
    .filter(Boolean);
  const settings = digits === "S" ? { period, digits: "5", encoder: "steam" } : { period, digits };
  if (more.length > 0) return { keys: ["TOTP Seed"], totp: seed };
  return { keys: ["TOTP Seed", "TOTP Settings"], totp: spell(name, seed, settings) };
}

function fromTimeOtp(fields: Map<string, string>, name: string): KdbxOtp | undefined {
  const secret = fields.get("TimeOtp-Secret-Base32") ?? "";
  if (secret === "") return undefined;
  const stated = fields.get("TimeOtp-Algorithm") ?? "HMAC-SHA-1";
  const algorithm = lookUp(ALGORITHMS, stated);
  if (algorithm === undefined) return { keys: ["TimeOtp-Secret-Base32"], totp: secret };
  const period = fields.get("TimeOtp-Period") || "30";
  const digits = fields.get("TimeOtp-Length") || "6";
  const keys = ["Secret-Base32", "Algorithm", "Period", "Length"].map((part) => `TimeOtp-${part}`);
  return { keys, totp: spell(name, secret, { period, digits, algorithm }) };
}

/** Without settings of its own a secret is what everybody understands. */
function spell(name: string, secret: string, settings: Record<string, string>): string {
  const { period, digits, algorithm = "SHA1", encoder } = settings;
  if (period === "30" && digits === "6" && algorithm === "SHA1" && encoder === undefined) return secret;
  const query = new URLSearchParams({ secret: secret.replace(/\s/g, ""), ...settings });
  return `otpauth://totp/${encodeURIComponent(name || "Untitled")}?${query}`;
}
