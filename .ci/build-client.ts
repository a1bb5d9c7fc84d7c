import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { $ } from "bun";
import { rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";
import { license, version } from "../package.json";

// `bun run build:client`: the SDK as a package for Bun, Node and browsers, in dist/client/. It depends on nothing: what it
// needs of other packages is in it, with their licences beside it. It is not minified: whoever bundles it does that, and
// whoever has to trust it can read what runs.
//   --outdir DIRECTORY   puts it elsewhere; the directory is emptied first

const ROOT = resolve(import.meta.dir, "..");

/**
 * zod asks its engine for `eval` when its schemas are made, which a page's policy refuses and reports. So it is told not to, for as long
 * as that takes: the setting is one for every zod of the program.
 */
const WITHOUT_EVAL = {
  banner:
    "const zod_jitless = globalThis.__zod_globalConfig?.jitless;\n(globalThis.__zod_globalConfig ??= {}).jitless = true;",
  footer: "globalThis.__zod_globalConfig.jitless = zod_jitless;",
};

const MANIFEST = {
  name: "blindvault-client",
  version,
  description: "An end-to-end encrypted vault on a Blindvault server that need not be trusted",
  license,
  type: "module",
  exports: { ".": { types: "./index.d.ts", default: "./index.js" } },
  types: "./index.d.ts",
  sideEffects: false,
  // The first with URL.parse.
  engines: { node: ">=22.1" },
};

if (import.meta.main) {
  const { values } = parseArgs({ options: { outdir: { type: "string" } } });
  await buildClient(resolve(values.outdir ?? join(ROOT, "dist/client")));
}

async function buildClient(outdir: string): Promise<void> {
  rmSync(outdir, { recursive: true, force: true });
  mkdirSync(outdir, { recursive: true });
  const packages = await bundleCode(outdir);
  await bundleTypes(outdir);
  await Bun.write(join(outdir, "package.json"), `${JSON.stringify(MANIFEST, undefined, 2)}\n`);
  cpSync(join(ROOT, "LICENSE"), join(outdir, "LICENSE"));
  await Bun.write(join(outdir, "THIRD-PARTY-LICENSES.txt"), await licencesOf(packages));
  console.log(`${(Bun.file(join(outdir, "index.js")).size / 1024).toFixed(0).padStart(6)} KiB  ${outdir}`);
}

/** Writes index.js, and gives the names of the packages that are in it. */
async function bundleCode(outdir: string): Promise<string[]> {
  const { metafile } = await Bun.build({
    entrypoints: [join(ROOT, "src/client/index.ts")],
    target: "browser",
    format: "esm",
    env: "disable",
    outdir,
    naming: "index.js",
    metafile: true,
    ...WITHOUT_EVAL,
  });
  const files = Object.keys(metafile?.inputs ?? {});
  const names = files.map((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))].sort();
}

/**
 * Writes index.d.ts. The compiler makes a declaration of each file, and holds the SDK to what Node 22 has; a bundler makes one file of
 * those that the public types need. A type of a package would be one that the user has to install.
 */
async function bundleTypes(outdir: string): Promise<void> {
  const each = mkdtempSync(join(tmpdir(), "blindvault-types-"));
  try {
    const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
    await $`${process.execPath} ${compiler} -p ${join(import.meta.dir, "tsconfig.client.json")} --outDir ${each}`;
    const bundle = await rolldown({
      input: join(each, "client/index.d.ts"),
      // "oxc" is the generator that asks for no compiler; there is nothing for it to generate.
      plugins: [dts({ dtsInput: true, emitDtsOnly: true, tsconfig: false, generator: "oxc" })],
      external: /^[^./]/,
    });
    const { output } = await bundle.write({ dir: outdir, format: "es" });
    const foreign = /^import .*|\bimport\(.*/m.exec(output[0].code)?.[0];
    if (foreign !== undefined) throw new Error(`the public types are not complete in themselves: ${foreign}`);
  } finally {
    rmSync(each, { recursive: true });
  }
}

/** Every licence asks to be given along with the code. */
async function licencesOf(packages: readonly string[]): Promise<string> {
  const texts = packages.map(async (name) => {
    const directory = join(ROOT, "node_modules", name);
    const { version } = await Bun.file(join(directory, "package.json")).json();
    const text = await Bun.file(join(directory, "LICENSE")).text();
    return `${name} ${version}\n\n${text.trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${"-".repeat(80)}\n\n`);
}
