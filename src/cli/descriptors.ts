import { readSync, writeSync } from "node:fs";
import { CLI_EXIT, commandFault } from "./exit.ts";

const READ_BYTES = 64 * 1024;
const PAUSE_MS = 5;

/**
 * Writes all of a text or of bytes before it returns. The streams of the runtime write to a pipe later, and a process that ends takes with it what they
 * have not written. Whoever reads no further (`| head`) is no error: then it is false.
 */
export function writeAll(fd: number, data: string | Uint8Array): boolean {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  for (let offset = 0; offset < bytes.length; ) {
    const written = retrying(CLI_EXIT.cannot_create, () => writeSync(fd, bytes, offset));
    if (written === "gone") return false;
    offset += written;
  }
  return true;
}

/** Reads to the end, or throws when there is more than `bytes_max`. */
export function readAll(fd: number, bytes_max: number): Uint8Array<ArrayBuffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const chunk = new Uint8Array(READ_BYTES);
    const read = retrying(CLI_EXIT.no_input, () => readSync(fd, chunk, 0, chunk.length, null));
    if (read === "gone" || read === 0) break;
    chunks.push(chunk.subarray(0, read));
    length += read;
    if (length > bytes_max) throw commandFault(CLI_EXIT.data, "input-too-large", "the input is too large");
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** A pipe that somebody has set to "do not block" says EAGAIN where it would have to wait. */
function retrying(exit_code: number, attempt: () => number): number | "gone" {
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      const { code } = error as { code?: string };
      // The last is what a terminal says whose window was closed.
      if (code === "EPIPE" || code === "EOF" || code === "EIO") return "gone";
      if (code !== "EAGAIN") {
        throw commandFault(exit_code, "descriptor-unusable", "an input or output cannot be used");
      }
      Bun.sleepSync(PAUSE_MS);
    }
  }
}
