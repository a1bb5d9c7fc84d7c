import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { SHELLS } from "../../src/cli/completion.ts";
import { addClientCommands } from "../../src/cli/program.ts";
import { randomHex, randomName, randomPassword } from "../support/client.ts";
import { programDirectory } from "../support/program.ts";
import { startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";
import { type Device, KEYS, makeDevice, openScreen, runScript } from "../support/terminal.ts";

const SLOW_MS = 60_000;

let server: TestServer;
let device: Device;

/** Real shells, which find the program on their PATH, and an open vault. */
beforeAll(async () => {
  server = await startTestServer("embedded");
  device = makeDevice();
  device.env.PATH = `${programDirectory()}:${process.env.PATH}`;
  device.env.BLINDVAULT_SESSION = await register(server, device);
  for (const content of ENTRIES) {
    await device.run(["add", "--from-stdin"], { stdin: JSON.stringify({ type: "login", ...content }) });
  }
}, SLOW_MS);
afterAll(() => server.stop());

const ENTRIES = [
  { name: "Plain", password: randomHex(8) },
  { name: "My Bank (joint)", username: "somebody", password: randomHex(8) },
  { name: "db:prod=eu/west", password: randomHex(8) },
  { name: "$(touch injected)`touch injected`", password: randomHex(8) },
  { name: "two\nlines", password: randomHex(8) },
];

async function register(at: TestServer, on: Device): Promise<string> {
  const args = ["register", "-s", at.url, "-u", randomName(), "--no-keychain", "--raw", "--password-stdin"];
  return (await on.run(args, { stdin: `${randomPassword()}\n` })).stdout.trim();
}

/** How each shell is asked for what it offers behind each of some lines, one a line, the lines apart by `==`. */
const HARNESS = {
  bash: `source <(blindvault completion bash)
    while IFS= read -r COMP_LINE; do
      COMP_POINT=\${#COMP_LINE}
      line=\${COMP_LINE//=/ = }; line=\${line//:/ : }
      read -ra COMP_WORDS <<< "$line"
      [[ $line == *" " && $COMP_LINE != *= ]] && COMP_WORDS+=("")
      COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
      _blindvault </dev/null
      printf '%s\\n' == "\${COMPREPLY[@]}"
    done`,
  zsh: `autoload -Uz compinit; compinit -D -u
    source <(blindvault completion zsh)
    _describe() { local each list=\${argv[(r)(plain|unfinished)]}; for each in "\${(@P)list}"; do print -r -- "\${each%%:*}"; done }
    _files() { print -r -- *(N) }
    _normal() { print -r -- "$words[*]|$CURRENT" }
    compset() { : }
    while IFS= read -r line; do
      print '=='; words=("\${(@s: :)line}"); CURRENT=$#words; PREFIX=$words[-1]
      _blindvault </dev/null
    done`,
  fish: `blindvault completion fish | source
    while read -l line
      echo ==; complete -C $line | string replace -r '\\t.*' ''
    end`,
};

/** What a shell offers behind each line. */
async function offers(shell: keyof typeof HARNESS, lines: readonly string[]): Promise<string[][]> {
  const flags = { bash: ["--norc", "--noprofile"], zsh: ["-f"], fish: ["--no-config"] }[shell];
  const command = [shell, ...flags, "-c", HARNESS[shell]];
  const { stdout, stderr } = await runScript(command, {
    env: device.env,
    stdin: lines.map((line) => `${line}\n`).join(""),
  });
  expect(stderr).toBe("");
  return stdout
    .split("==\n")
    .slice(1)
    .map((block) => block.split("\n").filter((line) => line !== ""));
}

/** The program's own list of commands, and of the flags of each. */
const root = new Command("blindvault").enablePositionalOptions();
addClientCommands(root, (name) => new Command(name));
const commands = root.createHelp().visibleCommands(root);
const flagsOf = (command: Command) =>
  command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ long, short }) => [long, short])
    .filter((flag): flag is string => flag != null);

for (const shell of SHELLS) {
  const missing = Bun.which(shell) === null;
  if (missing) console.log(`SKIPPED: completion in ${shell}, which is not here (apt-get install ${shell})`);

  describe.skipIf(missing)(`in ${shell}`, () => {
    test("the script has no fault that the shell finds, and may be read twice", async () => {
      const script = (await device.run(["completion", shell])).stdout;
      expect(await runScript([shell, "-n"], { env: device.env, stdin: script })).toMatchObject({
        code: 0,
        stderr: "",
      });
      if (shell === "zsh") return;
      const twice = await runScript([shell, "-c", script + script], { env: device.env });
      expect(twice).toEqual({ code: 0, stdout: "", stderr: "" });
    });

    test("every command is offered, and every flag of each", { timeout: SLOW_MS }, async () => {
      const lines = ["blindvault ", ...commands.map((command) => `blindvault ${command.name()} -`)];
      const [names, ...flags] = await offers(shell, lines);
      expect(names).toContainValues(commands.flatMap((command) => [command.name(), ...command.aliases()]));
      for (const hidden of ["clipboard-clear", "complete-words"]) expect(names).not.toContain(hidden);
      for (const [index, command] of commands.entries()) {
        const wanted = command.name() === "help" ? [] : flagsOf(command);
        const offered = flags[index] ?? [];
        expect({ name: command.name(), lacks: wanted.filter((flag) => !offered.includes(flag)) }).toEqual({
          name: command.name(),
          lacks: [],
        });
      }
    });

    test("choices are offered, of a flag and of an argument", async () => {
      const found = await offers(shell, [
        "blindvault export --format ",
        "blindvault completion ",
        "blindvault unlock --",
        "blindvault add --type s",
        "blindvault get Plain ",
        "blindvault nonsense ",
      ]);
      expect(found[0]?.toSorted()).toEqual(["archive", "bitwarden-json", "csv", "kdbx"]);
      expect(found[1]?.toSorted()).toEqual(["bash", "fish", "zsh"]);
      expect(found[2]).toContain("--ca-file");
      expect(found.slice(3)).toEqual([["secret"], [], []]);
    });
  });
}

