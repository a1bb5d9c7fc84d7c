import { describe, expect, test } from "bun:test";
import type { VaultErrorCode } from "../../src/client/index.ts";
import { LIMITS } from "../../src/contract/limits.ts";
import { randomBase64, randomHex, randomName, randomPassword } from "../support/client.ts";
import { type Answer, type Attack, changing, on, record, under } from "../support/hostile-server.ts";
import { codeOf, type Device, KDF, registerDevice, unlockDevice } from "../support/vault.ts";
import {
  type Expected,
  expectRefused,
  lockedDevice,
  makeAccount,
  newDevice,
  pinsOf,
  useVictim,
} from "../support/victim.ts";

const victim = useVictim();

const unlock = (device: Device) => device.vault.unlock(device);
const prelogin = (change: object): Attack =>
  changing("POST /auth/prelogin", (body) => ({ ...body, ...change }));
const login = (change: object): Attack => changing("POST /auth/login", (body) => ({ ...body, ...change }));
const kdf = (change: object) => ({ kdf: { ...KDF, ...change } });

/** Both ways in at once: the server is at one with itself. */
function both(change: object): Attack {
  return (seen, pass) => (seen.path === "/auth/prelogin" ? prelogin(change) : login(change))(seen, pass);
}

/** What the real server says to a right login of the account now. */
function recordLogin(device: Device): Promise<Answer> {
  return record(victim.hostile, "POST /auth/login", () => unlockDevice(victim.hostile, device));
}

describe("a server that wants the password to be cheap", () => {
  test.each<[string, object]>([
    ["memory one below the floor", { memory_kib: LIMITS.kdf_memory_kib_min - 1 }],
    ["one pass", { iterations: LIMITS.kdf_iterations_min - 1 }],
    ["no memory", { memory_kib: 0 }],
    ["no lane", { parallelism: 0 }],
    ["another algorithm", { algorithm: "pbkdf2" }],
    ["memory as a text", { memory_kib: "19456" }],
    ["memory as a fraction", { memory_kib: 19_456.5 }],
    ["a parameter that nobody knows", { pepper: "none" }],
    ["nothing at all", { memory_kib: undefined }],
  ])("gets no key derived with %s, on a device that knows nothing", async (_, change) => {
    const expected = { code: "kdf-refused", requests: 1 } as const;
    await expectRefused(victim, lockedDevice(victim), prelogin(kdf(change)), unlock, expected);
  });

  test("cannot go below what the device knows, however far above the floor, whatever the person says", async () => {
    const strong = { ...KDF, memory_kib: 20_480, iterations: 3 };
    const account = { username: randomName(), master_password: randomPassword() };
    const device = await registerDevice(victim.hostile, {}, account);
    await device.vault.changePassword({
      current_password: account.master_password,
      new_password: account.master_password,
      kdf: strong,
    });
    const lowered = [{ memory_kib: 20_479 }, { iterations: 2 }, { memory_kib: 1_048_576, iterations: 2 }];
    const expected = { code: "kdf-downgraded", requests: 1, contents: [] } satisfies Expected;
    for (const change of lowered) {
      const attack = both({ kdf: { ...strong, ...change }, encryption_salt: randomHex(32) });
      await expectRefused(victim, device, attack, unlock, expected);
      const told = () => device.vault.unlock({ ...device, password_changed: true });
      await expectRefused(victim, device, attack, told, expected);
    }
  });

  test("gets no auth_key out of a password of a name that it invents parameters for", async () => {
    const attack = login(kdf({ memory_kib: 8 }));
    const expected = { code: "kdf-refused", requests: 2 } as const;
    await expectRefused(victim, lockedDevice(victim), attack, unlock, expected);
  });
});

describe("a server that wants the client to work for ever", () => {
  test.each<[string, object]>([
    ["memory one above the ceiling", { memory_kib: LIMITS.kdf_memory_kib_max + 1 }],
    ["a million passes", { iterations: 1_000_000 }],
    ["all the lanes there are", { parallelism: 2 ** 32 - 1 }],
    ["memory beyond every number", { memory_kib: 1e308 }],
    ["less than nothing", { memory_kib: -65_536 }],
  ])("gets no key derived with %s", async (_, change) => {
    const expected = { code: "kdf-refused", requests: 1 } as const;
    await expectRefused(victim, lockedDevice(victim), prelogin(kdf(change)), unlock, expected);
  });

  test.each<[string, object]>([
    ["the most that the protocol allows", { memory_kib: 1_048_576, iterations: 10, parallelism: 16 }],
    ["one KiB more", { memory_kib: KDF.memory_kib + 1 }],
    ["one lane more", { parallelism: 2 }],
  ])("gets %s from no device that knows the salt with less", async (_, change) => {
    const expected = { code: "kdf-refused", requests: 1 } as const;
    await expectRefused(victim, victim, both(kdf(change)), unlock, expected);
  });
});

