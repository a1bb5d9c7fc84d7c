import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { IMPORT_FORMATS } from "../../src/cli/formats.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { randomHex } from "../support/client.ts";
import { type Attack, type HostileServer, on, startHostileServer } from "../support/hostile-server.ts";
import type { Finished } from "../support/process.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";
import { type Device, KEYS, logInDevice, makeAccount } from "../support/terminal.ts";
import { jsonOf } from "./import/files.ts";
import { addEntry, bytesOfDatabase, databaseOf } from "./import/keepass-files.ts";
import { makeSample, manyLogins } from "./transfer-files.ts";

/** What a person does who moves in: `blindvault import`, from the file to what is in the vault afterwards. */
useQuickHashes();

type Mover = Awaited<ReturnType<typeof makeAccount>> & { device: Device };

/** A new account, a device of it, and its vault on another one. */
async function newMover(server: { url: string }): Promise<Mover> {
  const account = await makeAccount(server);
  return { ...account, device: await logInDevice(server, account) };
}

function fileOf(bytes: Uint8Array | string, name = "export"): string {
  const path = join(temporaryDirectory(), name);
  writeFileSync(path, bytes);
  return path;
}

const dataOf = ({ stdout }: Finished) => JSON.parse(stdout);
const errorOf = ({ stderr }: Finished) => JSON.parse(stderr).error;
const names = async ({ vault }: Mover) => (await vault.list()).map(({ content }) => content.name).sort();

let server: TestServer;
let mover: Mover;
beforeAll(async () => {
  server = await startTestServer("embedded");
  mover = await newMover(server);
});
afterAll(() => server.stop());

describe.each(IMPORT_FORMATS)("a file of %s", (format) => {
  test("is recognised, shown by a dry run that stores nothing, taken over, and not a second time", async () => {
    const { login, bytes, file_password } = await makeSample(format, server);
    const path = fileOf(bytes);
    const secret = file_password === undefined ? [] : ["--password-stdin"];
    const importing = (...more: string[]) =>
      mover.device.run(["import", path, "--json", ...secret, ...more], { stdin: `${file_password}\n` });
    const before = await names(mover);

    const planned = await importing("--dry-run");
    expect(planned).toMatchObject({ code: 0, stderr: "" });
    expect(dataOf(planned)).toMatchObject({
      format,
      dry_run: true,
      found: 1,
      added: 0,
      duplicates: [],
      refused: [],
    });
    const { name, username, password, url } = login;
    expect(dataOf(planned).entries).toEqual([
      { source: expect.any(String), state: "new", type: "login", name, username, uris: [url] },
    ]);
    expect(planned.stdout).not.toContain(password);
    expect(await names(mover)).toEqual(before);

    const done = await importing("--format", format);
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(dataOf(done)).toMatchObject({ format, dry_run: false, found: 1, added: 1, duplicates: [] });
    const [found] = await mover.vault.search(name);
    expect(found?.content).toMatchObject({ type: "login", name, username, password, uris: [url] });

    const again = dataOf(await importing());
    expect(again).toMatchObject({ found: 1, added: 0, duplicates: [expect.any(String)] });
    expect(await names(mover)).toEqual([...before, name].sort());
  });
});

