import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { LIMITS } from "../src/contract/limits.ts";
import { call, signIn, signUp } from "./support/client.ts";
import { endProcesses, run, startProcess } from "./support/process.ts";
import { temporaryDirectory } from "./support/server.ts";

/** What SECURITY.md says is there, works, and leaves no requirement of the standard out. */
const ROOT = resolve(import.meta.dir, "..");
const read = (path: string) => Bun.file(join(ROOT, path)).text();
const security = await read("SECURITY.md");
const PATIENCE_MS = 60_000;

afterAll(endProcesses, PATIENCE_MS);

describe("SECURITY.md", () => {
  test("names tests that there are, by file and by name", async () => {
    const named = [...security.matchAll(/`([a-z0-9/-]+)` ((?:"[^"]+"(?:, )?)+)/g)];
    expect(named.length).toBeGreaterThan(100);
    const missing: string[] = [];
    for (const [, file = "", names = ""] of named) {
      const titles = await titlesOf(`tests/${file}.test.ts`);
      for (const [, name = ""] of names.matchAll(/"([^"]+)"/g))
        if (!titles.has(name)) missing.push(`${file}: ${name}`);
    }
    expect(missing).toEqual([]);
    // Every quotation of a test has its file in front of it, or it would not have been looked for.
    const shown = [...section("### Met").matchAll(/"[^"]+"/g)].length;
    const found = named.flatMap(([, , names = ""]) => names.match(/"[^"]+"/g) ?? []).length;
    expect(found).toBeGreaterThanOrEqual(shown);
  });

  test("links to files and headings that there are", async () => {
    const links = [...security.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target as string);
    const relative = links.filter((target) => !/^https:/.test(target));
    expect(relative.length).toBeGreaterThan(10);
    for (const target of relative) {
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? "SECURITY.md" : path;
      expect([target, existsSync(join(ROOT, file))]).toEqual([target, true]);
      if (anchor !== undefined) expect(anchorsOf(await read(file))).toContain(anchor);
    }
  });

  test("names settings and labels that there are", async () => {
    const config = await read("src/server/config.ts");
    const settings = [...config.matchAll(/"([A-Z][A-Z0-9_]+)",?/g)].map(([, name]) => name as string);
    // Of the runtime, and of the way in which a secret is given.
    const known = new Set([...settings, "NODE_EXTRA_CA_CERTS", "NAME_FILE"]);
    const named = new Set(security.match(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|(?<=`)[A-Z]+(?=`)/g));
    expect(
      [...named].filter((name) => !known.has(name.replace(/(?<!NAME)_FILE$/, "")) && !known.has(name)),
    ).toEqual([]);
    const example = await read(".env.example");
    const defaults = [...security.matchAll(/\b([A-Z_]+) \((\d[^)\s]*)\)/g)];
    expect(defaults.length).toBeGreaterThan(2);
    for (const [, name, value] of defaults) expect(example).toContain(`\n#${name}=${value}\n`);
    const labels = [...security.matchAll(/`blindvault\/1\/server\/([a-z-]+)`/g)].map(([, label]) => label);
    const derived = [
      ...(await read("src/server/auth/secrets.ts")).matchAll(/deriveKey\(secret, "([a-z-]+)"/g),
    ];
    expect(labels).toEqual(derived.map(([, label]) => label));
  });

  test("tells every limit as it is", () => {
    const told = [...security.matchAll(/^\| [^|]+ \| ([\d,]+) ?([A-Za-z]*)[^|]* \| `(\w+)` \|/gm)];
    expect(told.length).toBeGreaterThan(20);
    for (const [, amount = "", unit = "", key = ""] of told) {
      const value = Number(amount.replaceAll(",", "")) * (UNITS[unit] ?? 1);
      expect([key, value]).toEqual([key, Number(LIMITS[key as keyof typeof LIMITS]) * unitOf(key)]);
    }
  });

  test("answers each requirement of ASVS 5.0.0, level 1 and 2, once", () => {
    const rows = [...security.matchAll(/^\| (V[\d.]+(?:, V[\d.]+)*) \| ([12, ]+) \|/gm)];
    const answered = rows.flatMap(([, ids = ""]) => ids.split(", "));
    for (const [, ids = "", levels = ""] of rows) {
      const asked = [...new Set(ids.split(", ").map((id) => REQUIREMENTS.get(id)))];
      expect([ids, levels.split(", ").map(Number)]).toEqual([ids, asked.sort() as number[]]);
    }
    const items = [...section("### Not applicable").matchAll(/^- (V[\d.]+(?:, V[\d.]+)*)/gm)];
    const apart = items.flatMap(([, ids = ""]) => ids.split(", ")).flatMap(requirementsOf);
    expect([...answered, ...apart].sort()).toEqual([...REQUIREMENTS.keys()].sort());
    const count = (level: number, ids: string[]) => ids.filter((id) => REQUIREMENTS.get(id) === level).length;
    const [met, not_met] = ["### Met", "### Not met"].map((heading) =>
      answered.filter((id) => new RegExp(`^\\| [^|]*\\b${id}\\b[^.0-9]`, "m").test(section(heading))),
    ) as [string[], string[]];
    for (const level of [1, 2]) {
      const [of_met, of_not, of_apart] = [met, not_met, apart].map((ids) => count(level, ids));
      const told = `Level ${level}: ${of_met} met, ${of_not} not or in part, ${of_apart} not applicable.`;
      expect(security.replaceAll("\n", " ")).toContain(told);
    }
    const unproved = section("### Met").match(/^\| V(?:(?!` "|\]\(#).)*$/gm);
    expect(unproved).toBeNull();
  });
});

test(
  "the commands of SECURITY.md rotate the secret, log nobody out, and end what came before",
  async () => {
    const { shell, serve } = makeInstallation();
    await shell("blindvault init");
    let server = serve();
    let url = await server.url;
    const user = await signUp({ url });
    const before = await call({ url }, "GET /account", { token: user.token });
    expect(before.status).toBe(200);
    await server.stop();

    await shell(commands("rotate"));
    server = serve();
    url = await server.url;
    expect((await call({ url }, "GET /account", { token: user.token })).status).toBe(200);
    const refreshed = await call({ url }, "POST /auth/token", { body: { refreshToken: user.refresh_token } });
    expect(refreshed.status).toBe(200);
    const again = await signIn({ url }, user);
    expect(keyIdOf(again.token)).not.toBe(keyIdOf(user.token));
    await server.stop();

    await shell(commands("retire"));
    server = serve();
    url = await server.url;
    expect((await call({ url }, "GET /account", { token: user.token })).status).toBe(401);
    for (const token of [refreshed.body.accessToken, again.token])
      expect((await call({ url }, "GET /account", { token })).status).toBe(200);
    await server.stop();
  },
  PATIENCE_MS,
);

/** How many requirements of each section have level 1, and how many more level 2; they are numbered in this order. */
const SECTIONS = `1.1:0+2 1.2:5+4 1.3:2+9 1.4:0+3 1.5:1+1 2.1:1+2 2.2:2+1 2.3:1+3 2.4:0+1 3.2:2+0 3.3:1+3 3.4:2+4
  3.5:3+2 3.7:0+2 4.1:1+2 4.2:0+1 4.3:0+2 4.4:1+3 5.1:0+1 5.2:2+1 5.3:2+0 5.4:0+3 6.1:1+2 6.2:8+4 6.3:2+2 6.4:2+2
  6.5:0+5 6.6:0+3 6.8:0+4 7.1:0+3 7.2:4+0 7.3:0+2 7.4:2+3 7.5:0+2 7.6:0+2 8.1:1+1 8.2:2+1 8.3:1+0 8.4:0+1 9.1:3+0
  9.2:1+3 10.1:0+2 10.2:0+2 10.3:0+4 10.4:5+6 10.5:0+5 10.6:0+2 10.7:0+3 11.1:0+2 11.2:0+3 11.3:2+1 11.4:1+3
  11.5:0+1 11.6:0+1 12.1:1+2 12.2:2+0 12.3:0+4 13.1:0+1 13.2:0+5 13.3:0+2 13.4:1+4 14.1:0+2 14.2:1+3 14.3:1+2
  15.1:1+2 15.2:1+2 15.3:1+6 16.1:0+1 16.2:0+5 16.3:0+4 16.4:0+3 16.5:0+3 17.1:0+1 17.2:0+4 17.3:0+2`;

/** The level of each requirement of level 1 and 2. */
const REQUIREMENTS = new Map(
  [...SECTIONS.matchAll(/(\S+):(\d+)\+(\d+)/g)].flatMap(([, name, first, second]) =>
    Array.from({ length: Number(first) + Number(second) }, (_, index): [string, number] => [
      `V${name}.${index + 1}`,
      index < Number(first) ? 1 : 2,
    ]),
  ),
);

/** A chapter's, a section's, or the one that is named itself. */
function requirementsOf(name: string): string[] {
  return [...REQUIREMENTS.keys()].filter((id) => id === name || id.startsWith(`${name}.`));
}

const UNITS: Record<string, number> = {
  KiB: 1024,
  MiB: 1024 ** 2,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  days: 86_400_000,
};

/** The milliseconds or bytes of the unit in a limit's name. */
function unitOf(key: string): number {
  if (/_s$/.test(key)) return 1000;
  if (key.includes("_kib")) return 1024;
  return key.includes("_minutes") ? 60_000 : key.includes("_days") ? 86_400_000 : 1;
}

function section(heading: string): string {
  const [, text = ""] = security.split(`\n${heading}\n`);
  return text.split(/\n##/)[0] as string;
}

/** As GitHub makes them of headings. */
function anchorsOf(markdown: string): string[] {
  const headings = [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading as string);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** The titles of a file's tests; what is put into one when it runs is an ellipsis here. */
async function titlesOf(path: string): Promise<Set<string>> {
  expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
  const titles = (await read(path)).matchAll(/\(\s*(["`])((?:(?!\1)[^\\\n]|\\.)+)\1\s*,/g);
  return new Set(
    [...titles].map(([, , title]) => (title as string).replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, "…")),
  );
}

function commands(name: string): string {
  const [, script] = new RegExp(`<!-- ${name} -->\\n\`\`\`sh\\n([\\s\\S]*?)\`\`\``).exec(security) ?? [];
  if (script === undefined) throw new Error(`SECURITY.md has no commands called ${name}`);
  return script;
}

/** A directory with `blindvault` on its PATH, as the commands of SECURITY.md want it. */
function makeInstallation() {
  const cwd = temporaryDirectory();
  const programs = join(cwd, "programs");
  mkdirSync(programs);
  const main = `exec "${process.execPath}" "${join(ROOT, "src/main.ts")}" "$@"`;
  writeFileSync(join(programs, "blindvault"), `#!/bin/sh\n${main}\n`, { mode: 0o755 });
  const env = { PATH: `${programs}:${process.env.PATH}`, PORT: "0" };
  return {
    async shell(script: string): Promise<void> {
      expect(await run(["sh", "-c", script], { cwd, env })).toMatchObject({ code: 0, stderr: "" });
    },
    serve: () => startProcess([join(programs, "blindvault"), "serve"], { cwd, env }),
  };
}

function keyIdOf(token: string): string {
  return JSON.parse(Buffer.from(token.split(".")[0] as string, "base64url").toString()).kid;
}
