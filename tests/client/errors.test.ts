import { afterAll, beforeAll, expect, test } from "bun:test";
import { encodeContent } from "../../src/client/content.ts";
import { FAILURES, HOSTILE } from "../../src/client/errors.ts";
import { type EntryContent, memoryStore, openArchive, Vault, VaultError } from "../../src/client/index.ts";
import { PROBLEMS } from "../../src/contract/problems.ts";
import { randomHex, randomName } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import {
  type Device,
  type Fate,
  makeNetwork,
  openVault,
  registerDevice,
  unlockDevice,
} from "../support/vault.ts";

useQuickHashes();

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer("embedded");
});
afterAll(() => server.stop());

/** A text that is nowhere else: whatever holds it has it from here. */
const canary = () => `canary${randomHex(12)}`;
const secrets: string[] = [];
const secret = () => {
  const text = `Aa1!${canary()}`;
  secrets.push(text);
  return text;
};
const content = (extra: object = {}): EntryContent => {
  const fields = [{ name: secret(), value: secret(), hidden: true }];
  const login = { type: "login", name: secret(), username: secret(), password: secret() } as const;
  return { ...login, uris: [secret()], notes: secret(), totp: secret(), tags: [secret()], fields, ...extra };
};

test("no code is used for two things", () => {
  const codes = [HOSTILE, FAILURES, PROBLEMS].flatMap((each) => Object.keys(each));
  expect(new Set(codes).size).toBe(codes.length);
  for (const code of codes) expect(code).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
});

test("an error holds no secret and no plaintext, however it is looked at", async () => {
  const network = makeNetwork();
  const tokens: string[] = [];
  const fetch = async (url: string, init: RequestInit) => {
    const response = await network.fetch(url, init);
    for (const [, token] of (await response.clone().text()).matchAll(
      /"(?:access|refresh)Token":"([^"]+)"/g,
    )) {
      tokens.push(token as string);
    }
    return response;
  };
  const account = { username: randomName(), master_password: secret() };
  const device = await registerDevice(server, { fetch }, account);
  const errors = await provoke(device, network);

  secrets.push(...tokens);
  for (const { body } of network.sent) {
    for (const [, key] of body.matchAll(/"(?:\w*auth_key|ciphertext)":"([^"]+)"/g))
      secrets.push(key as string);
  }
  expect(secrets.length).toBeGreaterThan(60);
  for (const error of errors) {
    const shown = [
      `${error}`,
      error.stack ?? "",
      JSON.stringify(error),
      JSON.stringify(error.details),
      Bun.inspect(error, { depth: 20 }),
      Bun.inspect(error.details.cause, { depth: 20 }),
      JSON.stringify(Object.getOwnPropertyDescriptors(error)),
    ].join("\n");
    const leaked = secrets.filter((text) => shown.includes(text));
    expect({ code: error.code, leaked }).toEqual({ code: error.code, leaked: [] });
    expect(error.message).toMatch(/^[\x20-\x7e]{1,300}$/);
  }
  expect([...new Set(errors.map(({ code }) => code))].sort()).toEqual([
    "archive-damaged",
    "archive-password-wrong",
    "content-invalid",
    "content-too-large",
    "content-unreadable",
    "entries-missing",
    "entry-conflict",
    "entry-not-found",
    "kdf-weaker",
    "merge-conflict",
    "password-change-unknown",
    "password-invalid",
    "password-wrong",
    "request-invalid",
    "response-invalid",
    "salt-changed",
    "server-unreachable",
    "session-key-wrong",
    "signed-out",
    "store-damaged",
    "url-insecure",
    "url-invalid",
    "username-taken",
    "vault-locked",
  ]);
}, 60_000);

