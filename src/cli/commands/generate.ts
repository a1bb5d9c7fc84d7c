import {
  type CharacterClass,
  LOOK_ALIKES,
  makePassphrase,
  makePassword,
  passphraseEntropyBits,
  passwordEntropyBits,
} from "../../crypto/passwords.ts";
import { CLIPBOARD_MS, copySecret } from "../clipboard.ts";
import type { Context } from "../command.ts";
import { CLI_EXIT, commandFault } from "../exit.ts";

export type GenerateOptions = {
  length?: string;
  lower: boolean;
  upper: boolean;
  digits: boolean;
  symbols: boolean;
  exclude?: string;
  lookAlikes: boolean;
  passphrase?: boolean;
  words?: string;
  separator?: string;
  copy?: boolean;
};

const LENGTH = 20;
const WORDS = 6;

/** `blindvault generate`: a random password or passphrase, and how many bits of entropy it has. Needs no account. */
export async function generate({ terminal }: Context, options: GenerateOptions): Promise<undefined> {
  assertOneKind(options);
  const { secret, entropy_bits } = options.passphrase ? await passphrase(options) : password(options);
  if (options.copy) {
    await copySecret(secret);
    terminal.give({ copied: "secret", clears_s: CLIPBOARD_MS / 1000, entropy_bits }, () => undefined);
  } else {
    terminal.give({ secret, entropy_bits }, () => terminal.print(secret));
  }
  const where = options.copy ? ` In the clipboard for ${CLIPBOARD_MS / 1000} s.` : "";
  terminal.say(`${Math.floor(entropy_bits)} bits of entropy.${where}`);
}

/** A rule that would say nothing is a mistake, and the secret not what was asked for. */
function assertOneKind(options: GenerateOptions): void {
  const { length, lower, upper, digits, symbols, exclude, lookAlikes, words, separator } = options;
  const all_allowed = lower && upper && digits && symbols && lookAlikes;
  const of_password = length !== undefined || exclude !== undefined || !all_allowed;
  const of_passphrase = words !== undefined || separator !== undefined;
  if (!(options.passphrase ? of_password : of_passphrase)) return;
  const message = options.passphrase
    ? "--passphrase goes with --words and --separator alone"
    : "--words and --separator go with --passphrase";
  throw commandFault(CLI_EXIT.usage, "rules-mixed", message);
}

function password(options: GenerateOptions) {
  const every: CharacterClass[] = ["lower", "upper", "digits", "symbols"];
  const classes = every.filter((each) => options[each]);
  const exclude = (options.exclude ?? "") + (options.lookAlikes ? "" : LOOK_ALIKES);
  const rules = { length: whole(options.length, LENGTH, "--length"), classes, exclude };
  return orUsage(() => ({ secret: makePassword(rules), entropy_bits: passwordEntropyBits(rules) }));
}

async function passphrase(options: GenerateOptions) {
  const rules = { words: whole(options.words, WORDS, "--words"), separator: options.separator ?? " " };
  const entropy_bits = orUsage(() => passphraseEntropyBits(rules));
  return { secret: await makePassphrase(rules), entropy_bits };
}

function whole(text: string | undefined, fallback: number, flag: string): number {
  if (text === undefined) return fallback;
  if (/^[0-9]{1,4}$/.test(text)) return Number(text);
  throw commandFault(CLI_EXIT.usage, "number-invalid", `${flag} takes a whole number`);
}

/** The generator says itself what it cannot make. */
function orUsage<Value>(make: () => Value): Value {
  try {
    return make();
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    if (code === undefined) throw error;
    throw commandFault(CLI_EXIT.usage, code, message);
  }
}
