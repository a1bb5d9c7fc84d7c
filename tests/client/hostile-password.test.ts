import { describe, expect, test } from "bun:test";
import { randomBase64, randomPassword } from "../support/client.ts";
import { type Attack, on, type Pass, type Raw } from "../support/hostile-server.ts";
import { codeOf, type Device, errorOf, unlockDevice } from "../support/vault.ts";
import { makeAccount, useVictim } from "../support/victim.ts";

const victim = useVictim();

type Owner = Awaited<ReturnType<typeof makeAccount>>;

const cut: Raw = (socket) => socket.destroy();
const cutAfter = async (pass: Pass): Promise<Raw> => {
  await pass();
  return cut;
};
const tokens = () => ({
  ...{
    accessToken: randomBase64(32),
    refreshToken: randomBase64(32),
    token_type: "Bearer",
    expires_in: 2100,
  },
});

/** Changes the password under an attack. What comes of it: undefined, or the code of the error; and how often the server was asked. */
async function change(owner: Owner, attack: Attack) {
  const new_password = randomPassword();
  Object.assign(victim.hostile, { attack, seen: [] });
  const outcome = await owner.vault
    .changePassword({ current_password: owner.master_password, new_password })
    .then(
      () => undefined,
      async (error) => (await errorOf(Promise.reject(error))).code,
    )
    .finally(() => {
      victim.hostile.attack = undefined;
    });
  return { outcome, new_password, requests: victim.hostile.seen.length };
}

/** One of the two passwords works from everywhere: on this device without a question, and on one that knows nothing. */
async function expectWorks(owner: Owner, works: string, fails: string): Promise<void> {
  for (const options of [{ store: owner.store }, {}]) {
    expect(await codeOf(unlockDevice(victim.hostile, { ...owner, master_password: fails }, options))).toBe(
      "password-wrong",
    );
    const device: Device = await unlockDevice(victim.hostile, { ...owner, master_password: works }, options);
    expect(await device.vault.list()).toEqual(owner.entries);
  }
}

