import { afterAll, beforeAll, expect, test } from "bun:test";
import { createApp } from "../../../src/server/app.ts";
import { site } from "../../../src/web/docs/site.ts";
import { expectProblem } from "../../support/client.ts";
import { startTestServer, type TestServer } from "../../support/server.ts";

const NOTHING_ELSE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; ";
const PAGES = ["/docs", "/redoc"];

let server: TestServer;
let fetch: (path: string, headers?: Record<string, string>) => Promise<Response>;

beforeAll(async () => {
  server = await startTestServer("embedded");
  const app = createApp(server.deps, { state: "ready" }, () => "127.0.0.1", { site });
  fetch = async (path, headers = {}) => app.fetch(new Request(`http://localhost${path}`, { headers }));
}, 30_000);
afterAll(() => server.stop());

test("the pages are HTML under a policy without inline code, plugins or other hosts", async () => {
  for (const path of [...PAGES, "/docs/", "/redoc/"]) {
    const page = await fetch(path);
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toStartWith(NOTHING_ELSE);
    expect(policy).not.toMatch(/unsafe|https?:|\*|blob:/);
    expect(policy).toContain("script-src 'self';");
    expect(page.headers.get("x-frame-options")).toBe("DENY");
    expect(page.headers.get("x-content-type-options")).toBe("nosniff");
    expect(page.headers.get("cache-control")).toBe("no-store");
    const html = await page.text();
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|https?:\/\//);
  }
});

test("all that a page loads is there, may be kept for good, and is named by its content", async () => {
  const loaded = new Set<string>();
  for (const path of PAGES) {
    const html = await (await fetch(path)).text();
    for (const [, address = ""] of html.matchAll(/(?:src|href)="(\/docs\/assets\/[^"]+)"/g))
      loaded.add(address);
  }
  expect(loaded.size).toBe(site.assets.size);
  for (const address of loaded) {
    const asset = await fetch(address);
    expect([address, asset.status]).toEqual([address, 200]);
    expect(asset.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    const digest = new Bun.CryptoHasher("sha256")
      .update(await asset.text())
      .digest("hex")
      .slice(0, 32);
    expect(new URL(address, "http://localhost").searchParams.get("v")).toBe(digest);
    expect(asset.headers.get("etag")).toBe(`"${digest}"`);
    const again = await fetch(address, { "if-none-match": `"${digest}"` });
    expect([again.status, again.headers.get("etag"), await again.text()]).toEqual([304, `"${digest}"`, ""]);
  }
});

test("every asset names its type, and its charset where it is text", async () => {
  for (const name of site.assets.keys()) {
    expect((await fetch(`/docs/assets/${name}`)).headers.get("content-type")).toMatch(
      /^(?:text\/(?:css|javascript)|image\/svg\+xml); charset=utf-8$/,
    );
  }
});

test("no asset has another name, and a path does not lead out of them", async () => {
  for (const name of ["nothing.js", "__proto__", "..%2f..%2fpackage.json", "docs.js%00", "DOCS.JS"]) {
    const response = await fetch(`/docs/assets/${name}`);
    expect([name, response.status]).toEqual([name, 404]);
    expect(response.headers.get("cache-control")).toBe("no-store");
  }
});

test("a server without pages answers 404 for them, and never the plugin's own, which loads from another host", async () => {
  const app = createApp(server.deps, { state: "ready" }, () => "127.0.0.1");
  for (const path of [...PAGES, "/docs/assets/docs.js"]) {
    const response = await app.fetch(new Request(`http://localhost${path}`));
    const text = await response.text();
    expectProblem(
      { status: response.status, headers: response.headers, text, body: JSON.parse(text) },
      404,
      "not-found",
    );
  }
});