/** One error of each kind that an honest server and a person's mistakes make, with secrets wherever there is room. */
async function provoke(device: Device, network: ReturnType<typeof makeNetwork>): Promise<VaultError[]> {
  const errors: VaultError[] = [];
  const collect = async (work: () => unknown) => {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      errors.push(error);
      return;
    }
    throw new Error(`it did not fail: ${work}`);
  };
  const { vault, store, username, master_password } = device;
  const entry = await vault.add(content());
  const there = (await unlockDevice(server, device)).vault;

  for (const broken of [
    { name: "" },
    { [secret()]: secret() },
    { fields: [{ [secret()]: secret() }] },
    { tags: secret() },
  ]) {
    await collect(() => vault.add(content(broken)));
  }
  await collect(() => vault.add(content({ notes: secret().padEnd(70_000, "x") })));
  await collect(() => vault.get(secret()));
  await collect(() => encodeContent(content({ username: `${secret()}\ud800` })));
  await there.update(entry.id, { notes: secret() });
  await collect(() => vault.update(entry.id, { notes: secret() }));
  await collect(() => vault.remove(entry.id));
  const archive = await vault.exportEncrypted();
  await collect(() => openArchive(archive, secret()));
  await collect(() => openArchive(archive, `${secret()}\ud800`));
  await collect(() => openArchive(archive.with(-20, 0x41).with(-21, 0x42), master_password));
  await collect(() =>
    openArchive(
      new TextEncoder().encode(`{"format":"blindvault-archive","v":2,"x":"${secret()}"}\n{}\n`),
      "x",
    ),
  );
  await collect(() => openArchive(new TextEncoder().encode(`${secret()}\n${secret()}\n`), master_password));
  await collect(() => vault.unlock({ username, master_password: secret() }));
  await collect(() => vault.unlock({ username: `${secret()} ${secret()}`, master_password }));
  await collect(() => vault.register({ username, master_password: secret() }));
  await collect(() => vault.changePassword({ current_password: secret(), new_password: secret() }));
  const weak = { algorithm: "argon2id", memory_kib: 8, iterations: 1, parallelism: 1 } as const;
  await collect(() =>
    vault.changePassword({ current_password: master_password, new_password: secret(), kdf: weak }),
  );
  const session_key = crypto.getRandomValues(new Uint8Array(32));
  const sealed_key = await vault.sealKey(session_key);
  const device_key = { username, sealed_key, session_key: session_key.toReversed() };
  await collect(() => openVault(server, { store }).resume(device_key));
  const damaged = memoryStore();
  await damaged.update(`pins ${server.url} ${username}`, async () => secret());
  await collect(() => openVault(server, { store: damaged }).unlock(device));
  await collect(() => new Vault({ url: `https://${randomName()}:${secret()}@vault.example`, store }));
  await collect(() => new Vault({ url: `http://vault.example/${secret()}`, store }));
  await collect(() => openVault({ url: `http://127.0.0.1:${freePort()}` }).unlock(device));
  await collect(() => openVault(server).list());

  const fates: Fate[] = [
    new Response(secret()),
    Response.json({ entries: secret() }),
    new Response(secret(), { status: 418 }),
  ];
  for (const fate of fates) {
    network.next("GET /entries", fate);
    await collect(() => vault.list());
  }
  network.next("GET /entries", ...Array<Fate>(4).fill("unanswered"));
  await collect(() => vault.list());

  await there.remove((await there.get(entry.id)).id);
  await collect(() => vault.get(entry.id));
  const new_password = secret();
  let cut = false;
  network.decide = ({ route }) => {
    if (route === "PUT /auth/password") cut = true;
    return route === "PUT /auth/password" ? "unanswered" : cut ? "unsent" : "pass";
  };
  await collect(() => vault.changePassword({ current_password: master_password, new_password }));
  network.decide = () => "pass";
  await collect(() => vault.list());
  const stale = memoryStore();
  const pins = JSON.parse((await store.read(`pins ${server.url} ${username}`)) as string);
  await stale.update(`pins ${server.url} ${username}`, async () =>
    JSON.stringify({ ...pins, next_salts: [] }),
  );
  await collect(() =>
    openVault(server, { store: stale }).unlock({ username, master_password: new_password }),
  );
  return errors;
}
