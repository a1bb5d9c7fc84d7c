import PQueue from "p-queue";
import { LIMITS } from "../contract/limits.ts";
import { type ProblemCode, retryLater } from "../contract/problems.ts";

export type Turns = ReturnType<typeof makeTurns>;

/**
 * Lets `at_once` pieces of work run. Others wait in their order, at most `waiting_max` of them and each `wait_ms`;
 * whoever finds no place or waits too long gets the problem `busy`.
 */
export function makeTurns({ at_once, waiting_max, wait_ms, busy }: Bounds) {
  const queue = new PQueue({ concurrency: at_once });
  const tooBusy = () => retryLater(busy, LIMITS.retry_after_s * 1000);

  return {
    async inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
      if (queue.pending >= at_once && queue.size >= waiting_max) throw tooBusy();
      // Only waiting is cut short: work that has begun keeps its place, or more than allowed would run at once.
      const waiting = new AbortController();
      const timer = setTimeout(() => waiting.abort(), wait_ms);
      try {
        return await queue.add(
          () => {
            clearTimeout(timer);
            return work();
          },
          { signal: waiting.signal },
        );
      } catch (error) {
        if (waiting.signal.aborted) throw tooBusy();
        throw error;
      } finally {
        clearTimeout(timer);
      }
    },
    get waiting() {
      return queue.size;
    },
    get running() {
      return queue.pending;
    },
  };
}

type Bounds = { at_once: number; waiting_max: number; wait_ms: number; busy: ProblemCode };
