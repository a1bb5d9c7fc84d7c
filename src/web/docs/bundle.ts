/** To be imported `with { type: "macro" }`: these run while the program is bundled and leave their result in it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fingerprint } from "./fingerprint.ts";
import { withoutForeignLogo } from "./redoc-logo.ts";

/** A page's script as one text, with all that it imports. */
export function bundled(entry: string): string {
  // A macro may not call Bun.build, which would wait for the bundler that waits for the macro.
  const options = ["--target=browser", "--format=esm", "--minify-whitespace", "--minify-syntax"];
  const built = Bun.spawnSync([process.execPath, "build", join(import.meta.dir, entry), ...options]);
  if (!built.success) throw new Error(`${entry} does not build: ${built.stderr}`);
  return built.stdout.toString();
}

/** The fingerprint of a library's file as it is served. */
export function fingerprintOf(module: string): string {
  const text = readFileSync(Bun.resolveSync(module, import.meta.dir), "utf8");
  return fingerprint(module.startsWith("redoc/") ? withoutForeignLogo(text) : text);
}
