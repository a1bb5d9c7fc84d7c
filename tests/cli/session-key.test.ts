import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomHex, randomName, randomPassword } from "../support/client.ts";
import { programDirectory } from "../support/program.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { type Device, makeDevice, runScript } from "../support/terminal.ts";

/** What login prints where no keychain holds the session key, in the shells that are to take it. */
const SHELLS = ["sh", "bash", "dash", "zsh", "fish"];

let server: TestServer;
let device: Device;
const secret = randomHex(12);
const master_password = randomPassword();

beforeAll(async () => {
  server = await startTestServer("embedded");
  device = makeDevice();
  device.env.PATH = `${programDirectory()}:${process.env.PATH}`;
  const args = [
    "register",
    "-s",
    server.url,
    "-u",
    randomName(),
    "--no-keychain",
    "--raw",
    "--password-stdin",
  ];
  const { stdout } = await device.run(args, { stdin: `${master_password}\n` });
  const content = JSON.stringify({ type: "login", name: "Site", password: secret });
  const env = { BLINDVAULT_SESSION: stdout.trim() };
  await device.run(["add", "--from-stdin"], { stdin: content, env });
});
afterAll(() => server.stop());

for (const shell of SHELLS) {
  const missing = Bun.which(shell) === null;
  if (missing)
    console.log(`SKIPPED: a session key in ${shell}, which is not here (apt-get install ${shell})`);

  test.skipIf(missing)(`eval "$(blindvault unlock)" opens the vault in ${shell}`, async () => {
    const script = `eval "$(blindvault unlock --no-keychain --password-stdin)"; blindvault get Site -f password`;
    const stdin = `${master_password}\n`;
    const finished = await runScript([shell, "-c", script], { env: device.env, stdin });
    expect(finished).toMatchObject({ code: 0, stdout: `${secret}\n` });
  });
}

test("--raw prints the key alone, for every other shell", async () => {
  const args = ["unlock", "--no-keychain", "--raw", "--quiet", "--password-stdin"];
  const { stdout, stderr } = await device.run(args, { stdin: `${master_password}\n` });
  expect({ stdout, stderr }).toEqual({ stdout: expect.stringMatching(/^[A-Za-z0-9+/]{43}=\n$/), stderr: "" });
  const env = { BLINDVAULT_SESSION: stdout.trim() };
  expect((await device.run(["get", "Site", "-f", "password"], { env })).stdout).toBe(`${secret}\n`);
});
