import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomHex } from "../support/client.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";
import { type Account, type Device, KEYS, logInDevice, makeAccount } from "../support/terminal.ts";

useQuickHashes();

let server: TestServer;
let device: Device;
let account: Account;
const [password, pin] = [randomHex(12), randomHex(8)];
beforeAll(async () => {
  server = await startTestServer("embedded");
  const made = await makeAccount(server);
  account = made;
  await made.vault.importEntries([
    { type: "login", name: "db/prod", username: "me", password },
    { type: "secret", name: "Card", fields: [{ name: "PIN", value: pin, hidden: true }], notes: "a\0b" },
  ]);
  device = await logInDevice(server, account);
});
afterAll(() => server.stop());

describe("run", () => {
  test("gives a command its secrets, by names with slashes and fields of their own, and its exit code back", async () => {
    const script = 'printf "%s %s %s" "$USER_NAME" "$PASSWORD" "$PIN"; exit 3';
    const secrets = ["--env", "USER_NAME=db/prod/username", "--env", "PASSWORD=db/prod/password"];
    const args = ["run", ...secrets, "--env", "PIN=Card/PIN", "--", "sh", "-c", script];
    expect(await device.run(args)).toEqual({ code: 3, stdout: `me ${password} ${pin}`, stderr: "" });
  });

  test("leaves the command's own flags, standard input and output to it", async () => {
    const args = ["run", "--env", "P=db/prod/password", "--", "cat", "-", "--show-all"];
    const told = await device.run(args, { stdin: "a\tb\n" });
    expect(told).toEqual({ code: 0, stdout: "a^Ib$\n", stderr: "" });
  });

  test("leaves NODE_ENV to the command as it was given, and sets none", async () => {
    const show = ["run", "--", "sh", "-c", 'echo "[$NODE_ENV]"'];
    expect((await device.run(show)).stdout).toBe("[]\n");
    expect((await device.run(show, { env: { NODE_ENV: "test" } })).stdout).toBe("[test]\n");
  });

  test("does not hand on the key to the whole vault", async () => {
    const { stdout } = await device.run(["run", "--env", "P=db/prod/password", "--", "env"]);
    expect(stdout).toContain(`P=${password}`);
    expect(stdout).not.toContain("BLINDVAULT_SESSION");
    expect(stdout).not.toContain(device.env.BLINDVAULT_SESSION as string);
  });

  test("shows no secret among the arguments of any process", async () => {
    const script = "ps -eww -o args; true";
    const { stdout } = await device.run(["run", "--env", "P=db/prod/password", "--", "sh", "-c", script]);
    expect(stdout).toContain("ps -eww -o args");
    expect(stdout).not.toContain(password);
  });

  test("without a secret needs no vault", async () => {
    expect(await device.run(["run", "--", "true"], { env: { BLINDVAULT_SESSION: "" } })).toMatchObject({
      code: 0,
    });
  });

  test.each([
    ["that there is not", "/nowhere/command", 127],
    ["that PATH does not have", "no-such-command-anywhere", 127],
    ["that cannot be executed", "", 126],
  ])("of a command %s ends as in a shell", async (_, command, code) => {
    const file = join(temporaryDirectory(), "file");
    writeFileSync(file, "");
    const told = await device.run(["run", "--", command || file]);
    expect(told).toMatchObject({ code, stdout: "" });
    expect(told.stderr).toMatch(/^blindvault: [^\n]+\n$/);
  });

  test("refuses what cannot be a variable", async () => {
    for (const env of ["P", "P=", "P=x", "=db/prod/password", "1P=db/prod/password", "P=db/prod/"]) {
      expect((await device.run(["run", "--env", env, "--", "true"])).code).toBe(64);
    }
    expect((await device.run(["run", "--env", "P=Card/notes", "--", "true"])).code).toBe(65);
    expect((await device.run(["run", "--env", "P=db/prod/password"])).code).toBe(64);
  });

  test.each(["TERM", "HUP"] as const)("hands SIG%s on, and ends as its command does", async (signal) => {
    const script = `trap 'echo got; exit 7' ${signal}; echo ready; while :; do sleep 0.05; done`;
    const file = join(temporaryDirectory(), "pid");
    const before = ["sh", "-c", 'echo $$ > "$0"; exec "$@"', file];
    const running = device.run(["run", "--", "sh", "-c", `echo > ${file}.ready; ${script}`], { before });
    while (!(await Bun.file(`${file}.ready`).exists())) await Bun.sleep(20);
    await Bun.sleep(100);
    process.kill(Number(await Bun.file(file).text()), `SIG${signal}`);
    expect(await running).toEqual({ code: 7, stdout: "ready\ngot\n", stderr: "" });
  });

  test("of a command that a signal ends is 128 and its number", async () => {
    expect((await device.run(["run", "--", "sh", "-c", "kill -TERM $$"])).code).toBe(143);
    expect((await device.run(["run", "--", "sh", "-c", "kill -KILL $$"])).code).toBe(137);
  });

  test.skipIf(Bun.which("setsid") === null)("hears Ctrl-C once, and leaves it to the command", async () => {
    const script = `trap 'echo interrupted' INT; echo ready; sleep 5 & wait $!; echo on; wait $!; exit 9`;
    const screen = device.type(["run", "--env", "P=db/prod/password", "--", "sh", "-c", script]);
    await screen.see("ready");
    screen.type(KEYS.ctrl_c);
    await screen.see("on");
    expect(await screen.exited).toBe(9);
    expect(screen.shown().match(/interrupted/g)?.length).toBe(1);
  });

  test("gives the command the terminal whole, also after it has asked for the master password", async () => {
    const script = 'read -r line; echo "read <$line> of $P"';
    const args = ["run", "--env", "P=db/prod/username", "--", "sh", "-c", script];
    const screen = device.type(args, { env: { BLINDVAULT_SESSION: "" } });
    await screen.answer("Master password", account.master_password);
    await screen.see("blindvault unlock");
    for (const part of ["a long ", "line ", "typed ", "slowly"]) {
      await Bun.sleep(50);
      screen.type(part);
    }
    screen.type(KEYS.enter);
    await screen.see("read <a long line typed slowly> of me");
    expect(await screen.exited).toBe(0);
  });
});
