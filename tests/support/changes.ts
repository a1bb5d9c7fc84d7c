import type { AuditEventType } from "../../src/contract/audit.ts";
import {
  type Answer,
  call,
  createEntry,
  randomBase64,
  randomName,
  randomPassword,
  sealedEntry,
  signIn,
  signUp,
  zeroKnowledgeKeys,
} from "./client.ts";
import type { TestServer } from "./server.ts";

/** A change that is ready to be asked for, and that may be asked for again as long as it fails. */
export type Change = {
  user_id: string;
  ask(): Promise<Answer>;
  /** What no log line and no error may hold. */
  secrets: string[];
};

/** Every change that a client can make, by the event that tells of it. */
export const CHANGES: [
  name: string,
  event: AuditEventType,
  prepare: (server: TestServer) => Promise<Change>,
][] = [
  [
    "a registration",
    "account-registered",
    async (server) => {
      const [id, auth_key] = [crypto.randomUUID(), randomBase64(32)];
      const body = { id, username: randomName(), auth_key, ...zeroKnowledgeKeys() };
      const secrets = [auth_key, body.encryption_salt, body.protected_key.ciphertext];
      return { user_id: id, secrets, ask: () => call(server, "POST /auth/register", { body }) };
    },
  ],
  [
    "a login",
    "login-succeeded",
    async (server) => {
      const { id, username, password } = await signUp(server);
      const body = { username, password, device_name: "a device" };
      return { user_id: id, secrets: [password], ask: () => call(server, "POST /auth/login", { body }) };
    },
  ],
  ["a refresh", "session-refreshed", (server) => withRefreshToken(server, "POST /auth/token")],
  ["a logout", "logout", (server) => withRefreshToken(server, "POST /auth/logout")],
  [
    "a change of password",
    "password-changed",
    (server) => {
      const new_password = randomPassword();
      return signedIn(server, "PUT /auth/password", ({ password }) => ({
        current_password: password,
        new_password,
      }));
    },
  ],
  [
    "the end of other sessions",
    "session-ended",
    async (server) => {
      const user = await signUp(server);
      await signIn(server, user);
      const { id, token } = await signIn(server, user);
      const ask = () => call(server, "DELETE /auth/sessions", { token });
      return { user_id: id, secrets: [token], ask };
    },
  ],
  [
    "the end of one session",
    "session-ended",
    async (server) => {
      const user = await signUp(server);
      const { body } = await call(server, "GET /auth/sessions", { token: user.token });
      const { id, token } = await signIn(server, user);
      const ask = () => call(server, `DELETE /auth/sessions/${body.sessions[0].id}`, { token });
      return { user_id: id, secrets: [token], ask };
    },
  ],
  ["a new entry", "entry-created", (server) => signedIn(server, "POST /entries", () => sealedEntry())],
  ["a batch of entries", "entry-created", withBatch],
  ["a change of an entry", "entry-updated", (server) => withEntry(server, "PUT", sealedEntry())],
  ["the deletion of an entry", "entry-deleted", (server) => withEntry(server, "DELETE")],
  [
    "the deletion of an account",
    "account-deleted",
    (server) => signedIn(server, "DELETE /account", ({ password }) => ({ current_password: password })),
  ],
];

async function signedIn(
  server: TestServer,
  route: string,
  bodyOf: (user: { password: string }) => object,
): Promise<Change> {
  const user = await signUp(server);
  const body = bodyOf(user);
  const secrets = [user.password, user.token, ...Object.values(body)];
  await createEntry(server, user);
  return { user_id: user.id, secrets, ask: () => call(server, route, { token: user.token, body }) };
}

async function withBatch(server: TestServer): Promise<Change> {
  const { id, token } = await signUp(server);
  const entries = [sealedEntry(), sealedEntry(), sealedEntry()];
  const ask = () => call(server, "POST /entries/batch", { token, body: { entries } });
  return { user_id: id, secrets: [token, ...entries.flatMap((entry) => Object.values(entry))], ask };
}

async function withRefreshToken(server: TestServer, route: string): Promise<Change> {
  const { id, refresh_token: refreshToken } = await signUp(server);
  const ask = () => call(server, route, { body: { refreshToken } });
  return { user_id: id, secrets: [refreshToken], ask };
}

async function withEntry(server: TestServer, method: string, body?: { ciphertext: string }): Promise<Change> {
  const user = await signUp(server);
  const { id } = await createEntry(server, user, { name: "as it was" });
  const ask = () => call(server, `${method} /entries/${id}`, { token: user.token, body });
  return { user_id: user.id, secrets: [user.token, body?.ciphertext ?? user.token], ask };
}
