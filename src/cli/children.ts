import { NODE_ENV_GIVEN } from "../production.ts";

/**
 * What a program that this one starts finds in its environment: all that was given to this one, without the key to the vault, which it could
 * keep for longer than this one lives, and without what we set for our own libraries.
 */
export function childEnvironment(): Record<string, string | undefined> {
  const { BLINDVAULT_SESSION: _, NODE_ENV: __, ...inherited } = process.env;
  return NODE_ENV_GIVEN === undefined ? inherited : { ...inherited, NODE_ENV: NODE_ENV_GIVEN };
}
