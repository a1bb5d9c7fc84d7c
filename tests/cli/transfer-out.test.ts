import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { EXPORT_FORMATS } from "../../src/cli/formats.ts";
import type { EntryContent } from "../../src/client/index.ts";
import { randomHex } from "../support/client.ts";
import type { Finished } from "../support/process.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";
import { type Account, type Device, KEYS, logInDevice, makeAccount } from "../support/terminal.ts";

/** What a person does who keeps a copy, or leaves: `blindvault export`. */
useQuickHashes();

const secret = randomHex(12);
const CONTENTS: EntryContent[] = [
  {
    type: "login",
    name: "Example",
    username: "me",
    password: secret,
    uris: ["https://example.org"],
    tags: ["a", "b"],
  },
  {
    type: "secret",
    name: "Evil \x1b[2J\u009b31m",
    fields: [{ name: "key", value: randomHex(8), hidden: true }],
  },
  // So large that no file of it fits where a test allows little.
  { type: "note", name: "Long", notes: randomHex(30_000), favorite: true },
  ...Array.from(
    { length: 10 },
    (_, index): EntryContent => ({ type: "note", name: `N${index}`, notes: randomHex(15_000) }),
  ),
];

let server: TestServer;
let account: Account;
let device: Device;
beforeAll(async () => {
  server = await startTestServer("embedded");
  const made = await makeAccount(server);
  account = made;
  device = await logInDevice(server, made);
  await made.vault.importEntries(CONTENTS);
});
afterAll(() => server.stop());

const errorOf = ({ stderr }: Finished) => JSON.parse(stderr).error.code;
const place = (name = "export") => join(temporaryDirectory(), name);

/** What another account takes over of a file: the way back. */
async function takenFrom(path: string, file_password?: string): Promise<EntryContent[]> {
  const other = await makeAccount(server);
  const { run } = await logInDevice(server, other);
  const secrets = file_password === undefined ? [] : ["--password-stdin"];
  const told = await run(["import", path, "--json", ...secrets], { stdin: `${file_password}\n` });
  expect(told).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(told.stdout)).toMatchObject({ added: CONTENTS.length, refused: [] });
  return (await other.vault.list()).map(({ content }) => content);
}

/** Everything, in whatever order. */
function expectAll(contents: EntryContent[]): void {
  const sorted = (list: EntryContent[]) => list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  expect(sorted(contents)).toEqual(sorted(CONTENTS));
}

describe.each(EXPORT_FORMATS)("an export as %s", (format) => {
  const file_password = randomHex(12);
  const encrypted = format === "archive" || format === "kdbx";

  test("is a whole file for its owner alone, which import takes back to the last field", async () => {
    const path = place();
    const flags = format === "kdbx" ? ["--file-password-stdin"] : ["--yes"];
    const args = ["export", path, "--format", format, ...flags];
    const told = await device.run(args, { stdin: `${file_password}\n` });
    const count = format === "archive" ? "The vault is" : `${CONTENTS.length} entries are`;
    expect(told).toEqual({ code: 0, stdout: "", stderr: `${count} in ${path}.\n` });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(path, ".."))).toEqual(["export"]);
    expect(readFileSync(path).includes(secret)).toBe(!encrypted);
    const opens = { archive: account.master_password, kdbx: file_password }[format as string];
    expectAll(await takenFrom(path, opens));
  });
});

describe("an export from an archive", () => {
  const nobody = () => ({ BLINDVAULT_HOME: place("fresh"), BLINDVAULT_SESSION: "" });

  test("needs no server and nobody to be logged in, and says when the password is wrong", async () => {
    const archive = place("vault.blindvault");
    expect(await device.run(["export", archive])).toMatchObject({ code: 0 });
    const path = place();
    const flags = ["--from", archive, "--format", "csv", "--yes", "--password-stdin"];
    const converting = (stdin: string) =>
      device.run(["export", path, "--json", ...flags], { env: nobody(), stdin });
    const wrong = await converting("another password\n");
    expect({ code: wrong.code, error: errorOf(wrong) }).toEqual({
      code: 77,
      error: "archive-password-wrong",
    });
    expect(await converting(`${account.master_password}\n`)).toMatchObject({ code: 0, stderr: "" });
    expectAll(await takenFrom(path));
    const damaged = place();
    writeFileSync(damaged, readFileSync(archive).subarray(0, -2));
    const cut = ["export", place(), "--from", damaged, "--format", "csv", "--yes", "--password-stdin"];
    expect(await device.run(cut, { stdin: "x\n" })).toMatchObject({ code: 65, stdout: "" });
  });

  test("asks at a terminal for what opens the one and what is to lock the other", async () => {
    const archive = place();
    await device.run(["export", archive]);
    const path = place();
    const screen = device.type(["export", path, "--from", archive, "--format", "kdbx"]);
    const file_password = randomHex(12);
    await screen.answer("Master password of the archive", account.master_password);
    await screen.answer("A password for the KDBX file", file_password);
    await screen.answer("The same again", file_password);
    await screen.see(`${CONTENTS.length} entries are in`);
    expect(await screen.exited).toBe(0);
    expect(screen.shown()).not.toContain(file_password);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });
});

