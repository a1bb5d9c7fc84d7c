import { createHmac, timingSafeEqual } from "node:crypto";
import { dirname } from "node:path";
import { childEnvironment } from "./children.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";

/** How long a secret stays in the clipboard. */
export const CLIPBOARD_MS = 30_000;

/** A program that has not answered by then waits for a display, or for another program, that never will. */
const TOOL_MS = 5_000;
const KEY_BYTES = 32;

/**
 * Programs that systems have for it. A library would bring programs of its own, which one executable cannot hold. None of these can mark what it
 * is given as a secret, so a clipboard manager with a history keeps this too.
 */
type Tool = { copy: readonly string[]; paste: readonly string[] };

const WAYLAND: Tool = { copy: ["wl-copy"], paste: ["wl-paste", "--no-newline"] };
const X11: readonly Tool[] = [
  { copy: ["xclip", "-selection", "clipboard", "-in"], paste: ["xclip", "-selection", "clipboard", "-out"] },
  { copy: ["xsel", "--clipboard", "--input"], paste: ["xsel", "--clipboard", "--output"] },
];
const MAC: Tool = { copy: ["pbcopy"], paste: ["pbpaste"] };
const POWERSHELL = ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command"];
/** clip.exe would read UTF-8 as the system's old code page. */
const WINDOWS: Tool = {
  copy: [
    ...POWERSHELL,
    "[Console]::InputEncoding = [Text.Encoding]::UTF8; Set-Clipboard -Value ([Console]::In.ReadToEnd())",
  ],
  paste: [...POWERSHELL, "[Console]::OutputEncoding = [Text.Encoding]::UTF8; Get-Clipboard -Raw"],
};

function findTool(): Tool {
  const { platform, env } = process;
  const candidates = [
    ...(platform === "darwin" ? [MAC] : []),
    ...(platform === "win32" || env.WSL_DISTRO_NAME !== undefined ? [WINDOWS] : []),
    ...(env.WAYLAND_DISPLAY ? [WAYLAND] : []),
    ...(env.DISPLAY ? X11 : []),
  ];
  const found = candidates.find(({ copy }) => Bun.which(copy[0] ?? "") !== null);
  if (found !== undefined) return found;
  const message = "there is no clipboard here (wl-copy, xclip or xsel would give one)";
  throw commandFault(CLI_EXIT.unavailable, "clipboard-missing", message);
}

/** Puts a secret into the clipboard, and starts a process that takes it out again, unless something else is there by then. */
export async function copySecret(secret: string): Promise<void> {
  const tool = findTool();
  // First: once the secret is there, nothing may stand between it and its end.
  const cleaner = await startCleaner(secret);
  try {
    await setClipboard(tool, secret);
  } catch (error) {
    cleaner.kill();
    throw error;
  }
}

/**
 * What the cleaner is told: how to recognise the secret, and when to look for it. The key is drawn for each, so that no table made in advance tells
 * a short code from its digest.
 */
type Order = { key: string; digest: string; wait_ms: number };

async function startCleaner(secret: string): Promise<Bun.Subprocess> {
  const key = crypto.getRandomValues(new Uint8Array(KEY_BYTES)).toBase64();
  const order: Order = { key, digest: digestOf(key, secret).toBase64(), wait_ms: CLIPBOARD_MS };
  const cleaner = Bun.spawn([...ownCommand(), "clipboard-clear"], {
    env: environment(),
    // It is not to keep the present directory in use.
    cwd: dirname(process.execPath),
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    // It has to outlive the terminal that the command was given in.
    detached: true,
  });
  cleaner.stdin.write(JSON.stringify(order));
  await cleaner.stdin.end();
  cleaner.unref();
  return cleaner;
}

/** The hidden command behind `copySecret`. It is given an order on standard input: the secret is nowhere but in the clipboard. */
export async function clearClipboard(): Promise<undefined> {
  const { key, digest, wait_ms } = (await Bun.stdin.json()) as Order;
  await Bun.sleep(wait_ms);
  const tool = findTool();
  const text = await readClipboard(tool);
  const expected = Uint8Array.fromBase64(digest);
  // Windows ends what it pastes with a line end.
  const is_ours = [text, text.replace(/\r?\n$/, "")].some((each) =>
    timingSafeEqual(digestOf(key, each), expected),
  );
  if (is_ours) await setClipboard(tool, "");
}

async function readClipboard({ paste }: Tool): Promise<string> {
  const pasting = Bun.spawn([...paste], {
    env: environment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    timeout: TOOL_MS,
  });
  return new Response(pasting.stdout).text();
}

/** The programs for X11 and Wayland go on in the background to serve what they were given, so nothing waits for their output. */
async function setClipboard({ copy }: Tool, text: string): Promise<void> {
  const copying = Bun.spawn([...copy], {
    env: environment(),
    stdin: new Blob([text]),
    stdout: "ignore",
    stderr: "ignore",
    timeout: TOOL_MS,
  });
  if ((await copying.exited) === 0) return;
  throw commandFault(CLI_EXIT.unavailable, "clipboard-failed", `${copy[0]} cannot reach the clipboard`);
}

/** pbcopy takes what it is given for UTF-8 only when it is told so. */
function environment(): Record<string, string | undefined> {
  const inherited = childEnvironment();
  return process.platform === "darwin" ? { ...inherited, LC_CTYPE: "UTF-8" } : inherited;
}

function digestOf(key: string, text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHmac("sha256", key).update(text).digest());
}

/** How this program is started: as an executable of its own, or by the runtime from its source. */
function ownCommand(): string[] {
  return Bun.isStandaloneExecutable ? [process.execPath] : [process.execPath, Bun.main];
}
