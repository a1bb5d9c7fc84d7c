import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { memoryStore, type Store, Vault } from "../../src/client/index.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { codeOf, type Device, makeNetwork, registerDevice } from "../support/vault.ts";

useQuickHashes();

describe("a store in memory", () => {
  test("lets nobody between the reading and the writing of an update", async () => {
    const store = memoryStore();
    const count = async (text: string | undefined) => {
      await Bun.sleep(Math.random());
      return String(Number(text ?? 0) + 1);
    };
    await Promise.all(Array.from({ length: 50 }, () => store.update("key", count)));
    expect(await store.read("key")).toBe("50");
  });

  test("keeps what was there when an update fails, tells of the failure, and goes on", async () => {
    const store = memoryStore();
    await store.update("key", async () => "old");
    const failing = store.update("key", async () => {
      throw new Error("no");
    });
    const next = store.update("key", async (text) => `${text}, then new`);
    await expect(failing).rejects.toThrow("no");
    await next;
    expect(await store.read("key")).toBe("old, then new");
  });

  test("keeps nothing where an update makes undefined of it", async () => {
    const store = memoryStore();
    await store.update("key", async () => "");
    expect(await store.read("key")).toBe("");
    await store.update("key", async () => undefined);
    expect(await store.read("key")).toBeUndefined();
  });

  test("does not let one key wait for another", async () => {
    const store = memoryStore();
    let release = () => {};
    const slow = store.update("slow", () => new Promise((resolve) => (release = () => resolve("late"))));
    await store.update("quick", async () => "done");
    expect(await store.read("quick")).toBe("done");
    release();
    await slow;
  });
});

describe("what a device remembers", () => {
  let server: TestServer;
  let device: Device;
  beforeAll(async () => {
    server = await startTestServer("embedded");
    device = await registerDevice(server);
  });
  afterAll(() => server.stop());

  const damages: [string, (text: string) => string][] = [
    ["nothing", () => ""],
    ["half of it", (text) => text.slice(0, text.length / 2)],
    ["another version", (text) => text.replace('"v":1', '"v":2')],
    ["a field that is not known", (text) => text.replace('"v":1', '"v":1,"w":1')],
    ["a weaker derivation than any", (text) => text.replace(/"memory_kib":\d+/, '"memory_kib":8')],
    ["no account", (text) => text.replace(/"account_id":"[^"]+",/, "")],
    [
      "a version that is none",
      (text) => text.replace('"entries":{', `"entries":{"${crypto.randomUUID()}":[0,""]`),
    ],
    ["null", () => "null"],
  ];

  test.each(damages)(
    "is not begun anew when it is damaged to %s, and the password goes nowhere",
    async (_, damage) => {
      const network = makeNetwork();
      const key = `pins ${server.url} ${device.username}`;
      const store = await copyOf(device.store, key);
      await store.update(key, async (text) => damage(text as string));
      const vault = new Vault({ url: server.url, store, fetch: network.fetch });
      expect(await codeOf(vault.unlock(device))).toBe("store-damaged");
      const sealed = { sealed_key: "", session_key: new Uint8Array(32) };
      expect(await codeOf(vault.resume({ username: device.username, ...sealed }))).toBe("store-damaged");
      expect(network.sent).toEqual([]);
      expect(vault.locked).toBe(true);
    },
  );

  test("of tokens is no obstacle to logging in when it is damaged", async () => {
    const key = `tokens ${server.url} ${device.username}`;
    await device.store.update(key, async () => "damaged");
    const vault = new Vault({ url: server.url, store: device.store });
    await vault.unlock(device);
    expect(await vault.list()).toEqual([]);
  });

  test("holds neither a token nor a key that is not sealed", async () => {
    const network = makeNetwork();
    const kept: string[] = [];
    const store = memoryStore();
    const watched: Store = {
      read: store.read,
      update: (key, change) =>
        store.update(key, async (text) => {
          const next = await change(text);
          kept.push(`${key} ${next}`);
          return next;
        }),
    };
    const answers: string[] = [];
    const fetch = async (url: string, init: RequestInit) => {
      const response = await network.fetch(url, init);
      answers.push(await response.clone().text());
      return response;
    };
    const { vault, master_password } = await registerDevice(server, { store: watched, fetch });
    await vault.sealKey(new Uint8Array(32));
    const tokens = answers.flatMap((text) => [...text.matchAll(/"(?:accessToken|refreshToken)":"([^"]+)"/g)]);
    const auth_keys = network.sent.flatMap(({ body }) => [...body.matchAll(/"auth_key":"([^"]+)"/g)]);
    const secrets = [...tokens, ...auth_keys].map(([, secret]) => secret as string);
    expect(secrets.length).toBe(4);
    expect(kept.length).toBe(3);
    for (const secret of [...secrets, master_password]) expect(kept.join()).not.toContain(secret);
  });
});

async function copyOf(store: Store, key: string): Promise<Store> {
  const copy = memoryStore();
  const text = await store.read(key);
  await copy.update(key, async () => text);
  return copy;
}
