import { LIMITS } from "../../contract/limits.ts";
import type { Config } from "../config.ts";
import { makeTurns } from "../turns.ts";

export type Hashing = ReturnType<typeof makeHashing>;

/**
 * The one way to Argon2id. Bun runs each hash in the thread pool that WebCrypto shares and queues without end, so
 * this queue bounds how many run at once, how many wait and how long they wait.
 *
 * Throws the problem `hashing-busy` when the queue is full or the wait too long.
 */
export function makeHashing(config: Pick<Config, "hash_concurrency" | "hash_queue_max">) {
  const turns = makeTurns({
    at_once: config.hash_concurrency,
    waiting_max: config.hash_queue_max,
    wait_ms: LIMITS.hash_wait_ms,
    busy: "hashing-busy",
  });

  return {
    hash: (secret: string, cost: Argon2Cost): Promise<string> =>
      turns.inTurn(() =>
        Bun.password.hash(secret, {
          algorithm: "argon2id",
          memoryCost: cost.memory_kib,
          timeCost: cost.iterations,
        }),
      ),
    verify: (secret: string, phc: string): Promise<boolean> =>
      turns.inTurn(() => Bun.password.verify(secret, phc, "argon2id")),
    get waiting() {
      return turns.waiting;
    },
    get running() {
      return turns.running;
    },
  };
}

/** Argon2id parameters (RFC 9106, section 3.1); parallelism is 1, the only one that Bun.password has. */
export type Argon2Cost = { memory_kib: number; iterations: number };

/** The parameters of a PHC string, or undefined when it is none of ours. */
export function costOf(phc: string): Argon2Cost | undefined {
  const [, memory, iterations] = /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,4}),p=1\$/.exec(phc) ?? [];
  return memory === undefined ? undefined : { memory_kib: Number(memory), iterations: Number(iterations) };
}
