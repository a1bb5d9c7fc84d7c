import { homedir } from "node:os";
import { join } from "node:path";

/** What the client takes from its environment; nothing is read from the working directory. */
export type Settings = {
  /** Where the state is kept. */
  home: string;
  /** The key that opens this device's vault key, where no keychain holds it: base64 of 32 bytes. */
  session: string | undefined;
  server: string | undefined;
};

type Environment = Record<string, string | undefined>;

/** Reads BLINDVAULT_HOME, BLINDVAULT_SERVER and BLINDVAULT_SESSION. NO_COLOR (no-color.org) is the prompts' own matter. */
export function readSettings(environment: Environment, platform: NodeJS.Platform): Settings {
  return {
    home: given(environment.BLINDVAULT_HOME) ?? defaultHome(environment, platform),
    session: given(environment.BLINDVAULT_SESSION),
    server: given(environment.BLINDVAULT_SERVER),
  };
}

/** Where a system keeps what an application remembers and nobody edits (on Linux the XDG base directory specification). */
function defaultHome(environment: Environment, platform: NodeJS.Platform): string {
  const home = given(environment.HOME) ?? homedir();
  if (platform === "win32") {
    return join(given(environment.LOCALAPPDATA) ?? join(home, "AppData", "Local"), "blindvault");
  }
  if (platform === "darwin") return join(home, "Library", "Application Support", "blindvault");
  return join(given(environment.XDG_STATE_HOME) ?? join(home, ".local", "state"), "blindvault");
}

function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
