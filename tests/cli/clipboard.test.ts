import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { CLIPBOARD_MS } from "../../src/cli/clipboard.ts";
import { takeBinary } from "../support/binary.ts";
import { randomHex } from "../support/client.ts";
import { run } from "../support/process.ts";
import { temporaryDirectory } from "../support/server.ts";
import { type Device, KEYS, makeDevice } from "../support/terminal.ts";

const missing = ["Xvfb", "xclip", "xsel"].some((program) => Bun.which(program) === null);
if (missing) console.log("SKIPPED: on a display, which takes apt-get install xvfb xclip xsel");

const session = randomHex(32);

describe("without a display", () => {
  test("the clipboard is said to be missing, in one sentence", async () => {
    const { code, stdout, stderr } = await makeDevice().run(["generate", "--copy"]);
    expect({ code, stdout }).toEqual({ code: 69, stdout: "" });
    expect(stderr).toBe("blindvault: there is no clipboard here (wl-copy, xclip or xsel would give one)\n");
  });
});

describe.skipIf(missing)("on a display", () => {
  let display: { name: string; end(): Promise<void> };
  let device: Device;
  const cleaners = new Set<number>();

  beforeAll(async () => {
    display = await startDisplay();
    device = makeDevice();
    Object.assign(device.env, { DISPLAY: display.name, BLINDVAULT_SESSION: session });
  });
  afterAll(async () => {
    for (const pid of cleaners) process.kill(pid, "SIGKILL");
    await display.end();
  });

  const paste = async () => (await run(PASTE, { env: { DISPLAY: display.name } })).stdout;
  /** What is in the clipboard once it has this length: xclip and xsel return before the display has heard of it. */
  async function pasteOf(length: number): Promise<string> {
    let text = await paste();
    for (let tries = 0; text.length !== length && tries < 200; tries++) {
      await Bun.sleep(10);
      text = await paste();
    }
    return text;
  }
  /** The process that is to clear this display; there is one after each copy, and the tests take it from the list. */
  function cleaner(): number {
    const found = processesOn(display.name).filter(({ args }) => args.includes("clipboard-clear"));
    expect(found.length).toBe(cleaners.size + 1);
    const pid = found.find((each) => !cleaners.has(each.pid))?.pid as number;
    cleaners.add(pid);
    return pid;
  }
  /** The order that a copy of `secret` gives, but for soon. */
  const order = (secret: string) => {
    const key = randomHex(32);
    const digest = createHmac("sha256", key).update(secret).digest("base64");
    return JSON.stringify({ key, digest, wait_ms: 50 });
  };

  test("a secret goes into the clipboard and nowhere else", async () => {
    const { code, stdout, stderr } = await device.run(["generate", "--copy", "--length", "33"]);
    const secret = await pasteOf(33);
    expect({ code, stdout, length: secret.length }).toEqual({ code: 0, stdout: "", length: 33 });
    expect(stderr).not.toContain(secret);
    const held = JSON.stringify(heldBy(cleaner()));
    expect(held).toContain("clipboard-clear");
    expect(held).not.toContain(JSON.stringify(secret).slice(1, -1));
  });

  test("no process that stays has the key to the vault", async () => {
    await device.run(["generate", "--copy"]);
    cleaner();
    const staying = processesOn(display.name);
    expect(staying.map(({ args }) => args[0]?.replace(/.*\//, ""))).toContain("xclip");
    expect(staying.filter(({ environment }) => environment.includes(session))).toEqual([]);
  });

  test("the cleaner outlives the terminal that the command was given on", async () => {
    const screen = device.type(["generate", "--copy"]);
    await screen.see("In the clipboard for 30 s");
    await screen.exited;
    screen.type(KEYS.ctrl_c);
    screen.hangUp();
    const pid = cleaner();
    expect(() => process.kill(pid, 0)).not.toThrow();
    expect(heldBy(pid).descriptors.filter((target) => target.includes("/dev/pts"))).toEqual([]);
  });

  test("a secret is cleared", async () => {
    for (const secret of [randomHex(16), "123456", " ä 🔑\n\n", "x".repeat(64 * 1024)]) {
      await run(["sh", "-c", `printf %s "$SECRET" | xclip -selection clipboard -in >/dev/null 2>&1`], {
        env: { DISPLAY: display.name, SECRET: secret },
      });
      const { code, stderr } = await device.run(["clipboard-clear"], { stdin: order(secret) });
      expect({ code, stderr, left: await pasteOf(0) }).toEqual({ code: 0, stderr: "", left: "" });
    }
  });

  test("what was copied after it is left alone", async () => {
    await device.run(["generate", "--copy", "--length", "22"]);
    cleaner();
    const later = await pasteOf(22);
    await device.run(["clipboard-clear"], { stdin: order(`${later} `) });
    expect(await paste()).toBe(later);
  });

  test("xsel does as well where xclip is not", async () => {
    const directory = temporaryDirectory();
    symlinkSync(Bun.which("xsel") as string, join(directory, "xsel"));
    const env = { PATH: directory };
    expect((await device.run(["generate", "--copy", "--length", "21"], { env })).code).toBe(0);
    cleaner();
    const secret = await pasteOf(21);
    expect(secret.length).toBe(21);
    expect((await device.run(["clipboard-clear"], { env, stdin: order(secret) })).code).toBe(0);
    expect(await pasteOf(0)).toBe("");
  });

  test("a display that cannot be reached is said in one sentence, and leaves no process behind", async () => {
    const env = { DISPLAY: ":59999" };
    const { code, stderr } = await device.run(["generate", "--copy"], { env });
    expect({ code, stderr }).toEqual({
      code: 69,
      stderr: "blindvault: xclip cannot reach the clipboard\n",
    });
    while (processesOn(env.DISPLAY).length > 0) await Bun.sleep(20);
  });

  test.skipIf(!process.env.SLOW)(
    "the executable clears what it has copied, after 30 s and not before (SLOW=1)",
    async () => {
      const binary = await takeBinary();
      const env = { DISPLAY: display.name, PATH: process.env.PATH ?? "" };
      expect((await binary.run(["generate", "--copy", "--length", "20"], env)).code).toBe(0);
      const secret = await pasteOf(20);
      await Bun.sleep(CLIPBOARD_MS - 3000);
      expect(await paste()).toBe(secret);
      await Bun.sleep(6000);
      expect(await paste()).toBe("");
      await binary.end();
    },
    120_000,
  );
});

const PASTE = ["xclip", "-selection", "clipboard", "-out"];

async function startDisplay() {
  const child = Bun.spawn(["Xvfb", "-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "64x64x8"], {
    stdout: "pipe",
    stderr: "ignore",
  });
  const { value } = await child.stdout.getReader().read();
  return {
    name: `:${new TextDecoder().decode(value).trim()}`,
    async end() {
      child.kill();
      await child.exited;
    },
  };
}

/** The processes of a display, by what stands in their environment. */
function processesOn(display: string) {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map((name) => ({ pid: Number(name), ...heldBy(Number(name)) }))
    .filter(({ environment }) => environment.includes(`DISPLAY=${display}`));
}

/** All that others can see of a process. Nothing of one that has ended meanwhile. */
function heldBy(pid: number) {
  const list = (file: string) => readFileSync(`/proc/${pid}/${file}`, "utf8").split("\0").filter(Boolean);
  return {
    args: orNone(() => list("cmdline")),
    environment: orNone(() => list("environ")),
    // One that is just starting closes some before they have been looked at.
    descriptors: orNone(() => readdirSync(`/proc/${pid}/fd`)).flatMap((fd) =>
      orNone(() => [readlinkSync(`/proc/${pid}/fd/${fd}`)]),
    ),
  };
}

function orNone(look: () => string[]): string[] {
  try {
    return look();
  } catch {
    return [];
  }
}
