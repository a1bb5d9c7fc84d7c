import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { $ } from "bun";
import { scripts } from "../package.json";
import { signAdHoc } from "./macho.ts";
import { writeSbom } from "./sbom.ts";

// `bun run build:all`: the executable for every platform, with checksums and an SBOM, in dist/release/. The runtimes
// of the other platforms come from the npm registry, at the version of the Bun that runs this.
//   --only NAME (again for more)   builds these alone
//   --outdir DIRECTORY             puts them elsewhere; the directory is emptied first

/** What each executable is called, and Bun's name for what it runs on. */
export const TARGETS = {
  "linux-x64": "bun-linux-x64",
  "linux-arm64": "bun-linux-arm64",
  "linux-x64-musl": "bun-linux-x64-musl",
  "linux-arm64-musl": "bun-linux-arm64-musl",
  "macos-arm64": "bun-darwin-arm64",
  "macos-x64": "bun-darwin-x64",
  "windows-x64": "bun-windows-x64",
} as const;

type Target = keyof typeof TARGETS;

const ROOT = resolve(import.meta.dir, "..");

if (import.meta.main) await buildAll();

async function buildAll(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: "string", multiple: true }, outdir: { type: "string" } },
  });
  const targets = wanted(values.only);
  const outdir = resolve(values.outdir ?? join(ROOT, "dist/release"));
  rmSync(outdir, { recursive: true, force: true });
  mkdirSync(outdir, { recursive: true });
  const metafile = join(ROOT, "dist/metafile.json");
  for (const target of targets) await build(target, outdir, metafile);
  await writeSbom(metafile, join(outdir, "sbom.cdx.json"));
  await writeChecksums(outdir);
}

function wanted(only: string[] | undefined): Target[] {
  const all = Object.keys(TARGETS) as Target[];
  const unknown = only?.filter((name) => !(name in TARGETS)) ?? [];
  if (unknown.length > 0)
    throw new Error(`no such target: ${unknown.join(", ")}; there are ${all.join(", ")}`);
  return only === undefined ? all : all.filter((target) => only.includes(target));
}

async function build(target: Target, outdir: string, metafile: string): Promise<void> {
  const file = join(outdir, `blindvault-${target}${target.startsWith("windows") ? ".exe" : ""}`);
  await $`${compiler()} --target=${TARGETS[target]} --outfile=${file} --metafile=${metafile}`
    .cwd(ROOT)
    .quiet();
  if (target === "macos-x64") await Bun.write(file, signAdHoc(await Bun.file(file).bytes(), "blindvault"));
  chmodSync(file, 0o755);
  const { size } = Bun.file(file);
  console.log(`${(size / 2 ** 20).toFixed(1).padStart(6)} MiB  ${file}`);
}

/** What `bun run build:binary` compiles with, to the last flag: what the tests have run is what is shipped. */
function compiler(): string[] {
  const words = scripts["build:binary"].split("&&").at(-1)?.trim().split(/\s+/) ?? [];
  if (words[0] !== "bun" || words[1] !== "build" || !words.includes("--compile")) {
    throw new Error("the last command of package.json's `build:binary` is not the compiler's");
  }
  return [process.execPath, ...words.slice(1)];
}

/** In the form that `sha256sum --check` reads. */
async function writeChecksums(outdir: string): Promise<void> {
  const lines = readdirSync(outdir)
    .sort()
    .map(async (name) => {
      const hash = createHash("sha256").update(await Bun.file(join(outdir, name)).bytes());
      return `${hash.digest("hex")}  ${name}\n`;
    });
  await Bun.write(join(outdir, "SHA256SUMS"), (await Promise.all(lines)).join(""));
}
