import PQueue from "p-queue";
import { LIMITS } from "../../contract/limits.ts";
import { retryLater } from "../../contract/problems.ts";
import type { Config } from "../config.ts";

export type Hashing = ReturnType<typeof makeHashing>;

/**
 * The one way to Argon2id. Bun runs each hash in the thread pool that WebCrypto shares and queues without end, so
 * this queue bounds how many run at once, how many wait and how long they wait.
 *
 * Throws the problem `hashing-busy` when the queue is full or the wait too long.
 */
export function makeHashing(config: Pick<Config, "hash_concurrency" | "hash_queue_max">) {
  const queue = new PQueue({ concurrency: config.hash_concurrency });

  async function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const busy = queue.pending >= config.hash_concurrency;
    if (busy && queue.size >= config.hash_queue_max)
      throw retryLater("hashing-busy", LIMITS.retry_after_s * 1000);
    // Only waiting is cut short: a hash that has begun keeps its place, or more than allowed would run at once.
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), LIMITS.hash_wait_ms);
    try {
      return await queue.add(
        () => {
          clearTimeout(timer);
          return work();
        },
        { signal: waiting.signal },
      );
    } catch (error) {
      if (waiting.signal.aborted) throw retryLater("hashing-busy", LIMITS.retry_after_s * 1000);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    hash: (secret: string, cost: Argon2Cost): Promise<string> =>
      inTurn(() =>
        Bun.password.hash(secret, {
          algorithm: "argon2id",
          memoryCost: cost.memory_kib,
          timeCost: cost.iterations,
        }),
      ),
    verify: (secret: string, phc: string): Promise<boolean> =>
      inTurn(() => Bun.password.verify(secret, phc, "argon2id")),
    get waiting() {
      return queue.size;
    },
    get running() {
      return queue.pending;
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
