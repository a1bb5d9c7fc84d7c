import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomHex, randomName } from "../support/client.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import {
  type Account,
  type Device,
  KEYS,
  logInDevice,
  makeAccount,
  makeDevice,
  openScreen,
  type Screen,
} from "../support/terminal.ts";

/** At a terminal, as a person sits there: questions, answers and the keys that leave a question. */
useQuickHashes();

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer("embedded");
});
afterAll(() => server.stop());

describe("at a terminal", () => {
  test("an account is made and used by answers alone, and no secret is shown", async () => {
    const device = makeDevice();
    const [username, secret] = [randomName(), randomHex(12)];
    const [first, second] = [`Aa1! ${randomHex(12)}`, `Aa1! ${randomHex(12)}`];
    const registering = device.type(["register", "--no-keychain"]);
    await registering.answer("Server", `${KEYS.clear}${server.url}`);
    await registering.answer("Username", username);
    await registering.answer("A master password", first);
    await registering.answer("The same again", first);
    await expectEnd(registering, 0, [first]);
    takeSession(device, registering);

    const adding = device.type(["add"]);
    await adding.answer("Name", "Example");
    await adding.answer("Username", "me");
    await adding.answer("Password (empty: none)", secret);
    await adding.answer("Address", "https://example.org");
    await expectEnd(adding, 0, [secret]);
    expect(await contentOf(device, "Example")).toMatchObject({
      ...{ type: "login", name: "Example", username: "me", password: secret, uris: ["https://example.org"] },
    });

    const editing = device.type(["edit", "Example"]);
    await editing.answer("Name", " too");
    await editing.answer("Username", KEYS.clear);
    await editing.answer("Password (empty: as it is)", "");
    await editing.answer("Address", "/login");
    await expectEnd(editing, 0, [secret]);
    const changed = await contentOf(device, "Example too");
    expect(changed).toMatchObject({
      name: "Example too",
      password: secret,
      uris: ["https://example.org/login"],
    });
    expect(changed).not.toHaveProperty("username");

    const moving = device.type(["passwd"]);
    await moving.answer("Present master password", first);
    await moving.answer("New master password", second);
    await moving.answer("The same again", second);
    await expectEnd(moving, 0, [first, second]);

    const sparing = device.type(["rm", "Example too"]);
    await sparing.answer(`Delete "Example too" for good?`, "");
    await expectEnd(sparing, 130, []);
    const removing = device.type(["rm", "exampel too"]);
    await removing.see(`Delete "Example too" (for "exampel too") for good?`);
    removing.type("y");
    await expectEnd(removing, 0, []);
    expect((await device.run(["list"])).stdout).toBe("");

    expect((await device.run(["lock"])).code).toBe(0);
    const listing = device.type(["list"]);
    await listing.answer("Master password", second);
    await expectEnd(listing, 0, [second]);
    expect(listing.shown()).toContain('eval "$(blindvault unlock)"');
    const unlocking = device.type(["unlock", "--no-keychain"]);
    await unlocking.answer(`Master password of ${username}`, second);
    await expectEnd(unlocking, 0, [second]);
    takeSession(device, unlocking);
    expect((await device.run(["list"])).code).toBe(0);
  });

  test("two new passwords that differ change nothing", async () => {
    const [device, account] = await deviceOf();
    const moving = device.type(["passwd"]);
    await moving.answer("Present master password", account.master_password);
    await moving.answer("New master password", randomHex(12));
    await moving.answer("The same again", randomHex(12));
    await expectEnd(moving, 64, [account.master_password]);
    expect(moving.shown()).toContain("the two are not the same");
    await logInDevice(server, account);
  });

  test("secrets of an entry are asked for where a flag says so", async () => {
    const [device] = await deviceOf();
    const [password, pin, totp] = [randomHex(8), randomHex(8), "JBSWY3DPEHPK3PXP"];
    const adding = device.type(["add", "x", "--password-prompt", "--totp-prompt", "--hidden-field", "PIN"]);
    await adding.answer("Password", password);
    await adding.answer("TOTP secret", totp);
    await adding.answer("Field PIN", pin);
    await expectEnd(adding, 0, [password, pin, totp]);
    expect(await contentOf(device, "x")).toMatchObject({
      password,
      totp,
      fields: [{ name: "PIN", value: pin, hidden: true }],
    });
    const showing = device.type(["get", "x"]);
    await expectEnd(showing, 0, [password, pin, totp]);
  });

  test("an edit of a name that is only alike is confirmed first", async () => {
    const [device] = await deviceOf();
    await device.run(["add", "GitHub", "--generate"]);
    const [no, yes] = [
      device.type(["edit", "github.", "--notes", "n"]),
      device.type(["edit", "githb", "--notes", "n"]),
    ];
    await no.answer(`Do you mean "GitHub"?`, "");
    await expectEnd(no, 130, []);
    await yes.see(`Do you mean "GitHub"?`);
    yes.type("y");
    await expectEnd(yes, 0, []);
    expect(await contentOf(device, "GitHub")).toMatchObject({ notes: "n" });
    const script = await device.run(["edit", "githb", "--notes", "other"]);
    expect(script).toMatchObject({ code: 2, stdout: "" });
    expect(await device.run(["rm", "githb", "--yes"])).toMatchObject({ code: 2 });
    expect(await contentOf(device, "GitHub")).toMatchObject({ notes: "n" });
  });

  test.each([
    ["ours", "", "ours"],
    ["theirs", KEYS.down, "theirs"],
  ])("who has changed the same field as somebody else chooses, here %s", async (_, keys, expected) => {
    const [device, account] = await deviceOf();
    await account.vault.add({
      type: "login",
      name: "x",
      username: "base",
      password: "p",
      notes: "n",
      uris: ["u"],
    });
    const entry = (await account.vault.list())[0];
    const editing = device.type(["edit", "x"]);
    await editing.see("Name");
    await account.vault.update(entry?.id ?? "", { username: "theirs", tags: ["new"] });
    editing.type(KEYS.enter);
    await editing.answer("Username", `${KEYS.clear}ours`);
    await editing.answer("Password", "");
    await editing.answer("Address", KEYS.clear);
    await editing.see(`"x" was changed elsewhere too: username`);
    await editing.see("keep what was entered elsewhere");
    editing.type(`${keys}${KEYS.enter}`);
    await expectEnd(editing, 0, []);
    const { uris, ...content } = await contentOf(device, "x");
    expect(uris).toBeUndefined();
    expect(content).toMatchObject({ username: expected, password: "p", notes: "n", tags: ["new"] });
  });

  test("names cannot make it do anything", async () => {
    const [device] = await deviceOf();
    const name = "Evil \x1b[2J\x1b]0;title\x07\nfake";
    await device.run(["add", "--from-stdin"], {
      stdin: JSON.stringify({ name, notes: name, password: name }),
    });
    for (const args of [
      ["list"],
      ["get", "Evil", "--reveal"],
      ["get", "Evil", "-f", "password"],
      ["get", "Evil", "--json"],
    ]) {
      const screen = device.type(args);
      expect(await screen.exited).toBe(0);
      expect(screen.raw()).not.toContain("\x1b[2J");
      expect(screen.raw()).not.toContain("\x1b]0;");
    }
    const removing = device.type(["rm", name]);
    await removing.see("for good?");
    expect(removing.raw()).not.toContain("\x1b]0;");
    removing.type(KEYS.ctrl_c);
    await removing.exited;
  });

  test("NO_COLOR leaves colours out", async () => {
    const [device] = await deviceOf();
    for (const [env, colored] of [
      [{ NO_COLOR: "1" }, false],
      [{}, true],
    ] as const) {
      const adding = device.type(["add"], { env });
      await adding.see("Name");
      adding.type(KEYS.ctrl_c);
      await adding.exited;
      expect(adding.raw().includes(CYAN)).toBe(colored);
    }
  });
});

