/**
 * Where a client remembers what it has seen: without it a hostile server could take it back in time. Texts under keys; none
 * of them holds a secret that is not sealed. What is kept must survive the process, or nothing is remembered.
 */
export type Store = {
  /** What is kept under `key`, or undefined. */
  read(key: string): Promise<string | undefined>;
  /**
   * Puts in its place what `change` makes of it (undefined: nothing), with nobody between: not another call, tab or process.
   * `change` may take a request's time. When it throws, what was there stays, and the error comes out.
   */
  update(key: string, change: (current: string | undefined) => Promise<string | undefined>): Promise<void>;
};

/** A store that forgets everything with the process: for tests, and for programs that trust their server. */
export function memoryStore(): Store {
  const kept = new Map<string, string>();
  const queues = new Map<string, Promise<void>>();
  return {
    async read(key) {
      return kept.get(key);
    },
    update(key, change) {
      const turn = (queues.get(key) ?? Promise.resolve()).then(async () => {
        const next = await change(kept.get(key));
        if (next === undefined) kept.delete(key);
        else kept.set(key, next);
      });
      queues.set(
        key,
        turn.catch(() => undefined),
      );
      return turn;
    },
  };
}
