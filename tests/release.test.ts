import { beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { Glob } from "bun";
import { dependencies, devDependencies, packageManager, version } from "../package.json";
import { loadConfig } from "../src/server/config.ts";
import { POSTGRES_MAJOR } from "../src/server/db/engine.ts";
import { takeBinary } from "./support/binary.ts";
import { run } from "./support/process.ts";
import { temporaryDirectory } from "./support/server.ts";

/** What a release is made of and what it promises on paper. The other executables are run by release.yml. */
const ROOT = resolve(import.meta.dir, "..");
const text = (file: string) => Bun.file(join(ROOT, file)).text();
const SCAN = { cwd: ROOT, dot: true };
const BUN = packageManager.replace("bun@", "");

type Target = keyof typeof import("../.ci/build-all.ts")["TARGETS"];

describe("a cross-built release", () => {
  // For Intel Macs, since theirs is the one that we do more to than to call Bun.
  const target: Target = "macos-x64";
  const executable = `blindvault-${target}`;
  const outdir = join(temporaryDirectory(), "release");

  beforeAll(async () => {
    await takeBinary();
    const build = Bun.spawn([process.execPath, ".ci/build-all.ts", "--only", target, "--outdir", outdir], {
      cwd: ROOT,
      stdout: "ignore",
      stderr: "pipe",
    });
    const complaints = await new Response(build.stderr).text();
    expect({ code: await build.exited, complaints }).toEqual({ code: 0, complaints: "" });
  }, 120_000);

  test("is executables, an SBOM and the checksums of both", async () => {
    expect(readdirSync(outdir).sort()).toEqual(["SHA256SUMS", executable, "sbom.cdx.json"]);
    const sums = await Bun.file(join(outdir, "SHA256SUMS")).text();
    const lines = [executable, "sbom.cdx.json"].map(async (name) => {
      const content = await Bun.file(join(outdir, name)).bytes();
      return `${createHash("sha256").update(content).digest("hex")}  ${name}\n`;
    });
    expect(sums).toBe((await Promise.all(lines)).join(""));
  });

  test("has a signature over every page of an executable that macOS would kill without", async () => {
    const content = Buffer.from(await Bun.file(join(outdir, executable)).arrayBuffer());
    expect(content.readUInt32LE(0)).toBe(0xfeedfacf);
    const { offset, bytes } = codeSignature(content);
    expect(offset + bytes).toBe(content.length);
    const directory = offset + content.readUInt32BE(offset + 16);
    expect(content.readUInt32BE(directory)).toBe(0xfade0c02);
    const [hashes, , , pages, limit] = [16, 20, 24, 28, 32].map((at) => content.readUInt32BE(directory + at));
    expect({ limit, pages }).toEqual({ limit: offset, pages: Math.ceil(offset / 4096) });
    const broken = Array.from({ length: pages as number }, (_, page) => page).filter((page) => {
      const at = directory + (hashes as number) + 32 * page;
      const hash = createHash("sha256").update(
        content.subarray(4096 * page, Math.min(4096 * (page + 1), offset)),
      );
      return !hash.digest().equals(content.subarray(at, at + 32));
    });
    expect(broken).toEqual([]);
  });

  test("has an SBOM of what is inside: packages with licence and hash, the runtime, PostgreSQL, no tools", async () => {
    const bom = await Bun.file(join(outdir, "sbom.cdx.json")).json();
    expect(bom).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.6" });
    expect(bom.metadata.component).toMatchObject({ name: "blindvault", version });
    const components: Component[] = bom.components;
    const found = new Set(components.map((component) => `${fullName(component)}@${component.version}`));
    for (const name of ["elysia", "zod", "postgres", "@electric-sql/pglite", "pino"] as const) {
      expect(found).toContain(`${name}@${dependencies[name]}`);
    }
    expect(found).toContain(`bun@${BUN}`);
    const postgresql = components.find(({ name }) => name === "postgresql");
    expect(postgresql?.version).toStartWith(`${POSTGRES_MAJOR}.`);
    const names = new Set(components.map(fullName));
    expect(Object.keys(devDependencies).filter((name) => names.has(name))).toEqual([]);
    const packages = components.filter(({ name }) => name !== "bun" && name !== "postgresql");
    const bare = packages.filter(
      ({ licenses, hashes }) => !licenses?.length || hashes?.[0]?.content.length !== 128,
    );
    expect(bare).toEqual([]);
    expect(JSON.stringify(bom)).not.toContain(ROOT);
  });
});

describe("the smoke test of a release", () => {
  const smoke = async (expected_version: string) => {
    const { directory } = await takeBinary();
    return run(["sh", join(ROOT, ".ci/smoke"), join(directory, "blindvault"), expected_version], {
      env: { PORT: String(freePort()) },
    });
  };

  test("passes on the executable of this machine", async () => {
    const { code, stdout } = await smoke(version);
    expect({ code, last: stdout.trimEnd().split("\n").at(-1) }).toEqual({
      code: 0,
      last: `blindvault ${version} starts, stores, keeps and stops`,
    });
  }, 60_000);

  test("fails on another version", async () => {
    expect(await smoke("0.0.0")).toMatchObject({ code: 1, stdout: expect.stringContaining("and not 0.0.0") });
  });
});

test("a target that there is none of is refused, and what was built before stays", async () => {
  const outdir = temporaryDirectory();
  await Bun.write(join(outdir, "kept"), "");
  const build = Bun.spawnSync([process.execPath, ".ci/build-all.ts", "--only", "amiga", "--outdir", outdir], {
    cwd: ROOT,
  });
  expect(build.exitCode).not.toBe(0);
  expect(build.stderr.toString()).toContain("no such target: amiga");
  expect(readdirSync(outdir)).toEqual(["kept"]);
});

test("every file that names a Bun names the one of package.json", async () => {
  const named: Record<string, string[]> = {};
  for (const file of ["*", ".ci/*", ".github/**/*"].flatMap((pattern) => [
    ...new Glob(pattern).scanSync(SCAN),
  ])) {
    const versions = [...(await text(file)).matchAll(/bun@v?(\d+\.\d+\.\d+)/g)].map(
      ([, found]) => found as string,
    );
    if (versions.length > 0) named[file] = [...new Set(versions)];
  }
  const wrong = Object.entries(named).filter(([, versions]) => versions.join() !== BUN);
  expect(wrong).toEqual([]);
  const pinned = [
    ".ci/run",
    ".github/CONTRIBUTING.md",
    ".github/workflows/ci.yml",
    "Dockerfile",
    "package.json",
  ];
  expect(pinned.filter((file) => !(file in named))).toEqual([]);
});

test("the changelog tells of this version, which a release demands", async () => {
  expect(await text("CHANGELOG.md")).toMatch(new RegExp(`^## \\[${version.replaceAll(".", "\\.")}\\]`, "m"));
});

describe(".env.example", () => {
  test("names exactly the settings that there are", async () => {
    const names = [...(await text(".env.example")).matchAll(/^#?([A-Z][A-Z0-9_]*)=/gm)].map(
      ([, name]) => name,
    );
    expect(names.sort()).toEqual((await settings()).sort());
  });

  test("shows each default as it is: uncommented, it changes nothing", async () => {
    const uncommented = parseEnv((await text(".env.example")).replace(/^#(?=[A-Z][A-Z0-9_]*=)/gm, ""));
    const secret = {
      JWT_SECRET: Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString("base64url"),
    };
    expect(loadConfig({ ...uncommented, ...secret })).toEqual(loadConfig(secret));
    // A value that were no default would be seen above; that there are values is seen here.
    expect(Object.values(uncommented).filter(Boolean).length).toBeGreaterThan(15);
  });

  test("holds no secret, and does not start a server as it stands", async () => {
    const as_it_stands = parseEnv(await text(".env.example"));
    expect(as_it_stands).toEqual({ JWT_SECRET: "" });
    expect(() => loadConfig(as_it_stands)).toThrow("JWT_SECRET is missing");
  });
});

type Component = {
  group?: string;
  name: string;
  version: string;
  licenses?: unknown[];
  hashes?: { content: string }[];
};

function fullName({ group, name }: Component): string {
  return group === undefined ? name : `${group}/${name}`;
}

function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  probe.stop(true);
  return probe.port;
}

/** Where LC_CODE_SIGNATURE says that the signature is. */
function codeSignature(content: Buffer): { offset: number; bytes: number } {
  let command = 32;
  for (let left = content.readUInt32LE(16); left > 0; left--) {
    if (content.readUInt32LE(command) === 0x1d) {
      return { offset: content.readUInt32LE(command + 8), bytes: content.readUInt32LE(command + 12) };
    }
    command += content.readUInt32LE(command + 4);
  }
  throw new Error("there is no signature");
}

/** The names that config.ts knows, as they stand in it. */
async function settings(): Promise<string[]> {
  const lists = /const SECRETS = \[([\s\S]*?)\][\s\S]*?const SETTINGS = \[([\s\S]*?)\]/.exec(
    await text("src/server/config.ts"),
  );
  return (
    lists
      ?.slice(1)
      .flatMap((list) => [...list.matchAll(/"([A-Z0-9_]+)"/g)].map(([, name]) => name as string)) ?? []
  );
}
