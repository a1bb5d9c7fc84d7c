import type { Argument, Command, Option } from "commander";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** What a shell offers: its text as a word of its own, before the shell quotes it. */
export type Suggestion = { value: string; description: string };

/**
 * What is to be offered for a word: suggestions; the files of the system; or, behind `run`, what belongs to the command that starts at the word
 * `from`, which that command's own completion knows.
 */
export type Answer =
  | { kind: "words"; suggestions: Suggestion[] }
  | { kind: "files" }
  | { kind: "command"; from: number };

/** Where names of entries come from, when they are asked for: name and fields. Nothing where the vault is locked. */
export type Names = () => Promise<readonly { name: string; fields: readonly string[] }[]>;

/**
 * Says what could stand where the last of `words` does; the words before it are complete, and the program's own name is not among them.
 * All of it is read from the program itself, so that it knows every command and flag there is.
 */
export async function complete(root: Command, words: readonly string[], names: Names): Promise<Answer> {
  const current = words.at(-1) ?? "";
  const place = findPlace(root, words.slice(0, -1));
  if (place.rest !== undefined) return { kind: "command", from: place.rest };
  if (place.pending !== undefined) return valuesOf(place.pending, current, "", names);
  if (current.startsWith("-") && !place.only_arguments) return flagsOrValue(place.command, current, names);
  if (place.command === root || place.command.name() === "help") {
    return place.arguments === 0 ? offer(current, commandsOf(root)) : offer(current, []);
  }
  const argument = place.command.registeredArguments[place.arguments];
  if (argument === undefined) return offer(current, []);
  if (argument.variadic) return { kind: "command", from: words.length - 1 };
  // An archive's names are behind a password.
  return valuesOf(argument, current, "", place.has_archive ? async () => [] : names);
}

type Place = {
  command: Command;
  /** The flag whose value comes next. */
  pending: Option | undefined;
  /** How many arguments stand before. */
  arguments: number;
  only_arguments: boolean;
  has_archive: boolean;
  /** Where another program's command line begins. */
  rest: number | undefined;
};

function findPlace(root: Command, words: readonly string[]): Place {
  const place: Place = {
    command: root,
    pending: undefined,
    arguments: 0,
    only_arguments: false,
    has_archive: false,
    rest: undefined,
  };
  for (const [index, word] of words.entries()) {
    if (place.pending !== undefined) place.pending = undefined;
    else if (word === "--" && !place.only_arguments) place.only_arguments = true;
    else if (word.length > 1 && word.startsWith("-") && !place.only_arguments) {
      const { option, has_value } = readFlag(place.command, word);
      if (option?.long === "--archive") place.has_archive = true;
      if (takesValue(option) && !has_value) place.pending = option;
    } else if (!step(root, place, word)) return { ...place, rest: index };
  }
  return place;
}

/** One word that is no flag: a command, or an argument. False where it begins the command line of another program. */
function step(root: Command, place: Place, word: string): boolean {
  const found =
    place.command === root ? visibleCommands(root).find((each) => isCalled(each, word)) : undefined;
  if (found !== undefined) place.command = found;
  else if (place.command.registeredArguments[place.arguments]?.variadic) return false;
  else place.arguments += 1;
  return true;
}

function readFlag(command: Command, word: string): { option: Option | undefined; has_value: boolean } {
  const options = visibleOptions(command);
  if (word.startsWith("--")) {
    const [long] = word.split("=", 1);
    return { option: options.find((each) => each.long === long), has_value: word.includes("=") };
  }
  // The first that takes a value ends a group of short ones: what follows it in the same word is its value.
  for (let at = 1; at < word.length; at++) {
    const option = options.find((each) => each.short === `-${word[at]}`);
    if (takesValue(option)) return { option, has_value: at < word.length - 1 };
  }
  return { option: undefined, has_value: false };
}

async function flagsOrValue(command: Command, current: string, names: Names): Promise<Answer> {
  const at = current.indexOf("=");
  if (current.startsWith("--") && at > 0) {
    const { option } = readFlag(command, current);
    if (option === undefined || !takesValue(option)) return offer(current, []);
    return valuesOf(option, current.slice(at + 1), current.slice(0, at + 1), names);
  }
  const flags = visibleOptions(command).flatMap(({ long, short, description }) =>
    [long, short].filter((each) => each != null).map((value) => ({ value, description })),
  );
  return offer(current, flags);
}

/** What a flag or an argument takes is told by its choices, or by how its value is called: `<file>`, `<name>`. */
async function valuesOf(
  holder: Option | Argument,
  current: string,
  before: string,
  names: Names,
): Promise<Answer> {
  const placeholder = "flags" in holder ? /<(.+)>/.exec(holder.flags)?.[1] : holder.required && holder.name();
  if (placeholder === "file" || placeholder === "archive") return { kind: "files" };
  const values = holder.argChoices ?? (await namesFor(placeholder || undefined, holder, current, names));
  const suggestions = values.map((value) => ({ value: before + value, description: "" }));
  return offer(before + current, suggestions);
}

async function namesFor(
  placeholder: string | undefined,
  holder: Option | Argument,
  current: string,
  names: Names,
): Promise<string[]> {
  if (placeholder === "name" && !("flags" in holder)) return (await names()).map(({ name }) => name);
  if (placeholder !== "variable=name/field" || !current.includes("=")) return [];
  const variable = current.slice(0, current.indexOf("=") + 1);
  const wanted = current.slice(variable.length);
  const entries = await names();
  const chosen = entries.filter(({ name }) => wanted.startsWith(`${name}/`));
  const fields = chosen.flatMap(({ name, fields }) => fields.map((field) => `${name}/${field}`));
  const unnamed = entries.map(({ name }) => `${name}/`).filter((each) => each !== wanted);
  return [...fields, ...unnamed].map((value) => variable + value);
}

function offer(current: string, suggestions: readonly Suggestion[]): Answer {
  const start = current.toLowerCase();
  const unique = new Map(suggestions.map((each) => [each.value, each]));
  const fitting = [...unique.values()].filter(({ value }) => value.toLowerCase().startsWith(start));
  return { kind: "words", suggestions: fitting };
}

function commandsOf(root: Command): Suggestion[] {
  return visibleCommands(root).flatMap((command) =>
    [command.name(), ...command.aliases()].map((value) => ({ value, description: command.description() })),
  );
}

function isCalled(command: Command, word: string): boolean {
  return command.name() === word || command.aliases().includes(word);
}

function takesValue(option: Option | undefined): boolean {
  return option !== undefined && (option.required || option.optional);
}

function visibleCommands(root: Command): Command[] {
  return root.createHelp().visibleCommands(root);
}

function visibleOptions(command: Command): Option[] {
  return command.createHelp().visibleOptions(command);
}
