import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomHex, randomName } from "../support/client.ts";
import { type Attack, startHostileServer } from "../support/hostile-server.ts";
import { freePort } from "../support/ports.ts";
import type { Finished } from "../support/process.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";
import { type Account, type Device, logInDevice, makeAccount, makeDevice } from "../support/terminal.ts";

useQuickHashes();

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer("embedded", { MAX_FAILED_LOGINS: "3", LOCKOUT_MINUTES: "15" });
});
afterAll(() => server.stop());

describe.concurrent("a login", () => {
  test("with a wrong password and one of nobody end alike, and tell nobody which it was", async () => {
    const { username } = await makeAccount(server);
    const wrong = await logIn(server, { username, master_password: randomHex(12) });
    const nobody = await logIn(server, { username: randomName(), master_password: randomHex(12) });
    expect(wrong).toEqual({
      ...{ code: 77, stdout: "" },
      stderr: "blindvault: The username or the master password is wrong\n",
    });
    expect(nobody).toEqual(wrong);
  });

  test("without a password has nothing to be tried with", async () => {
    const { username } = await makeAccount(server);
    expectSentence(await logIn(server, { username, master_password: "" }), 64);
  });

  test("to an account that is locked says when to try again", async () => {
    const { username } = await makeAccount(server);
    for (let attempt = 0; attempt < 3; attempt++) await logIn(server, { username, master_password: "wrong" });
    const told = await logIn(server, { username, master_password: "wrong" });
    expectSentence(told, 75);
    expect(told.stderr).toMatch(/locked for a while: try again in 1[45] minutes\n$/);
    const json = await logIn(server, { username, master_password: "wrong" }, ["--json"]);
    expect(JSON.parse(json.stderr).error).toMatchObject({
      code: "login-locked",
      retry_after_s: expect.any(Number),
    });
  });

  test.each([
    ["where there is no server", () => `http://127.0.0.1:${freePort()}`, 69, "cannot be reached"],
    ["to a name that there is not", () => "https://blindvault.invalid", 69, "cannot be reached"],
    ["over plain HTTP to another machine", () => "http://192.0.2.1", 64, "--insecure-http"],
    ["to what is no address", () => "not an address", 64, "is no URL"],
    ["to an address with credentials", () => "https://a:b@localhost", 64, "is no URL"],
    ["to another kind of address", () => "ftp://localhost", 64, "is no URL"],
  ])("%s is one sentence", async (_, url, code, text) => {
    const told = await logIn({ url: url() }, { username: randomName(), master_password: "x" }, ["--quiet"]);
    expectSentence(told, code);
    expect(told.stderr).toContain(text);
  });

  test("with a name that no account can have asks no server", async () => {
    expectSentence(await logIn(server, { username: "a b", master_password: "x" }), 64);
  });

  test("is refused for a weak master password before anything is sent, unless told", async () => {
    const flags = ["register", "-s", server.url, "-u", randomName(), "--no-keychain", "--password-stdin"];
    const weak = await makeDevice().run(flags, { stdin: "Password1234!" });
    expectSentence(weak, 64);
    expect(weak.stderr).toContain("too weak");
    expect((await makeDevice().run([...flags, "--allow-weak"], { stdin: "Password1234!" })).code).toBe(0);
    expectSentence(await makeDevice().run([...flags, "--allow-weak"], { stdin: "Password1234!" }), 1);
  });
});

describe("a server that does not answer", () => {
  test("is given up after a time", async () => {
    await withAttack(
      () => () => Bun.sleep(3000),
      async (device, _, url) => {
        // Half a minute of the platform's clock is as long as this test may wait.
        const hurry = join(temporaryDirectory(), "hurry.ts");
        writeFileSync(
          hurry,
          "const timeout = AbortSignal.timeout; AbortSignal.timeout = () => timeout(150);",
        );
        const told = await device.run(["list"], { runtime: ["--preload", hurry] });
        expect(told).toMatchObject({ code: 69, stdout: "" });
        expect(told.stderr).toEndWith("blindvault: The server did not answer in time\n");
        expect(url).toStartWith("http://127.0.0.1");
      },
    );
  });
});

