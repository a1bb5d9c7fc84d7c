import { expect } from "bun:test";

/**
 * `good`, or the code of the error that a promise of crypto/ ends with; that holds none of `secrets`. An error without a code is a
 * mistake of ours and fails the test.
 */
export async function outcomeOf(
  working: Promise<unknown>,
  good: string,
  secrets: readonly string[],
): Promise<string> {
  const error = await working.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error === undefined) return good;
  const text = Bun.inspect(error);
  for (const secret of secrets) expect(text).not.toContain(secret);
  if (!(error instanceof Error && "code" in error && typeof error.code === "string")) throw error;
  expect([Object.keys(error), error.cause]).toEqual([["code"], undefined]);
  return error.code;
}

/** Each part behind its length in 4 big-endian bytes: the format's own rule, written a second time. */
export function prefixed(...parts: (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.byteLength(part));
      return [length, Buffer.from(part as string)];
    }),
  );
}