describe("a plaintext export", () => {
  test("is written at a terminal only after a yes", async () => {
    const path = place();
    const args = ["export", path, "--format", "csv"];
    for (const key of [KEYS.enter, "n", KEYS.ctrl_c]) {
      const screen = device.type(args);
      await screen.see("Whoever gets this file reads every password in it. Write it?");
      screen.type(key);
      expect(await screen.exited).toBe(130);
      expect(readdirSync(join(path, ".."))).toEqual([]);
    }
    const screen = device.type(args);
    await screen.see("Write it?");
    screen.type("y");
    await screen.see(`${CONTENTS.length} entries are in`);
    expect(await screen.exited).toBe(0);
    expect(readFileSync(path, "utf8")).toContain(secret);
  });

  test("takes --yes where nobody can be asked, also into a pipe", async () => {
    for (const path of [place(), "-"]) {
      const told = await device.run(["export", path, "--format", "bitwarden-json", "--json"]);
      expect({ code: told.code, stdout: told.stdout, error: errorOf(told) }).toEqual({
        code: 64,
        stdout: "",
        error: "no-terminal",
      });
    }
  });
});

describe("standard output as the file", () => {
  test("gets the bytes of the file and nothing else", async () => {
    const told = await device.run(["export", "-", "--format", "csv", "--yes"]);
    expect({ code: told.code, stderr: told.stderr }).toEqual({
      code: 0,
      stderr: `${CONTENTS.length} entries are written.\n`,
    });
    const path = place();
    writeFileSync(path, told.stdout);
    expectAll(await takenFrom(path));
  });

  test("is never a terminal, which would obey what is in an entry", async () => {
    const screen = device.type(["export", "-", "--format", "csv", "--yes"]);
    await screen.see("an export is not shown on a terminal");
    expect(await screen.exited).toBe(64);
    expect(screen.shown()).not.toContain(secret);
  });

  test("that is closed before the end is a failure: the copy is not whole", async () => {
    const script = 'set -o pipefail; "$@" | head -c 1';
    const told = await device.run(["export", "-"], { before: ["bash", "-c", script, "-"] });
    expect(told).toMatchObject({ code: 73, stdout: "{" });
    expect(told.stderr).toBe("blindvault: whoever was to read the export has gone before its end\n");
  });
});