describe("a question", () => {
  const QUESTIONS: [what: string, args: string[], question: string, locked?: boolean][] = [
    ["for a text", ["add"], "Name"],
    ["for a secret", ["passwd"], "Present master password"],
    ["for a yes", ["rm", "x"], "for good?"],
    ["of a locked vault", ["list"], "Master password", true],
    ["of a login", ["login", "--server", "https://localhost"], "Username"],
    ["of a registration", ["register"], "Server"],
  ];
  const WAYS = [
    ["Ctrl-C", KEYS.ctrl_c],
    ["Ctrl-D", KEYS.ctrl_d],
  ] as const;

  test.each(WAYS)("is left by %s: exit 130, nothing changed, and the terminal as it was", async (_, key) => {
    const [device] = await deviceOf();
    await device.run(["add", "x", "--generate"]);
    const before = (await device.run(["list", "--json", "--reveal"])).stdout;
    for (const [what, args, question, locked] of QUESTIONS) {
      const screen = device.type(args, locked ? { env: { BLINDVAULT_SESSION: "" } } : {});
      await screen.see(question);
      // The question is shown before the keys are listened for.
      await Bun.sleep(20);
      expect({ what, echoes: screen.echoes() }).toEqual({ what, echoes: false });
      screen.type(key);
      expect({ what, code: await screen.exited, echoes: screen.echoes() }).toEqual({
        what,
        code: 130,
        echoes: true,
      });
      expect(screen.shown()).toEndWith("blindvault: cancelled\n");
      expect(screen.raw().lastIndexOf("\x1b[?25h")).toBeGreaterThan(screen.raw().lastIndexOf("\x1b[?25l"));
    }
    expect((await device.run(["list", "--json", "--reveal"])).stdout).toBe(before);
  });

  test("does not outlive the window that it was asked in", async () => {
    const [device] = await deviceOf();
    const screen = device.type(["add"]);
    await screen.see("Name");
    screen.hangUp();
    expect([129, 130]).toContain(await screen.exited);
  });

  test("is asked though standard output is a pipe, as in a command substitution", async () => {
    const [device, account] = await deviceOf();
    const client = `${process.execPath} ${import.meta.dir}/../../src/main.ts`;
    const script = `eval "$(${client} unlock --no-keychain)" && ${client} status`;
    const screen = openScreen(["bash", "-c", script], { env: { ...device.env, BLINDVAULT_SESSION: "" } });
    await screen.answer("Master password of", account.master_password);
    await screen.see(": open, 0 entries");
    await expectEnd(screen, 0, [account.master_password]);
    expect(screen.shown()).not.toContain("BLINDVAULT_SESSION");
  });
});

/** What the library marks an open question with. */
const CYAN = "\x1b[36m";

async function deviceOf(): Promise<[Device, Account & Awaited<ReturnType<typeof makeAccount>>]> {
  const account = await makeAccount(server);
  return [await logInDevice(server, account), account];
}

function takeSession(device: Device, screen: Screen): void {
  device.env.BLINDVAULT_SESSION = /SESSION='([^']+)'/.exec(screen.shown())?.[1] as string;
}

async function expectEnd(screen: Screen, code: number, secrets: string[]): Promise<void> {
  expect({ code: await screen.exited, shown: screen.shown() }).toEqual({ code, shown: expect.any(String) });
  for (const secret of secrets) expect(screen.raw()).not.toContain(secret);
  expect(screen.echoes()).toBe(true);
}

async function contentOf(device: Device, name: string) {
  const { stdout } = await device.run(["get", name, "--json"]);
  return JSON.parse(stdout);
}
