import { describe, expect, test } from "bun:test";
import { makeDevice } from "../support/terminal.ts";

const device = makeDevice();

describe.concurrent("generate", () => {
  test.each([
    ["20 characters of all kinds by itself", [], /^[!-~]{20}\n$/],
    ["the shortest", ["--length", "4"], /^[!-~]{4}\n$/],
    ["the longest", ["--length", "256"], /^[!-~]{256}\n$/],
    ["digits alone", ["--no-lower", "--no-upper", "--no-symbols", "--length", "9"], /^[0-9]{9}\n$/],
    ["letters alone", ["--no-digits", "--no-symbols"], /^[A-Za-z]{20}\n$/],
    ["none of those excluded", ["--exclude", "abcdefghijklm", "--length", "200"], /^[^a-m\n]{200}\n$/],
    ["no look-alikes", ["--no-look-alikes", "--length", "200"], /^[^0O1lI|\n]{200}\n$/],
    ["six words", ["--passphrase"], /^[a-z-]+( [a-z-]+){5}\n$/],
    ["words as told", ["--passphrase", "--words", "3", "--separator", "_"], /^[a-z-]+(_[a-z-]+){2}\n$/],
  ])("makes %s", async (_, flags, form) => {
    const { code, stdout, stderr } = await device.run(["generate", ...flags]);
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^\d+ bits of entropy\.\n$/),
    });
    expect(stdout).toMatch(form);
  });

  test("gives JSON to programs, and says nothing when it is to be quiet", async () => {
    const { stdout, stderr } = await device.run(["generate", "--json"]);
    expect(JSON.parse(stdout)).toEqual({ secret: expect.any(String), entropy_bits: expect.any(Number) });
    expect(stderr).toBe("");
    expect((await device.run(["generate", "--quiet"])).stderr).toBe("");
  });

  test.each([
    [["--length", "3"]],
    [["--length", "257"]],
    [["--length", "ten"]],
    [["--no-lower", "--no-upper", "--no-digits", "--no-symbols"]],
    [["--no-lower", "--no-upper", "--no-symbols", "--exclude", "0123456789"]],
    [["--passphrase", "--words", "2"]],
    [["--passphrase", "--words", "33"]],
    [["--passphrase", "--separator", "123456789"]],
    [["--passphrase", "--length", "20"]],
    [["--passphrase", "--no-digits"]],
    [["--words", "6"]],
    [["--separator", "-"]],
  ])("refuses %j as usage", async (flags) => {
    const { code, stdout, stderr } = await device.run(["generate", ...flags, "--json"]);
    expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
    expect(JSON.parse(stderr).error).toMatchObject({ code: expect.any(String), message: expect.any(String) });
  });
});
