import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { EXIT, operatorFault } from "../../exit.ts";
import { CONFIG_FILE_NAME, DATA_DIR_DEFAULT } from "../config.ts";
import type { Environment } from "../settings.ts";

/**
 * `blindvault init`: writes a configuration file with a fresh JWT_SECRET, mode 0600, into DATA_DIR or where
 * `--config` says. It never touches one that is there: with `--if-missing` that is fine, otherwise exit code 73.
 */
export function init(environment: Environment, options: { config?: string; ifMissing?: boolean }): string {
  const data_dir = environment.DATA_DIR || DATA_DIR_DEFAULT;
  const path = options.config ?? join(data_dir, CONFIG_FILE_NAME);
  try {
    makePrivateDirectory(dirname(path));
    writeNew(path, configFile(randomBytes(48).toString("base64url")));
    return `Wrote ${path} with a fresh JWT_SECRET. Keep it secret; a backup of it belongs apart from the data's.`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && options.ifMissing) return `${path} is there already; left as it is.`;
    if (code === "EEXIST") {
      throw operatorFault(
        EXIT.cannot_create,
        `${path} exists and is left as it is: delete it first, or name another with --config`,
      );
    }
    throw operatorFault(
      EXIT.cannot_create,
      `${path} cannot be written (${code}): check that you may write to ${dirname(path)}`,
    );
  }
}

function makePrivateDirectory(path: string): void {
  const made = mkdirSync(path, { recursive: true, mode: 0o700 });
  if (made !== undefined) chmodSync(path, 0o700);
}

/** Exclusive creation, so that of two at once one fails, and synced, so that a secret in use is never lost. */
function writeNew(path: string, content: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    writeSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function configFile(secret: string): string {
  return `# Settings of blindvault, one NAME=value a line; the environment wins over this file.
# Every setting is described in the README, under "Configuration".

# Signs access tokens. Whoever has it can forge them; to change it, move it to JWT_SECRET_PREVIOUS for a week.
JWT_SECRET=${secret}

#HOST=127.0.0.1
#PORT=4000
# Without it the embedded PostgreSQL in DATA_DIR is used.
#DATABASE_URL=postgresql://blindvault:password@localhost:5432/blindvault
#REGISTRATION=closed
#TRUSTED_PROXIES=127.0.0.1
`;
}
