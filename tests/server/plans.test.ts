import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Sql } from "postgres";
import { purgeExpired } from "../../src/server/purge.ts";
import { CHANGES } from "../support/changes.ts";
import { call, createEntry, randomPassword, signUp } from "../support/client.ts";
import type { Query } from "../support/faults.ts";
import { type FragileServer, startFragileServer } from "../support/fragile-server.ts";

type Plan = { "Node Type": string; "Relation Name"?: string; "Index Cond"?: string; Plans?: Plan[] };

/** The queries are those that a server really sends. */
describe("the plans of PostgreSQL", () => {
  let server: FragileServer;
  let queries: Query[];
  beforeAll(async () => {
    server = await startFragileServer("postgresql");
    server.faults.clear();
    for (const [, , prepare] of CHANGES) await (await prepare(server)).ask();
    await readEverything();
    await purgeExpired(server.deps);
    queries = [...new Map(server.faults.queries.map((query) => [query.text, query])).values()];
  });
  afterAll(() => server.stop());

  async function readEverything(): Promise<void> {
    const user = await signUp(server);
    const { token } = user;
    const [first] = [await createEntry(server, user), await createEntry(server, user)];
    await call(server, `GET /entries/${first.id}`, { token });
    for (const path of ["/entries", "/audit"]) {
      const { body } = await call(server, `GET ${path}?limit=1`, { token });
      await call(server, `GET ${path}?limit=1&cursor=${body.next_cursor}`, { token });
    }
    for (const path of ["/account", "/auth/sessions"]) await call(server, `GET ${path}`, { token });
    const { username } = user;
    await call(server, "POST /auth/prelogin", { body: { username } });
    await call(server, "POST /auth/login", { body: { username, password: randomPassword() } });
    // A retry, and then a reuse.
    const body = { refreshToken: user.refresh_token };
    for (let count = 0; count < 2; count++) await call(server, "POST /auth/token", { body });
    server.clock.advance(60_000);
    await call(server, "POST /auth/token", { body });
    await server.deps.audit.flush();
  }

  /**
   * The plan of a query where reading a whole table is the last thing that PostgreSQL would do. The tables of a test are
   * so small that a batch of a purge would be most of one: of joins it may only look each row up.
   */
  async function planOf({ text, parameters }: Query): Promise<Plan> {
    const { $client } = server.direct as typeof server.direct & { $client: Sql };
    return $client.begin(async (tx) => {
      for (const way of ["seqscan", "hashjoin", "mergejoin"])
        await tx.unsafe(`set local enable_${way} = off`);
      const [row] = await tx.unsafe(`explain (format json) ${text}`, parameters as never[]);
      return row?.["QUERY PLAN"][0].Plan;
    });
  }

  /** Every step that reads a table other than by looking for something in an index. */
  function blindReads(plan: Plan): Plan[] {
    const reads = /Scan$/.test(plan["Node Type"]) && plan["Relation Name"] !== undefined;
    const by_index = plan["Index Cond"] !== undefined || plan["Node Type"] === "Bitmap Heap Scan";
    return [...(reads && !by_index ? [plan] : []), ...(plan.Plans ?? []).flatMap(blindReads)];
  }

  test("every query of every use case finds its rows by an index", async () => {
    const tables = new Set<string>();
    const blind: object[] = [];
    for (const query of queries) {
      const plan = await planOf(query);
      for (const step of [plan, ...steps(plan)]) tables.add(step["Relation Name"] ?? "");
      blind.push(...blindReads(plan).map((step) => ({ query: query.text, step })));
    }
    expect(blind).toEqual([]);
    expect([...tables].filter(Boolean).sort()).toEqual([
      ...["account_tombstones", "audit_events", "entries", "entry_tombstones", "entry_usage", "lockouts"],
      ...["refresh_tokens", "server_keys", "sessions", "users"],
    ]);
    expect(queries.length).toBeGreaterThan(40);
  });

  function steps(plan: Plan): Plan[] {
    return (plan.Plans ?? []).flatMap((step) => [step, ...steps(step)]);
  }

  test("a query that no index serves would be seen", async () => {
    const blind = { text: "select * from entries where name = $1", parameters: ["x"] };
    expect(blindReads(await planOf(blind)).map((step) => step["Relation Name"])).toEqual(["entries"]);
  });

  test("a page of entries is read in the order of its index, without sorting all that an account has", async () => {
    const page = queries.find(({ text }) => text.includes('"measured"')) as Query;
    const scans = steps(await planOf(page)).filter((step) => step["Relation Name"] === "entries");
    expect(scans).toMatchObject([
      { "Node Type": "Index Scan", "Index Name": "entries_user_created", "Scan Direction": "Backward" },
    ]);
  });
});
