import { join, resolve } from "node:path";
import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import { $ } from "bun";
import { startScratchEngine } from "../src/server/db/engine.ts";

const ROOT = resolve(import.meta.dir, "..");

type Component = {
  type: string;
  name: string;
  group?: string;
  version: string;
  "bom-ref": string;
  purl?: string;
  hashes?: { alg: "SHA-512"; content: string }[];
} & Record<string, unknown>;

type Bom = {
  metadata: { component: Component };
  components: Component[];
  dependencies: { ref: string; dependsOn?: string[] }[];
};

/**
 * Writes the CycloneDX SBOM of the executables: every package that the bundler's `metafile` names, with its licence's
 * text and the hash that bun.lock pins, and what no bundler sees: the runtime, and the PostgreSQL in PGlite.
 * Throws when the result does not fit CycloneDX 1.6.
 */
export async function writeSbom(metafile: string, file: string): Promise<void> {
  await $`${process.execPath} x --no-install --bun cyclonedx-esbuild --gather-license-texts --output-file ${file} ${metafile}`
    .cwd(ROOT)
    .quiet();
  const bom: Bom = await Bun.file(file).json();
  const hashes = await lockedHashes();
  for (const component of bom.components) addHash(component, hashes);
  addUnseen(bom, [runtime(), await postgresql()]);
  const text = `${JSON.stringify(bom, null, 2)}\n`;
  const faults = await new JsonStrictValidator(Version.v1dot6).validate(text);
  if (faults !== null) throw new Error(`the SBOM does not fit CycloneDX 1.6: ${JSON.stringify(faults)}`);
  await Bun.write(file, text);
}

/** SHA-512 of each package's archive by name@version, in hexadecimal. */
async function lockedHashes(): Promise<Map<string, string>> {
  const lock = Bun.JSONC.parse(await Bun.file(join(ROOT, "bun.lock")).text()) as {
    packages: Record<string, [string, ...unknown[]]>;
  };
  return new Map(
    Object.values(lock.packages).map((entry): [string, string] => [
      entry[0],
      Buffer.from(String(entry.at(-1)).replace("sha512-", ""), "base64").toString("hex"),
    ]),
  );
}

function addHash(component: Component, hashes: Map<string, string>): void {
  const name = component.group === undefined ? component.name : `${component.group}/${component.name}`;
  const content = hashes.get(`${name}@${component.version}`);
  if (content === undefined) throw new Error(`${name}@${component.version} is bundled and not in bun.lock`);
  component.hashes = [{ alg: "SHA-512", content }];
}

function addUnseen(bom: Bom, unseen: Component[]): void {
  bom.components.push(...unseen);
  bom.dependencies.push(...unseen.map((component) => ({ ref: component["bom-ref"] })));
  const own = bom.dependencies.find(({ ref }) => ref === bom.metadata.component["bom-ref"]);
  own?.dependsOn?.push(...unseen.map((component) => component["bom-ref"]));
}

function runtime(): Component {
  return {
    type: "platform",
    name: "bun",
    version: Bun.version,
    "bom-ref": `bun@${Bun.version}`,
    description: "The runtime that the executable begins with; it contains JavaScriptCore (LGPL-2.0).",
    licenses: [{ license: { id: "MIT" } }],
    purl: `pkg:npm/bun@${Bun.version}`,
  };
}

/** The version that scanners of vulnerabilities look for: PGlite's own says nothing to them. */
async function postgresql(): Promise<Component> {
  const engine = await startScratchEngine();
  const { rows } = await engine.query<{ server_version: string }>("SHOW server_version");
  await engine.close();
  const version = /^[0-9.]+/.exec(rows[0]?.server_version ?? "")?.[0];
  if (version === undefined) throw new Error("the embedded PostgreSQL does not say its version");
  return {
    type: "application",
    name: "postgresql",
    version,
    "bom-ref": `postgresql@${version}`,
    description: "The embedded database, as WebAssembly within @electric-sql/pglite.",
    licenses: [{ license: { id: "PostgreSQL" } }],
    purl: `pkg:generic/postgresql@${version}`,
    cpe: `cpe:2.3:a:postgresql:postgresql:${version}:*:*:*:*:*:*:*`,
  };
}