describe("a change of the master password that the server", () => {
  test("refuses leaves the old one, and the vault open", async () => {
    const owner = await makeAccount(victim);
    const body = {
      type: "about:blank",
      title: "T",
      status: 429,
      code: "login-locked",
      request_id: "request-1",
    };
    const { outcome, new_password, requests } = await change(
      owner,
      on("PUT /auth/password", () => ({ status: 429, body })),
    );
    expect([outcome, requests]).toEqual(["login-locked", 1]);
    expect(await owner.vault.list()).toEqual(owner.entries);
    await expectWorks(owner, owner.master_password, new_password);
  });

  test("never gets leaves the old one, and says that it was not reached", async () => {
    const owner = await makeAccount(victim);
    const { outcome, new_password, requests } = await change(
      owner,
      on("PUT /auth/password", () => cut),
    );
    expect([outcome, requests]).toEqual(["server-unreachable", 2]);
    expect(await owner.vault.list()).toEqual(owner.entries);
    await expectWorks(owner, owner.master_password, new_password);
  });

  test("carries out and does not acknowledge is found out, and goes on with the new one", async () => {
    const owner = await makeAccount(victim);
    const attack = on("PUT /auth/password", (_, pass) => cutAfter(pass));
    const { outcome, new_password, requests } = await change(owner, attack);
    // The change, the question what became of it, and the login with the new password.
    expect([outcome, requests]).toEqual([undefined, 4]);
    expect(await owner.vault.list()).toEqual(owner.entries);
    await expectWorks(owner, new_password, owner.master_password);
  });

  test.each<[string, (pass: Pass) => ReturnType<Attack>]>([
    ["garbage", async (pass) => ({ ...(await pass()), body: "<html>" })],
    ["no tokens", async (pass) => ({ ...(await pass()), body: {} })],
    ["a mistake of its own", async (pass) => ({ ...(await pass()), status: 500, body: mistake })],
  ])("carries out and answers with %s is found out, and goes on with the new one", async (_, answer) => {
    const owner = await makeAccount(victim);
    const { outcome, new_password, requests } = await change(
      owner,
      on("PUT /auth/password", (_seen, pass) => answer(pass)),
    );
    expect([outcome, requests]).toEqual([undefined, 4]);
    expect(await owner.vault.list()).toEqual(owner.entries);
    await expectWorks(owner, new_password, owner.master_password);
  });

  test.each<[string, boolean]>([
    ["carries out", true],
    ["does not carry out", false],
  ])("%s, and then is silent, is said to be unknown", async (_, done) => {
    const owner = await makeAccount(victim);
    const attack: Attack = (seen, pass) => (seen.path === "/auth/password" && done ? cutAfter(pass) : cut);
    const { outcome, new_password, requests } = await change(owner, attack);
    expect(outcome).toBe("password-change-unknown");
    expect(requests).toBeLessThanOrEqual(5);
    const [works, fails] = done
      ? [new_password, owner.master_password]
      : [owner.master_password, new_password];
    await expectWorks(owner, works, fails);
  });

  test.each(["/auth/prelogin", "/auth/login"])(
    "carries out, says so when it is asked, and is silent then, is done, but logged out: at %s",
    async (path) => {
      const owner = await makeAccount(victim);
      let asked = 0;
      const attack: Attack = (seen, pass) => {
        if (seen.path === "/auth/password") return cutAfter(pass);
        // The first time it is asked what became of the change, the second time for a login.
        if (seen.path === "/auth/prelogin") asked++;
        return seen.path === path && (path === "/auth/login" || asked > 1) ? cut : pass();
      };
      const { outcome, new_password } = await change(owner, attack);
      expect(outcome).toBeUndefined();
      expect(await codeOf(owner.vault.list())).toBe("signed-out");
      await expectWorks(owner, new_password, owner.master_password);
    },
  );

  test("acknowledges and does not carry out is found out at the next login, and the old one still works", async () => {
    const owner = await makeAccount(victim);
    const attack = on("PUT /auth/password", () => ({ status: 200, body: tokens() }));
    const { outcome, new_password, requests } = await change(owner, attack);
    // Whatever the server says it could say falsely: nobody can know better now.
    expect([outcome, requests]).toEqual([undefined, 1]);
    expect(await codeOf(owner.vault.list())).toBe("signed-out");
    const again = { ...owner, master_password: new_password };
    const same_device = { store: owner.store };
    expect(await codeOf(unlockDevice(victim.hostile, again, same_device))).toBe("salt-changed");
    expect(await codeOf(unlockDevice(victim.hostile, owner, same_device))).toBe("salt-changed");
    const told = { ...owner, password_changed: true };
    const { vault } = await unlockDevice(victim.hostile, told, same_device);
    expect(await vault.list()).toEqual(owner.entries);
    expect(await (await unlockDevice(victim.hostile, owner)).vault.list()).toEqual(owner.entries);
  });

  test("does not carry out, and says that it has when it is asked, is not believed", async () => {
    const owner = await makeAccount(victim);
    let salt = "";
    const attack: Attack = async (seen, pass) => {
      if (seen.path === "/auth/password") {
        salt = seen.body.encryption_salt;
        return cut;
      }
      const real = await pass();
      return seen.path === "/auth/prelogin"
        ? { ...real, body: { ...real.body, encryption_salt: salt } }
        : real;
    };
    const { outcome, new_password } = await change(owner, attack);
    expect(outcome).toBe("password-change-unknown");
    await expectWorks(owner, owner.master_password, new_password);
  });

  test("was asked for with the wrong present one is never sent", async () => {
    const owner = await makeAccount(victim);
    const wrong = { ...owner, master_password: randomPassword() };
    const { outcome, requests, new_password } = await change(wrong, (_, pass) => pass());
    expect([outcome, requests]).toEqual(["password-wrong", 0]);
    await expectWorks(owner, owner.master_password, new_password);
  });

  const mistake = {
    type: "about:blank",
    title: "T",
    status: 500,
    code: "internal-error",
    request_id: "request-1",
  };
});
