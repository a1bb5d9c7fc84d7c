import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { EntryContent, ImportProgress } from "../../src/client/index.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { ENGINES, startTestServer, type TestServer } from "../support/server.ts";
import {
  codeOf,
  errorOf,
  makeNetwork,
  type Network,
  randomLogin,
  registerDevice,
  unlockDevice,
} from "../support/vault.ts";

useQuickHashes();

const BATCH = "POST /entries/batch";
const many = (count: number, extra: Partial<EntryContent> = {}) =>
  Array.from({ length: count }, () => randomLogin(extra));
const names = (entries: readonly { content: EntryContent }[]) =>
  entries.map(({ content }) => content.name).sort();
const sizes = (network: Network) =>
  network.sent
    .filter(({ route }) => route === BATCH)
    .map(({ body }) => JSON.parse(body).entries.length as number);

describe.each(ENGINES)("an import on %s", (engine) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer(engine);
  });
  afterAll(() => server.stop());

  async function newDevice() {
    const network = makeNetwork();
    return { network, ...(await registerDevice(server, { fetch: network.fetch })) };
  }

  test("stores everything in full batches, tells how far it is, and another device reads it", async () => {
    const { vault, network, ...account } = await newDevice();
    const contents = many(2 * LIMITS.batch_entries_max + 1);
    const progress: ImportProgress[] = [];
    const report = await vault.importEntries(contents, (step) => void progress.push(step));
    expect(report).toEqual({ added: contents.length, duplicates: [] });
    expect(sizes(network)).toEqual([500, 500, 1]);
    expect(progress.map(({ done }) => done)).toEqual([0, 500, 1000, 1001]);
    expect(new Set(progress.map(({ total }) => total))).toEqual(new Set([1001]));
    const other = await unlockDevice(server, account);
    expect(names(await other.vault.list())).toEqual(contents.map(({ name }) => name).sort());
    // What was imported is pinned, and can be changed and deleted like any other entry.
    const [first, second] = await vault.list();
    expect((await vault.update(first?.id ?? "", { notes: "n" })).version).toBe(2);
    await vault.remove(second?.id ?? "");
  });

  test("of nothing sends nothing, and of exactly one batch one", async () => {
    const { vault, network } = await newDevice();
    const progress: ImportProgress[] = [];
    expect(await vault.importEntries([], (step) => void progress.push(step))).toEqual({
      added: 0,
      duplicates: [],
    });
    expect(progress).toEqual([{ done: 0, total: 0 }]);
    expect(sizes(network)).toEqual([]);
    await vault.importEntries(many(LIMITS.batch_entries_max));
    expect(sizes(network)).toEqual([LIMITS.batch_entries_max]);
  });

  test("leaves out what is in the vault already, and what comes twice, whatever the order of its fields", async () => {
    const { vault } = await newDevice();
    const [present, twice, fresh] = [randomLogin({ tags: ["a"] }), randomLogin(), randomLogin()];
    await vault.add(present);
    const { tags, password, ...rest } = present;
    const turned = { tags, password, ...rest };
    const almost = { ...present, notes: "n" };
    const contents = [turned, twice, fresh, twice, almost];
    expect(await vault.duplicates(contents)).toEqual([0, 3]);
    expect(await vault.importEntries(contents)).toEqual({ added: 3, duplicates: [0, 3] });
    expect(names(await vault.list())).toEqual([present, twice, fresh, almost].map(({ name }) => name).sort());
    expect(await vault.importEntries(contents)).toEqual({ added: 0, duplicates: [0, 1, 2, 3, 4] });
    expect((await vault.list()).length).toBe(4);
  });

  test("stores nothing when any content breaks the rules", async () => {
    const { vault, network } = await newDevice();
    const large = randomLogin({ notes: "x".repeat(LIMITS.content_bytes_max) });
    for (const [wrong, code] of [
      [{ type: "note", name: "" }, "content-invalid"],
      [large, "content-too-large"],
    ] as const) {
      expect(await codeOf(vault.importEntries([...many(501), wrong]))).toBe(code);
    }
    expect(sizes(network)).toEqual([]);
    expect(await vault.list()).toEqual([]);
  });

  test("of large contents keeps every batch within what the server takes", async () => {
    const { vault, network } = await newDevice();
    const contents = many(120, { notes: "x".repeat(LIMITS.content_bytes_max - 200) });
    expect((await vault.importEntries(contents)).added).toBe(120);
    const bodies = network.sent.filter(({ route }) => route === BATCH).map(({ body }) => body.length);
    expect(bodies.length).toBeGreaterThan(1);
    expect(Math.max(...bodies)).toBeLessThanOrEqual(LIMITS.batch_body_bytes_max);
    // Not so careful that it would take twice as many requests as it must.
    expect(bodies[0]).toBeGreaterThan(LIMITS.batch_body_bytes_max * 0.7);
    expect((await vault.list()).length).toBe(120);
  });

  test("that was cut short at any batch is whole, and nothing twice, when it is run again", async () => {
    const contents = many(1001);
    for (const [cut, fate, there] of [
      [0, "unsent", 0],
      [0, "unanswered", 500],
      [1, "unanswered", 1000],
      [2, "unsent", 1000],
      [2, "unanswered", 1001],
    ] as const) {
      const { vault, network, ...account } = await newDevice();
      let batches = 0;
      network.decide = ({ route }) => (route === BATCH && batches++ >= cut ? fate : "pass");
      const progress: number[] = [];
      const failed = vault.importEntries(contents, ({ done }) => void progress.push(done));
      expect(await codeOf(failed)).toBe("server-unreachable");
      expect(progress.at(-1)).toBe(cut * 500);
      // Another process of the device, that knows nothing of the first but what is in the store.
      const next = await unlockDevice(server, account);
      const report = await next.vault.importEntries(contents);
      expect(report.added).toBe(contents.length - there);
      expect(report.duplicates.length).toBe(there);
      expect(names(await next.vault.list())).toEqual(contents.map(({ name }) => name).sort());
    }
  }, 60_000);

  test("whose answer is lost goes on by itself, and stores nothing twice", async () => {
    const { vault, network } = await newDevice();
    const contents = many(501);
    network.next(BATCH, "unanswered", "pass", "unsent", "unanswered");
    expect((await vault.importEntries(contents)).added).toBe(501);
    expect(sizes(network)).toEqual([500, 500, 1, 1, 1]);
    expect((await vault.list()).length).toBe(501);
  });

  test("that does not fit in the account is told so, and what was stored before stays", async () => {
    const small = await startTestServer(engine, { MAX_ENTRIES_PER_USER: "600" });
    const { vault } = await registerDevice(small);
    const contents = many(1001);
    const progress: number[] = [];
    const failed = vault.importEntries(contents, ({ done }) => void progress.push(done));
    expect(await errorOf(failed)).toMatchObject({ code: "entry-quota-reached", hostile: false });
    expect(progress).toEqual([0, 500]);
    expect((await vault.list()).length).toBe(500);
    await small.stop();
  });
});
