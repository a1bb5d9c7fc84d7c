import "./production.ts";
import { Command, CommanderError, Option } from "commander";
import { version } from "../package.json";
import { CLI_EXIT_TEXT } from "./cli/exit.ts";
import { addClientCommands } from "./cli/program.ts";
import { EXIT, isOperatorFault } from "./exit.ts";

const EXIT_CODES = `
Exit codes of the server's commands: 0 done · 1 failed · 64 unknown command or flag ·
65 data of another version · 69 cannot reach or listen · 73 cannot write · 75 DATA_DIR is in use ·
78 configuration`;

function program(): Command {
  const root = new Command("blindvault")
    .description("A zero-knowledge store for passwords and secrets: server and tools in one file.")
    .version(version, "-V, --version")
    .addHelpText("after", EXIT_CODES + CLI_EXIT_TEXT)
    .enablePositionalOptions()
    .showHelpAfterError("(blindvault --help shows the commands)")
    .exitOverride();
  const config = () =>
    new Option("-c, --config <file>", "configuration file (default: blindvault.env in DATA_DIR)");
  const inherit = (command: Command) =>
    command
      .copyInheritedSettings(root)
      .showHelpAfterError(`(blindvault ${command.name()} --help shows its flags)`);

  root.addCommand(
    inherit(new Command("serve"))
      .description("run the server until SIGTERM or SIGINT")
      .addOption(config())
      .action(async (options) => {
        const { serve } = await import("./server/commands/serve.ts");
        const { site } = await import("./web/docs/site.ts");
        await serve(process.env, options, site);
      }),
  );
  root.addCommand(
    inherit(new Command("init"))
      .description("write a configuration file with a strong random JWT_SECRET; never overwrites one")
      .addOption(config())
      .option("--if-missing", "succeed when the file is there already")
      .action(async (options) => say((await import("./server/commands/init.ts")).init(process.env, options))),
  );
  root.addCommand(
    inherit(new Command("migrate"))
      .description("bring the database's schema up to date and end")
      .addOption(config())
      .action(async (options) =>
        say(await (await import("./server/commands/migrate.ts")).migrate(process.env, options)),
      ),
  );
  root.addCommand(
    inherit(new Command("health"))
      .description("ask the running server whether it is alive, for a container's HEALTHCHECK")
      .addOption(config())
      .option("--url <url>", "address of the server (default: from the configuration)")
      .option("--ready", "ask whether it is ready for work instead")
      .action(async (options) =>
        say(await (await import("./server/commands/health.ts")).health(process.env, options)),
      ),
  );
  addClientCommands(root, (name) => inherit(new Command(name)));
  return root;
}

function say(line: string): void {
  console.log(line);
}

try {
  await program().parseAsync();
  process.exit(process.exitCode ?? EXIT.ok);
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage);
  if (isOperatorFault(error)) {
    console.error(`blindvault: ${error.message}`);
    process.exit(error.exit_code);
  }
  const { describeError } = await import("./server/log.ts");
  console.error("blindvault: failed in a way that nobody foresaw", describeError(error));
  process.exit(EXIT.software);
}
