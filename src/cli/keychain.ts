import { childEnvironment } from "./children.ts";

/** The operating system's keychain, by `Bun.secrets`: Keychain Services, the Secret Service, or the Credential Manager. */
const SERVICE = "blindvault";

/**
 * Long enough to answer a dialog that asks to unlock it, and short of the 50 s for which the library waits for a service that
 * hangs. Where there is none, that is known in some milliseconds.
 */
const KEYCHAIN_MS = 15_000;

/** False where there is no keychain: on a server, in a container, without a desktop session; and where it stays locked. */
export async function setInKeychain(name: string, value: string): Promise<boolean> {
  try {
    await inTime(Bun.secrets.set({ service: SERVICE, name, value }));
    return true;
  } catch {
    return false;
  }
}

/** Null where it has no such entry, or stays locked. Throws where it cannot be reached. */
export async function getFromKeychain(name: string): Promise<string | null> {
  return inTime(Bun.secrets.get({ service: SERVICE, name }));
}

/** Takes an entry away, where that can be done. */
export async function removeFromKeychain(name: string): Promise<void> {
  try {
    await inTime(Bun.secrets.delete({ service: SERVICE, name }));
  } catch {
    // Whoever calls has thrown away what the entry opens.
  }
}

/** One that did not answer is not waited for again. */
let patience_ms = KEYCHAIN_MS;

async function inTime<Value>(work: Promise<Value>): Promise<Value> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      patience_ms = 0;
      reject(new Error("the keychain does not answer"));
    }, patience_ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const LOCKED_MS = 500;

/**
 * Whether the keychain gives an entry without a dialog that asks to unlock it: for what a person has not asked for. Of macOS nobody can
 * tell, as it asks whenever the executable is another than the one that stored the entry.
 */
export async function opensWithoutAsking(): Promise<boolean> {
  if (process.platform !== "linux") return process.platform === "win32";
  if (Bun.which("busctl") === null) return false;
  const asking = Bun.spawn(["busctl", "--user", "get-property", ...LOCKED_PROPERTY], {
    env: childEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    timeout: LOCKED_MS,
  });
  return (await new Response(asking.stdout).text()).trim() === "b false";
}

/** Of the Secret Service API: the collection that entries are kept in. */
const LOCKED_PROPERTY = [
  "org.freedesktop.secrets",
  "/org/freedesktop/secrets/collection/login",
  "org.freedesktop.Secret.Collection",
  "Locked",
];
