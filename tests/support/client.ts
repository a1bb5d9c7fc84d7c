import { expect } from "bun:test";
import { asc, eq } from "drizzle-orm";
import type { EntryResponse } from "../../src/contract/entries.ts";
import type { ProblemCode } from "../../src/contract/problems.ts";
import { auditEvents } from "../../src/server/db/schema.ts";
import { expectDocumented } from "./document.ts";
import type { TestServer } from "./server.ts";

// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back, and asserts what it finds there
export type Answer = { status: number; headers: Headers; text: string; body: any };

type Options = {
  token?: string;
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is. */
  raw?: string | Uint8Array | ReadableStream;
  headers?: Record<string, string>;
};

/**
 * One request over a real connection: `call(server, "PUT /entries/1", { token, body })`. Every answer of every test
 * has to be one that the OpenAPI document tells of.
 */
export async function call(server: { url: string }, route: string, options: Options = {}): Promise<Answer> {
  const [method, path] = route.split(" ") as [string, string];
  const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  const response = await fetch(server.url + path, {
    method,
    redirect: "manual",
    headers: {
      ...(body !== undefined && { "content-type": "application/json" }),
      ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
      ...options.headers,
    },
    ...(body !== undefined && { body: body as BodyInit }),
  });
  const text = await response.text();
  const json = /json/.test(response.headers.get("content-type") ?? "");
  const answer = {
    status: response.status,
    headers: response.headers,
    text,
    body: json && text !== "" ? JSON.parse(text) : undefined,
  };
  expectDocumented(route, answer);
  return answer;
}

/** Asserts that an answer is the problem `code`, whole and well-formed. */
export function expectProblem(answer: Answer, status: number, code: ProblemCode): void {
  expect({ status: answer.status, code: answer.body?.code }).toEqual({ status, code });
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.body).toMatchObject({
    type: `urn:blindvault:problem:${code}`,
    status,
    title: expect.any(String),
  });
  expect(answer.body.request_id).toBe(answer.headers.get("x-request-id"));
}

export type TestUser = {
  id: string;
  username: string;
  password: string;
  token: string;
  refresh_token: string;
};

/** An account of its own for a test, logged in. */
export async function signUp(server: { url: string }, username: string = randomName()): Promise<TestUser> {
  const password = randomPassword();
  const registered = await call(server, "POST /auth/register", { body: { username, password } });
  expect(registered.status).toBe(201);
  return signIn(server, { id: registered.body.id, username, password });
}

/** A new session of an account. */
export async function signIn(
  server: { url: string },
  user: Pick<TestUser, "id" | "username" | "password">,
): Promise<TestUser> {
  const { id, username, password } = user;
  const { body } = await call(server, "POST /auth/login", { body: { username, password } });
  expect(body.user_id).toBe(id);
  return { id, username, password, token: body.accessToken, refresh_token: body.refreshToken };
}

export function randomName(): string {
  return `user_${randomHex(8)}`;
}

/** Long, mixed, and drawn anew each time. */
export function randomPassword(): string {
  return `Aa1!${randomHex(12)}`;
}

export function randomHex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}

export function randomBase64(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("base64");
}

/** What a client sends for an entry: opaque bytes of the right lengths. */
export function sealedEntry(ciphertext_bytes = 64) {
  return { ciphertext: randomBase64(ciphertext_bytes), iv: randomBase64(12), tag: randomBase64(16) };
}

/** The keys that an account of an auth_key sends. */
export function zeroKnowledgeKeys() {
  return {
    encryption_salt: randomHex(32),
    kdf: { algorithm: "argon2id", memory_kib: 65_536, iterations: 3, parallelism: 4 },
    protected_key: {
      ciphertext: randomBase64(32),
      iv: randomBase64(12),
      tag: randomBase64(16),
      commitment: randomBase64(32),
    },
  };
}

export async function createEntry(
  server: { url: string },
  user: TestUser,
  extra: object = {},
): Promise<EntryResponse> {
  const answer = await call(server, "POST /entries", {
    token: user.token,
    body: { ...sealedEntry(), ...extra },
  });
  expect(answer.status).toBe(201);
  return answer.body;
}

/** The audit log of an account in the order of its events, with what was still buffered. */
export async function auditLog(server: TestServer, user_id: string) {
  await server.deps.audit.flush();
  return server.deps.db
    .select()
    .from(auditEvents)
    .where(eq(auditEvents.user_id, user_id))
    .orderBy(asc(auditEvents.id));
}

export async function auditTypes(server: TestServer, user_id: string): Promise<string[]> {
  return (await auditLog(server, user_id)).map((event) => event.type);
}