describe("what an import tells", () => {
  const item = { type: 1, login: { username: "me", uris: [{ uri: "https://a.example.org" }] } };
  const mixed = (tag: string) =>
    jsonOf({
      encrypted: false,
      items: [
        { ...item, name: `Good ${tag}`, attachments: [{ fileName: "a.pdf" }] },
        { ...item, name: `Good ${tag}`, attachments: [{ fileName: "a.pdf" }] },
        { ...item, name: `Large ${tag}`, notes: "n".repeat(LIMITS.content_bytes_max) },
      ],
    });

  test("is what came, what came only in part, and with exit code 1 what did not come", async () => {
    const tag = randomHex(4);
    const path = fileOf(mixed(tag));
    const told = await mover.device.run(["import", path]);
    expect(told).toMatchObject({ code: 1, stdout: "" });
    expect(told.stderr.split("\n")).toEqual([
      "warning: not kept as it was: 2 items: attachments cannot be kept",
      expect.stringContaining(`warning: not imported: item 3 (Large ${tag}): An entry has `),
      "bitwarden-json: 2 found, 1 there already, 1 stored, 1 refused.",
      "",
    ]);
    expect((await names(mover)).filter((name) => name.includes(tag))).toEqual([`Good ${tag}`]);
  });

  test("is the same in JSON, and of a dry run", async () => {
    const tag = randomHex(4);
    const path = fileOf(mixed(tag));
    const report = {
      unmapped: [{ source: "2 items", what: "attachments cannot be kept" }],
      refused: [{ source: expect.stringContaining(`Large ${tag}`), reason: expect.any(String) }],
      duplicates: [expect.stringContaining(`Good ${tag}`)],
    };
    const planned = await mover.device.run(["import", path, "--dry-run", "--json"]);
    expect(planned).toMatchObject({ code: 1, stderr: "" });
    expect(dataOf(planned)).toMatchObject({ ...report, added: 0 });
    expect(dataOf(planned).entries.map(({ state }: { state: string }) => state)).toEqual([
      "new",
      "there-already",
    ]);
    expect(dataOf(await mover.device.run(["import", path, "--json"]))).toMatchObject({ ...report, added: 1 });
  });

  test("of a dry run is a table, whose names a terminal has nothing to obey in", async () => {
    const name = `Evil \x1b[2J\x1b]0;t\x07\u009b31m\u202e\nblindvault: all is well`;
    const bytes = jsonOf({
      encrypted: false,
      items: [
        { ...item, name, reprompt: 1 },
        { ...item, name: "x".repeat(70_000) },
      ],
    });
    const path = fileOf(bytes);
    for (const args of [["--dry-run"], ["--dry-run", "--json"], []]) {
      const { stdout, stderr } = await mover.device.run(["import", path, ...args]);
      expect(stdout + stderr).not.toMatch(/[^\P{Cc}\n]|[\u202a-\u202e\u2066-\u2069]/u);
      if (args.length === 1)
        expect(stdout).toBe(
          "new  login  Evil �[2J�]0;t��31m� blindvault: all is well  me  https://a.example.org\n",
        );
    }
  });

  test("of a file with nothing in it is that", async () => {
    const path = fileOf("name,url,username,password,note\n");
    const { code, stderr } = await mover.device.run(["import", path]);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: "chrome-csv: 0 found, 0 there already, 0 stored, 0 refused.\n",
    });
  });
});

describe("a file that cannot be taken", () => {
  const login = { type: 1, login: { username: "me", password: "x" } };
  const many = Array.from({ length: 600 }, (_, index) => ({ ...login, name: `Item ${index}` }));
  const kdbx = async () => {
    const database = await databaseOf();
    addEntry(database, { Title: "Example" });
    return bytesOfDatabase(database);
  };
  const flipped = (bytes: Uint8Array, at: number) => bytes.with(at, (bytes.at(at) ?? 0) ^ 1);
  const archive = async () => (await makeSample("blindvault-archive", server)).bytes;

  test.each<
    [
      what: string,
      make: () => Promise<Uint8Array> | Uint8Array | string,
      code: number,
      error: string,
      args?: string[],
    ]
  >([
    ["that is empty", () => "", 65, "import-unknown-format"],
    ["of no known format", () => "what is this", 65, "import-unknown-format"],
    [
      "of random bytes",
      () => crypto.getRandomValues(new Uint8Array(512)).fill(0xff, 0, 1),
      65,
      "import-damaged",
    ],
    [
      "cut off behind 500 good items",
      () => jsonOf({ encrypted: false, items: many }).slice(0, -40),
      65,
      "import-damaged",
    ],
    [
      "whose last row is damaged",
      () => `${new TextDecoder().decode(manyLogins(600))}"never ended,`,
      65,
      "import-damaged",
    ],
    [
      "of another format than was said",
      () => manyLogins(1),
      65,
      "import-damaged",
      ["--format", "bitwarden-json"],
    ],
    ["that is encrypted by Bitwarden", () => jsonOf({ encrypted: true, data: "x" }), 65, "import-encrypted"],
    ["that is encrypted by PGP", () => "-----BEGIN PGP MESSAGE-----\n", 65, "import-encrypted"],
    ["of KeePass with another password", kdbx, 77, "import-password-wrong", ["--password-stdin"]],
    [
      "of KeePass that is damaged",
      async () => (await kdbx()).slice(0, 100),
      65,
      "import-damaged",
      ["--password-stdin"],
    ],
    ["of ours with another password", archive, 77, "archive-password-wrong", ["--password-stdin"]],
    [
      "of ours that is cut off",
      async () => (await archive()).slice(0, -3),
      65,
      "archive-damaged",
      ["--password-stdin"],
    ],
    [
      "of 1Password with a flipped bit",
      async () => flipped((await makeSample("1password-1pux", server)).bytes, 120),
      65,
      "import-damaged",
    ],
    [
      "with a key file that its format does not have",
      () => manyLogins(1),
      64,
      "key-file-unused",
      ["--key-file", "/dev/null"],
    ],
    [
      "with a password that its format does not have",
      () => manyLogins(1),
      64,
      "password-unused",
      ["--password-stdin"],
    ],
    ["of KeePass whose password nobody can be asked for", kdbx, 64, "no-terminal"],
  ])("%s: nothing comes in, and it is told which of these it is", async (_, make, code, error, args = []) => {
    const before = await names(mover);
    const path = fileOf(await make());
    const told = await mover.device.run(["import", path, "--json", ...args], { stdin: "another password\n" });
    expect({ code: told.code, stdout: told.stdout, error: errorOf(told).code }).toEqual({
      code,
      stdout: "",
      error,
    });
    expect(await names(mover)).toEqual(before);
  });

  test("that is not there, or is a directory, is exit code 66", async () => {
    for (const path of ["/nonexistent/file", temporaryDirectory()]) {
      const told = await mover.device.run(["import", path]);
      expect(told).toEqual({ code: 66, stdout: "", stderr: `blindvault: ${path} cannot be read\n` });
    }
  });

  test("is told before anybody is asked for a password, and a locked vault before the file's", async () => {
    const locked = { ...mover.device.env, BLINDVAULT_SESSION: "" };
    const damaged = await mover.device.run(["import", fileOf("x")], { env: locked });
    expect(damaged.code).toBe(65);
    const asked = await mover.device.run(["import", fileOf(await kdbx())], { env: locked });
    expect(asked.code).toBe(5);
  });
});

