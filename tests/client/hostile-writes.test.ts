import { describe, expect, test } from "bun:test";
import type { VaultErrorCode } from "../../src/client/index.ts";
import { randomBase64, randomHex } from "../support/client.ts";
import { type Attack, changing, on, problem, under } from "../support/hostile-server.ts";
import { codeOf, randomLogin, unlockDevice } from "../support/vault.ts";
import { expectRefused, makeAccount, pinsOf, useVictim, type Victim } from "../support/victim.ts";

const victim = useVictim();

/** An account of its own, for what changes entries. */
async function makeWriter(): Promise<Victim & { id: string }> {
  const device = await makeAccount(victim);
  return { ...victim, ...device, id: device.entries[0]?.id ?? "" };
}

/** What a server might say that has been given an entry and keeps nothing of it. */
function echo(id: string, version: number): Attack {
  return (seen) => {
    const now = new Date().toISOString();
    const { id: _, version: __, ...sealed } = seen.body;
    const body = { id, name: null, meta: null, ...sealed, version, created_at: now, updated_at: now };
    return { status: 200, body };
  };
}

/** Each is a lie about what was stored, and what the client makes of it. */
const LIES: [string, () => object, VaultErrorCode][] = [
  ["a later version", () => ({ version: 7 }), "entry-forked"],
  ["another id", () => ({ id: crypto.randomUUID() }), "entry-swapped"],
  ["another tag", () => ({ tag: randomBase64(16) }), "entry-forked"],
  ["another ciphertext", () => ({ ciphertext: randomBase64(256) }), "entry-does-not-open"],
  ["another iv", () => ({ iv: randomBase64(12) }), "entry-does-not-open"],
  ["no version", () => ({ version: undefined }), "response-invalid"],
];

describe("a server that stores what it is given, and says that it stored", () => {
  test.each(LIES)("%s of a new entry", async (_, lie, code) => {
    const writer = await makeWriter();
    const content = randomLogin();
    const attack = changing("POST /entries", (body) => ({ ...body, ...lie() }));
    const add = () => writer.vault.add(content);
    const contents = [content, ...writer.entries.map((entry) => entry.content)];
    await expectRefused(writer, writer, attack, add, { code, requests: 1, contents });
  });

  test.each(LIES)("%s of a changed entry", async (_, lie, code) => {
    const writer = await makeWriter();
    const notes = randomHex(12);
    const attack = changing("PUT /entries/:id", (body) => ({ ...body, ...lie() }));
    const update = () => writer.vault.update(writer.id, { notes });
    const contents = writer.entries.map(({ id, content }) =>
      id === writer.id ? { ...content, notes } : content,
    );
    await expectRefused(writer, writer, attack, update, { code, requests: 1, contents });
  });

  test("the version before the change", async () => {
    const writer = await makeWriter();
    const attack = changing("PUT /entries/:id", (body) => ({ ...body, version: 1 }));
    const update = () => writer.vault.update(writer.id, { favorite: true });
    const contents = writer.entries.map(({ id, content }) =>
      id === writer.id ? { ...content, favorite: true } : content,
    );
    await expectRefused(writer, writer, attack, update, { code: "entry-forked", requests: 1, contents });
  });
});

describe("a server that answers a batch", () => {
  const now = new Date().toISOString();
  type Made = { id: string; version: number };
  /** What it might say, and keeps nothing. */
  const answering = (lie: (made: Made[]) => object[]) =>
    on("POST /entries/batch", ({ body }) => {
      const made = body.entries.map(({ id }: Made) => ({ id, version: 1, created_at: now, updated_at: now }));
      return { status: 201, body: { entries: lie(made) } };
    });

  test.each<[string, (made: Made[]) => object[]]>([
    ["with one less", (made) => made.slice(1)],
    ["with one more", (made) => [...made, { ...made[0], id: crypto.randomUUID() }]],
    ["with nothing", () => []],
    ["in another order", (made) => made.toReversed()],
    ["with one twice", (made) => [made[0] as Made, made[0] as Made]],
    ["with another id", ([first, ...rest]) => [{ ...first, id: crypto.randomUUID() }, ...rest]],
    ["with another version", ([first, ...rest]) => [{ ...first, version: 2 }, ...rest]],
  ])("%s is not believed", async (_, lie) => {
    const contents = [randomLogin(), randomLogin()];
    const action = () => victim.vault.importEntries(contents);
    const expected = { code: "response-invalid", requests: 2 } as const;
    await expectRefused(victim, victim, answering(lie), action, expected);
  });

  test("and keeps nothing of it is found out when it is asked for it", async () => {
    const writer = await makeWriter();
    const contents = [randomLogin(), randomLogin()];
    const { added } = await under(
      victim.hostile,
      answering((made) => made),
      () => writer.vault.importEntries(contents),
    );
    expect(added).toBe(2);
    const { problems } = await writer.vault.scan();
    expect(problems.map(({ code, details }) => [code, details.ids?.length])).toEqual([
      ["entries-missing", 2],
    ]);
  });

  test("by the word that it is there already, after the first answer was lost, has to have it", async () => {
    const writer = await makeWriter();
    let attempts = 0;
    const attack: Attack = (seen, pass) => {
      if (seen.route !== "POST /entries/batch") return pass();
      return attempts++ === 0 ? (socket) => socket.destroy() : problem(409, "entry-id-taken");
    };
    const action = () => writer.vault.importEntries([randomLogin()]);
    await expectRefused(writer, writer, attack, action, { code: "entry-not-found", requests: 4 });
  });
});

