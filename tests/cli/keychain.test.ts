import { Database } from "bun:sqlite";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { randomHex, randomName, randomPassword } from "../support/client.ts";
import { run } from "../support/process.ts";
import { startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";
import { type Device, makeDevice } from "../support/terminal.ts";

const PROGRAMS = ["dbus-daemon", "gnome-keyring-daemon", "secret-tool", "gdbus"];
const missing = PROGRAMS.some((program) => Bun.which(program) === null);
if (missing) {
  console.log(
    "SKIPPED: a keychain, which takes apt-get install dbus gnome-keyring libsecret-tools libglib2.0-bin",
  );
}

/** As dbus has it where nothing listens. */
const NO_BUS = { DBUS_SESSION_BUS_ADDRESS: "unix:path=/nonexistent" };
/** Long before it is given up as one that hangs. */
const QUICK_MS = 10_000;

let server: TestServer;
const account = { username: randomName(), master_password: randomPassword() };
const secret = randomHex(12);

beforeAll(async () => {
  server = await startTestServer("embedded");
});
afterAll(() => server.stop());

const login = (device: Device, ...more: string[]) =>
  device.run(["login", "-s", server.url, "-u", account.username, "--password-stdin", ...more], {
    stdin: `${account.master_password}\n`,
  });

describe.skipIf(missing)("with a keychain", () => {
  let keychain: Keychain;
  let device: Device;

  beforeAll(async () => {
    keychain = await startKeychain();
    device = makeDevice();
    Object.assign(device.env, keychain.env);
    const flags = ["-s", server.url, "-u", account.username, "--password-stdin"];
    await device.run(["register", ...flags], { stdin: `${account.master_password}\n` });
    const content = JSON.stringify({ type: "login", name: "Site", password: secret });
    await device.run(["add", "--from-stdin"], { stdin: content });
  });
  afterEach(() => keychain.unlock());
  afterAll(() => keychain.end());

  const get = (env: Record<string, string> = {}) => device.run(["get", "Site", "-f", "password"], { env });

  test("login prints nothing, and the commands that follow need no key", async () => {
    expect(await login(device)).toEqual({
      code: 0,
      stdout: "",
      stderr: `The vault of ${account.username} is open.\n`,
    });
    expect(await get()).toEqual({ code: 0, stdout: `${secret}\n`, stderr: "" });
  });

  test("it holds the session key and nothing else, and the state holds no key that opens anything", async () => {
    await login(device);
    const [entry, ...others] = await keychain.entries();
    expect(others).toEqual([]);
    expect(Uint8Array.fromBase64(entry ?? "").length).toBe(32);
    const state = readState(device);
    expect(state).toContain('"keychain":true');
    for (const each of [entry, secret, account.master_password]) expect(state).not.toContain(each as string);
  });

  test("lock and logout take it away again", async () => {
    for (const command of ["lock", "logout"]) {
      await login(device);
      expect((await keychain.entries()).length).toBe(1);
      expect((await device.run([command])).code).toBe(0);
      expect(await keychain.entries()).toEqual([]);
      expect((await get()).code).toBe(command === "lock" ? 5 : 4);
    }
  });

  test("each login draws the key anew, and --no-keychain leaves none behind", async () => {
    await login(device);
    const [former] = await keychain.entries();
    await login(device);
    const [next] = await keychain.entries();
    expect(next).not.toBe(former);
    const session = (await login(device, "--no-keychain", "--raw")).stdout.trim();
    expect(await keychain.entries()).toEqual([]);
    expect((await get({ BLINDVAULT_SESSION: session })).stdout).toBe(`${secret}\n`);
  });

  test("an entry that is gone is a locked vault", async () => {
    await login(device);
    await run(["secret-tool", "clear", "service", "blindvault"], { env: keychain.env });
    expect(await get()).toMatchObject({ code: 5, stdout: "" });
  });

  test("while it is locked the vault is locked, and a login falls back to a session key", async () => {
    await login(device);
    await keychain.lock();
    const start_ms = performance.now();
    expect(await get()).toMatchObject({ code: 5, stdout: "" });
    expect((await login(device)).stdout).toMatch(/^export BLINDVAULT_SESSION='.{44}'\n$/);
    expect(performance.now() - start_ms).toBeLessThan(QUICK_MS);
  });

  test("while it is locked, completing a name does not ask to unlock it", async () => {
    await login(device);
    const words = () => device.run(["complete-words", "bash"], { stdin: "get\0\0" });
    if (Bun.which("busctl") !== null) expect((await words()).stdout).toBe("words\nSite\t\n");
    await keychain.lock();
    const asked = keychain.prompts();
    expect(await words()).toEqual({ code: 0, stdout: "words\n", stderr: "" });
    expect(keychain.prompts()).toBe(asked);
    await get();
    expect(keychain.prompts()).toBeGreaterThan(asked);
  });

  test("without the bus, a command says so, and lock and login work all the same", async () => {
    await login(device);
    const found = await get(NO_BUS);
    expect(found).toEqual({
      code: 5,
      stdout: "",
      stderr: `blindvault: the keychain cannot be reached: eval "$(blindvault unlock)"\n`,
    });
    expect(await device.run(["lock"], { env: NO_BUS })).toMatchObject({ code: 0 });
    expect(readState(device)).not.toContain("sealed_key");
  });

  test.skipIf(!process.env.SLOW)(
    "one that hangs holds no command up for ever (SLOW=1)",
    async () => {
      await login(device);
      await keychain.stall(async () => {
        expect(await get()).toMatchObject({ code: 5, stdout: "" });
        expect((await login(device)).stdout).toStartWith("export BLINDVAULT_SESSION=");
      });
    },
    90_000,
  );
});

type Keychain = Awaited<ReturnType<typeof startKeychain>>;

/** A message bus and a keyring of their own, the keyring unlocked. */
async function startKeychain() {
  const home = temporaryDirectory();
  const bus = Bun.spawn(["dbus-daemon", "--session", "--nofork", "--print-address"], {
    env: { PATH: process.env.PATH ?? "", HOME: home, XDG_RUNTIME_DIR: home },
    stdout: "pipe",
    stderr: "pipe",
  });
  const { value } = await bus.stdout.getReader().read();
  let log = "";
  void (async () => {
    for await (const chunk of bus.stderr) log += new TextDecoder().decode(chunk);
  })();
  const env = {
    HOME: home,
    XDG_RUNTIME_DIR: home,
    DBUS_SESSION_BUS_ADDRESS: new TextDecoder().decode(value).trim(),
  };
  const open = () => {
    const args = ["gnome-keyring-daemon", "--foreground", "--unlock", "--replace", "--components=secrets"];
    const stdio = { stdin: new Blob([PASSPHRASE]), stdout: "ignore", stderr: "ignore" } as const;
    return Bun.spawn(args, { env: { PATH: process.env.PATH ?? "", ...env }, ...stdio });
  };
  let daemon = open();
  const property = [
    "-m",
    "org.freedesktop.DBus.Properties.Get",
    "org.freedesktop.Secret.Collection",
    "Locked",
  ];
  const isOpen = async () => {
    const asked = await run(["gdbus", "call", "--session", "-d", SECRETS, "-o", LOGIN, ...property], { env });
    return asked.stdout.includes("false");
  };
  // To ask a service that is not there would have the bus start one of its own, locked, in the place of ours.
  const owned = ["gdbus", "call", "--session", "-d", BUS, "-o", "/", "-m", `${BUS}.NameHasOwner`, SECRETS];
  const ready = async () => {
    while (!(await run(owned, { env })).stdout.includes("true") || !(await isOpen())) await Bun.sleep(20);
  };
  await ready();
  return {
    env,
    /** What it holds for this program. */
    async entries(): Promise<string[]> {
      const found = await run(["secret-tool", "search", "--all", "service", "blindvault"], { env });
      return [...found.stdout.matchAll(/^secret = (.*)$/gm)].map((match) => match[1] ?? "");
    },
    async lock() {
      const method = "org.freedesktop.Secret.Service.Lock";
      const call = ["-d", SECRETS, "-o", "/org/freedesktop/secrets", "-m", method, `['${LOGIN}']`];
      expect((await run(["gdbus", "call", "--session", ...call], { env })).code).toBe(0);
    },
    /** A new daemon on the same files, as after a new login. */
    async unlock() {
      if (await isOpen()) return;
      daemon.kill();
      await daemon.exited;
      daemon = open();
      await ready();
    },
    /** How often a dialog was asked for; there is no display to show one on. */
    prompts: () => log.split("Activating service name='org.gnome.keyring.SystemPrompter'").length - 1,
    async stall(work: () => Promise<void>) {
      daemon.kill("SIGSTOP");
      await work().finally(() => daemon.kill("SIGCONT"));
    },
    async end() {
      for (const child of [daemon, bus]) {
        child.kill();
        await child.exited;
      }
    },
  };
}

const PASSPHRASE = randomHex(8);
const BUS = "org.freedesktop.DBus";
const SECRETS = "org.freedesktop.secrets";
const LOGIN = "/org/freedesktop/secrets/collection/login";

function readState(device: Device): string {
  const db = new Database(join(device.home, "device.sqlite"), { readonly: true });
  const rows = db.query("select key, value from state").all();
  db.close();
  return (rows as { value: string }[]).map(({ value }) => value).join("\n");
}
