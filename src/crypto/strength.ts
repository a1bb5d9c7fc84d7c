/**
 * How hard a password of somebody's own choosing is to guess, by zxcvbn. An estimate, where `passwords.ts`
 * counts: nobody knows how a person chose. A secret made there is worth what its entropy says, not what this
 * says of it.
 */
import type { Score, ZxcvbnFactory } from "@zxcvbn-ts/core";

/** What zxcvbn reads of a password: the time it takes grows faster than the length. */
const CHARACTERS_MAX = 64;
/** Shorter parts of a context would be found by chance in what has nothing to do with it. */
const CONTEXT_CHARACTERS_MIN = 3;

/**
 * `score` is zxcvbn's: 4 from 10^10 guesses on, which is little against somebody who has the whole vault; for
 * a master password judge by `guesses_log10`. `crack_time_text` is English, for 10,000 guesses a second: many
 * machines against Argon2id. Neither it, `warning` nor `suggestions` has any of the password in it.
 */
export type Strength = {
  score: Score;
  guesses_log10: number;
  crack_time_text: string;
  warning: string | null;
  suggestions: string[];
};

/** One for all calls. Not its promise: loading can fail in a browser, and then the next call tries again. */
let estimator: ZxcvbnFactory | undefined;

/**
 * Judges a password by its first 64 characters, in Unicode's form NFC. `context` is what an attacker tries
 * first: the username, the server's name; each counts as a whole and in its parts. The first call loads the
 * dictionaries, then each blocks its thread, for long passwords noticeably.
 */
export async function assessPassword(password: string, context: readonly string[]): Promise<Strength> {
  estimator ??= await makeEstimator();
  const read = password.normalize("NFC").slice(0, CHARACTERS_MAX);
  const { score, guessesLog10, crackTimes, feedback } = estimator.check(read, contextWords(context));
  return {
    score,
    guesses_log10: guessesLog10,
    crack_time_text: crackTimes.offlineSlowHashingXPerSecond.display,
    warning: feedback.warning,
    suggestions: feedback.suggestions,
  };
}

/** The dictionaries are 2 MB of source: imported here, only who asks for a judgement waits for them. */
async function makeEstimator(): Promise<ZxcvbnFactory> {
  const [core, common, english] = await Promise.all([
    import("@zxcvbn-ts/core"),
    import("@zxcvbn-ts/language-common"),
    import("@zxcvbn-ts/language-en"),
  ]);
  return new core.ZxcvbnFactory({
    dictionary: { ...common.dictionary, ...english.dictionary },
    graphs: common.adjacencyGraphs,
    translations: english.translations,
    maxLength: CHARACTERS_MAX,
  });
}

function contextWords(context: readonly string[]): string[] {
  const words = context.flatMap((text) => [text, ...text.split(/[^\p{L}\p{N}]+/u)]);
  return [...new Set(words)].filter(
    ({ length }) => length >= CONTEXT_CHARACTERS_MIN && length <= CHARACTERS_MAX,
  );
}
