import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { memoryStore, openArchive, type Store } from "../../src/client/index.ts";
import { entries } from "../../src/server/db/schema.ts";
import { auditTypes, call, randomPassword } from "../support/client.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../support/server.ts";
import {
  codeOf,
  type Device,
  errorOf,
  type Fate,
  KDF,
  makeNetwork,
  type Network,
  openVault,
  randomLogin,
  registerDevice,
  unlockDevice,
} from "../support/vault.ts";

useQuickHashes();

const CHANGE = "PUT /auth/password";

describe.each(ENGINES)("a change of the master password on %s", (engine) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer(engine);
  });
  afterAll(() => server.stop());

  type Changing = Device & { network: Network; new_password: string; id: string };

  async function newDevice(store: Store = memoryStore()): Promise<Changing> {
    const network = makeNetwork();
    const device = await registerDevice(server, { fetch: network.fetch, store });
    const { id } = await device.vault.add(randomLogin());
    return { ...device, network, new_password: randomPassword(), id };
  }

  const change = ({ vault, master_password, new_password }: Changing, extra: object = {}) =>
    vault.changePassword({ current_password: master_password, new_password, ...extra });

  async function userId({ store, username }: Device): Promise<string> {
    return JSON.parse((await store.read(`pins ${server.url} ${username}`)) as string).account_id;
  }

  const rowsOf = async (device: Device) =>
    server.deps.db
      .select()
      .from(entries)
      .where(eq(entries.user_id, await userId(device)))
      .orderBy(entries.id);

  test("touches no entry, and leaves all of them readable", async () => {
    const device = await newDevice();
    await device.vault.add(randomLogin({ notes: "x".repeat(5000) }));
    await device.vault.update(device.id, { notes: "n" });
    const [rows, list] = [await rowsOf(device), await device.vault.list()];
    await change(device);
    expect(await rowsOf(device)).toEqual(rows);
    expect(await device.vault.list()).toEqual(list);
    const { username, new_password } = device;
    const there = await unlockDevice(server, { username, master_password: new_password });
    expect(await there.vault.list()).toEqual(list);
    expect((await device.vault.update(device.id, { notes: "m" })).version).toBe(3);
  });

  test("is refused with a wrong current password, before anything is sent", async () => {
    const device = await newDevice();
    device.network.sent.length = 0;
    const wrong = { current_password: randomPassword(), new_password: device.new_password };
    expect(await errorOf(device.vault.changePassword(wrong))).toMatchObject({ code: "password-wrong" });
    expect(device.network.sent).toEqual([]);
    await device.vault.unlock(device);
    expect(await auditTypes(server, await userId(device))).not.toContain("secret-failed");
  });

  test("is refused to an unusable password or a weaker derivation, before anything is sent", async () => {
    const device = await newDevice();
    device.network.sent.length = 0;
    for (const new_password of ["", "\ud800"]) {
      expect(await codeOf(change({ ...device, new_password }))).toBe("password-invalid");
    }
    for (const weaker of [{ memory_kib: KDF.memory_kib - 1 }, { iterations: KDF.iterations - 1 }]) {
      expect(await codeOf(change(device, { kdf: { ...KDF, ...weaker } }))).toBe("kdf-weaker");
    }
    expect(device.network.sent).toEqual([]);
    await device.vault.unlock(device);
  });

  test("ends the old password, every session and every token of before, and nothing else", async () => {
    const device = await newDevice();
    const other = await unlockDevice(server, device, { fetch: device.network.fetch });
    const bodies: string[] = [];
    const inner = device.network.fetch;
    const spying = async (url: string, init: RequestInit) => {
      const response = await inner(url, init);
      bodies.push(await response.clone().text());
      return response;
    };
    const third = await unlockDevice(server, device, { fetch: spying });
    const { accessToken, refreshToken } = JSON.parse(bodies.at(-1) as string);
    expect((await third.vault.list()).length).toBe(1);
    await change(device);

    expect((await call(server, "GET /account", { token: accessToken })).status).toBe(401);
    expect((await call(server, "POST /auth/token", { body: { refreshToken } })).status).toBe(401);
    for (const { vault } of [other, third]) expect(await codeOf(vault.list())).toBe("signed-out");
    expect((await device.vault.sessions()).length).toBe(1);
    expect(await codeOf(openVault(server).unlock(device))).toBe("password-wrong");
    expect(await codeOf(device.vault.unlock(device))).toBe("password-wrong");
    expect((await device.vault.list()).length).toBe(1);
  });

  test("is told to another device as what it could be, an attack, until somebody says that it is none", async () => {
    const device = await newDevice();
    const other = await unlockDevice(server, device);
    await other.vault.list();
    await change(device);
    const { username, new_password: master_password } = device;
    expect(await codeOf(other.vault.list())).toBe("signed-out");
    const refused = await errorOf(other.vault.unlock({ username, master_password }));
    expect(refused).toMatchObject({ code: "salt-changed", hostile: true });
    await other.vault.unlock({ username, master_password, password_changed: true });
    expect((await other.vault.list()).map(({ id }) => id)).toEqual([device.id]);
    // From now on it is known.
    await other.vault.unlock({ username, master_password });
  });

  test("can make the derivation stronger, and nobody can make it weaker again", async () => {
    const device = await newDevice();
    const kdf = { ...KDF, iterations: KDF.iterations + 1, memory_kib: KDF.memory_kib + 1024 };
    await change(device, { kdf });
    const { username, new_password: master_password } = device;
    const there = await unlockDevice(server, { username, master_password });
    expect(JSON.parse((await there.store.read(`pins ${server.url} ${username}`)) as string).kdf).toEqual(kdf);
    await device.vault.unlock({ username, master_password });
    const again = { current_password: master_password, new_password: randomPassword(), kdf: KDF };
    expect(await codeOf(device.vault.changePassword(again))).toBe("kdf-weaker");
  });

  test("to the same password makes new keys of it", async () => {
    const device = await newDevice();
    const before = await device.store.read(`pins ${server.url} ${device.username}`);
    await change({ ...device, new_password: device.master_password });
    expect(await device.store.read(`pins ${server.url} ${device.username}`)).not.toBe(before);
    await device.vault.unlock(device);
  });

  test("can be made again and again, and after a resume", async () => {
    const device = await newDevice();
    await change(device);
    const session_key = crypto.getRandomValues(new Uint8Array(32));
    const sealed_key = await device.vault.sealKey(session_key);
    const { username, store, new_password: current_password } = device;
    const resumed = openVault(server, { store });
    await resumed.resume({ username, sealed_key, session_key });
    const new_password = randomPassword();
    await resumed.changePassword({ current_password, new_password });
    // The key of the vault is the same, and so is the store: the first process goes on in the new session.
    expect((await device.vault.list()).length).toBe(1);
    expect((await unlockDevice(server, { username, master_password: new_password })).vault.locked).toBe(
      false,
    );
  });

  test("wraps the right key although the vault is locked meanwhile", async () => {
    const device = await newDevice();
    const changing = change(device);
    device.vault.lock();
    await changing;
    expect(device.vault.locked).toBe(true);
    const { username, new_password: master_password } = device;
    const there = await unlockDevice(server, { username, master_password });
    expect((await there.vault.list()).map(({ id }) => id)).toEqual([device.id]);
  });

  test("of which the server has another password by now is refused, and nothing is lost", async () => {
    const device = await newDevice();
    const other = await unlockDevice(server, device);
    await change({ ...device, vault: other.vault });
    expect(await codeOf(change({ ...device, new_password: randomPassword() }))).toBe("signed-out");
    const { username, new_password: master_password } = device;
    await device.vault.unlock({ username, master_password, password_changed: true });
    expect((await device.vault.list()).length).toBe(1);
  });

  test("leaves archives of before to the password of before", async () => {
    const device = await newDevice();
    const archive = await device.vault.exportEncrypted();
    await change(device);
    const { master_password, new_password, id } = device;
    expect((await openArchive(archive, master_password)).entries).toMatchObject([{ id }]);
    expect(await codeOf(openArchive(archive, new_password))).toBe("archive-password-wrong");
    const later = await device.vault.exportEncrypted();
    expect((await openArchive(later, new_password)).entries).toMatchObject([{ id }]);
    expect(await codeOf(openArchive(later, master_password))).toBe("archive-password-wrong");
  });

  describe("that is cut short", () => {
    /** Exactly one of the two passwords opens the vault, on the device itself, without any alarm, and on a new one. */
    async function expectOneOf(device: Changing, which: "old" | "new"): Promise<void> {
      const { username, store, master_password, new_password, id } = device;
      const [right, wrong] =
        which === "new" ? [new_password, master_password] : [master_password, new_password];
      for (const options of [{ store }, {}]) {
        const vault = openVault(server, options);
        expect(await codeOf(vault.unlock({ username, master_password: wrong }))).toBe("password-wrong");
        await vault.unlock({ username, master_password: right });
        expect((await vault.list()).map((entry) => entry.id)).toEqual([id]);
      }
    }

    test("after it was found out to be carried out, but before a new session, leaves the new password", async () => {
      const device = await newDevice();
      device.network.decide = ({ route }) =>
        route === CHANGE ? "unanswered" : route === "POST /auth/login" ? "unsent" : "pass";
      await change(device);
      expect(await codeOf(device.vault.list())).toBe("signed-out");
      await expectOneOf(device, "new");
    });

    const crash = new Error("crash");
    const fates: [string, Fate[], "old" | "new", string | undefined][] = [
      ["before it is sent", ["unsent"], "old", "server-unreachable"],
      ["after it was carried out, the answer being lost", ["unanswered"], "new", undefined],
    ];

    test.each(fates)("%s leaves one password, and says which", async (_, [fate], which, code) => {
      const device = await newDevice();
      device.network.next(CHANGE, fate as Fate);
      if (code === undefined) await change(device);
      else expect(await codeOf(change(device))).toBe(code);
      expect((await device.vault.list()).length).toBe(1);
      expect(device.network.count(CHANGE)).toBe(1);
      await expectOneOf(device, which);
    });

    test.each([
      ["unsent", "old"],
      ["unanswered", "new"],
    ] as const)(
      "while the server cannot be asked (%s) is told as unknown, and the %s one opens",
      async (fate, which) => {
        const device = await newDevice();
        let cut = false;
        device.network.decide = ({ route }) => {
          if (route === CHANGE) cut = true;
          return route === CHANGE ? fate : cut ? "unsent" : "pass";
        };
        expect(await errorOf(change(device))).toMatchObject({
          code: "password-change-unknown",
          hostile: false,
        });
        device.network.decide = () => "pass";
        await expectOneOf(device, which);
      },
    );

    test.each([
      ["unsent", "old"],
      ["unanswered", "new"],
    ] as const)("with its process (%s) leaves the %s password", async (fate, which) => {
      const device = await newDevice();
      // No code of ours runs after it: neither an answer comes nor an error.
      const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
      const frozen = openVault(server, {
        store: device.store,
        fetch: async (url, init) => {
          if (!url.endsWith("/auth/password")) return fetch(url, init);
          if (fate === "unanswered") await fetch(url, init);
          stop();
          return new Promise(() => {});
        },
      });
      await frozen.unlock(device);
      void change({ ...device, vault: frozen });
      await stopped;
      await expectOneOf(device, which);
    });

    // The store is written to before the request, and twice after it: with the new account, with the new tokens.
    test.each([
      [1, "old"],
      [2, "new"],
      [3, "new"],
    ] as const)("by its store at update %d leaves the %s password", async (nth, which) => {
      const inner = memoryStore();
      let updates = Number.NEGATIVE_INFINITY;
      const store: Store = {
        read: inner.read,
        update: (key, work) =>
          inner.update(key, async (text) => {
            if (++updates === nth) throw crash;
            return work(text);
          }),
      };
      const device = await newDevice(store);
      updates = 0;
      expect(await change(device).catch((error) => error)).toBe(crash);
      updates = Number.NEGATIVE_INFINITY;
      await expectOneOf(device, which);
    });

    test("twice, each time unknown, is no alarm on this device", async () => {
      const device = await newDevice();
      let cut = false;
      device.network.decide = ({ route }) => {
        if (route === CHANGE) cut = true;
        return route === CHANGE ? "unanswered" : cut ? "unsent" : "pass";
      };
      expect(await codeOf(change(device))).toBe("password-change-unknown");
      // The same again, of somebody who believes that it has failed: the session is gone, but it is pinned once more.
      device.network.decide = () => "pass";
      expect(await codeOf(change({ ...device, new_password: randomPassword() }))).toBe("signed-out");
      await expectOneOf(device, "new");
    });
  });
});
