import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomHex } from "../support/client.ts";
import { type HostileServer, startHostileServer } from "../support/hostile-server.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { type Account, type Device, logInDevice, makeAccount, makeDevice } from "../support/terminal.ts";

useQuickHashes();

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer("embedded");
});
afterAll(() => server.stop());

describe("the state on a device", () => {
  let original: Device;
  beforeAll(async () => {
    original = await logInDevice(server, await makeAccount(server));
  });

  test.each(["0000", "0022", "0077", "0777"])(
    "is its owner's alone under umask %s, which commands that it runs keep",
    async (umask) => {
      const device = makeDevice();
      const before = ["sh", "-c", `umask ${umask}; exec "$@"`, "sh"];
      const { username, master_password } = await makeAccount(server);
      const flags = ["--server", server.url, "-u", username, "--no-keychain", "--password-stdin", "--raw"];
      const login = await device.run(["login", ...flags], { stdin: master_password, before });
      expect(login.code).toBe(0);
      expect(statSync(device.home).mode & 0o777).toBe(0o700);
      for (const file of filesOf(device)) expect(statSync(file).mode & 0o777).toBe(0o600);
      const env = { BLINDVAULT_SESSION: login.stdout.trim() };
      expect((await device.run(["add", "x", "--generate"], { before, env })).code).toBe(0);
      const child = await device.run(["run", "--env", "A=x/password", "--", "sh", "-c", "umask"], {
        before,
        env,
      });
      expect(child).toEqual({ code: 0, stdout: `${umask}\n`, stderr: "" });
      for (const file of filesOf(device)) expect(statSync(file).mode & 0o777).toBe(0o600);
    },
  );

  test("is made private where it was not", async () => {
    const device = makeDevice();
    await device.run(["status"]);
    const [file = ""] = filesOf(device);
    await Bun.$`chmod 644 ${file}`;
    await device.run(["status"]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test("holds no secret in the clear, whatever was done, and however it ended", async () => {
    const middleman = await startHostileServer(server);
    const secrets: string[] = [];
    middleman.attack = async (_, pass) => {
      const answer = await pass();
      for (const name of ["accessToken", "refreshToken"])
        if (answer.body?.[name]) secrets.push(answer.body[name]);
      return answer;
    };
    const account = await makeAccount(server);
    const [name, password, next] = [`entry ${randomHex(8)}`, randomHex(12), `Aa1! ${randomHex(12)}`];
    const device = await logInDevice(middleman, account);
    secrets.push(account.master_password, next, name, password);
    const session = device.env.BLINDVAULT_SESSION as string;
    const expectNone = () => {
      const bytes = Buffer.concat(filesOf(device).map((file) => readFileSync(file)));
      expect(bytes.length).toBeGreaterThan(1000);
      for (const secret of secrets) expect(bytes.includes(secret)).toBe(false);
      for (const each of [
        session,
        Buffer.from(session, "base64"),
        Buffer.from(session, "base64").toString("hex"),
      ]) {
        expect(bytes.includes(each)).toBe(false);
      }
    };
    expectNone();
    await device.run(["add", name, "--password-stdin"], { stdin: password });
    await device.run(["get", name, "--reveal"]);
    expectNone();
    const changing = ["passwd", "--password-stdin", "--new-password-stdin"];
    expect((await device.run(changing, { stdin: `${account.master_password}\n${next}` })).code).toBe(0);
    expectNone();
    await killWithin(device, middleman, ["edit", name, "--notes", name]);
    expectNone();
    const sealed_key = deviceRow(device).sealed_key as string;
    expect((await device.run(["lock"])).code).toBe(0);
    expectNone();
    // Sealed as it was: who finds the session key in a shell must not find what it opens.
    expect(Buffer.concat(filesOf(device).map((file) => readFileSync(file))).includes(sealed_key)).toBe(false);
    expect((await device.run(["logout", "--local"])).code).toBe(0);
    expectNone();
    expect(secrets.length).toBeGreaterThan(6);
    await middleman.stop();
  });

  test.each([
    ["another key", Buffer.alloc(32, 7).toString("base64"), /does not open/],
    ["a short one", "AAAA", /no session key/],
    ["what is no base64", "not a key at all", /no session key/],
    ["one with a letter more", `${Buffer.alloc(32).toString("base64")}A`, /no session key/],
  ])("opens with its session key, and not with %s", async (_, session, reason) => {
    const device = original;
    expect((await device.run(["list"])).code).toBe(0);
    const { code, stdout, stderr } = await device.run(["list"], { env: { BLINDVAULT_SESSION: session } });
    expect({ code, stdout }).toEqual({ code: 5, stdout: "" });
    expect(stderr).toMatch(reason);
    expect(stderr).not.toContain(session);
    const bare = await device.run(["list"], { env: { BLINDVAULT_SESSION: "" } });
    expect(bare).toMatchObject({ code: 5, stderr: expect.stringContaining("the vault is locked") });
    expect((await device.run(["list"])).code).toBe(0);
  });

  const pins = (device: Device) => keysOf(device).find((key) => key.startsWith("pins ")) as string;
  const tokens = (device: Device) => keysOf(device).find((key) => key.startsWith("tokens ")) as string;
  const DAMAGES: [what: string, damage: (device: Device) => void][] = [
    ["a file cut off in its middle", (device) => truncateSync(fileOf(device), 5000)],
    ["random bytes", (device) => writeFileSync(fileOf(device), crypto.getRandomValues(new Uint8Array(8192)))],
    ["what is no JSON about the device", (device) => setRow(device, "device", "{")],
    ["other JSON about the device", (device) => setRow(device, "device", `{"server":1}`)],
    ["what is no JSON about the account", (device) => setRow(device, pins(device), "garbage")],
    ["other JSON about the account", (device) => setRow(device, pins(device), "{}")],
    [
      "tokens that do not open",
      (device) => setRow(device, tokens(device), `{"ciphertext":"","iv":"","tag":""}`),
    ],
  ];

  test.each(DAMAGES)("that is %s is one clear sentence and exit 65", async (_, damage) => {
    const device = copyOf(original);
    damage(device);
    for (const args of [["list"], ["add", "x"], ["get", "x"]]) {
      const told = await device.run(args);
      expect(told).toMatchObject({ code: 65, stdout: "" });
      expect(told.stderr).toMatch(/^blindvault: [^\n]+\n$/);
      expect(told.stderr).toMatch(/damaged|cannot be read/);
    }
  });

  test.each(["/dev/null/blindvault", "/proc/blindvault"])(
    "that cannot be written, in %s, is exit 73",
    async (home) => {
      const told = await makeDevice().run(["status"], { env: { BLINDVAULT_HOME: home } });
      expect(told).toMatchObject({
        code: 73,
        stdout: "",
        stderr: expect.stringMatching(/^blindvault: the state in /),
      });
    },
  );
});

describe("commands at the same time", () => {
  test("get new tokens once, when their token has ended", async () => {
    await withDevice(async (device, middleman) => {
      await device.run(["add", "x", "--generate"]);
      server.clock.advance(36 * 60_000);
      middleman.seen = [];
      const told = await Promise.all(
        Array.from({ length: 10 }, () => device.run(["get", "x", "--field", "name"])),
      );
      for (const each of told) expect(each).toEqual({ code: 0, stdout: "x\n", stderr: "" });
      const refreshes = middleman.seen.filter(({ route }) => route === "POST /auth/token");
      expect(refreshes.length).toBe(1);
    });
  });

  test("lose nothing of each other's work", async () => {
    await withDevice(async (device) => {
      const names = Array.from({ length: 6 }, (_, index) => `entry ${index}`);
      const told = await Promise.all(names.map((name) => device.run(["add", name, "--generate"])));
      expect(told.map(({ code }) => code)).toEqual(names.map(() => 0));
      const { stdout } = await device.run(["list", "--json"]);
      expect(JSON.parse(stdout).map(({ name }: { name: string }) => name)).toEqual(names);
      const known = JSON.parse(rowOf(device, pinsKey(device)));
      expect(Object.keys(known.entries).length).toBe(names.length);
    });
  });

  test("begin a state together", async () => {
    const device = makeDevice();
    const told = await Promise.all(Array.from({ length: 6 }, () => device.run(["status"])));
    for (const each of told) expect(each).toEqual({ code: 4, stdout: "logged out\n", stderr: "" });
  });

  test("lock, while another waits for a server with the state in its hands", async () => {
    await withDevice(async (device) => {
      using db = new Database(fileOf(device));
      db.run("begin immediate");
      expect(await device.run(["lock"])).toMatchObject({ code: 0 });
      expect((await device.run(["get", "anything"])).code).toBe(5);
      db.run("rollback");
    });
  });

  test("wait for one that holds the state, and say so when it takes too long", async () => {
    await withDevice(async (device) => {
      const db = new Database(fileOf(device, "device"));
      db.run("begin immediate");
      const waiting = device.run(["lock"]);
      expect(await Promise.race([waiting, Bun.sleep(400)])).toBeUndefined();
      db.run("rollback");
      db.close();
      expect((await waiting).code).toBe(0);
    });
  });
});

async function withDevice(
  work: (device: Device, middleman: HostileServer, account: Account) => Promise<void>,
) {
  const middleman = await startHostileServer(server);
  try {
    const account = await makeAccount(server);
    await work(await logInDevice(middleman, account), middleman, account);
  } finally {
    await middleman.stop();
  }
}

/** Kills a command while it waits for the server's answer to a change. */
async function killWithin(device: Device, middleman: HostileServer, args: string[]): Promise<void> {
  const honest = middleman.attack;
  const arrived = Promise.withResolvers<void>();
  middleman.attack = async (seen, pass) => {
    if (seen.method !== "PUT") return (await honest?.(seen, pass)) ?? pass();
    arrived.resolve();
    await Bun.sleep(300);
    return pass();
  };
  const before = ["sh", "-c", `echo $$ > "$BLINDVAULT_HOME.pid"; exec "$@"`, "sh"];
  const running = device.run(args, { before });
  await arrived.promise;
  process.kill(Number(readFileSync(`${device.home}.pid`, "utf8")), "SIGKILL");
  expect((await running).code).toBe(137);
  middleman.attack = honest;
}

function copyOf({ home, env }: Device): Device {
  const copy = makeDevice();
  cpSync(home, copy.home, { recursive: true });
  copy.env.BLINDVAULT_SESSION = env.BLINDVAULT_SESSION as string;
  return copy;
}

function filesOf({ home }: Device): string[] {
  return readdirSync(home).map((file) => join(home, file));
}

/** The device's record has a file of its own. */
function fileOf({ home }: Device, key?: string): string {
  return join(home, key === "device" ? "device.sqlite" : "state.sqlite");
}

function keysOf(device: Device): string[] {
  using db = new Database(fileOf(device), { readonly: true });
  return db
    .query<{ key: string }, []>("select key from state")
    .all()
    .map(({ key }) => key);
}

function pinsKey(device: Device): string {
  return keysOf(device).find((key) => key.startsWith("pins ")) as string;
}

function rowOf(device: Device, key: string): string {
  using db = new Database(fileOf(device, key), { readonly: true });
  return db.query<{ value: string }, [string]>("select value from state where key = ?").get(key)
    ?.value as string;
}

function deviceRow(device: Device): Record<string, unknown> {
  return JSON.parse(rowOf(device, "device"));
}

function setRow(device: Device, key: string, value: string): void {
  using db = new Database(fileOf(device, key));
  db.query("update state set value = ? where key = ?").run(value, key);
}