describe("the file's place", () => {
  test("is nobody else's: a file that is there stays, unless --force is given", async () => {
    const path = place();
    writeFileSync(path, "mine", { mode: 0o644 });
    const refused = await device.run(["export", path, "--json"]);
    expect({ code: refused.code, error: errorOf(refused) }).toEqual({ code: 73, error: "file-exists" });
    expect(readFileSync(path, "utf8")).toBe("mine");
    expect(await device.run(["export", path, "--force"])).toMatchObject({ code: 0 });
    expect(readFileSync(path, "utf8")).toStartWith('{"format":"blindvault-archive"');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(path, ".."))).toEqual(["export"]);
  });

  test("that is taken or cannot be written is told before any question", async () => {
    const directory = temporaryDirectory();
    const [taken, link, folder] = ["taken", "link", "folder"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(taken, "mine");
    symlinkSync("nowhere", link);
    mkdirSync(folder);
    for (const path of [
      taken,
      link,
      folder,
      "/dev/null",
      join(directory, "missing/export"),
      join(taken, "export"),
    ]) {
      const force = path === taken ? [] : ["--force"];
      const screen = device.type(["export", path, "--format", "csv", ...force]);
      expect(await screen.exited).toBe(73);
      expect(screen.shown()).toStartWith(`blindvault: ${path} `);
    }
    expect(readdirSync(directory).sort()).toEqual(["folder", "link", "taken"]);
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  test.skipIf(process.getuid?.() === 0 && Bun.which("setpriv") === null)(
    "that nobody may write in is exit code 73",
    async () => {
      const directory = temporaryDirectory();
      chmodSync(directory, 0o500);
      // Root may write everywhere, but for a capability.
      const before =
        process.getuid?.() === 0
          ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--"]
          : [];
      const told = await device.run(["export", join(directory, "export")], { before });
      expect(told).toEqual({
        code: 73,
        stdout: "",
        stderr: `blindvault: ${join(directory, "export")} cannot be written\n`,
      });
      chmodSync(directory, 0o700);
      expect(readdirSync(directory)).toEqual([]);
    },
  );
});

const FILES = resolve(import.meta.dir, "../../src/cli/files.ts");

describe("a file that cannot be written to its end", () => {
  test.each(["archive", "csv"])(
    "because it may not become so large leaves nothing of %s, and what was there stays",
    async (format) => {
      const path = place();
      writeFileSync(path, "mine");
      const before = ["bash", "-c", 'trap "" XFSZ; ulimit -f 100; exec "$@"', "-"];
      const told = await device.run(["export", path, "--force", "--yes", "--format", format], { before });
      expect(told).toEqual({ code: 73, stdout: "", stderr: `blindvault: ${path} cannot be written\n` });
      expect(readFileSync(path, "utf8")).toBe("mine");
      expect(readdirSync(join(path, ".."))).toEqual(["export"]);
    },
  );

  test("because the process is killed in its middle is not at its place, and is known by its name", async () => {
    const path = place();
    // So much that there is a middle to be killed in.
    const script = `(await import(${JSON.stringify(FILES)})).writeNewFile(${JSON.stringify(path)}, new Uint8Array(2 ** 28), false)`;
    const writing = Bun.spawn([process.execPath, "-e", script]);
    while (readdirSync(join(path, "..")).length === 0) await Bun.sleep(1);
    writing.kill("SIGKILL");
    await writing.exited;
    expect(writing.signalCode).toBe("SIGKILL");
    expect(readdirSync(join(path, ".."))).toEqual([expect.stringMatching(/^export\.[0-9a-f]{8}\.tmp$/)]);
    expect(await device.run(["export", path])).toMatchObject({ code: 0 });
  });

  const mounts = Bun.which("unshare") !== null && Bun.spawnSync(["unshare", "-rm", "true"]).exitCode === 0;
  if (!mounts) console.log("SKIPPED: an export to a full disk (a user namespace is needed)");
  test.skipIf(!mounts)("because the disk is full leaves nothing", async () => {
    const disk = temporaryDirectory();
    const script = 'mount -t tmpfs -o size=64k none "$0" && "$@"; code=$?; ls -A "$0"; exit $code';
    const told = await device.run(["export", join(disk, "export")], {
      before: ["unshare", "-rm", "sh", "-c", script, disk],
    });
    expect(told).toEqual({
      code: 73,
      stdout: "",
      stderr: `blindvault: ${join(disk, "export")} cannot be written\n`,
    });
  });
});

describe("flags that cannot be meant", () => {
  test.each([
    [["--from", "/nonexistent"], "format-same"],
    [["--password-stdin"], "password-unused"],
    [["--password-fd", "3", "--format", "kdbx", "--file-password-stdin"], "password-unused"],
    [["--file-password-stdin", "--format", "csv", "--yes"], "password-unused"],
    [["--format", "kdbx", "--file-password-stdin"], "password-empty"],
    [["--format", "kdbx"], "no-terminal"],
    [["--format", "pdf"], "usage"],
  ])("%j: exit code 64, and no file", async (flags, code) => {
    const path = place();
    const told = await device.run(["export", path, "--json", ...flags], { stdin: "\n" });
    expect({ code: told.code, stdout: told.stdout, error: errorOf(told) }).toEqual({
      code: 64,
      stdout: "",
      error: code,
    });
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });
});

test("an export of a vault that is locked, or whose server is gone, writes nothing", async () => {
  const path = place();
  const locked = await device.run(["export", path], { env: { BLINDVAULT_SESSION: "" } });
  expect(locked).toMatchObject({ code: 5, stdout: "" });
  const gone = await startTestServer("embedded");
  const stranded = await logInDevice(gone, account);
  await gone.stop();
  expect(await stranded.run(["export", path])).toMatchObject({ code: 69, stdout: "" });
  expect(readdirSync(join(path, ".."))).toEqual([]);
});
