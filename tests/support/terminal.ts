import { expect } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import { memoryStore, Vault } from "../../src/client/index.ts";
import { randomHex, randomName } from "./client.ts";
import type { Finished } from "./process.ts";
import { temporaryDirectory } from "./server.ts";

const MAIN = resolve(import.meta.dir, "../../src/main.ts");
/** `ECHO` of termios(3), as Linux and macOS number it. */
const ECHO_FLAG = 0o10;
const PATIENCE_MS = 10_000;

type Variables = Record<string, string>;

export type ScriptOptions = {
  /** Standard input; empty where none is given. */
  stdin?: string;
  env?: Variables;
  /** What descriptors from 3 on read from, by file: `["secret.txt"]` is `3<secret.txt`. */
  files?: readonly string[];
  /** What the client is started by, before its own name. */
  before?: readonly string[];
  /** What the runtime is told before the program's name. */
  runtime?: readonly string[];
};

/** One machine of one person: a state of its own, and commands given in scripts or typed at a terminal. */
export type Device = {
  home: string;
  /** What its shell exports; `export BLINDVAULT_SESSION` goes here. */
  env: Variables;
  /** Runs a command as a script does: no terminal anywhere, each stream a pipe of its own. */
  run(args: readonly string[], options?: ScriptOptions): Promise<Finished>;
  /** Starts a command at a terminal. */
  type(args: readonly string[], options?: TypeOptions): Screen;
};

/** Whose vault a test is about; its keys are derived at the floor of the cost. */
export type Account = { username: string; master_password: string };

const KDF = { algorithm: "argon2id", memory_kib: 19_456, iterations: 2, parallelism: 1 } as const;

/** Makes an account, and gives back its vault on another device than those of the test. */
export async function makeAccount(server: { url: string }): Promise<Account & { vault: Vault }> {
  const account = { username: randomName(), master_password: `Aa1! ${randomHex(12)}` };
  const vault = new Vault({ url: server.url, store: memoryStore() });
  await vault.register({ ...account, kdf: KDF });
  return { ...account, vault };
}

/** A new device on which somebody has logged in, with the session key in the environment of its shell. */
export async function logInDevice(
  server: { url: string },
  { username, master_password }: Account,
): Promise<Device> {
  const device = makeDevice();
  const flags = ["--server", server.url, "--username", username, "--password-stdin", "--raw"];
  const login = await device.run(["login", "--no-keychain", ...flags], { stdin: `${master_password}\n` });
  expect(login).toMatchObject({ code: 0 });
  device.env.BLINDVAULT_SESSION = login.stdout.trim();
  return device;
}

export type TypeOptions = { env?: Variables; columns?: number };

export function makeDevice(): Device {
  const directory = temporaryDirectory();
  const home = join(directory, "state");
  const env: Variables = { PATH: process.env.PATH ?? "", HOME: directory, BLINDVAULT_HOME: home };
  return {
    home,
    env,
    run: (args, options = {}) => {
      const { before = [], runtime = [] } = options;
      const command = [...before, process.execPath, ...runtime, MAIN, ...args];
      return runScript(command, { ...options, env: { ...env, ...options.env } });
    },
    type: (args, options = {}) =>
      openScreen([process.execPath, MAIN, ...args], { ...options, env: { ...env, ...options.env } }),
  };
}

/** Runs a command to its end, with nothing in its environment but `env`. A signal that ends it counts as 128 and its number. */
export async function runScript(
  command: readonly string[],
  { stdin = "", env = {}, files = [] }: ScriptOptions,
): Promise<Finished> {
  const opened = files.map((file) => openSync(file, "r"));
  const child = Bun.spawn([...command], { env, stdio: [new Blob([stdin]), "pipe", "pipe", ...opened] });
  for (const fd of opened) closeSync(fd);
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code: codeOf(child), stdout, stderr };
}

/** The runtime opens a terminal; the program has to be made the one that it sends its signals to. */
function withTerminal(): string[] {
  return Bun.which("setsid") === null ? [] : ["setsid", "--ctty", "--"];
}

function codeOf(child: Bun.Subprocess): number {
  return child.exitCode ?? 128 + constants.signals[child.signalCode as NodeJS.Signals];
}

/** A program on a pseudo-terminal, driven as a person would drive it. */
export type Screen = {
  pid: number;
  /** Resolves when `text` is shown, behind what an earlier call has found; rejects when the program ends or takes too long. */
  see(text: string): Promise<void>;
  type(keys: string): void;
  /** `see`, then the answer and the Return key. */
  answer(question: string, text: string): Promise<void>;
  /** All that was shown, without the sequences that a terminal obeys. */
  shown(): string;
  /** The same with them. */
  raw(): string;
  /** Whether the terminal shows what is typed, as it does for whoever gets it next. */
  echoes(): boolean;
  /** Hangs up, as a closed window does. */
  hangUp(): void;
  exited: Promise<number>;
};

export const KEYS = {
  enter: "\r",
  ctrl_c: "\x03",
  ctrl_d: "\x04",
  up: "\x1b[A",
  down: "\x1b[B",
  clear: "\x15",
};

/** Starts a command on a terminal of its own, which it controls: Ctrl-C reaches it as a signal where it lets it. */
export function openScreen(command: readonly string[], options: TypeOptions = {}): Screen {
  const { env = {}, columns = 100 } = options;
  const decoder = new TextDecoder();
  let raw = "";
  let seen = 0;
  const waiting = new Set<() => void>();
  const terminal = new Bun.Terminal({
    cols: columns,
    rows: 40,
    data(_, bytes) {
      raw += decoder.decode(bytes, { stream: true });
      for (const look of waiting) look();
    },
  });
  const child = Bun.spawn([...withTerminal(), ...command], {
    env: { TERM: "xterm-256color", ...env },
    terminal,
  });
  const shown = () => Bun.stripANSI(raw).replaceAll("\r", "");
  const exited = child.exited.then(async () => {
    // What was written last is still on its way.
    await Bun.sleep(20);
    return codeOf(child);
  });

  function see(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const at = shown().indexOf(text, seen);
        if (at < 0) return;
        seen = at + text.length;
        done();
        resolve();
      };
      const fail = (why: string) => {
        done();
        reject(new Error(`"${text}" was not shown ${why}; shown was: ${shown().slice(-2000)}`));
      };
      const done = () => {
        waiting.delete(look);
        clearTimeout(timer);
      };
      const timer = setTimeout(() => fail("in time"), PATIENCE_MS);
      waiting.add(look);
      look();
      void exited.then((code) => fail(`before it ended with ${code}`));
    });
  }

  const type = (keys: string) => void terminal.write(keys);
  return {
    pid: child.pid,
    see,
    type,
    async answer(question, text) {
      await see(question);
      type(`${text}${KEYS.enter}`);
    },
    shown,
    raw: () => raw,
    echoes: () => (terminal.localFlags & ECHO_FLAG) !== 0,
    hangUp: () => terminal.close(),
    exited,
  };
}