describe("a server that acknowledges what it does not keep", () => {
  test("is found out about a new entry when it is asked for it", async () => {
    const writer = await makeWriter();
    const attack: Attack = (seen, pass) => echo(seen.body.id, 1)(seen, pass);
    const { id } = await under(victim.hostile, attack, () => writer.vault.add(randomLogin()));
    expect(await codeOf(writer.vault.list())).toBe("entries-missing");
    expect(await codeOf(writer.vault.get(id))).toBe("entries-missing");
    await writer.vault.acceptMissing([id]);
    expect(await writer.vault.list()).toEqual(writer.entries);
  });

  test("is found out about a change when it is asked for it", async () => {
    const writer = await makeWriter();
    const change = () => writer.vault.update(writer.id, { notes: randomHex(8) });
    expect((await under(victim.hostile, echo(writer.id, 2), change)).version).toBe(2);
    expect(await codeOf(writer.vault.list())).toBe("entry-rolled-back");
    expect(await codeOf(writer.vault.get(writer.id))).toBe("entry-rolled-back");
    // Nor does it get the next change put upon the old state: that was sealed for version 3.
    expect(await codeOf(writer.vault.update(writer.id, { notes: "again" }))).toBe("entry-rolled-back");
    await writer.vault.acceptRestore();
    expect(await writer.vault.list()).toEqual(writer.entries);
  });

  test("is found out about a fork, by the device whose version two is not the one that is kept", async () => {
    const writer = await makeWriter();
    const other = await unlockDevice(victim.hostile, writer);
    await other.vault.list();
    const kept = await writer.vault.update(writer.id, { notes: "kept" });
    const change = () => other.vault.update(writer.id, { notes: "only acknowledged" });
    const lost = await under(victim.hostile, echo(writer.id, 2), change);
    expect([kept.version, lost.version]).toEqual([2, 2]);
    expect(await codeOf(other.vault.list())).toBe("entry-forked");
    expect(await codeOf(other.vault.get(writer.id))).toBe("entry-forked");
    // The lie can be kept up for one of them alone, and only as long as none of the other's changes reaches it.
    const third = await writer.vault.update(writer.id, { notes: "later" });
    expect((await other.vault.list())[0]).toMatchObject({ version: 3, content: third.content });
  });
});

describe("a server that stores nothing and says why", () => {
  test("that the entry has moved, which it has not: the client hands out no second ciphertext", async () => {
    const writer = await makeWriter();
    const attack = on("PUT /entries/:id", () => problem(412, "entry-conflict"));
    const update = () => writer.vault.update(writer.id, { notes: randomHex(8) });
    const seen = await expectRefused(writer, writer, attack, update, {
      code: "response-invalid",
      requests: 2,
    });
    expect(seen.filter(({ method }) => method === "PUT").length).toBe(1);
  });

  test("that the entry has moved, where it is to be deleted: it is asked once, and the entry stays", async () => {
    const writer = await makeWriter();
    const attack = on("DELETE /entries/:id", () => problem(412, "entry-conflict"));
    const remove = () => writer.vault.remove(writer.id);
    await expectRefused(writer, writer, attack, remove, { code: "entry-conflict", requests: 1 });
    expect((await pinsOf(victim.hostile, writer))?.deleted).toEqual({});
  });

  test("that there is no such entry: the client does not take it for deleted", async () => {
    const writer = await makeWriter();
    const gone = (seen: { method: string }) => seen.method !== "GET";
    const attack: Attack = (seen, pass) => (gone(seen) ? problem(404, "entry-not-found") : pass());
    const expected = { code: "entry-not-found", requests: 1 } as const;
    await expectRefused(writer, writer, attack, () => writer.vault.remove(writer.id), expected);
    const update = () => writer.vault.update(writer.id, { notes: "gone" });
    await expectRefused(writer, writer, attack, update, expected);
  });

  test("that it was deleted, after the first answer was lost: it is refused when it is there again", async () => {
    const writer = await makeWriter();
    let attempts = 0;
    const attack = on("DELETE /entries/:id", () =>
      attempts++ === 0 ? (socket) => socket.destroy() : problem(404, "entry-not-found"),
    );
    await under(victim.hostile, attack, () => writer.vault.remove(writer.id));
    expect(attempts).toBe(2);
    expect(await codeOf(writer.vault.list())).toBe("entry-resurrected");
  });

  test.each(["entry-id-taken", "entry-quota-reached"])(
    "that there is no place for another, by the name of %s: it is asked once",
    async (code) => {
      const writer = await makeWriter();
      const attack = on("POST /entries", () => problem(409, code));
      const add = () => writer.vault.add(randomLogin());
      await expectRefused(writer, writer, attack, add, { code: code as VaultErrorCode, requests: 1 });
    },
  );

  test("that the id is taken, after the first answer was lost: another's entry is not taken for the new one", async () => {
    const writer = await makeWriter();
    let attempts = 0;
    const attack: Attack = (seen, pass) => {
      if (seen.route === "POST /entries")
        return attempts++ === 0 ? (socket) => socket.destroy() : problem(409, "entry-id-taken");
      return seen.route === "GET /entries/:id"
        ? pass(`/entries/${writer.id}`).then((real) => ({
            ...real,
            body: { ...real.body, id: seen.path.slice(9) },
          }))
        : pass();
    };
    const add = () => writer.vault.add(randomLogin());
    await expectRefused(writer, writer, attack, add, { code: "entry-forked", requests: 3 });
  });
});