describe("a server that gives another salt", () => {
  test("is refused by a device that knows the account, before the password is put to it", async () => {
    const attack = both({ encryption_salt: randomHex(32) });
    await expectRefused(victim, victim, attack, unlock, { code: "salt-changed", requests: 1 });
  });

  test("is refused by a new device that it lets in all the same", async () => {
    const real = await recordLogin(victim);
    const encryption_salt = randomHex(32);
    const attack: Attack = (seen, pass) =>
      seen.path === "/auth/login"
        ? { ...real, body: { ...real.body, encryption_salt } }
        : prelogin({ encryption_salt })(seen, pass);
    const expected = { code: "vault-key-refused", requests: 2 } as const;
    await expectRefused(victim, lockedDevice(victim), attack, unlock, expected);
  });

  test.each<[string, object]>([
    ["salt", { encryption_salt: randomHex(32) }],
    ["kdf", kdf({ iterations: 3 })],
  ])("of which prelogin and login name two is refused by a new device: %s", async (_, change) => {
    const expected = { code: "vault-key-refused", requests: 2 } as const;
    await expectRefused(victim, lockedDevice(victim), login(change), unlock, expected);
    await expectRefused(victim, victim, login(change), unlock, expected);
  });

  test.each(["00".repeat(31), "00".repeat(33), "AB".repeat(32), "zz".repeat(32), "", null])(
    "of the wrong form is no answer of this protocol: %p",
    async (encryption_salt) => {
      const expected = { code: "response-invalid", requests: 1 } as const;
      await expectRefused(victim, lockedDevice(victim), prelogin({ encryption_salt }), unlock, expected);
    },
  );
});

describe("a server that gives another account", () => {
  test("under another id is refused: known by a pin, and by the wrapped key where there is none", async () => {
    const attack = login({ user_id: crypto.randomUUID() });
    await expectRefused(victim, victim, attack, unlock, { code: "account-changed", requests: 2 });
    const expected = { code: "vault-key-refused", requests: 2 } as const;
    await expectRefused(victim, lockedDevice(victim), attack, unlock, expected);
  });

  test("with its wrapped key is refused, alone and with all that belongs to it", async () => {
    const { body } = await recordLogin(await makeAccount(victim));
    const expected = { code: "vault-key-refused", requests: 2 } as const;
    for (const change of [{ protected_key: body.protected_key }, body]) {
      await expectRefused(victim, lockedDevice(victim), login(change), unlock, expected);
    }
    await expectRefused(victim, victim, login({ protected_key: body.protected_key }), unlock, expected);
    await expectRefused(victim, victim, login(body), unlock, { code: "account-changed", requests: 2 });
  });

  test("of the same password, salt and kdf is refused: the name and the id are in the keys", async () => {
    const { body } = await recordLogin(victim);
    const namesake = { ...victim, username: randomName() };
    const attack: Attack = (seen) => ({
      status: 200,
      body: seen.path === "/auth/login" ? body : { encryption_salt: body.encryption_salt, kdf: body.kdf },
    });
    const locked = lockedDevice(namesake);
    expect(await under(victim.hostile, attack, () => codeOf(unlock(locked)))).toBe("vault-key-refused");
    expect(await pinsOf(victim.hostile, locked)).toBeUndefined();
  });

  test("at registration is refused, and nothing is remembered of it", async () => {
    const device = { ...lockedDevice(victim), username: randomName(), master_password: randomPassword() };
    const attack = changing("POST /auth/register", (body) => ({ ...body, id: crypto.randomUUID() }));
    const register = () => device.vault.register({ ...device, kdf: KDF });
    const expected = { code: "account-changed", requests: 1, contents: [] } satisfies Expected;
    await expectRefused(victim, device, attack, register, expected);
  });

  test("as one that a registration made, whose answer it kept, leaves no false account on the device", async () => {
    // The name is somebody else's: the first attempt is lost, and the second says so.
    const device = { ...lockedDevice(victim), master_password: victim.master_password };
    let attempts = 0;
    const attack = on("POST /auth/register", (_, pass) =>
      attempts++ === 0 ? (socket) => socket.destroy() : pass(),
    );
    const register = () => device.vault.register({ ...device, kdf: KDF });
    await expectRefused(victim, device, attack, register, { code: "username-taken", requests: 3 });
  });
});