describe("where a file and its password come from", () => {
  test("is standard input for the one, and a descriptor for the other", async () => {
    const { login, bytes, file_password } = await makeSample("blindvault-archive", server);
    const secret = fileOf(`${file_password}\n`);
    const args = ["import", "-", "--password-fd", "3", "--json"];
    const stdin = new TextDecoder().decode(bytes);
    expect(dataOf(await mover.device.run(args, { stdin, files: [secret] }))).toMatchObject({ added: 1 });
    expect(await names(mover)).toContain(login.name);
    const both = await mover.device.run(["import", "-", "--password-stdin", "--json"], { stdin });
    expect({ code: both.code, error: errorOf(both).code }).toEqual({ code: 64, error: "stdin-twice" });
  });

  test("is a key file alone for a KeePass file without a password", async () => {
    const key_file = crypto.getRandomValues(new Uint8Array(64));
    const database = await databaseOf(null, key_file);
    const name = `Site ${randomHex(4)}`;
    addEntry(database, { Title: name });
    const path = fileOf(await bytesOfDatabase(database));
    const args = ["import", path, "--key-file", fileOf(key_file)];
    expect(await mover.device.run(args)).toMatchObject({ code: 0 });
    expect(await names(mover)).toContain(name);
    const screen = mover.device.type(args);
    await screen.answer("Password of export (empty: none)", "");
    await screen.see("1 there already");
    expect(await screen.exited).toBe(0);
  });

  test("is a person at a terminal, who sees neither", async () => {
    const { login, bytes, file_password = "" } = await makeSample("keepass-kdbx", server);
    const screen = mover.device.type(["import", fileOf(bytes)]);
    await screen.answer("Password of export", file_password);
    await screen.see("keepass-kdbx: 1 found, 0 there already, 1 stored, 0 refused.");
    expect(await screen.exited).toBe(0);
    expect(screen.shown()).not.toContain(file_password);
    expect(screen.shown()).not.toContain(login.password);
  });
});

/** A full batch, and one of a single entry. */
const COUNT = LIMITS.batch_entries_max + 1;
const BATCH = "POST /entries/batch";
const STORED = `500 of ${COUNT} are stored for certain, and the same command goes on from there`;

