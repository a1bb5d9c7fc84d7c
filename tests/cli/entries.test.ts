import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EntryContent } from "../../src/client/index.ts";
import { randomHex } from "../support/client.ts";
import { startHostileServer } from "../support/hostile-server.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";
import { type Account, type Device, logInDevice, makeAccount, makeDevice } from "../support/terminal.ts";

useQuickHashes();

let server: TestServer;
let made: Awaited<ReturnType<typeof makeAccount>>;
let device: Device;
const secret = randomHex(12);
const STRANGE = [
  "a/b/c",
  "  spaces  ",
  `"quoted" 'twice'`,
  "two\nlines",
  "🔐 emoji 👨‍👩‍👧",
  "--looks-like-a-flag",
  "x".repeat(5000),
  "e\u0301",
];
const CONTENTS: EntryContent[] = [
  {
    ...{
      type: "login",
      name: "GitHub",
      username: "me@example.org",
      password: secret,
      totp: "JBSWY3DPEHPK3PXP",
    },
    ...{
      uris: ["https://github.com", "https://gist.github.com"],
      notes: "two\nlines",
      tags: ["work", "code"],
    },
    fields: [
      { name: "recovery code", value: "open" },
      { name: "PIN", value: secret, hidden: true },
    ],
  },
  { type: "login", name: "GitLab", username: "me" },
  { type: "note", name: "git", tags: ["code"], notes: "n" },
  { type: "login", name: "Mail", username: "one" },
  { type: "login", name: "mail", username: "two" },
  ...STRANGE.map((name): EntryContent => ({ type: "secret", name, password: secret })),
];
beforeAll(async () => {
  server = await startTestServer("embedded");
  made = await makeAccount(server);
  await made.vault.importEntries(CONTENTS);
  device = await logInDevice(server, made);
});
afterAll(() => server.stop());

