import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { CHANGES, type Change } from "../support/changes.ts";
import { type Answer, call, createEntry, expectProblem, signUp } from "../support/client.ts";
import { UNFORESEEN } from "../support/faults.ts";
import { accountRows, type FragileServer, startFragileServer } from "../support/fragile-server.ts";
import { ENGINES } from "../support/server.ts";

/** SQLSTATE admin_shutdown: the connection's end. */
const AWAY = "57P01";

for (const engine of ENGINES) {
  describe(`a database that fails on ${engine}`, () => {
    let server: FragileServer;
    beforeAll(async () => {
      // Attempts are counted before the query that fails, and stay counted: they must not lock the name here.
      server = await startFragileServer(engine, { MAX_FAILED_LOGINS: "100" });
    });
    afterAll(() => server.stop());
    afterEach(() => server.faults.clear());

    const state = (change: Change) => accountRows(server.direct, change.user_id);

    function expectFailure(answer: Answer, sqlstate: string): void {
      if (sqlstate === AWAY) {
        expectProblem(answer, 503, "database-unavailable");
        expect(answer.headers.get("retry-after")).toBe("1");
      } else expectProblem(answer, 500, "internal-error");
      expect(Object.keys(answer.body).sort()).toEqual(["code", "request_id", "status", "title", "type"]);
      expect(answer.text).not.toMatch(/fault|select|insert|P0001|57P01|\.ts|postgres|pglite/i);
    }

    function expectNoSecretLogged(change: Change): void {
      const logged = server.logged.join();
      expect(logged).not.toContain("a fault");
      for (const secret of change.secrets) expect(logged).not.toContain(secret);
    }

    /** Lets the database refuse events of a type, as they come or only when their transaction is committed. */
    async function refuse(
      event: string,
      when: "at once" | "at commit",
      work: () => Promise<void>,
    ): Promise<void> {
      const run = (text: string) => server.direct.execute(sql.raw(text));
      const [constraint, deferred] =
        when === "at commit" ? ["constraint", "deferrable initially deferred"] : ["", ""];
      await run(`create or replace function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'a fault'; end $$`);
      await run(`create ${constraint} trigger refusing after insert on audit_events ${deferred}
        for each row when (new.type = '${event}') execute function refuse()`);
      await work().finally(() => run("drop trigger refusing on audit_events"));
    }

    test.each(CHANGES)("%s is done wholly or not at all, whatever fails of it", async (_, event, prepare) => {
      const change = await prepare(server);
      const before = await state(change);
      server.logged.length = 0;
      for (const when of ["at once", "at commit"] as const) {
        await refuse(event, when, async () => expectFailure(await change.ask(), UNFORESEEN));
        expect(await state(change)).toEqual(before);
      }
      let queries = 0;
      for (;;) {
        const sqlstate = queries % 2 === 0 ? UNFORESEEN : AWAY;
        server.faults.clear();
        server.faults.fail((_query, nth) => nth === queries + 1, sqlstate);
        const answer = await change.ask();
        if (answer.status < 300) break;
        queries++;
        expectFailure(answer, sqlstate);
        expect(await state(change)).toEqual(before);
      }
      // The session, the change and its event are three queries at least, and each has failed once.
      expect(queries).toBeGreaterThanOrEqual(3);
      const failures = server.logged.map((line) => JSON.parse(line)).filter(({ err }) => err !== undefined);
      expect(failures.length).toBe(queries + 2);
      expectNoSecretLogged(change);
      server.faults.clear();
      const after = await state(change);
      expect(after).not.toEqual(before);
      expect(after.audit_events?.at(-1)).toMatchObject({ type: event });
    });

    test.each([UNFORESEEN, AWAY])(
      "a read that fails with %s tells no details and is not audited",
      async (sqlstate) => {
        const user = await signUp(server);
        const { id } = await createEntry(server, user);
        await server.deps.audit.flush();
        for (const route of [`GET /entries/${id}`, "GET /entries", "GET /audit", "GET /account"]) {
          for (let failing = 1; failing <= 2; failing++) {
            server.faults.clear();
            server.faults.fail((_query, nth) => nth === failing, sqlstate);
            expectFailure(await call(server, route, { token: user.token }), sqlstate);
            expect(server.deps.audit.size).toBe(0);
          }
          server.faults.clear();
          expect((await call(server, route, { token: user.token })).status).toBe(200);
          await server.deps.audit.flush();
        }
      },
    );

    test("a read is made when its event cannot be written, and the event is kept for later", async () => {
      const user = await signUp(server);
      const { id } = await createEntry(server, user);
      await refuse("entry-read", "at commit", async () => {
        expect((await call(server, `GET /entries/${id}`, { token: user.token })).status).toBe(200);
        await server.deps.audit.flush();
        expect(server.deps.audit.size).toBe(1);
      });
      await server.deps.audit.flush();
      const { audit_events } = await accountRows(server.direct, user.id);
      expect(audit_events?.at(-1)).toMatchObject({ type: "entry-read", entry_id: id });
    });
  });
}