describe("an import in batches", () => {
  const path = fileOf(manyLogins(COUNT), "passwords.csv");
  const expected = Array.from({ length: COUNT }, (_, index) => `Site ${index}`).sort();
  let between: HostileServer;
  beforeAll(async () => {
    between = await startHostileServer(server);
  });
  afterAll(() => between.stop());

  /** From this batch on the server is gone: before it has it, or with its answer. */
  function dyingAt(batch: number, unanswered: boolean): Attack {
    let count = 0;
    return on(BATCH, async (_, pass) => {
      if (++count < batch) return pass();
      if (unanswered && count === batch) await pass();
      return (socket) => socket.destroy();
    });
  }

  /** Holds the second batch up until the client has ended, and then carries it out. */
  function outliving(server: HostileServer, end: () => Promise<unknown>) {
    const carried_out = Promise.withResolvers<void>();
    let count = 0;
    server.attack = on(BATCH, async (_, pass) => {
      if (++count < 2) return pass();
      await end();
      const answer = await pass();
      carried_out.resolve();
      return answer;
    });
    return carried_out.promise;
  }

  test.each([
    ["it had the first batch", 1, false, 0],
    ["it could answer for the first", 1, true, 500],
    ["it had the second", 2, false, 500],
    ["it could answer for the second", 2, true, 501],
  ])("goes on when the server went away before %s", async (_, batch, unanswered, there) => {
    const person = await newMover(between);
    between.attack = dyingAt(batch, unanswered);
    const cut = await person.device.run(["import", path, "--json"]);
    between.attack = undefined;
    expect({ code: cut.code, stdout: cut.stdout }).toEqual({ code: 69, stdout: "" });
    const { code, message } = errorOf(cut);
    expect(code).toBe("server-unreachable");
    expect(message).toBe(`The server cannot be reached${batch === 1 ? "" : `: ${STORED}`}`);
    await expectResumed(person, there);
  });

  test.each(ENGINES)(
    "goes on when the client was killed in the middle of a batch, on %s",
    async (engine) => {
      const real = await startTestServer(engine);
      const proxy = await startHostileServer(real);
      const person = await newMover(proxy);
      let running: { pid: number; exited: Promise<number> } | undefined;
      const carried_out = outliving(proxy, async () => {
        process.kill(running?.pid ?? 0, "SIGKILL");
        await running?.exited;
      });
      running = person.device.type(["import", path]);
      expect(await running.exited).toBe(137);
      await carried_out;
      proxy.attack = undefined;
      await expectResumed(person, COUNT);
      await proxy.stop();
      await real.stop();
    },
    60_000,
  );

  test("shows how far it is at a terminal, stops at Ctrl-C, and tells how to go on", async () => {
    const person = await newMover(between);
    const carried_out = outliving(between, async () => {
      await screen.see(`] 500 of ${COUNT}`);
      screen.type(KEYS.ctrl_c);
      await screen.exited;
    });
    const screen = person.device.type(["import", path]);
    expect(await screen.exited).toBe(130);
    expect(screen.shown()).toStartWith(`Storing [${" ".repeat(30)}] 0 of ${COUNT}`);
    // The bar is gone before anything else is told, and the terminal is as it was.
    expect(screen.raw()).toEndWith(`\r\x1b[Kblindvault: cancelled: ${STORED}\r\n`);
    expect(screen.echoes()).toBe(true);
    await carried_out;
    between.attack = undefined;
    await expectResumed(person, COUNT);
  });

  test("keeps what it says while it waits out of the bar", async () => {
    const person = await newMover(between);
    between.attack = dyingAt(2, false);
    const screen = person.device.type(["import", path]);
    expect(await screen.exited).toBe(69);
    between.attack = undefined;
    const waiting = "\r\x1b[Kserver-unreachable: trying again in 1 s\r\n";
    expect(screen.raw()).toContain(`${waiting}Storing [`);
    expect(screen.raw()).toEndWith(`\r\x1b[Kblindvault: The server cannot be reached: ${STORED}\r\n`);
  });

  test("shows no bar with --quiet or --json", async () => {
    for (const flag of ["--quiet", "--json"]) {
      const screen = mover.device.type(["import", fileOf(manyLogins(1)), flag]);
      expect(await screen.exited).toBe(0);
      expect(screen.raw()).not.toContain("Storing");
    }
  });

  /** The same command, and then exactly what is in the file: all of it, and nothing twice. */
  async function expectResumed(person: Mover, there: number): Promise<void> {
    expect((await names(person)).length).toBe(there);
    const resumed = await person.device.run(["import", path, "--json"]);
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    expect(dataOf(resumed)).toMatchObject({ found: COUNT, added: COUNT - there });
    expect(dataOf(resumed).duplicates.length).toBe(there);
    expect(await names(person)).toEqual(expected);
  }
});

test("a vault that is full midway says how many are in", async () => {
  const small = await startTestServer("embedded", { MAX_ENTRIES_PER_USER: "500" });
  const person = await newMover(small);
  const told = await person.device.run(["import", fileOf(manyLogins(COUNT))]);
  expect(told).toMatchObject({ code: 1, stdout: "" });
  expect(told.stderr).toEndWith(`: ${STORED}\n`);
  expect((await names(person)).length).toBe(500);
  await small.stop();
});

test("a vault that is locked, or that nobody has logged in to, takes nothing", async () => {
  const path = fileOf(manyLogins(1));
  const { device } = mover;
  const locked = await device.run(["import", path], { env: { BLINDVAULT_SESSION: "" } });
  expect(locked).toMatchObject({ code: 5, stdout: "" });
  const home = join(temporaryDirectory(), "fresh");
  mkdirSync(home);
  const stranger = await device.run(["import", path], { env: { BLINDVAULT_HOME: home } });
  expect(stranger).toMatchObject({ code: 4, stdout: "" });
});
