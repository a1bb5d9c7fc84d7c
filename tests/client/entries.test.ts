import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openDeviceKey } from "../../src/client/device-key.ts";
import type { Conflict, EntryContent } from "../../src/client/index.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { sealEntry } from "../../src/crypto/envelope.ts";
import { importVaultKey } from "../../src/crypto/keys.ts";
import { randomHex } from "../support/client.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../support/server.ts";
import {
  codeOf,
  type Device,
  errorOf,
  makeNetwork,
  openVault,
  randomLogin,
  registerDevice,
  unlockDevice,
} from "../support/vault.ts";

useQuickHashes();

describe.each(ENGINES)("entries on %s", (engine) => {
  let server: TestServer;
  const network = makeNetwork();
  let here: Device;
  let there: Device;
  beforeAll(async () => {
    server = await startTestServer(engine);
    here = await registerDevice(server, { fetch: network.fetch });
    there = await unlockDevice(server, here);
  });
  afterAll(() => server.stop());

  test("are stored, read, changed, and deleted for good", async () => {
    const content = randomLogin({ fields: [{ name: "PIN", value: "1", hidden: true }], tags: ["a"] });
    const added = await here.vault.add(content);
    expect(added).toMatchObject({ version: 1, content });
    expect(await there.vault.get(added.id)).toEqual(added);
    const changed = await here.vault.update(added.id, { tags: null, notes: "n" });
    const { tags: _, ...rest } = content;
    expect(changed).toMatchObject({ version: 2, content: { ...rest, notes: "n" } });
    expect(changed.content).not.toHaveProperty("tags");
    expect(await there.vault.get(added.id)).toEqual(changed);
    await here.vault.remove(added.id);
    expect(await here.vault.list()).toEqual([]);
    expect(await codeOf(here.vault.get(added.id))).toBe("entry-not-found");
    // The other device had seen it, and takes nobody's word for its end but its owner's.
    expect(await codeOf(there.vault.list())).toBe("entries-missing");
    expect(await there.vault.scan()).toMatchObject({
      entries: [],
      problems: [{ details: { ids: [added.id] } }],
    });
    await there.vault.acceptMissing([added.id]);
    expect(await there.vault.list()).toEqual([]);
  });

  test("are sought by name, username, address and tag, an exact name first", async () => {
    const { vault } = await registerDevice(server);
    expect(await vault.search("anything")).toEqual([]);
    await vault.add({ type: "login", name: "GitHub Enterprise", username: "octocat" });
    await vault.add({ type: "login", name: "github", uris: ["https://code.example"] });
    await vault.add({ type: "note", name: "Recipe", tags: ["kitchen"], notes: "github" });
    const found = async (query: string) => (await vault.search(query)).map(({ content }) => content.name);
    expect(await found("GITHUB")).toEqual(["github", "GitHub Enterprise"]);
    expect(await found("gihtub")).toContain("github");
    expect(await found("octocat")).toEqual(["GitHub Enterprise"]);
    expect(await found("code.example")).toEqual(["github"]);
    expect(await found("kitchen")).toEqual(["Recipe"]);
    expect(await found("nothing like it")).toEqual([]);
  });

  test("that break the rules are not sent", async () => {
    const { id } = await here.vault.add(randomLogin());
    network.sent.length = 0;
    const broken = { type: "note", name: "" } as const;
    const large = { notes: "x".repeat(LIMITS.content_bytes_max) };
    expect(await codeOf(here.vault.add(broken))).toBe("content-invalid");
    expect(await codeOf(here.vault.update(id, { name: "" }))).toBe("content-invalid");
    expect(await codeOf(here.vault.update(id, { notes: "\udc00" }))).toBe("content-invalid");
    expect(await codeOf(here.vault.update(id, large))).toBe("content-too-large");
    expect(network.sent).toEqual([]);
    await here.vault.remove(id);
  });

  test("as large as they may be are stored and come back", async () => {
    const bare = { type: "note", name: "n", notes: "" } as const;
    const overhead = new TextEncoder().encode(JSON.stringify({ v: 1, ...bare })).length;
    const content = { ...bare, notes: "x".repeat(LIMITS.content_bytes_max - overhead) };
    const { id } = await here.vault.add(content);
    expect((await here.vault.get(id)).content).toEqual(content);
    await here.vault.remove(id);
  });

  test("of any length look alike on the wire", async () => {
    const lengthOnWire = async (password: string) => {
      network.sent.length = 0;
      const { id } = await here.vault.add({ type: "login", name: "n", password });
      const { ciphertext } = JSON.parse(network.sent[0]?.body ?? "");
      await here.vault.remove(id);
      return Buffer.from(ciphertext, "base64").length;
    };
    const lengths = new Set<number>();
    for (const length of [0, 1, 8, 64, 200]) lengths.add(await lengthOnWire("x".repeat(length)));
    expect([...lengths]).toEqual([256]);
    expect(await lengthOnWire("x".repeat(300))).toBe(512);
    expect(await lengthOnWire("x".repeat(301))).toBe(512);
  });

  test("are named by an id, in any case and in no other form", async () => {
    const { id } = await here.vault.add(randomLogin());
    expect((await here.vault.get(id.toUpperCase())).id).toBe(id);
    expect((await here.vault.update(id.toUpperCase(), { notes: "n" })).version).toBe(2);
    network.sent.length = 0;
    for (const wrong of ["", ".", "..", "../account", `${id}?a`, `${id}/`, ` ${id}`]) {
      expect(await codeOf(here.vault.get(wrong))).toBe("entry-not-found");
      expect(await codeOf(here.vault.update(wrong, {}))).toBe("entry-not-found");
      expect(await codeOf(here.vault.remove(wrong))).toBe("entry-not-found");
    }
    expect(network.sent).toEqual([]);
    expect(await codeOf(here.vault.get(crypto.randomUUID()))).toBe("entry-not-found");
    await here.vault.remove(id.toUpperCase());
    expect(await codeOf(here.vault.get(id))).toBe("entry-not-found");
  });

  test("are never changed or deleted without the version that is meant", async () => {
    const { id } = await here.vault.add(randomLogin());
    network.sent.length = 0;
    await here.vault.update(id, { notes: "n" });
    await there.vault.update(id, { tags: ["t"] });
    await here.vault.update(id, { favorite: true });
    await here.vault.remove(id);
    const changes = network.sent.filter(({ route }) => /PUT|DELETE/.test(route));
    expect(changes.map(({ route, headers }) => `${route} ${headers.get("if-match")}`)).toEqual([
      'PUT /entries/:id "1"',
      'PUT /entries/:id "2"',
      'PUT /entries/:id "3"',
      'DELETE /entries/:id "4"',
    ]);
    await there.vault.acceptMissing([id]);
  });

  test("that changed elsewhere in other fields are merged, and nothing is asked", async () => {
    const { id, content } = await here.vault.add(randomLogin({ notes: "old", tags: ["a"] }));
    await there.vault.update(id, { password: "theirs", tags: null });
    const asked: Conflict[] = [];
    const ask = (conflict: Conflict) => void asked.push(conflict);
    const merged = await here.vault.update(id, { notes: "ours" }, ask);
    const { tags: _, ...rest } = content;
    expect(merged).toMatchObject({ version: 3, content: { ...rest, password: "theirs", notes: "ours" } });
    expect(merged.content).not.toHaveProperty("tags");
    expect((await there.vault.get(id)).content).toEqual(merged.content);
    expect(asked).toEqual([]);
  });

  test("that changed elsewhere to the same value are in no conflict", async () => {
    const { id } = await here.vault.add(randomLogin());
    const fields = [{ name: "PIN", value: "1", hidden: true }];
    await there.vault.update(id, { fields });
    const turned = [{ hidden: true, value: "1", name: "PIN" }];
    expect((await here.vault.update(id, { fields: turned })).content.fields).toEqual(fields);
  });

  test("that changed elsewhere in the same field are as somebody decides", async () => {
    const { id, content } = await here.vault.add(randomLogin({ notes: "old" }));
    await there.vault.update(id, { notes: "theirs", tags: ["t"] });
    const asked: Conflict[] = [];
    const decided = await here.vault.update(id, { notes: "ours", username: "me" }, async (conflict) => {
      asked.push(conflict);
      return { ...conflict.theirs, notes: `${conflict.ours.notes} and ${conflict.theirs.notes}` };
    });
    expect(asked).toEqual([
      {
        base: content,
        ours: { ...content, notes: "ours", username: "me" },
        theirs: { ...content, notes: "theirs", tags: ["t"] },
        merged: { ...content, notes: "ours", username: "me", tags: ["t"] },
        fields: ["notes"],
      },
    ]);
    expect(decided).toMatchObject({ version: 3, content: { notes: "ours and theirs", tags: ["t"] } });
  });

  test("that changed elsewhere in the same field stay so when nobody decides", async () => {
    const { id } = await here.vault.add(randomLogin({ notes: "old" }));
    const theirs = await there.vault.update(id, { notes: "theirs" });
    for (const resolve of [undefined, () => undefined, async () => undefined]) {
      const error = await errorOf(here.vault.update(id, { notes: "ours" }, resolve));
      expect(error).toMatchObject({ code: "merge-conflict", details: { ids: [id], fields: ["notes"] } });
    }
    expect(await here.vault.get(id)).toEqual(theirs);
    // Now that it was looked at, it may be overwritten.
    expect((await here.vault.update(id, { notes: "ours" })).content.notes).toBe("ours");
  });

  test("that change elsewhere with every attempt end in a conflict, not in a loop", async () => {
    const { id } = await here.vault.add(randomLogin());
    const resolve = async ({ ours }: Conflict): Promise<EntryContent> => {
      await there.vault.get(id);
      await there.vault.update(id, { notes: randomHex(4) });
      return ours;
    };
    await there.vault.update(id, { notes: randomHex(4) });
    network.sent.length = 0;
    const error = await errorOf(here.vault.update(id, { notes: "ours" }, resolve));
    expect(error).toMatchObject({ code: "merge-conflict", details: { ids: [id] } });
    expect(network.count("PUT /entries/:id")).toBe(LIMITS.client_merges_max);
  });

  test("of 20 changes at once all come through", async () => {
    const { id } = await here.vault.add(randomLogin());
    const { vault, store } = here;
    const patches = [{ notes: "n" }, { username: "u" }, { tags: ["t"] }, { favorite: true }];
    await Promise.all(patches.map((patch) => vault.update(id, patch)));
    expect(await vault.get(id)).toMatchObject({ version: 5, content: Object.assign({}, ...patches) });
    const adding = Array.from({ length: 20 }, () => vault.add(randomLogin()));
    const added = new Set((await Promise.all(adding)).map((entry) => entry.id));
    expect((await vault.list()).filter((entry) => added.has(entry.id)).length).toBe(20);
    expect((await unlockDevice(server, here, { store })).vault.locked).toBe(false);
    await vault.unlock(here);
  });

  test("are not deleted when they have changed since they were seen, until they are seen anew", async () => {
    const { id } = await here.vault.add(randomLogin());
    await there.vault.update(id, { notes: "precious" });
    expect(await codeOf(here.vault.remove(id))).toBe("entry-conflict");
    expect(await codeOf(here.vault.remove(id))).toBe("entry-conflict");
    expect((await here.vault.get(id)).content.notes).toBe("precious");
    await here.vault.remove(id);
    await there.vault.acceptMissing([id]);
  });

  test("come page after page", async () => {
    const { vault } = await registerDevice(server, { fetch: network.fetch });
    const contents = Array.from({ length: 6 }, () => randomLogin());
    const added = [];
    for (const content of contents) added.push((await vault.add(content)).id);
    network.decide = () => "pass";
    const paged = openVault(server, {
      fetch: (url, init) => network.fetch(url.replace(/\/entries(\?|$)/, "/entries?limit=2&"), init),
      store: here.store,
    });
    await paged.unlock(here);
    const direct = await here.vault.list();
    expect(await paged.list()).toEqual(direct);
    expect(await vault.list()).toMatchObject(added.toReversed().map((id) => ({ id })));
    await here.vault.unlock(here);
  });

  test("that an operator has restored from a backup are taken once somebody says so, and not before", async () => {
    const restored = makeNetwork();
    const { vault, ...account } = await registerDevice(server, { fetch: restored.fetch });
    const { id, content } = await vault.add(randomLogin());
    const deleted = (await vault.add(randomLogin())).id;
    let backup = "";
    const recording = openVault(server, {
      fetch: async (url, init) => {
        const response = await fetch(url, init);
        if (url.endsWith("/entries")) backup = await response.clone().text();
        return response;
      },
    });
    await recording.unlock(account);
    await recording.list();
    await vault.update(id, { notes: "later" });
    await vault.remove(deleted);
    restored.decide = ({ route }) => (route === "GET /entries" ? new Response(backup) : "pass");
    const codes = (await vault.scan()).problems.map(({ code }) => code);
    expect(codes.sort()).toEqual(["entry-resurrected", "entry-rolled-back"]);
    await vault.acceptRestore();
    expect(await vault.list()).toMatchObject([{ id: deleted }, { id, version: 1, content }]);
  });

  test("of a newer client are told apart from damage, and do not hide the others", async () => {
    const { vault, store, username } = await registerDevice(server);
    const { id } = await vault.add(randomLogin());
    const session_key = crypto.getRandomValues(new Uint8Array(32));
    const sealed_key = await vault.sealKey(session_key);
    const { account_id } = JSON.parse((await store.read(`pins ${server.url} ${username}`)) as string);
    const vault_key = await importVaultKey(
      await openDeviceKey({ sealed_key, session_key }, { server: server.url, account_id }),
    );
    for (const text of ['{"v":2,"type":"note","name":"n"}', '{"v":1,"type":"note","name":"n","new":1}']) {
      const entry_id = crypto.randomUUID();
      const context = { account_id, entry_id, version: 1 };
      const sealed = await sealEntry(vault_key, new TextEncoder().encode(text), context);
      let token = "";
      const spying = openVault(server, {
        store,
        fetch: (url, init) => {
          token = new Headers(init.headers).get("authorization") ?? "";
          return fetch(url, init);
        },
      });
      await spying.resume({ username, sealed_key, session_key });
      await spying.list().catch(() => undefined);
      const headers = { authorization: token, "content-type": "application/json" };
      const body = JSON.stringify({ id: entry_id, ...sealed });
      expect((await fetch(`${server.url}/entries`, { method: "POST", headers, body })).status).toBe(201);
      expect(await errorOf(vault.get(entry_id))).toMatchObject({
        code: "content-unreadable",
        hostile: false,
      });
    }
    const { entries, problems } = await vault.scan();
    expect(entries.map((entry) => entry.id)).toEqual([id]);
    expect(problems.map(({ code }) => code)).toEqual(["content-unreadable", "content-unreadable"]);
    expect(await codeOf(vault.list())).toBe("content-unreadable");
  });
});
