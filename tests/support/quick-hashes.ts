import { afterAll, beforeAll, spyOn } from "bun:test";
import { createHash, randomBytes } from "node:crypto";

/**
 * For test files about who may try how often and what becomes of a session: what a hash costs is no part of that, and
 * hundreds of real ones would take minutes. Bun's Argon2id is exchanged for a quick hash in the same form, which still
 * takes its random moment, so that races stay races. Everything of ours runs as ever.
 */
export function useQuickHashes(): void {
  const spies: { mockRestore(): void }[] = [];
  beforeAll(() => {
    spies.push(
      spyOn(Bun.password, "hash").mockImplementation(async (secret, options) => {
        await Bun.sleep(3 * Math.random());
        const { memoryCost = 0, timeCost = 0 } = options as { memoryCost?: number; timeCost?: number };
        return digest(secret as string, memoryCost, timeCost, randomBytes(32).toString("base64url"));
      }),
      spyOn(Bun.password, "verify").mockImplementation(async (secret, phc) => {
        await Bun.sleep(3 * Math.random());
        const [, memory, time, salt = ""] = /m=(\d+),t=(\d+),p=1\$([^$]+)/.exec(phc as string) ?? [];
        return digest(secret as string, Number(memory), Number(time), salt) === phc;
      }),
    );
  });
  afterAll(() => {
    for (const spy of spies) spy.mockRestore();
  });
}

function digest(secret: string, memory_kib: number, iterations: number, salt: string): string {
  const hash = createHash("sha256").update(`${salt}${secret}`).digest("base64url");
  return `$argon2id$v=19$m=${memory_kib},t=${iterations},p=1$${salt}$${hash}`;
}
