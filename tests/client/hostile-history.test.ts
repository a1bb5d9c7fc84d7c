import { describe, expect, test } from "bun:test";
import type { EntryResponse } from "../../src/contract/entries.ts";
import { randomHex } from "../support/client.ts";
import { type Attack, changing, on, problem, record, under } from "../support/hostile-server.ts";
import { codeOf, type Device, unlockDevice } from "../support/vault.ts";
import { expectRefused, makeAccount, useVictim, type Victim } from "../support/victim.ts";

const victim = useVictim();

const list = (device: Device) => device.vault.list();

describe("an entry of the past", () => {
  /** An account of its own, whose first entry has gone from version 1 to version 2. */
  async function makeHistory() {
    const device = await makeAccount(victim);
    const [first] = device.entries;
    const someone = { ...victim, ...device } as Victim;
    const old = await read(device, first?.id ?? "");
    const changed = await device.vault.update(old.id, { password: randomHex(12) });
    const contents = (await device.vault.list()).map(({ content }) => content);
    expect(contents).toContainEqual(changed.content);
    return { device, someone, old, contents };
  }

  /** What the real server has of an entry now. */
  async function read(device: Device, id: string): Promise<EntryResponse> {
    return (await record(victim.hostile, "GET /entries/:id", () => device.vault.get(id))).body;
  }

  const replay = (old: object): Attack => {
    const { id } = old as EntryResponse;
    const replayed = (entry: EntryResponse) => (entry.id === id ? old : entry);
    return (seen, pass) =>
      seen.route === "GET /entries"
        ? changing("GET /entries", (body) => ({ ...body, entries: body.entries.map(replayed) }))(seen, pass)
        : changing("GET /entries/:id", replayed)(seen, pass);
  };

  test("is refused in a list and by its id, by whoever has seen a newer one", async () => {
    const { device, someone, old, contents } = await makeHistory();
    const expected = { code: "entry-rolled-back", requests: 1, contents } as const;
    await expectRefused(someone, device, replay(old), list, expected);
    await expectRefused(someone, device, replay(old), () => device.vault.get(old.id), expected);
    const again = () => unlockDevice(victim.hostile, device, { store: device.store }).then(list);
    await expectRefused(someone, device, replay(old), again, { ...expected, requests: 4 });
  });

  test("is refused under the number of the newest, or a newer one, by everybody", async () => {
    const { device, someone, old, contents } = await makeHistory();
    const forged = replay({ ...old, version: 2 });
    const newer = replay({ ...old, version: 3 });
    const expected = { code: "entry-does-not-open", requests: 1, contents } as const;
    await expectRefused(someone, device, forged, list, { ...expected, code: "entry-forked" });
    await expectRefused(someone, device, newer, list, expected);
    const other = await unlockDevice(victim.hostile, device);
    await expectRefused(someone, other, forged, list, expected);
    await expectRefused(someone, other, newer, () => other.vault.get(old.id), expected);
  });

  test("is nothing that a change is based on", async () => {
    const { device, someone, old, contents } = await makeHistory();
    const conflict = problem(412, "entry-conflict");
    const attack: Attack = (seen, pass) => (seen.method === "PUT" ? conflict : replay(old)(seen, pass));
    const update = () => device.vault.update(old.id, { notes: "of ours" });
    await expectRefused(someone, device, attack, update, {
      code: "entry-rolled-back",
      requests: 2,
      contents,
    });
  });

  test("stays gone once it was deleted, in a list and by its id", async () => {
    const { device, someone, old } = await makeHistory();
    const current = await read(device, old.id);
    await device.vault.remove(old.id);
    const contents = (await device.vault.list()).map(({ content }) => content);
    expect(contents.length).toBe(2);
    const expected = { code: "entry-resurrected", requests: 1, contents } as const;
    for (const dead of [old, current, { ...current, version: 9 }]) {
      const attack = on("GET /entries", async (_, pass) => {
        const { body, status } = await pass();
        return { status, body: { ...body, entries: [dead, ...body.entries] } };
      });
      await expectRefused(someone, device, attack, list, expected);
      const found = on("GET /entries/:id", () => ({ status: 200, body: dead }));
      await expectRefused(someone, device, found, () => device.vault.get(old.id), expected);
    }
  });

  test("that a server says it has deleted, and has not, is refused when it is there again", async () => {
    const device = await makeAccount(victim);
    const id = device.entries[0]?.id ?? "";
    await under(
      victim.hostile,
      on("DELETE /entries/:id", () => ({ status: 204 })),
      () => device.vault.remove(id),
    );
    expect(await codeOf(device.vault.list())).toBe("entry-resurrected");
    const { entries } = await device.vault.scan();
    expect(entries).toEqual(device.entries.slice(1));
  });
});
