import { drizzle as drizzleEmbedded } from "drizzle-orm/pglite";
import { drizzle as drizzlePostgres } from "drizzle-orm/postgres-js";
import type { Database } from "../../src/server/db/database.ts";
import type { OpenDatabase } from "../../src/server/db/open.ts";

export type Query = { text: string; parameters: unknown[] };

/** Stands between the application and its real driver: sees each query, and can let one fail in the database. */
export type Faults = {
  /** Every query since the last `clear`, in order; BEGIN and COMMIT are the driver's own and not among them. */
  queries: Query[];
  /** Whatever `when` says yes to (`nth` counts from 1 since the last `clear`) fails with the SQLSTATE. */
  fail(when: (query: string, nth: number) => boolean, sqlstate?: string): void;
  /** Transactions commit, and their caller is told that the connection broke. */
  loseAnswers(): void;
  /** Ends all faults and forgets the queries. */
  clear(): void;
};

/** SQLSTATE of a fault that nobody can foresee: raise_exception. */
export const UNFORESEEN = "P0001";

/** Drizzle over the same client with faults to order. */
export function withFaults(database: OpenDatabase): { db: Database; faults: Faults } {
  const state = { queries: [] as Query[], fails: never, sqlstate: UNFORESEEN, answers_lost: false };
  const faults: Faults = {
    get queries() {
      return state.queries;
    },
    fail(when, sqlstate = UNFORESEEN) {
      Object.assign(state, { fails: when, sqlstate });
    },
    loseAnswers() {
      state.answers_lost = true;
    },
    clear() {
      Object.assign(state, { queries: [], fails: never, answers_lost: false });
    },
  };
  const { $client } = database.db as Database & { $client: object };
  const client = fragile($client, state) as never;
  const db = database.engine === "embedded" ? drizzleEmbedded(client) : drizzlePostgres(client);
  return { db: db as unknown as Database, faults };
}

const never = (_query: string, _nth: number): boolean => false;

type State = { queries: Query[]; fails: typeof never; sqlstate: string; answers_lost: boolean };
type Method = (this: unknown, ...args: unknown[]) => unknown;

/** The driver's client, or the client of one of its transactions. */
function fragile(client: object, state: State): object {
  return new Proxy(client, {
    get(target, property) {
      const value = Reflect.get(target, property);
      if (typeof value !== "function") return value;
      const method = value as Method;
      if (property === "unsafe" || property === "query") return query(target, method, state);
      if (property === "begin" || property === "transaction") return transaction(target, method, state);
      return method.bind(target);
    },
  });
}

/** A query that is to fail reaches the database as another one that fails there, so its transaction is aborted. */
function query(client: object, method: Method, state: State) {
  return (text: string, parameters: unknown[] = [], options?: unknown): unknown => {
    state.queries.push({ text, parameters });
    if (!state.fails(text, state.queries.length)) return method.call(client, text, parameters, options);
    const fault = `do $$ begin raise exception 'a fault' using errcode = '${state.sqlstate}'; end $$`;
    return method.call(client, fault, [], options);
  };
}

function transaction(client: object, method: Method, state: State) {
  return async (work: (tx: object) => unknown): Promise<unknown> => {
    const result = await method.call(client, (tx: object) => work(fragile(tx, state)));
    if (!state.answers_lost) return result;
    throw Object.assign(new Error("the connection broke"), { code: "CONNECTION_CLOSED" });
  };
}