describe.skipIf(Bun.which("fish") === null)("what only fish tells without a terminal", () => {
  test("names of entries come from the open vault; what was typed or stored is not evaluated", async () => {
    const [all, one, field, nothing, archive] = await offers("fish", [
      "blindvault get ",
      "blindvault rm my",
      "blindvault run --env 'X=My Bank (joint)/'",
      'blindvault get "$(touch injected)" --fie',
      "blindvault get --archive /etc/hostname P",
    ]);
    expect(all?.toSorted()).toEqual([
      "$(touch injected)`touch injected`",
      "My Bank (joint)",
      "Plain",
      "db:prod=eu/west",
    ]);
    expect(one).toEqual(["My Bank (joint)"]);
    expect(field?.toSorted()).toEqual(
      ["name", "password", "username"].map((each) => `X=My Bank (joint)/${each}`),
    );
    expect(nothing).toEqual(["--field"]);
    expect(archive).toEqual([]);
    expect(existsSync("injected")).toBe(false);
  });
});

describe("at the keys of bash", () => {
  /** What the words are once the tabulator and the Return key have been pressed behind `line`. */
  async function press(line: string): Promise<string> {
    const screen = openScreen(["bash", "--norc", "--noprofile", "-i"], { env: device.env, columns: 200 });
    const directory = temporaryDirectory();
    screen.type(`cd '${directory}'; source <(blindvault completion bash); PS1=${KEYS.enter}`);
    screen.type(`blindvault() { printf '<%s>' "$@"; echo EN""D; }; echo REA""DY${KEYS.enter}`);
    await screen.see("READY\n");
    screen.type(`${line}\t${KEYS.enter}`);
    await screen.see("END");
    screen.hangUp();
    expect(existsSync(join(directory, "injected"))).toBe(false);
    const lines = screen.shown().split("\n");
    return lines.findLast((each) => each.includes("END")) ?? "";
  }

  const rows: [typed: string, words: string][] = [
    ["blindvault export --format=k", "<export><--format=kdbx>END"],
    ["blindvault get my", "<get><My Bank (joint)>END"],
    ["blindvault get 'my", "<get><My Bank (joint)>END"],
    ["blindvault get db:", "<get><db:prod=eu/west>END"],
    ["blindvault get db:prod=", "<get><db:prod=eu/west>END"],
    ["blindvault get \\$", "<get><$(touch injected)`touch injected`>END"],
    ["blindvault run --env X=Pla", "<run><--env><X=Plain/>END"],
    ["blindvault run --env X=Plain/p", "<run><--env><X=Plain/password>END"],
  ];
  for (const [typed, words] of rows) {
    test(`${typed} becomes ${words}`, async () => expect(await press(typed)).toBe(words), SLOW_MS);
  }
});

describe("without an open vault", () => {
  const ask = (from: Device, ...words: string[]) =>
    from.run(["complete-words", "bash"], { stdin: words.map((word) => `${word}\0`).join("") });

  test("no name is offered, nothing is said, and no state is made", async () => {
    const fresh = makeDevice();
    expect(await ask(fresh, "get", "")).toEqual({ code: 0, stdout: "words\n", stderr: "" });
    expect(existsSync(fresh.home)).toBe(false);
  });

  test("a locked one and a wrong session key cost no word either", async () => {
    const states = [
      { BLINDVAULT_SESSION: "" },
      { BLINDVAULT_SESSION: "x" },
      { BLINDVAULT_SESSION: randomKey() },
    ];
    for (const env of states) {
      const { code, stdout, stderr } = await device.run(["complete-words", "bash"], {
        stdin: "get\0\0",
        env,
      });
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "words\n", stderr: "" });
    }
  });

  test("a server that is away is not waited for", async () => {
    const away = await startTestServer("embedded");
    const own = makeDevice();
    own.env.BLINDVAULT_SESSION = await register(away, own);
    await away.stop();
    const start_ms = performance.now();
    expect(await ask(own, "get", "")).toEqual({ code: 0, stdout: "words\n", stderr: "" });
    expect(performance.now() - start_ms).toBeLessThan(10_000);
  });
});

function randomKey(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toBase64();
}
