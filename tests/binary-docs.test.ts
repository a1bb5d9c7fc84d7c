import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Locator, Page } from "playwright-core";
import { OPERATIONS } from "../src/contract/operations.ts";
import { type Binary, makeDirectory, takeBinary } from "./support/binary.ts";
import { CHROMIUM, openBrowser, openPage } from "./support/browser.ts";
import { randomName, randomPassword } from "./support/client.ts";
import { JWT_SECRET } from "./support/server.ts";

/** The pages as a person has them: from the compiled binary, in a browser, by clicks. */
const PATIENCE_MS = 60_000;

let binary: Binary;
let origin: string;

beforeAll(async () => {
  binary = await takeBinary();
  origin = await binary.serve({ DATA_DIR: makeDirectory("data"), JWT_SECRET }).url;
}, PATIENCE_MS);
afterAll(() => binary?.end(), PATIENCE_MS);

test("the binary has the pages, the document and all that they load within itself", async () => {
  const addresses = ["/docs", "/redoc", "/openapi.json"];
  for (const address of addresses) {
    const answer = await fetch(origin + address);
    expect([address, answer.status]).toEqual([address, 200]);
    const assets = (await answer.text()).matchAll(/"(\/docs\/assets\/[^"]+)"/g);
    addresses.push(...assets.map(([, asset]) => asset as string));
  }
  expect(addresses.length).toBeGreaterThan(8);
});

if (CHROMIUM === undefined) console.log("SKIPPED: the docs in a browser (apt-get install chromium)");

describe.skipIf(CHROMIUM === undefined)("in a browser", () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await openBrowser();
  }, PATIENCE_MS);
  afterAll(() => browser?.close(), PATIENCE_MS);

  test(
    "Swagger UI registers, logs in, authorizes, stores what the page has sealed, and lists it",
    async () => {
      const { page, requests, complaints } = await openPage(browser, origin);
      await page.goto(`${origin}/docs`);
      const [username, password] = [randomName(), randomPassword()];

      const register = await open(page, "register");
      expect(JSON.parse(await register.locator("textarea").inputValue())).toHaveProperty("password");
      expect(await execute(register, { username, password })).toMatchObject({
        status: 201,
        body: { username },
      });
      const login = await execute(await open(page, "login"), { username, password });
      expect(login.status).toBe(200);

      const create = await open(page, "createEntry");
      expect(await execute(create)).toMatchObject({ status: 401, body: { code: "token-missing" } });
      await page.locator(".auth-wrapper > .authorize").click();
      await page.locator(".auth-container input").fill(login.body.accessToken);
      await page.locator(".auth-container button.authorize").click();
      await page.locator(".auth-container .btn-done").click();

      const asked = requests.length;
      await page.locator("#sealing > summary").click();
      await page.locator("#passphrase").fill(randomPassword());
      await page.locator("#salt").fill(login.body.encryption_salt);
      await page.getByRole("button", { name: "Derive the key" }).click();
      await page.getByText("The key is derived.").waitFor();
      await page.locator("#plaintext").fill("a secret that only this page knows");
      await page.getByRole("button", { name: "Encrypt for POST" }).click();
      await page.getByText("Ready for POST").waitFor();
      const sealed = JSON.parse(await page.locator("#body").inputValue());
      expect(requests.slice(asked)).toEqual([]);

      expect(await execute(create, sealed)).toMatchObject({ status: 201, body: { ...sealed, version: 1 } });
      const listed = await execute(await open(page, "listEntries"));
      expect(listed.body.entries).toMatchObject([sealed]);

      await page.locator("#stored").fill(JSON.stringify(listed.body.entries[0]));
      await page.getByRole("button", { name: "Decrypt" }).click();
      await page.getByText("Decrypted: nobody has changed it.").waitFor();
      expect(await page.locator("#opened").inputValue()).toBe("a secret that only this page knows");
      await page
        .locator("#stored")
        .fill(JSON.stringify({ ...listed.body.entries[0], id: login.body.user_id }));
      await page.getByRole("button", { name: "Decrypt" }).click();
      await page.getByText("The message does not open").waitFor();
      expect(await page.locator("#opened").inputValue()).toBe("");

      // The one that was meant to be refused.
      expect(complaints.filter((text) => !/status of 401/.test(text))).toEqual([]);
    },
    PATIENCE_MS,
  );

  test(
    "ReDoc shows every operation",
    async () => {
      const { page, complaints } = await openPage(browser, origin);
      await page.goto(`${origin}/redoc`);
      for (const { summary } of OPERATIONS) await page.locator("h2", { hasText: summary }).first().waitFor();
      await page.getByRole("heading", { name: "Errors" }).waitFor();
      expect(complaints).toEqual([]);
    },
    PATIENCE_MS,
  );
});

/** The block of an operation, unfolded. */
async function open(page: Page, id: string): Promise<Locator> {
  const block = page.locator(`.opblock[id$="-${id}"]`);
  await block.locator(".opblock-summary-control").click();
  return block;
}

/** Sends what stands there, or `body`, and reads the answer off the page. */
async function execute(block: Locator, body?: object) {
  if (await block.locator(".btn-clear").isVisible()) await block.locator(".btn-clear").click();
  if (body !== undefined) await block.locator("textarea").fill(JSON.stringify(body));
  await block.locator("button.execute").click();
  const shown = block.locator(".live-responses-table tbody tr").first();
  const status = await shown.locator(".response-col_status").textContent();
  const text = await shown.locator("pre.microlight, .highlight-code pre").first().textContent();
  return { status: Number(/[1-5][0-9]{2}/.exec(status ?? "")?.[0]), body: JSON.parse(text ?? "") };
}
