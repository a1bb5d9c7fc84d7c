import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { type Context, runCommand } from "./command.ts";
import { SHELLS, type Shell } from "./completion.ts";
import { EXPORT_FORMATS, IMPORT_FORMATS } from "./formats.ts";
import { type OutputOptions, toJson } from "./terminal.ts";

type Options = OutputOptions & Record<string, never>;
type Work = (context: Context, ...args: never[]) => Promise<number | undefined>;

/**
 * Adds the client's commands to the program. Each loads its own code only when it is run, so that the others start as fast as if it were not
 * there. `inherit` gives a command the program's settings.
 */
export function addClientCommands(root: Command, inherit: (name: string) => Command): void {
  const command = (name: string, description: string): Command => {
    const added = inherit(name)
      .description(description)
      .option("--json", "give data and errors as JSON")
      .option("-q, --quiet", "say nothing but data, warnings and errors");
    if (wantsJson()) tellInJson(added);
    root.addCommand(added);
    return added;
  };
  addAccountCommands(command);
  addEntryCommands(command);
  addToolCommands(command);
  addTransferCommands(command);
  addCompletion(root, command, inherit);
  // What this program starts itself; nobody is to find it in --help.
  root.addCommand(
    inherit("clipboard-clear").action(runs(async () => (await import("./clipboard.ts")).clearClipboard)),
    { hidden: true },
  );
}

/** Whether `--json` was given, to tell of flags that could not be read. */
function wantsJson(): boolean {
  const { argv } = process;
  return argv.slice(0, argv.includes("--") ? argv.indexOf("--") : undefined).includes("--json");
}

/** Has a mistake in the flags told as every other error is. */
function tellInJson(command: Command): void {
  command.showHelpAfterError(false).configureOutput({
    outputError: (text, write) => {
      const message = text
        .replace(/^error: /, "")
        .trim()
        .replace(/\s+/g, " ");
      write(`${toJson({ error: { code: "usage", message } })}\n`);
    },
  });
}

type Add = (name: string, description: string) => Command;

/** Runs what `load` gives, with the command's arguments, and leaves with its exit code. */
function runs(load: () => Promise<Work>) {
  return async (...args: unknown[]) => {
    const command = args.at(-1) as Command;
    const rest = args.slice(0, -1) as never[];
    process.exitCode = await runCommand(command.opts<Options>(), async (context) =>
      (await load())(context, ...rest),
    );
  };
}

function withPassword(command: Command, name = "password", what = "the master password"): Command {
  return command
    .option(`--${name}-stdin`, `take ${what} from the next line of standard input`)
    .option(`--${name}-fd <n>`, `take ${what} from a file descriptor`);
}

function addAccountCommands(add: Add): void {
  const login = () => import("./commands/login.ts");
  const session = () => import("./commands/session.ts");
  const target = (command: Command) =>
    withPassword(command)
      .option("-s, --server <url>", "address of the server (default: BLINDVAULT_SERVER, or the last one)")
      .option("-u, --username <name>", "account (default: the last one)")
      .option("--ca-file <file>", "trust the authorities in this file as well")
      .option("--insecure-http", "allow plain HTTP to another machine")
      .option("--no-keychain", "print the session key instead of keeping it in the keychain")
      .option("--raw", "print the session key alone")
      .addHelpText("after", SESSION_KEY_TEXT);
  target(add("register", "make an account whose keys no server sees, and log in"))
    .option("--allow-weak", "take a master password that could be guessed")
    .action(runs(async () => (await login()).register));
  target(add("login", "log in and open the vault for the commands that follow"))
    .alias("unlock")
    .option("--password-changed", "accept that the master password was changed on another device")
    .action(runs(async () => (await login()).login));
  add("lock", "forget the vault's key; the session goes on").action(runs(async () => (await login()).lock));
  add("logout", "end the session and forget the vault's key")
    .option("--local", "do not tell the server")
    .action(runs(async () => (await login()).logout));
  add("status", "say which account it is, and whether its vault is open")
    .option(
      "--accept-restore",
      "forget what was seen of the entries, after the server's operator restored a backup",
    )
    .action(runs(async () => (await session()).status));
  withPassword(withPassword(add("passwd", "change the master password")), "new-password", "the new one")
    .option("--allow-weak", "take a master password that could be guessed")
    .action(runs(async () => (await session()).passwd));
  add("sessions", "show where the account is logged in")
    .option("--end <id>", "end one session first")
    .option("--end-others", "end all other sessions first")
    .action(runs(async () => (await session()).sessions));
  add("events", "show what happened to the account")
    .addOption(new Option("--limit <n>", "how many, at most 200").argParser(positive(200)))
    .action(runs(async () => (await session()).events));
}

const SESSION_KEY_TEXT = `
Where no keychain holds the session key, the shell is to. In sh, bash, dash, zsh and fish:
  eval "$(blindvault login)"
In PowerShell:
  $env:BLINDVAULT_SESSION = blindvault login --raw`;

