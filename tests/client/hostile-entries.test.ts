import { describe, expect, test } from "bun:test";
import type { VaultErrorCode } from "../../src/client/index.ts";
import type { EntryResponse } from "../../src/contract/entries.ts";
import { randomBase64, randomHex } from "../support/client.ts";
import { type Attack, changing, on, problem, record, under } from "../support/hostile-server.ts";
import { codeOf, type Device, registerDevice, unlockDevice } from "../support/vault.ts";
import { expectRefused, makeAccount, newDevice, pinsOf, useVictim, type Victim } from "../support/victim.ts";

const victim = useVictim();

const list = (device: Device) => device.vault.list();
/** The device asks for the entry that the victim's list has at `place`. */
const get = (place: number) => (device: Device) => device.vault.get(idOf(place));
const idOf = (place: number) => victim.entries[place]?.id ?? "";

type Change = (entries: EntryResponse[]) => unknown;
const changingList = (change: Change): Attack =>
  changing("GET /entries", (body) => ({ ...body, entries: change(body.entries) }));

/** Changes the first entry, wherever it is given. */
function changingFirst(change: (entry: EntryResponse) => object): Attack {
  const changed = (entry: EntryResponse) => (entry.id === idOf(0) ? { ...entry, ...change(entry) } : entry);
  return (seen, pass) =>
    seen.route === "GET /entries"
      ? changingList((entries) => entries.map(changed))(seen, pass)
      : changing("GET /entries/:id", changed)(seen, pass);
}

/** A device that has pinned what is attacked, one that has not, and what each makes of it. */
async function expectBothRefuse(
  attack: Attack,
  action: (device: Device) => Promise<unknown>,
  pinned: VaultErrorCode,
  unpinned: VaultErrorCode,
): Promise<void> {
  await expectRefused(victim, victim, attack, action, { code: pinned, requests: 1 });
  await expectRefused(victim, await newDevice(victim), attack, action, { code: unpinned, requests: 1 });
}

describe("an entry in another's place", () => {
  test("is refused in a list where two have exchanged their ids", async () => {
    const swap: Change = ([first, second, ...rest]) => [
      { ...first, id: second?.id },
      { ...second, id: first?.id },
      ...rest,
    ];
    await expectBothRefuse(changingList(swap), list, "entry-forked", "entry-does-not-open");
    // Nor are the two among those that a person may go on with.
    const other = await newDevice(victim);
    const { entries, problems } = await under(victim.hostile, changingList(swap), () => other.vault.scan());
    expect(entries).toEqual(victim.entries.slice(2));
    expect(problems.map(({ code }) => code)).toEqual(["entry-does-not-open", "entry-does-not-open"]);
    expect(problems.flatMap(({ details }) => details.ids).sort()).toEqual([idOf(0), idOf(1)].sort());
  });

  test("is refused where one was asked for by its id and another is given", async () => {
    const attack = on("GET /entries/:id", (_, pass) => pass(`/entries/${idOf(1)}`));
    await expectBothRefuse(attack, get(0), "entry-swapped", "entry-swapped");
  });

  test("is refused where it is given under the id that was asked for", async () => {
    const attack = on("GET /entries/:id", async (_, pass) => {
      const real = await pass(`/entries/${idOf(1)}`);
      return { ...real, body: { ...real.body, id: idOf(0) } };
    });
    await expectBothRefuse(attack, get(0), "entry-forked", "entry-does-not-open");
  });

  test("is refused where it is given in the spelling of another id", async () => {
    const attack = changingFirst(({ id }) => ({ id: `urn:uuid:${id}` }));
    await expectBothRefuse(attack, list, "response-invalid", "response-invalid");
  });

  test("is refused where it comes from another account", async () => {
    const stranger = await makeAccount(victim);
    const asked = () => stranger.vault.get(stranger.entries[0]?.id ?? "");
    const { body: foreign } = await record(victim.hostile, "GET /entries/:id", asked);
    const added = changingList((entries) => [{ ...foreign, created_at: after(entries[0]) }, ...entries]);
    await expectBothRefuse(added, list, "entry-does-not-open", "entry-does-not-open");
    const { ciphertext, iv, tag } = foreign;
    const replaced = changingFirst(() => ({ ciphertext, iv, tag }));
    await expectBothRefuse(replaced, list, "entry-forked", "entry-does-not-open");
    await expectBothRefuse(replaced, get(0), "entry-forked", "entry-does-not-open");
  });

  test("is refused where nobody has made it", async () => {
    const made = (entry: EntryResponse | undefined) => ({
      ...entry,
      ...{ id: crypto.randomUUID(), created_at: after(entry) },
      ...{ ciphertext: randomBase64(256), iv: randomBase64(12), tag: randomBase64(16) },
    });
    const attack = changingList((entries) => [made(entries[0]), ...entries]);
    await expectBothRefuse(attack, list, "entry-does-not-open", "entry-does-not-open");
  });
});