describe.skipIf(Bun.which("openssl") === null)("a certificate", () => {
  let secure: TestServer;
  let account: Account;
  const directory = temporaryDirectory();
  const [certificate, key] = [join(directory, "certificate.pem"), join(directory, "key.pem")];
  beforeAll(async () => {
    await makeCertificate(certificate, key, "localhost");
    secure = await startTestServer("embedded", { TLS_CERT_FILE: certificate, TLS_KEY_FILE: key });
    account = await makeAccount(server);
  });
  afterAll(() => secure.stop());

  test("of no authority that is trusted is refused, and with its own it is trusted from then on", async () => {
    const url = secure.url.replace("127.0.0.1", "localhost");
    expectSentence(await logIn({ url }, account), 6);
    const authority = join(temporaryDirectory(), "authority.pem");
    writeFileSync(authority, readFileSync(certificate));
    const device = makeDevice();
    const login = await logIn({ url }, account, ["--ca-file", authority], device);
    expect(login).toMatchObject({ code: 0, stderr: expect.any(String) });
    device.env.BLINDVAULT_SESSION = login.stdout.trim();
    expect((await device.run(["list"])).code).toBe(0);
    unlinkSync(authority);
    expectSentence(await device.run(["list"]), 66);
    writeFileSync(authority, "garbage");
    expectSentence(await device.run(["list"]), 65);
  });

  test("of another name is refused", async () => {
    const url = secure.url.replace("localhost", "127.0.0.1");
    expectSentence(await logIn({ url }, account, ["--ca-file", certificate]), 6);
  });
});

describe.concurrent("a session", () => {
  test("that was ended elsewhere is exit 4, and a login makes another", async () => {
    const account = await makeAccount(server);
    const device = await logInDevice(server, account);
    await account.vault.endOtherSessions();
    for (const args of [["list"], ["add", "x"], ["sessions"]]) {
      const told = await device.run(args);
      expectSentence(told, 4);
      expect(told.stderr).toContain("blindvault login");
    }
    const status = await device.run(["status", "--json"]);
    expect({ code: status.code, state: JSON.parse(status.stdout).state }).toEqual({
      code: 4,
      state: "signed-out",
    });
    const login = await logIn(server, account, [], device);
    device.env.BLINDVAULT_SESSION = login.stdout.trim();
    expect((await device.run(["status"])).code).toBe(0);
    expect((await device.run(["logout"])).code).toBe(0);
  });

  test("that was ended elsewhere can be logged out of", async () => {
    const account = await makeAccount(server);
    const device = await logInDevice(server, account);
    await account.vault.endOtherSessions();
    expect((await device.run(["logout"])).code).toBe(0);
    expect((await device.run(["status"])).code).toBe(4);
  });

  test("is not ended when the server cannot be reached, unless here alone", async () => {
    await withAttack(
      () => (socket) => socket.destroy(),
      async (device) => {
        expectSentence(await device.run(["logout", "-q"]), 69);
        expect((await device.run(["lock"])).code).toBe(0);
        expectSentence(await device.run(["logout"]), 5);
        expect((await device.run(["logout", "--local"])).code).toBe(0);
        expect((await device.run(["status"])).code).toBe(4);
      },
    );
  });
});

describe.concurrent("a hostile answer", () => {
  const listed =
    (change: (entry: Record<string, unknown>) => void): Attack =>
    async (seen, pass) => {
      const answer = await pass();
      if (seen.route.startsWith("GET /entries")) for (const entry of answer.body.entries) change(entry);
      return answer;
    };

  test.each<[what: string, attack: Attack, text: string]>([
    ["garbage", () => ({ status: 200, body: "<html>" }), "none of this protocol"],
    [
      "a redirection",
      () => ({ status: 302, headers: { location: "http://127.0.0.1:1/" }, body: "" }),
      "none of",
    ],
    ["a problem with escape sequences", () => problem("\x1b[2J all is well"), "went wrong|mistake"],
  ])("that is %s is one sentence, and obeyed by nobody", async (_, attack, text) => {
    await withAttack(attack, async (device) => {
      const told = await device.run(["list"]);
      expect([1, 76]).toContain(told.code);
      expect(told.stdout).toBe("");
      expect(told.stderr).toMatch(/^blindvault: [ -~]+\n$/);
      expect(told.stderr).toMatch(new RegExp(text));
    });
  });

  test("about one entry is a warning, and the others are shown; a status says so to scripts", async () => {
    let first = true;
    const attack = listed((entry) => {
      if (first) entry.tag = Buffer.alloc(16).toString("base64");
      first = false;
    });
    await withAttack(attack, async (device) => {
      first = true;
      const told = await device.run(["list", "--json"]);
      expect({ code: told.code, names: JSON.parse(told.stdout).length }).toEqual({ code: 0, names: 1 });
      expect(JSON.parse(told.stderr)).toMatchObject({
        warning: { code: "entry-forked", ids: [expect.any(String)] },
      });
      first = true;
      expect((await device.run(["status"])).code).toBe(76);
    });
  });
});