describe.concurrent("a name", () => {
  test("that is exact comes before those that resemble it, whatever its case", async () => {
    expect(await field("GIT", "name")).toBe("git");
    expect(await field("github", "name")).toBe("GitHub");
  });

  test("that only resembles one is taken for it, and said so", async () => {
    const { code, stdout, stderr } = await device.run(["get", "gitlub", "-f", "name", "-q"]);
    expect({ code, stderr: stderr.split("\n")[0] }).toEqual({
      code: 3,
      stderr: expect.stringContaining("could be any"),
    });
    expect(stdout).toBe("");
    const near = await device.run(["get", "emojy", "-f", "password"]);
    expect(near).toEqual({
      code: 0,
      stdout: `${secret}\n`,
      stderr: `"emojy" is taken for "🔐 emoji 👨‍👩‍👧".\n`,
    });
  });

  test("that could be several lists them with their ids, and takes none", async () => {
    const entries = await made.vault.list();
    const { code, stdout, stderr } = await device.run(["get", "mail", "-f", "username"]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    const named = entries.filter(({ content }) => content.name.toLowerCase() === "mail");
    for (const { id, content } of named) {
      expect(stderr).toContain(`${content.name} (${content.username})  ${id}`);
      expect(await field(id, "username")).toBe(content.username as string);
      expect(await field(id.toUpperCase(), "username")).toBe(content.username as string);
    }
  });

  test("that nobody has is exit 2", async () => {
    expect(await device.run(["get", "nothing of the kind"])).toEqual({
      ...{ code: 2, stdout: "" },
      stderr: `blindvault: no entry is like "nothing of the kind"\n`,
    });
  });

  test("may be whatever people write", async () => {
    for (const name of STRANGE) {
      const { code, stdout } = await device.run(["get", "-f", "name", "--", name]);
      expect({ name, code, stdout }).toEqual({ name, code: 0, stdout: `${name}\n` });
    }
    const { stdout } = await device.run(["list"]);
    expect(stdout.trimEnd().split("\n").length).toBe(CONTENTS.length);
  });
});

describe.concurrent("get", () => {
  test.each([
    ["name", "GitHub"],
    ["type", "login"],
    ["username", "me@example.org"],
    ["password", secret],
    ["uri", "https://github.com"],
    ["uris", "https://github.com\nhttps://gist.github.com"],
    ["notes", "two\nlines"],
    ["totp", "JBSWY3DPEHPK3PXP"],
    ["tags", "work, code"],
    ["recovery code", "open"],
    ["PIN", secret],
  ])("gives the field %s to the byte", async (name, value) => {
    expect(await device.run(["get", "GitHub", "--field", name])).toEqual({
      code: 0,
      stdout: `${value}\n`,
      stderr: "",
    });
    const { stdout } = await device.run(["get", "GitHub", "--field", name, "--json"]);
    expect(JSON.parse(stdout)).toEqual({ field: name, value });
  });

  test("shows an entry without its secrets, unless told", async () => {
    const { stdout } = await device.run(["get", "GitHub"]);
    for (const text of ["me@example.org", "https://gist.github.com", "two\nlines", "open", "••••••••"]) {
      expect(stdout).toContain(text);
    }
    expect(stdout).not.toContain(secret);
    expect(stdout).not.toContain("JBSWY3DPEHPK3PXP");
    const revealed = (await device.run(["get", "GitHub", "--reveal"])).stdout;
    expect(revealed).toContain("JBSWY3DPEHPK3PXP");
    expect(revealed.split(secret).length).toBe(3);
  });

  test("gives a one-time code", async () => {
    expect((await device.run(["get", "GitHub", "--totp"])).stdout).toMatch(/^\d{6}\n$/);
    const { stdout } = await device.run(["get", "GitHub", "--totp", "--json"]);
    expect(JSON.parse(stdout)).toEqual({
      code: expect.stringMatching(/^\d{6}$/),
      valid_s: expect.any(Number),
    });
  });

  test("says of a field that there is not which there are, without their values", async () => {
    const { code, stderr } = await device.run(["get", "GitHub", "--field", "pasword"]);
    expect(code).toBe(2);
    expect(stderr).toContain("recovery code, PIN");
    expect(stderr).not.toContain(secret);
  });
});

describe.concurrent("list", () => {
  const names = async (...flags: string[]) => {
    const { stdout } = await device.run(["list", "--json", ...flags]);
    return JSON.parse(stdout).map(({ name }: { name: string }) => name);
  };

  test("is by name, and holds what the flags ask for", async () => {
    expect((await names("--type", "login")).slice(0, 2)).toEqual(["GitHub", "GitLab"]);
    expect(await names("--type", "note")).toEqual(["git"]);
    expect(await names("--tag", "code")).toEqual(["git", "GitHub"]);
    expect(await names("--tag", "code", "--type", "login")).toEqual(["GitHub"]);
    expect((await names("git")).toSorted()).toEqual(["GitHub", "GitLab", "git"]);
    expect((await names("git"))[0]).toBe("git");
    expect(await names("--tag", "nothing")).toEqual([]);
  });

  test("holds no secret, unless told", async () => {
    expect((await device.run(["list", "--json"])).stdout).not.toContain(secret);
    expect((await device.run(["list"])).stdout).not.toContain(secret);
    expect((await device.run(["list", "--json", "--reveal"])).stdout).toContain(secret);
  });
});

describe("an archive", () => {
  let file: string;
  beforeAll(async () => {
    file = join(temporaryDirectory(), "archive");
    writeFileSync(file, await made.vault.exportEncrypted());
  });
  const read = (args: string[], stdin = made.master_password) =>
    makeDevice().run([...args, "--archive", file, "--password-stdin"], { stdin });

  test("is read without a server and without a login", async () => {
    expect((await read(["list", "--type", "note"])).stdout).toBe("git      code\n");
    expect(await read(["get", "GitHub", "-f", "password"])).toEqual({
      code: 0,
      stdout: `${secret}\n`,
      stderr: "",
    });
  });

  test("does not open with another password, or damaged", async () => {
    expect(await read(["list"], "wrong")).toMatchObject({ code: 77, stdout: "" });
    const bytes = await made.vault.exportEncrypted();
    writeFileSync(file, bytes.subarray(0, bytes.length - 100));
    expect(await read(["list"])).toMatchObject({ code: 65, stdout: "" });
  });
});

describe("edit", () => {
  let mine: Device;
  let other: Account & { vault: typeof made.vault };
  beforeAll(async () => {
    other = await makeAccount(server);
    mine = await logInDevice(server, other);
  });
  const contentOf = async (name: string) => JSON.parse((await mine.run(["get", name, "--json"])).stdout);
  const edit = async (args: string[], stdin = "") => {
    expect(await mine.run(["edit", "x", ...args], { stdin })).toMatchObject({ code: 0, stdout: "" });
    return contentOf("x");
  };

  test("changes what each flag names, and leaves the rest", async () => {
    const id = (await other.vault.add({ type: "login", name: "x", notes: "kept" })).id;
    expect(await edit(["--username", "me"])).toMatchObject({ username: "me", notes: "kept" });
    expect(await edit(["--uri", "https://a", "--uri", "https://b"])).toMatchObject({
      uris: ["https://a", "https://b"],
    });
    expect(await edit(["--tag", "t"])).toMatchObject({ tags: ["t"], username: "me" });
    expect(await edit(["--type", "secret", "--favorite"])).toMatchObject({ type: "secret", favorite: true });
    expect(await edit(["--password-stdin"], `${secret}\n`)).toMatchObject({ password: secret });
    expect(await edit(["--totp-stdin"], "JBSWY3DPEHPK3PXP\n")).toMatchObject({ totp: "JBSWY3DPEHPK3PXP" });
    expect((await edit(["--generate"])).password).toMatch(/^[!-~]{20}$/);
    expect(await edit(["--field", "a=1", "--field", "b=2=3"])).toMatchObject({
      fields: [
        { name: "a", value: "1" },
        { name: "b", value: "2=3" },
      ],
    });
    const fields = (await edit(["--field", "b=4", "--hidden-field", "c"], `${secret}\n`)).fields;
    expect(fields).toEqual([
      { name: "a", value: "1" },
      { name: "b", value: "4" },
      { name: "c", value: secret, hidden: true },
    ]);
    const bare = await edit([
      "--remove",
      "fields",
      "--remove",
      "tags",
      "--remove",
      "favorite",
      "--remove",
      "totp",
    ]);
    expect(Object.keys(bare).toSorted().join()).toBe(
      "created_at,id,name,notes,password,type,updated_at,uris,username,version",
    );
    expect(await edit(["--from-stdin"], `{"notes":"other","username":null}`)).toMatchObject({
      notes: "other",
      id,
    });
    expect(await contentOf("x")).not.toHaveProperty("username");
    expect((await mine.run(["edit", "x", "--name", "y"])).code).toBe(0);
    expect((await contentOf("y")).id).toBe(id);
  });

  test("refuses what would be lost in silence", async () => {
    await other.vault.add({ type: "login", name: "z", notes: "kept" });
    for (const [stdin, code] of [
      [`{"pasword":"x"}`, 65],
      ["[]", 65],
      ["null", 65],
      ["{", 65],
      [`{"notes":1}`, 65],
    ] as const) {
      expect(await mine.run(["edit", "z", "--from-stdin"], { stdin })).toMatchObject({ code, stdout: "" });
    }
    expect((await mine.run(["edit", "z", "--name", ""])).code).toBe(65);
    expect(await contentOf("z")).toMatchObject({ name: "z", notes: "kept", version: 1 });
  });

  test("of what somebody else changes at the same time keeps both, and gives way where both changed the same", async () => {
    const middleman = await startHostileServer(server);
    const entry = await other.vault.add({ type: "login", name: "shared", username: "base" });
    const far = await logInDevice(middleman, other);
    const whileTheyChange = (change: object) => {
      middleman.attack = async (seen, pass) => {
        if (seen.method === "PUT") {
          middleman.attack = undefined;
          await other.vault.update(entry.id, change);
        }
        return pass();
      };
    };
    whileTheyChange({ notes: "theirs" });
    expect((await far.run(["edit", "shared", "--username", "ours"])).code).toBe(0);
    expect(await contentOf("shared")).toMatchObject({ username: "ours", notes: "theirs", version: 3 });
    await other.vault.get(entry.id);
    whileTheyChange({ username: "theirs" });
    const refused = await far.run(["edit", "shared", "--username", "ours too"]);
    expect(refused).toEqual({
      ...{ code: 7, stdout: "" },
      stderr: "blindvault: The same fields were changed here and elsewhere: username\n",
    });
    expect(await contentOf("shared")).toMatchObject({ username: "theirs", version: 4 });
    await middleman.stop();
  });
});

async function field(name: string, of: string): Promise<string> {
  const { stdout } = await device.run(["get", name, "--field", of]);
  return stdout.slice(0, -1);
}