describe("a server that gives another wrapped key", () => {
  test.each<[string, number]>([
    ["ciphertext", 32],
    ["iv", 12],
    ["tag", 16],
    ["commitment", 32],
  ])("is refused for a bit of its %s", async (part, bytes) => {
    const real = await recordLogin(victim);
    const bits = Array.from({ length: 8 * bytes }, (_, bit) => bit);
    // tests/crypto turns over each bit; here it is the way to it that is tested.
    const chosen = process.env.SLOW ? bits : [0, ...sample(bits, 2), 8 * bytes - 1];
    for (const bit of chosen) {
      const { protected_key } = real.body;
      const body = {
        ...real.body,
        protected_key: { ...protected_key, [part]: flip(protected_key[part], bit) },
      };
      const expected = { code: "vault-key-refused", requests: 2 } as const;
      const attack = on("POST /auth/login", () => ({ ...real, body }));
      await expectRefused(victim, victim, attack, unlock, expected);
    }
  });

  test.each<[string, VaultErrorCode, object | null]>([
    ["all of it random", "vault-key-refused", randomKey()],
    ["none", "vault-key-refused", null],
    ["one part too many", "response-invalid", { ...randomKey(), v: 2 }],
    ["a tag cut to 12 bytes", "response-invalid", { ...randomKey(), tag: randomBase64(12) }],
    ["a tag of none", "response-invalid", { ...randomKey(), tag: "" }],
    ["an iv of 16 bytes", "response-invalid", { ...randomKey(), iv: randomBase64(16) }],
    ["a key of 16 bytes", "response-invalid", { ...randomKey(), ciphertext: randomBase64(16) }],
  ])("is refused: %s", async (_, code, protected_key) => {
    await expectRefused(victim, victim, login({ protected_key }), unlock, { code, requests: 2 });
  });

  test("is refused: the account's own of before a change of the master password", async () => {
    const device = await makeAccount(victim);
    const { body: old } = await recordLogin(device);
    const new_password = randomPassword();
    await device.vault.changePassword({ current_password: device.master_password, new_password });
    const changed = { ...device, master_password: new_password };
    const contents = device.entries.map(({ content }) => content);
    const { encryption_salt, kdf, protected_key } = old;
    // All of the old, to who types the new password and to who types the old one; and the old key alone.
    for (const typed of [changed, device]) {
      const action = () => device.vault.unlock(typed);
      const attack = both({ encryption_salt, kdf, protected_key });
      await expectRefused(victim, changed, attack, action, { code: "salt-changed", requests: 1, contents });
    }
    const expected = { code: "vault-key-refused", requests: 2, contents } as const;
    await expectRefused(victim, changed, login({ protected_key }), unlock, expected);
    await expectRefused(
      victim,
      lockedDevice({ ...victim, ...changed }),
      login({ protected_key }),
      unlock,
      expected,
    );
  });
});

test("a server that says yes to every password opens no vault", async () => {
  const real = await recordLogin(victim);
  const guess = { ...lockedDevice(victim), master_password: randomPassword() };
  const attack = on("POST /auth/login", () => real);
  expect(await under(victim.hostile, attack, () => codeOf(unlock(guess)))).toBe("vault-key-refused");
  expect(guess.vault.locked).toBe(true);
  const other = await newDevice(victim);
  expect(await other.vault.list()).toEqual(victim.entries);
});

function randomKey() {
  const part = randomBase64;
  return { ciphertext: part(32), iv: part(12), tag: part(16), commitment: part(32) };
}

function flip(base64: string, bit: number): string {
  const bytes = Buffer.from(base64, "base64");
  bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return bytes.toString("base64");
}

function sample<Item>(items: readonly Item[], count: number): Item[] {
  return Array.from({ length: count }, () => items[Math.floor(Math.random() * items.length)] as Item);
}