describe.concurrent("what changed elsewhere", () => {
  test("is asked about when entries are gone, and taken when somebody says so", async () => {
    const account = await makeAccount(server);
    const entry = await account.vault.add({ type: "note", name: "gone soon" });
    await account.vault.add({ type: "note", name: "stays" });
    const device = await logInDevice(server, account);
    await device.run(["list"]);
    await account.vault.remove(entry.id);
    const warned = await device.run(["list"]);
    expect({ code: warned.code, stdout: warned.stdout }).toEqual({ code: 0, stdout: "stays\n" });
    expect(warned.stderr).toContain(entry.id);
    expect(warned.stderr).toContain("blindvault list --accept-missing");
    expect((await device.run(["status"])).code).toBe(76);
    // Only what was named: another that the server withholds at that moment nobody has agreed to.
    const other = await device.run(["list", "--accept-missing", crypto.randomUUID()]);
    expect(other).toMatchObject({ code: 2, stdout: "" });
    const accepted = await device.run(["list", "--accept-missing", entry.id]);
    expect(accepted).toMatchObject({ code: 0, stdout: "stays\n" });
    expect(await device.run(["list"])).toEqual({ code: 0, stdout: "stays\n", stderr: "" });
    expect((await device.run(["status"])).code).toBe(0);
  });

  test("is refused for the salt of the master password, until somebody says so", async () => {
    const account = await makeAccount(server);
    const device = await logInDevice(server, account);
    const new_password = `Aa1! ${randomHex(12)}`;
    await account.vault.changePassword({ current_password: account.master_password, new_password });
    expectSentence(await device.run(["list"]), 4);
    const changed = { username: account.username, master_password: new_password };
    const refused = await logIn(server, changed, [], device);
    expectSentence(refused, 76);
    expect(refused.stderr).toContain("--password-changed");
    expect((await logIn(server, changed, ["--password-changed"], device)).code).toBe(0);
  });

  test("for a password that is weak or not the present one: nothing is changed", async () => {
    const account = await makeAccount(server);
    const device = await logInDevice(server, account);
    const change = (lines: string[], ...flags: string[]) =>
      device.run(["passwd", "--password-stdin", "--new-password-stdin", ...flags], {
        stdin: lines.join("\n"),
      });
    expectSentence(await change(["wrong", `Aa1! ${randomHex(12)}`]), 77);
    expectSentence(await change([account.master_password, "Password1234!"]), 64);
    expectSentence(await change([account.master_password]), 66);
    expect((await logIn(server, account)).code).toBe(0);
    expect((await change([account.master_password, "Password1234!"], "--allow-weak")).code).toBe(0);
    expect((await device.run(["status"])).code).toBe(0);
    expectSentence(await logIn(server, account), 77);
  });
});

function problem(detail: string) {
  const code = "internal-error";
  const body = {
    type: `urn:blindvault:problem:${code}`,
    title: detail,
    status: 500,
    detail,
    code,
    request_id: "x",
  };
  return { status: 500, headers: { "content-type": "application/problem+json" }, body };
}

/** A device that has logged in through a server which then does to every request what `attack` says. */
async function withAttack(
  attack: Attack,
  work: (device: Device, account: Account, url: string) => Promise<void>,
): Promise<void> {
  const middleman = await startHostileServer(server);
  try {
    const account = await makeAccount(server);
    await account.vault.importEntries([
      { type: "note", name: "One" },
      { type: "note", name: "Two" },
    ]);
    const device = await logInDevice(middleman, account);
    await device.run(["list"]);
    middleman.attack = attack;
    await work(device, account, middleman.url);
  } finally {
    await middleman.stop();
  }
}

function logIn(
  { url }: { url: string },
  { username, master_password }: Account,
  flags: string[] = [],
  device: Device = makeDevice(),
): Promise<Finished> {
  const args = ["login", "-s", url, "-u", username, "--no-keychain", "--password-stdin", "--raw", ...flags];
  return device.run(args, { stdin: `${master_password}\n` });
}

/** One clear sentence on standard error, nothing on standard output, no stack. */
function expectSentence({ code, stdout, stderr }: Finished, expected: number): void {
  expect({ code, stdout, stderr }).toEqual({
    code: expected,
    stdout: "",
    stderr: expect.stringMatching(/^blindvault: [^\n]+\n$/),
  });
}

async function makeCertificate(certificate: string, key: string, name: string): Promise<void> {
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const names = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
  const command = ["openssl", "req", "-x509", ...kind, "-keyout", key, "-out", certificate, ...names];
  expect(await Bun.spawn(command, { stderr: "ignore" }).exited).toBe(0);
}
