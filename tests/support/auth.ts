import { expect } from "bun:test";
import { asc, eq, sql } from "drizzle-orm";
import type { ProblemCode } from "../../src/contract/problems.ts";
import { auditEvents, refreshTokens, sessions } from "../../src/server/db/schema.ts";
import type { Environment } from "../../src/server/settings.ts";
import { type Answer, call, expectProblem, randomBase64, randomName, zeroKnowledgeKeys } from "./client.ts";
import { type Engine, startTestServer, type TestServer } from "./server.ts";

/** A server of its own for a test that moves the clock or sets what other tests do not want. */
export async function withServer(
  engine: Engine,
  settings: Environment,
  work: (server: TestServer) => Promise<void>,
): Promise<void> {
  const server = await startTestServer(engine, settings);
  try {
    await work(server);
  } finally {
    await server.stop();
  }
}

/**
 * Stops the server's clock, so that boundaries can be met to the millisecond; `advance` moves it on. It stops a minute
 * ahead: the library dates tokens by the machine's clock, and one that is dated later than now is refused.
 */
export function freeze(server: TestServer): void {
  let now_ms = server.clock.now_ms() + 60_000;
  server.clock.now_ms = () => now_ms;
  server.clock.advance = (ms) => {
    now_ms += ms;
  };
}

export type KeyUser = {
  id: string;
  username: string;
  auth_key: string;
  keys: ReturnType<typeof zeroKnowledgeKeys>;
  token: string;
  refresh_token: string;
};

/** An account that logs in by a key which its client derives. */
export async function signUpWithKey(server: TestServer): Promise<KeyUser> {
  const [username, auth_key, keys, id] = [
    randomName(),
    randomBase64(32),
    zeroKnowledgeKeys(),
    crypto.randomUUID(),
  ];
  const body = { id, username, auth_key, ...keys };
  expect((await call(server, "POST /auth/register", { body })).status).toBe(201);
  const answer = await call(server, "POST /auth/login", { body: { username, auth_key } });
  expect(answer.body.user_id).toBe(id);
  return {
    id,
    username,
    auth_key,
    keys,
    token: answer.body.accessToken,
    refresh_token: answer.body.refreshToken,
  };
}

/** A login, from `address` where the server trusts what its proxy says. */
export function logIn(server: TestServer, username: string, password: string, address?: string) {
  const headers: Record<string, string> = address === undefined ? {} : { "x-forwarded-for": address };
  return call(server, "POST /auth/login", { body: { username, password }, headers });
}

export function refresh(server: TestServer, refreshToken: string): Promise<Answer> {
  return call(server, "POST /auth/token", { body: { refreshToken } });
}

/** The status of a request that needs a living session. */
export async function statusOf(server: TestServer, token: string): Promise<number> {
  return (await call(server, "GET /account", { token })).status;
}

/** The audit events that one request left, in order, with what was still buffered. */
export async function eventsOf(server: TestServer, answer: Answer): Promise<string[]> {
  return (await linesOf(server, answer)).map((line) => line.type);
}

export async function linesOf(server: TestServer, answer: Answer) {
  await server.deps.audit.flush();
  return server.deps.db
    .select()
    .from(auditEvents)
    .where(eq(auditEvents.request_id, answer.headers.get("x-request-id") as string))
    .orderBy(asc(auditEvents.id));
}

/** How often a text, or what a pattern of LIKE means, stands anywhere in the audit log. */
export async function auditMentions(server: TestServer, text: string): Promise<number> {
  await server.deps.audit.flush();
  const [row] = await server.deps.db
    .select({ lines: sql<number>`count(*)::int` })
    .from(auditEvents)
    .where(sql`to_jsonb(${auditEvents})::text ilike ${`%${text.replaceAll("_", "\\_")}%`}`);
  return row?.lines ?? -1;
}

/** Lets the database refuse rows of a table while `work` is done: those for which `allowed` is false. */
export async function whileRefusing(
  server: TestServer,
  table: string,
  allowed: string,
  work: () => Promise<void>,
): Promise<void> {
  const constraint = `refusing_${crypto.randomUUID().replaceAll("-", "")}`;
  await server.deps.db.execute(
    sql.raw(`alter table ${table} add constraint ${constraint} check (${allowed}) not valid`),
  );
  try {
    await work();
  } finally {
    await server.deps.db.execute(sql.raw(`alter table ${table} drop constraint ${constraint}`));
  }
}

export async function sessionIds(server: TestServer, user_id: string): Promise<string[]> {
  const rows = await server.deps.db
    .select({ id: sessions.id })
    .from(sessions)
    .where(eq(sessions.user_id, user_id));
  return rows.map((row) => row.id);
}

export async function refreshTokenRows(server: TestServer, user_id: string): Promise<number> {
  const rows = await server.deps.db
    .select({ used_at: refreshTokens.used_at })
    .from(refreshTokens)
    .innerJoin(sessions, eq(sessions.id, refreshTokens.session_id))
    .where(eq(sessions.user_id, user_id));
  return rows.length;
}

/** One request and everything that may come of it. */
export type Row = {
  name: string;
  route: string;
  token?: string;
  body?: unknown;
  raw?: string;
  headers?: Record<string, string>;
  status: number;
  code?: ProblemCode;
  lacks?: readonly string[];
  /** The audit events that it leaves; [] = nothing else happened. */
  events: readonly string[];
};

export async function play(server: TestServer, row: Row): Promise<Answer> {
  // Alike events are gathered until they are written: what came before must not be taken for this request's.
  await server.deps.audit.flush();
  const { name, route, status, code, lacks = [], events, ...options } = row;
  const answer = await call(server, route, options);
  expect({ name, status: answer.status, code: answer.body?.code }).toEqual({ name, status, code });
  if (code !== undefined) expectProblem(answer, status, code);
  for (const text of lacks) expect(answer.text).not.toContain(text);
  expect({ name, events: await eventsOf(server, answer) }).toEqual({ name, events: [...events] });
  return answer;
}

/** What somebody can see of an answer: all but what differs between any two requests. */
export function visible(answer: Answer) {
  const headers = [...answer.headers].filter(([name]) => name !== "x-request-id" && name !== "date").sort();
  const text = answer.text.replaceAll(answer.headers.get("x-request-id") as string, "<request id>");
  return { status: answer.status, headers, text };
}

/** Asserts that neither the log nor the audit log holds any of the secrets. */
export async function expectSilent(server: TestServer, secrets: readonly string[]): Promise<void> {
  const log = server.logged.join("\n");
  for (const secret of secrets) {
    expect(log.includes(secret)).toBe(false);
    expect(await auditMentions(server, secret)).toBe(0);
  }
}