function addEntryCommands(add: Add): void {
  const edit = () => import("./commands/edit.ts");
  const archive = (command: Command) =>
    withPassword(command).option("--archive <file>", "read an encrypted archive instead, without a server");
  content(add("add", "store a new entry").argument("[name]", "what it is called")).action(
    runs(async () => (await edit()).add),
  );
  archive(add("get", "show an entry, or one field of it").argument("<name>", "its name, or its id"))
    .option(
      "-f, --field <field>",
      "print this field alone: password, username, uri, notes, totp, or its own name",
    )
    .option("-c, --copy", "put the field (default: the password) into the clipboard for 30 seconds")
    .option("--totp", "give the one-time code of now")
    .option("--reveal", "show secrets, as --json always does")
    .action(runs(async () => (await import("./commands/get.ts")).get));
  archive(add("list", "list the entries").argument("[query]", "what they resemble"))
    .option("--tag <tag>", "only those with this tag")
    .addOption(new Option("--type <type>", "only those of this type").choices(TYPES))
    .option("--reveal", "with --json: secrets too")
    .addOption(repeatable("--accept-missing <id>", "accept that an entry is gone that this device has seen"))
    .action(runs(async () => (await import("./commands/list.ts")).list));
  content(add("edit", "change an entry").argument("<name>", "its name, or its id"))
    .option("--name <name>", "call it otherwise")
    .addOption(repeatable("--remove <field>", "take a field away"))
    .action(runs(async () => (await edit()).edit));
  add("rm", "delete an entry for good")
    .argument("<name>", "its name, or its id")
    .option("-y, --yes", "do not ask")
    .action(runs(async () => (await edit()).remove));
}

/** Named here, so that `--help` starts without the client's code; a test compares. */
const TYPES = ["login", "note", "card", "identity", "secret"];

/** What an entry holds. Secrets are asked for, or come from standard input or a descriptor: arguments can be read by everybody. */
function content(command: Command): Command {
  const type = new Option("--type <type>", "what it is").choices(TYPES);
  return withPassword(withPassword(command, "password", "its password"), "totp", "its TOTP secret")
    .addOption(type)
    .option("--username <name>", "user name")
    .addOption(repeatable("--uri <uri>", "an address"))
    .addOption(repeatable("--tag <tag>", "a tag"))
    .option("--notes <text>", "notes")
    .addOption(repeatable("--field <name=value>", "a custom field that is no secret"))
    .addOption(
      repeatable("--hidden-field <name>", "one that is: asked for, or the next line of standard input"),
    )
    .option("--favorite", "mark it as one")
    .option("--generate", "make a random password")
    .option("--password-prompt", "ask for its password")
    .option("--totp-prompt", "ask for its TOTP secret")
    .option("--from-stdin", "take all of it as JSON from standard input");
}

function addToolCommands(add: Add): void {
  add("generate", "make a random password or passphrase")
    .option("--length <n>", "characters (default: 20)")
    .option("--no-lower", "no lower-case letters")
    .option("--no-upper", "no upper-case letters")
    .option("--no-digits", "no digits")
    .option("--no-symbols", "no symbols")
    .option("--exclude <characters>", "none of these")
    .option("--no-look-alikes", "none that are easily mistaken for each other")
    .option("--passphrase", "words from the EFF's long list instead")
    .option("--words <n>", "how many (default: 6)")
    .option("--separator <text>", "between words (default: a space)")
    .option("-c, --copy", "put it into the clipboard for 30 seconds instead of printing it")
    .action(runs(async () => (await import("./commands/generate.ts")).generate));
  add("run", "start a command with secrets in its environment")
    .argument("<command...>", "behind --: the command and its arguments")
    .addOption(
      repeatable("--env <variable=name/field>", "a variable, and the entry and field that it is to hold"),
    )
    .passThroughOptions()
    .action(runs(async () => (await import("./commands/run.ts")).run));
}

/** The scripts that shells read, and what these ask: hidden, and told the whole program. */
function addCompletion(root: Command, add: Add, inherit: (name: string) => Command): void {
  const load = () => import("./commands/completion.ts");
  add("completion", "print what a shell has to read to complete these commands")
    .addArgument(new Argument("<shell>", "which one").choices(SHELLS))
    .addHelpText("after", COMPLETION_TEXT)
    .action(runs(async () => (await load()).completion));
  const words = inherit("complete-words").argument("<shell>");
  words.action(
    runs(async () => async (context, shell: Shell) => (await load()).completeWords(context, root, shell)),
  );
  root.addCommand(words, { hidden: true });
}

const COMPLETION_TEXT = `
bash:  echo 'source <(blindvault completion bash)' >> ~/.bashrc
zsh:   echo 'source <(blindvault completion zsh)' >> ~/.zshrc     (behind compinit)
fish:  blindvault completion fish > ~/.config/fish/completions/blindvault.fish
Names of entries are completed while the vault is open.`;

function addTransferCommands(add: Add): void {
  withPassword(
    add("import", "take over what another password manager has exported"),
    "password",
    "the file's password",
  )
    .argument(
      "<file>",
      "of Bitwarden, 1Password, KeePass, Chrome, Firefox, LastPass, Proton Pass, or ours; - is standard input",
    )
    .addOption(new Option("--format <format>", "what it is (default: found out)").choices(IMPORT_FORMATS))
    .option("--key-file <file>", "a KeePass key file")
    .option("--dry-run", "show what would come in, and store nothing")
    .action(runs(async () => (await import("./commands/import.ts")).importFile));
  withPassword(
    withPassword(add("export", "write everything into one file")),
    "file-password",
    "the KDBX file's password",
  )
    .argument("<file>", "where to; - is standard output")
    .addOption(
      new Option("--format <format>", "archive and kdbx are encrypted, the others are not")
        .choices(EXPORT_FORMATS)
        .default("archive"),
    )
    .option("--from <archive>", "turn an encrypted archive into another format, without a server")
    .option("-y, --yes", "do not ask before writing what anybody can read")
    .option("--force", "replace the file when it is there")
    .action(runs(async () => (await import("./commands/export.ts")).exportFile));
}

/** May be given more than once. A flag that takes all words behind it would take the name of the entry too. */
function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description}; may be repeated`).argParser((value, former?: string[]) => [
    ...(former ?? []),
    value,
  ]);
}

function positive(max: number) {
  return (text: string): string => {
    if (/^[1-9][0-9]{0,5}$/.test(text) && Number(text) <= max) return text;
    throw new InvalidArgumentError(`It takes a whole number from 1 to ${max}.`);
  };
}
