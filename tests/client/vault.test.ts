import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { memoryStore, Vault } from "../../src/client/index.ts";
import { makeKey } from "../../src/crypto/keys.ts";
import { auditTypes, randomHex, randomName, randomPassword, signUp } from "../support/client.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../support/server.ts";
import {
  codeOf,
  errorOf,
  KDF,
  makeNetwork,
  openVault,
  randomLogin,
  registerDevice,
  unlockDevice,
} from "../support/vault.ts";

useQuickHashes();

describe.each(ENGINES)("a vault on %s", (engine) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer(engine);
  });
  afterAll(() => server.stop());

  test("opens on another device with the master password alone", async () => {
    const { vault, ...account } = await registerDevice(server);
    const content = randomLogin({ uris: ["https://example.org"], favorite: true });
    const { id } = await vault.add(content);
    const other = await unlockDevice(server, { ...account, device_name: "Laptop" });
    expect(await other.vault.list()).toMatchObject([{ id, version: 1, content }]);
    expect((await other.vault.sessions()).map(({ device_name }) => device_name)).toContain("Laptop");
  });

  test("refuses everything while it is locked, and sends nothing", async () => {
    const network = makeNetwork();
    const { vault } = await registerDevice(server, { fetch: network.fetch });
    const { id } = await vault.add(randomLogin());
    expect(vault.locked).toBe(false);
    vault.lock();
    vault.lock();
    expect(vault.locked).toBe(true);
    network.sent.length = 0;
    const refused: Record<string, () => Promise<unknown>> = {
      add: () => vault.add(randomLogin()),
      get: () => vault.get(id),
      list: () => vault.list(),
      scan: () => vault.scan(),
      search: () => vault.search("a"),
      update: () => vault.update(id, { notes: "n" }),
      remove: () => vault.remove(id),
      acceptMissing: () => vault.acceptMissing([id]),
      acceptRestore: () => vault.acceptRestore(),
      changePassword: () => vault.changePassword({ current_password: "a", new_password: "b" }),
      sessions: () => vault.sessions(),
      endSession: () => vault.endSession(id),
      endOtherSessions: () => vault.endOtherSessions(),
      events: () => vault.events(),
      exportEncrypted: () => vault.exportEncrypted(),
      importEntries: () => vault.importEntries([]),
      duplicates: () => vault.duplicates([]),
      sealKey: () => vault.sealKey(makeKey()),
      logout: () => vault.logout(),
    };
    for (const [name, work] of Object.entries(refused)) {
      expect({ name, code: await codeOf(work()) }).toEqual({ name, code: "vault-locked" });
    }
    const open = ["constructor", "locked", "register", "unlock", "resume", "lock", "forgetSession"];
    expect(Object.getOwnPropertyNames(Vault.prototype).sort()).toEqual(
      [...open, ...Object.keys(refused)].sort(),
    );
    expect(network.sent).toEqual([]);
  });

  test("shows nothing of what it holds, open or locked", async () => {
    const { vault, master_password } = await registerDevice(server);
    const password = randomHex(16);
    const { id } = await vault.add(randomLogin({ password }));
    await vault.get(id);
    for (const lock of [false, true]) {
      if (lock) vault.lock();
      const shown = [
        Bun.inspect(vault, { depth: 10 }),
        JSON.stringify(vault),
        Object.keys(vault).join(),
      ].join();
      expect(shown).not.toContain(password);
      expect(shown).not.toContain(master_password);
    }
  });

  test("forgets what it had seen when it is locked, even what comes while it is being locked", async () => {
    const network = makeNetwork();
    const { vault, ...account } = await registerDevice(server, { fetch: network.fetch });
    const entry = await vault.add(randomLogin());
    const reading = vault.get(entry.id);
    vault.lock();
    expect((await reading).id).toBe(entry.id);
    await vault.unlock(account);
    network.sent.length = 0;
    await vault.update(entry.id, { notes: "n" });
    expect(network.sent.map(({ route }) => route)).toEqual(["GET /entries/:id", "PUT /entries/:id"]);
  });

  test("knows nothing of the account before when another is unlocked with it", async () => {
    const first = await registerDevice(server);
    const entry = await first.vault.add(randomLogin());
    const second = await registerDevice(server);
    await first.vault.unlock(second);
    expect(await first.vault.list()).toEqual([]);
    expect(await codeOf(first.vault.update(entry.id, { notes: "n" }))).toBe("entry-not-found");
  });

  test("resumes without the master password, in the session that was", async () => {
    const { vault, store, username } = await registerDevice(server);
    const { id } = await vault.add(randomLogin());
    const session_key = makeKey();
    const sealed_key = await vault.sealKey(session_key);
    vault.lock();
    const other = openVault(server, { store });
    for (const process of [vault, other]) {
      await process.resume({ username: username.toUpperCase(), sealed_key, session_key });
      expect((await process.list()).map((entry) => entry.id)).toEqual([id]);
    }
    expect((await other.sessions()).length).toBe(1);
  });

  test("does not resume with another key, another account's or a damaged one", async () => {
    const [mine, theirs] = [await registerDevice(server), await registerDevice(server)];
    const { username, store } = mine;
    const session_key = makeKey();
    const sealed_key = await mine.vault.sealKey(session_key);
    const foreign = await theirs.vault.sealKey(session_key);
    const damaged = sealed_key.replace(
      /"tag":"./,
      (start) => start.slice(0, -1) + (start.endsWith("A") ? "B" : "A"),
    );
    for (const device of [
      { username, sealed_key, session_key: makeKey() },
      { username, sealed_key, session_key: session_key.slice(1) },
      ...[foreign, damaged, "", "{}", "null"].map((text) => ({ username, sealed_key: text, session_key })),
    ]) {
      const vault = openVault(server, { store });
      expect(await codeOf(vault.resume(device))).toBe("session-key-wrong");
      expect(vault.locked).toBe(true);
    }
    const stranger = openVault(server);
    expect(await codeOf(stranger.resume({ username, sealed_key, session_key }))).toBe("store-damaged");
  });

  test("ends its session, here and on the server, when it logs out", async () => {
    const { vault, store, ...account } = await registerDevice(server);
    const session_key = makeKey();
    const sealed_key = await vault.sealKey(session_key);
    await vault.logout();
    expect(vault.locked).toBe(true);
    const other = openVault(server, { store });
    await other.resume({ username: account.username, sealed_key, session_key });
    expect(await codeOf(other.list())).toBe("signed-out");
    await other.logout();
    const again = await unlockDevice(server, account);
    expect((await again.vault.sessions()).length).toBe(1);
  });

  test("stays logged in when a logout cannot reach the server", async () => {
    const network = makeNetwork();
    const { vault } = await registerDevice(server, { fetch: network.fetch });
    network.decide = () => "unsent";
    expect(await codeOf(vault.logout())).toBe("server-unreachable");
    network.decide = () => "pass";
    expect(await vault.list()).toEqual([]);
  });

  test("forgets a session without the key, and without a word to the server", async () => {
    const network = makeNetwork();
    const { vault, store, username } = await registerDevice(server, { fetch: network.fetch });
    const session_key = makeKey();
    const sealed_key = await vault.sealKey(session_key);
    vault.lock();
    network.sent.length = 0;
    await vault.forgetSession(username.toUpperCase());
    expect(network.sent).toEqual([]);
    const other = openVault(server, { store });
    await other.resume({ username, sealed_key, session_key });
    expect(await codeOf(other.list())).toBe("signed-out");
  });

  test("ends the session before when it is unlocked again, and opens although that fails", async () => {
    const network = makeNetwork();
    const { vault, ...account } = await registerDevice(server, { fetch: network.fetch });
    await vault.unlock(account);
    expect((await vault.sessions()).length).toBe(1);
    network.decide = ({ route }) => (route === "POST /auth/logout" ? "unsent" : "pass");
    await vault.unlock(account);
    expect((await vault.sessions()).length).toBe(2);
    await vault.endOtherSessions();
    expect((await vault.sessions()).length).toBe(1);
  });

  test("ends one session of another device, and none for an id that names none", async () => {
    const { vault, ...account } = await registerDevice(server);
    const other = await unlockDevice(server, account);
    for (const id of [crypto.randomUUID(), "", ".", "../sessions"]) {
      expect({ id, hostile: (await errorOf(vault.endSession(id))).hostile }).toEqual({ id, hostile: false });
    }
    const theirs = (await vault.sessions()).find(({ current }) => !current);
    await vault.endSession(theirs?.id ?? "");
    expect(await codeOf(other.vault.list())).toBe("signed-out");
    expect(await vault.list()).toEqual([]);
  });

  test("tells what happened to the account", async () => {
    const { vault } = await registerDevice(server);
    await vault.add(randomLogin());
    const types = (await vault.events()).map(({ type }) => type);
    expect(types.slice(0, 2)).toEqual(["entry-created", "login-succeeded"]);
    expect((await vault.events(1)).length).toBe(1);
  });

  test("refuses a wrong master password, and tells no unknown name from it", async () => {
    const { username } = await registerDevice(server);
    for (const name of [username, randomName()]) {
      const vault = openVault(server);
      const error = await errorOf(vault.unlock({ username: name, master_password: randomPassword() }));
      expect(error).toMatchObject({ code: "password-wrong", hostile: false });
      expect(vault.locked).toBe(true);
    }
  });

  test("stays as it is when unlocking it again fails", async () => {
    const { vault, username } = await registerDevice(server);
    expect(await codeOf(vault.unlock({ username, master_password: randomPassword() }))).toBe(
      "password-wrong",
    );
    expect(await vault.list()).toEqual([]);
  });

  test("refuses an empty or ill-formed master password before anything of it is sent", async () => {
    const network = makeNetwork();
    const { username } = await registerDevice(server);
    const vault = openVault(server, { fetch: network.fetch });
    for (const master_password of ["", "\ud800", `${randomPassword()}\udfff`]) {
      expect(await codeOf(vault.unlock({ username, master_password }))).toBe("password-invalid");
      expect(await codeOf(vault.register({ username: randomName(), master_password }))).toBe(
        "password-invalid",
      );
    }
    expect(new Set(network.sent.map(({ route }) => route))).toEqual(new Set(["POST /auth/prelogin"]));
  });

  test("opens whatever case the name is typed in, and however the accents are composed", async () => {
    const name = randomName();
    const secret = randomPassword();
    const account = { username: name, master_password: `${secret}é\u1e69` };
    const { vault, store } = await registerDevice(server, {}, account);
    const { id } = await vault.add(randomLogin());
    const typed = { username: name.toUpperCase(), master_password: `${secret}e\u0301s\u0307\u0323` };
    for (const device of [await unlockDevice(server, typed), await unlockDevice(server, typed, { store })]) {
      expect((await device.vault.list()).map((entry) => entry.id)).toEqual([id]);
    }
    expect(await vault.update(id, { notes: "n" })).toMatchObject({ version: 2 });
  });

  test("does not take the compatibility form of a password for the same", async () => {
    const secret = randomPassword();
    const { username } = await registerDevice(
      server,
      {},
      { username: randomName(), master_password: `${secret}ﬁ` },
    );
    const vault = openVault(server);
    expect(await codeOf(vault.unlock({ username, master_password: `${secret}fi` }))).toBe("password-wrong");
  });

  test("is not made under a name that is taken, in any case", async () => {
    const { username, vault } = await registerDevice(server);
    const other = openVault(server);
    const account = { username: username.toUpperCase(), master_password: randomPassword(), kdf: KDF };
    expect(await codeOf(other.register(account))).toBe("username-taken");
    expect(await vault.list()).toEqual([]);
  });

  test("is not made with a name or a key derivation that the contract does not know", async () => {
    const vault = openVault(server);
    const account = { username: randomName(), master_password: randomPassword(), kdf: KDF };
    for (const wrong of [
      { username: "a b" },
      { username: "\u212aelvin" },
      { kdf: { ...KDF, memory_kib: KDF.memory_kib - 1 } },
      { kdf: { ...KDF, memory_kib: 2 ** 32 } },
      { kdf: { ...KDF, parallelism: 17 } },
    ]) {
      expect(await codeOf(vault.register({ ...account, ...wrong }))).toBe("request-invalid");
    }
    expect(vault.locked).toBe(true);
  });

  test("is not made where registration is closed", async () => {
    const closed = await startTestServer(engine, { REGISTRATION: "closed" });
    const account = { username: randomName(), master_password: randomPassword(), kdf: KDF };
    expect(await codeOf(openVault(closed).register(account))).toBe("registration-closed");
    await closed.stop();
  });

  test("is not an account that logs in by password", async () => {
    const user = await signUp(server);
    const vault = openVault(server);
    // The password is never sent: what is derived from it is not what the server knows.
    expect(await codeOf(vault.unlock({ username: user.username, master_password: user.password }))).toBe(
      "password-wrong",
    );
    expect((await auditTypes(server, user.id)).at(-1)).toBe("login-failed");
  });

  test("opens on two servers at once, each with pins of its own in one store", async () => {
    const store = memoryStore();
    const account = { username: randomName(), master_password: randomPassword() };
    const here = await registerDevice(server, { store }, account);
    const { id } = await here.vault.add(randomLogin());
    const proxied = new Vault({ url: server.url.replace("127.0.0.1", "localhost"), store });
    await proxied.unlock(account);
    expect((await proxied.list()).map((entry) => entry.id)).toEqual([id]);
    expect((await here.vault.sessions()).length).toBe(2);
    // What a device keeps for one of them is of no use with the other.
    const session_key = makeKey();
    const sealed_key = await here.vault.sealKey(session_key);
    const device = { username: account.username, sealed_key, session_key };
    expect(await codeOf(proxied.resume(device))).toBe("session-key-wrong");
    await here.vault.resume(device);
  });
});
