import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { type Binary, makeDirectory, takeBinary } from "../support/binary.ts";
import { randomHex } from "../support/client.ts";
import type { ServerProcess } from "../support/process.ts";
import { renderScreen } from "../support/rendering.ts";
import { temporaryDirectory } from "../support/server.ts";
import { openScreen, type Screen } from "../support/terminal.ts";

/** The README shows a session at a terminal: it is typed as it stands there, and the screen has to be the same. */
const README = resolve(import.meta.dir, "../../README.md");
/** Wider than every line of it: nothing is wrapped. */
const COLUMNS = 120;
const PATIENCE_MS = 120_000;

let binary: Binary;
let server: ServerProcess;

beforeAll(async () => {
  binary = await takeBinary();
  const JWT_SECRET = randomHex(32);
  server = binary.serve({ PORT: "4000", DATA_DIR: makeDirectory("data"), JWT_SECRET });
  expect(await server.url).toBe("http://127.0.0.1:4000");
}, PATIENCE_MS);

afterAll(async () => {
  await server?.stop();
  await binary?.end();
}, PATIENCE_MS);

test(
  "the transcript of the README is what a terminal shows",
  async () => {
    const readme = await Bun.file(README).text();
    const transcript =
      /<!-- transcript -->\n```console\n([\s\S]*?)\n```/.exec(readme)?.[1]?.split("\n") ?? [];
    expect(transcript.filter(isCommand).length).toBeGreaterThan(5);
    const screen = openShell();
    await follow(screen, transcript);
    await screen.answer("$ ", "exit");
    expect(await screen.exited).toBe(0);
    // The shell's own last word.
    expect(renderScreen(screen.raw())).toEqual([...transcript, "$ exit", "exit"]);
  },
  PATIENCE_MS,
);

/** A shell of somebody who has just put the binary on the PATH, in an empty directory. */
function openShell(): Screen {
  const home = temporaryDirectory();
  const env = {
    PATH: `${binary.directory}:${process.env.PATH}`,
    HOME: home,
    BLINDVAULT_HOME: `${home}/state`,
    // No keychain of whoever runs the test.
    DBUS_SESSION_BUS_ADDRESS: "unix:path=/nonexistent",
    LANG: "C.UTF-8",
    PS1: "$ ",
    HISTFILE: "",
    INPUTRC: "/dev/null",
  };
  const shell = ["bash", "--noprofile", "--norc", "-i"];
  return openScreen(["env", "-C", temporaryDirectory(), ...shell], { env, columns: COLUMNS });
}

/** Types what a person has typed: each command, and behind each question a secret with as many characters as dots are shown. */
async function follow(screen: Screen, transcript: readonly string[]): Promise<void> {
  const secrets = new Map<number, string>();
  for (const [index, line] of transcript.entries()) {
    if (isCommand(line)) await screen.answer("$ ", line.slice(2));
    const question = /^◇ {2}(.+)$/.exec(line)?.[1];
    if (question === undefined) continue;
    const length = transcript[index + 1]?.match(/▪/g)?.length ?? 0;
    const secret = secrets.get(length) ?? randomHex(length).slice(0, length);
    // A master password is asked for again, and is then the same.
    secrets.set(length, secret);
    await screen.answer(`◆  ${question}`, secret);
  }
}

function isCommand(line: string): boolean {
  return line.startsWith("$ ");
}
