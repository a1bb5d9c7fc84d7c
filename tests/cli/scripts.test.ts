import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomHex, randomName } from "../support/client.ts";
import type { Finished } from "../support/process.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";
import { type Device, logInDevice, makeAccount, makeDevice, runScript } from "../support/terminal.ts";

/** Nobody is there to ask: everything comes from flags, standard input, descriptors and the environment. */
describe.each(ENGINES)("an account by scripts alone, on %s", (engine) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer(engine);
  });
  afterAll(() => server.stop());

  test("is made, used, moved to a new password and left", async () => {
    const device = makeDevice();
    const username = randomName();
    const [first, second, secret] = [longPassword(), longPassword(), randomHex(12)];
    const flags = ["--server", server.url, "--username", username, "--no-keychain", "--password-stdin"];
    const registered = await device.run(["register", ...flags, "--json"], { stdin: `${first}\n` });
    expect(registered).toMatchObject({ code: 0, stderr: "" });
    const told = JSON.parse(registered.stdout);
    expect(told).toEqual({ username, session: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/) });
    device.env.BLINDVAULT_SESSION = told.session;

    const file = join(temporaryDirectory(), "secret");
    writeFileSync(file, `${secret}\n`);
    const adding = [
      "add",
      "Example",
      "--username",
      "me",
      "--uri",
      "https://example.org",
      "--password-fd",
      "3",
    ];
    expect(await device.run(adding, { files: [file] })).toEqual({
      code: 0,
      stdout: "",
      stderr: "Stored: Example\n",
    });
    expect(await field(device, "Example", "password")).toBe(secret);
    expect(await device.run(["list"])).toEqual({
      ...{ code: 0, stderr: "" },
      stdout: "Example  me  https://example.org\n",
    });
    expect((await device.run(["edit", "example", "--notes", "n", "--quiet"])).stderr).toBe("");
    expect(await field(device, "Example", "notes")).toBe("n");
    expect((await device.run(["status"])).stdout).toBe(`${username} at ${server.url}: open, 1 entries\n`);

    const changing = ["passwd", "--password-stdin", "--new-password-stdin"];
    expect(await device.run(changing, { stdin: `${first}\n${second}\n` })).toMatchObject({
      code: 0,
      stdout: "",
    });
    expect(await field(device, "Example", "password")).toBe(secret);
    const login = (password: string) => makeDevice().run(["login", ...flags, "--raw"], { stdin: password });
    expect(await login(first)).toMatchObject({ code: 77, stdout: "" });
    expect(await login(second)).toMatchObject({ code: 0 });

    expect(await device.run(["sessions", "--end-others", "--json"])).toMatchObject({ code: 0 });
    expect((await device.run(["lock"])).stderr).toBe("The vault is locked.\n");
    expect((await device.run(["status"])).code).toBe(5);
    const unlocked = await device.run(["unlock", "--no-keychain", "--password-stdin"], { stdin: second });
    expect(unlocked.stdout).toMatch(/^export BLINDVAULT_SESSION='[A-Za-z0-9+/]{43}='\n$/);
    device.env.BLINDVAULT_SESSION = /'(.+)'/.exec(unlocked.stdout)?.[1] as string;
    expect(await device.run(["rm", "Example", "--yes"])).toMatchObject({ code: 0, stdout: "" });
    expect((await device.run(["logout"])).code).toBe(0);
    expect(await device.run(["status"])).toMatchObject({ code: 4, stdout: "logged out\n" });
  });
});