describe("an entry that was tampered with", () => {
  test.each<[string, (entry: EntryResponse) => object, VaultErrorCode]>([
    [
      "a bit of the ciphertext",
      ({ ciphertext }) => ({ ciphertext: flipAny(ciphertext) }),
      "entry-does-not-open",
    ],
    ["a bit of the iv", ({ iv }) => ({ iv: flipAny(iv) }), "entry-does-not-open"],
    ["a bit of the tag", ({ tag }) => ({ tag: flipAny(tag) }), "entry-forked"],
    ["a version that never was", () => ({ version: 2 }), "entry-does-not-open"],
    ["the greatest version", () => ({ version: Number.MAX_SAFE_INTEGER }), "entry-does-not-open"],
    ["a ciphertext of nothing", () => ({ ciphertext: "" }), "entry-does-not-open"],
    ["a ciphertext in another alphabet", () => ({ ciphertext: "-_-_" }), "entry-does-not-open"],
    ["an iv of 16 bytes", () => ({ iv: randomBase64(16) }), "entry-does-not-open"],
    ["a ciphertext of 8 MiB", () => ({ ciphertext: "A".repeat(8 << 20) }), "entry-does-not-open"],
  ])("is refused: %s", async (_, change, code) => {
    await expectBothRefuse(changingFirst(change), list, code, "entry-does-not-open");
    await expectBothRefuse(changingFirst(change), get(0), code, "entry-does-not-open");
  });

  test.each<[string, object]>([
    ["version 0", { version: 0 }],
    ["version -1", { version: -1 }],
    ["a version beyond the whole numbers", { version: 2 ** 53 }],
    ["half a version", { version: 1.5 }],
    ["a version as a text", { version: "1" }],
    ["no tag", { tag: null }],
    ["a time that is none", { created_at: "9999" }],
  ])("is no answer of this protocol: %s", async (_, change) => {
    const attack = changingFirst(() => change);
    await expectBothRefuse(attack, list, "response-invalid", "response-invalid");
    await expectBothRefuse(attack, get(0), "response-invalid", "response-invalid");
  });
});

describe("entries that are withheld", () => {
  test.each<[string, Change]>([
    ["the newest", (entries) => entries.slice(1)],
    ["the oldest", (entries) => entries.slice(0, -1)],
    ["one between", ([first, , last]) => [first, last]],
    ["all", () => []],
  ])("are missed in a list: %s", async (_, change) => {
    const expected = { code: "entries-missing", requests: 1 } as const;
    await expectRefused(victim, victim, changingList(change), list, expected);
  });

  test("are missed where the server knows one no more", async () => {
    const attack = on("GET /entries/:id", () => problem(404, "entry-not-found"));
    await expectRefused(victim, victim, attack, get(1), { code: "entries-missing", requests: 1 });
  });

  test("are missed where the list ends with its first page", async () => {
    const attack = on("GET /entries", async (_, pass) => {
      const { status, body } = await pass("/entries?limit=2");
      return { status, body: { ...body, next_cursor: null } };
    });
    await expectRefused(victim, victim, attack, list, { code: "entries-missing", requests: 1 });
  });

  test("are missed although others have come in their place", async () => {
    const device = await makeAccount(victim);
    const someone = { ...victim, ...device } as Victim;
    const other = await unlockDevice(victim.hostile, device);
    await other.vault.add({ type: "note", name: randomHex(8) });
    const contents = (await other.vault.list()).map(({ content }) => content);
    const attack = changingList((entries) => entries.slice(0, -1));
    expect(await under(victim.hostile, attack, () => codeOf(device.vault.list()))).toBe("entries-missing");
    expect((await device.vault.list()).map(({ content }) => content)).toEqual(contents);
    await expectRefused(someone, device, attack, list, { code: "entries-missing", requests: 1, contents });
  });
});

test("a device that knows nothing of an account is shown an empty list: what it never saw it cannot miss", async () => {
  const { vault, store, ...rest } = await newDevice(victim);
  expect(
    await under(
      victim.hostile,
      changingList(() => []),
      () => vault.list(),
    ),
  ).toEqual([]);
  expect(await pinsOf(victim.hostile, { vault, store, ...rest })).toMatchObject({ entries: {}, deleted: {} });
  expect(await vault.list()).toEqual(victim.entries);
});

test("an account of nobody's entries stays empty, whatever another's it is given", async () => {
  const empty = await registerDevice(victim.hostile);
  const someone = { ...victim, ...empty, entries: [] } as Victim;
  const { body: entry } = await record(victim.hostile, "GET /entries/:id", () => get(0)(victim));
  const attack = changingList(() => [entry]);
  await expectRefused(someone, empty, attack, list, { code: "entry-does-not-open", requests: 1 });
});

function after(entry: { created_at: string } | undefined): string {
  return new Date(Date.parse(entry?.created_at ?? "") + 1000).toISOString();
}

function flipAny(base64: string): string {
  const bytes = Buffer.from(base64, "base64");
  const bit = Math.floor(Math.random() * bytes.length * 8);
  bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return bytes.toString("base64");
}
