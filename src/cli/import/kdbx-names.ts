/** How contents are spelled in KeePass files; importer and exporter keep to it. */

export const STANDARD_KEYS = ["Title", "UserName", "Password", "URL", "Notes"] as const;
/** Where KeePassXC and its browser extension look for further addresses: KP2A_URL, KP2A_URL_1 and so on. */
export const FURTHER_URL = /^KP2A_URL(_\d+)?$/;
export const OTP_KEYS = ["otp", "TOTP Seed", "TOTP Settings"] as const;
/** The exporter's own data about an entry: what KeePass has no place for. */
export const OWN_DATA = "blindvault";

/**
 * `type` is there unless it is "login"; `tags` where KeePass could not keep them as they are; `fields` has the key of
 * each custom string that is not named or hidden as it seems to be.
 */
export type OwnData = {
  type?: string;
  favorite?: boolean;
  tags?: string[];
  fields?: { key: string; name?: string; hidden?: boolean }[];
};

/** Whether a key means something to KeePass or to a plug-in, so that no custom field can have it. */
export function isReserved(key: string): boolean {
  return (
    [...STANDARD_KEYS, ...OTP_KEYS].some((known) => known === key) ||
    FURTHER_URL.test(key) ||
    /^(TimeOtp|HmacOtp)-/.test(key)
  );
}