describe("what a command writes", () => {
  useQuickHashes();
  let server: TestServer;
  let device: Device;
  beforeAll(async () => {
    server = await startTestServer("embedded");
    const account = await makeAccount(server);
    device = await logInDevice(server, account);
    await account.vault.importEntries([
      { type: "login", name: "One", username: "me", password: randomHex(8), totp: "JBSWY3DPEHPK3PXP" },
      { type: "note", name: "Two", notes: "n" },
    ]);
  });
  afterAll(() => server.stop());

  /** Every command that gives data or does something, with what it takes to succeed. */
  const SUCCESSES: [args: string[], stdin?: string][] = [
    [["status"]],
    [["list"]],
    [["list", "--reveal"]],
    [["get", "One"]],
    [["get", "One", "--field", "username"]],
    [["get", "One", "--totp"]],
    [["add", "Three", "--password-stdin"], "x\n"],
    [["add", "--from-stdin"], `{"type":"note","name":"Four"}`],
    [["edit", "Three", "--notes", "n"]],
    [["rm", "Three", "--yes"]],
    [["sessions"]],
    [["events", "--limit", "3"]],
    [["generate"]],
    [["lock"]],
  ];

  test.each(SUCCESSES)(
    "%j with --json is one JSON text on standard output, and nothing else",
    async (args, stdin = "") => {
      if (args[0] === "lock") return void expectJson(await (await other()).run([...args, "--json"]));
      expectJson(await device.run([...args, "--json"], { stdin }));
    },
  );

  test.each([
    [["get", "no such entry at all"], 2],
    [["get", "One", "--field", "nothing"], 2],
    [["get", "Two", "--totp"], 2],
    [["sessions", "--end", crypto.randomUUID()], 2],
    [["sessions", "--end", "what is no id"], 2],
    [["add"], 64],
    [["add", "x", "--field", "without a value"], 64],
    [["add", "x", "--generate", "--password-stdin"], 64],
    [["edit", "One", "--remove", "everything"], 64],
    [["edit", "One"], 64],
    [["rm", "One"], 64],
    [["list", "--password-stdin"], 64],
    [["list", "--type", "what there is not"], 64],
    [["events", "--limit", "0"], 64],
    [["run", "--env", "A=One", "--", "true"], 64],
    [["run", "--env", "A=One/nothing", "--", "true"], 2],
    [["add", "--from-stdin"], 65],
    [["add", ""], 65],
    [["get", "One", "--archive", "/dev/null/none", "--password-stdin"], 66],
    [["add", "x", "--password-fd", "99"], 66],
    [["add", "x", "--password-fd", "three"], 64],
  ])(
    "%j fails with %d: an error in JSON on standard error, and nothing on standard output",
    async (args, code) => {
      const [name = "", ...rest] = args;
      const [told, plain] = await Promise.all([device.run([name, "--json", ...rest]), device.run(args)]);
      expect({ code: told.code, stdout: told.stdout, stderr: told.stderr }).toMatchObject({
        code,
        stdout: "",
      });
      expect(JSON.parse(told.stderr)).toEqual({
        error: expect.objectContaining({ code: expect.any(String) }),
      });
      expect(plain).toMatchObject({ code, stdout: "" });
      expect(plain.stderr).not.toContain("    at ");
    },
  );

  test("has no escape sequence where there is no terminal, and names cannot bring any", async () => {
    const name = `Evil \x1b[2J\x1b]0;title\x07 \u009b31m\nblindvault: all is well \u202e`;
    const added = await device.run(["add", "--from-stdin"], { stdin: JSON.stringify({ name, notes: name }) });
    expect(added.stderr).toBe("Stored: Evil �[2J�]0;title� �31m blindvault: all is well �\n");
    const outputs = [
      await device.run(["list", "Evil"]),
      await device.run(["get", "Evil"]),
      await device.run(["get", "Evil", "--json"]),
      await device.run(["get", "Evil", "--field", `${name} too`]),
      await device.run(["rm", name, "--yes"]),
    ];
    for (const { stdout, stderr } of outputs) expect(stdout + stderr).not.toMatch(OBEYED);
    expect(JSON.parse(outputs[2]?.stdout ?? "")).toMatchObject({ name, notes: name });
  });

  test("--quiet leaves data and errors alone", async () => {
    expect(await device.run(["add", "Quiet", "--generate", "--quiet"])).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
    expect((await device.run(["get", "Quiet", "--field", "name", "-q"])).stdout).toBe("Quiet\n");
    expect((await device.run(["get", "nothing like it", "-q"])).stderr).toContain("no entry is like");
    expect(await device.run(["rm", "Quiet", "--yes", "-q"])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("may be read no further: the pipe's end is no error", async () => {
    const { env } = device;
    const client = `${process.execPath} ${join(import.meta.dir, "../../src/main.ts")}`;
    const script = `set -o pipefail; ${client} list --json --reveal | head -c 1`;
    expect(await runScript(["bash", "-c", script], { env })).toEqual({ code: 0, stdout: "[", stderr: "" });
  });

  test("cannot be lost in silence: a full disk is exit 73", async () => {
    const { env } = device;
    const client = `${process.execPath} ${join(import.meta.dir, "../../src/main.ts")}`;
    const full = await runScript(["bash", "-c", `${client} list > /dev/full`], { env });
    expect(full).toMatchObject({ code: 73, stdout: "" });
    expect(full.stderr).toBe("blindvault: an input or output cannot be used\n");
  });

  test("master passwords and secrets are in no argument that another process could read", async () => {
    const account = await makeAccount(server);
    const flags = [
      "--server",
      server.url,
      "--username",
      account.username,
      "--no-keychain",
      "--password-stdin",
    ];
    const fresh = makeDevice();
    const running = fresh.run(["login", ...flags], { stdin: account.master_password });
    let seen = "";
    const watching = setInterval(() => {
      seen += allArguments();
    }, 10);
    expect((await running).code).toBe(0);
    clearInterval(watching);
    expect(seen).toContain(account.username);
    expect(seen).not.toContain(account.master_password);
  });

  async function other(): Promise<Device> {
    return logInDevice(server, await makeAccount(server));
  }
});

/** Controls but tab and line feed, and what turns the direction of writing round. */
const OBEYED = /[^\P{Cc}\t\n]|[\u202a-\u202e\u2066-\u2069]/u;

function expectJson({ code, stdout, stderr }: Finished): void {
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(typeof JSON.parse(stdout)).toBe("object");
  expect(stdout).toEndWith("\n");
}

/** What `ps` shows. */
function allArguments(): string {
  const { stdout } = Bun.spawnSync(["ps", "-eww", "-o", "args"]);
  return stdout.toString();
}

async function field(device: Device, name: string, of: string): Promise<string> {
  const { code, stdout, stderr } = await device.run(["get", name, "--field", of]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.slice(0, -1);
}

/** One that the estimator takes. */
function longPassword(): string {
  return `Aa1! ${randomHex(12)}`;
}
