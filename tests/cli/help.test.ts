import { describe, expect, test } from "bun:test";
import { Command } from "commander";
import { CLI_EXIT_TEXT } from "../../src/cli/exit.ts";
import { addClientCommands } from "../../src/cli/program.ts";
import { ENTRY_TYPES } from "../../src/client/index.ts";
import { makeDevice } from "../support/terminal.ts";

const COLUMNS_MAX = 100;
const root = new Command("blindvault").enablePositionalOptions();
addClientCommands(root, (name) => new Command(name));
/** But those that people do not give: they have no description. */
const commands = root.commands
  .filter((command) => command.description() !== "")
  .map((command) => [command.name(), command] as const);
const device = makeDevice();

describe("the help of", () => {
  test.each(commands)("%s fits a terminal, and tells what every flag is for", (name, command) => {
    const text = command.helpInformation();
    expect(text).toStartWith(`Usage: blindvault ${name}`);
    for (const line of text.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(COLUMNS_MAX);
    for (const option of command.options) expect(option.description).not.toBe("");
  });

  test("a command is data, and so on standard output", async () => {
    const { code, stdout, stderr } = await device.run(["get", "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("--field <field>");
  });

  test("the exit codes fits a terminal", () => {
    for (const line of CLI_EXIT_TEXT.split("\n")) expect(line.length).toBeLessThanOrEqual(COLUMNS_MAX);
  });
});

describe.concurrent("flags", () => {
  test.each(commands)("of %s: none takes a secret as its value", (_, command) => {
    const secret = command.options.filter(
      ({ long, required }) => required && /password|secret|totp|session|key$/.test(long ?? ""),
    );
    expect(secret.map(({ long }) => long).filter((long) => !/-fd$/.test(long ?? ""))).toEqual([]);
  });

  test.each(commands)(
    "of %s that there are not end with 64, a sentence and nothing on standard output",
    async (name) => {
      const plain = await device.run([name, "--jsom"]);
      expect(plain).toMatchObject({ code: 64, stdout: "" });
      expect(plain.stderr).toContain("unknown option '--jsom'");
      expect(plain.stderr).toContain("(Did you mean --json?)");
      const told = await device.run([name, "--json", "--qiet"]);
      expect(told).toMatchObject({ code: 64, stdout: "" });
      expect(JSON.parse(told.stderr)).toEqual({
        error: { code: "usage", message: expect.stringContaining("--quiet") },
      });
    },
  );

  test("name the types that an entry can have", () => {
    const types = commands.flatMap(([, command]) => command.options.filter(({ long }) => long === "--type"));
    expect(types.length).toBe(3);
    for (const { argChoices } of types) expect(argChoices).toEqual([...ENTRY_TYPES]);
  });
});
