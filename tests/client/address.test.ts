import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { memoryStore, Vault } from "../../src/client/index.ts";
import { freePort } from "../support/ports.ts";
import { useQuickHashes } from "../support/quick-hashes.ts";
import { startTestServer, type TestServer, temporaryDirectory } from "../support/server.ts";
import { codeOf, errorOf, makeNetwork, openVault, randomLogin, registerDevice } from "../support/vault.ts";

useQuickHashes();

const open = (url: string, insecure_http = false) => new Vault({ url, store: memoryStore(), insecure_http });
const account = { username: "somebody", master_password: "x" };

describe("a server's address", () => {
  test.each([
    "https://vault.example",
    "https://vault.example:8443/a/path/",
    "http://localhost",
    "http://LOCALHOST:8080/",
    "http://127.0.0.1:1",
    "http://127.1",
    "http://127.255.255.254",
    "http://[::1]:8080",
  ])("may be %s", (url) => {
    expect(open(url).locked).toBe(true);
  });

  test.each([
    "http://vault.example",
    "http://localhost.example",
    "http://localhost.",
    "http://127.0.0.1.example",
    "http://128.0.0.1",
    "http://0.0.0.0",
    "http://[::2]",
    "http://192.168.0.1",
  ])("may be %s only for those who say that they know", (url) => {
    expect(codeOfOpening(url)).toBe("url-insecure");
    expect(open(url, true).locked).toBe(true);
  });

  test.each([
    "",
    "vault.example",
    "localhost:8080",
    "//vault.example",
    "https://",
    "ftp://vault.example",
    "file:///tmp",
    "javascript:alert(1)",
    "https://user@vault.example",
    "https://:secret@vault.example",
    "https://vault.example/?a=b",
    "https://vault.example/#part",
  ])("may not be %p", (url) => {
    expect(codeOfOpening(url)).toBe("url-invalid");
  });

  function codeOfOpening(url: string): string | undefined {
    try {
      open(url);
    } catch (error) {
      return (error as { code?: string }).code;
    }
    return undefined;
  }
});

describe("a server", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer("embedded");
  });
  afterAll(() => server.stop());

  test("is found behind a path, however many slashes end its address", async () => {
    const paths: string[] = [];
    const proxy = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        paths.push(pathname);
        if (!pathname.startsWith("/a/b/")) return new Response(null, { status: 404 });
        return fetch(server.url + pathname.slice("/a/b".length) + search, request);
      },
    });
    const store = memoryStore();
    const { vault, ...device } = await registerDevice({ url: `${proxy.url.origin}/a/b` }, { store });
    const { id } = await vault.add(randomLogin());
    for (const end of ["/", "//", "/?", "/#"]) {
      // One address, so one place in the store: nothing is met for the first time.
      const again = new Vault({ url: `${proxy.url.origin}/a/b${end}`, store });
      await again.unlock(device);
      expect((await again.list()).map((entry) => entry.id)).toEqual([id]);
    }
    expect(paths.filter((path) => !/^\/a\/b\/(auth|entries)/.test(path))).toEqual([]);
    await proxy.stop(true);
  });

  test("that nobody listens for cannot be reached", async () => {
    const waits: string[] = [];
    const url = `http://127.0.0.1:${freePort()}`;
    const vault = openVault({ url }, { on_wait: ({ code }) => void waits.push(code) });
    expect(await errorOf(vault.unlock(account))).toMatchObject({
      code: "server-unreachable",
      hostile: false,
    });
    expect(waits).toEqual(["server-unreachable", "server-unreachable", "server-unreachable"]);
  });

  test("whose name nobody knows cannot be reached", async () => {
    const vault = openVault({ url: "https://nobody.invalid" });
    expect(await codeOf(vault.unlock(account))).toBe("server-unreachable");
  });

  test("that ends every connection without a word cannot be reached", async () => {
    const rude = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.terminate() },
    });
    const vault = openVault({ url: `http://127.0.0.1:${rude.port}` });
    expect(await codeOf(vault.unlock(account))).toBe("server-unreachable");
    rude.stop(true);
  });

  test("that sends elsewhere is not followed", async () => {
    let followed = 0;
    const elsewhere = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch() {
        followed++;
        return new Response("{}");
      },
    });
    for (const status of [301, 302, 303, 307, 308]) {
      const gate = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: () => Response.redirect(`${elsewhere.url.origin}/auth/prelogin`, status),
      });
      expect(await codeOf(openVault({ url: gate.url.origin }).unlock(account))).toBe("response-invalid");
      await gate.stop(true);
    }
    expect(followed).toBe(0);
    await elsewhere.stop(true);
  });

  test("is given nothing but what the request needs", async () => {
    const network = makeNetwork();
    const { vault } = await registerDevice(server, { fetch: network.fetch });
    await vault.list();
    for (const { headers, route } of network.sent) {
      const allowed = ["authorization", "content-type"];
      expect([...headers.keys()].filter((name) => !allowed.includes(name))).toEqual([]);
      expect(headers.has("authorization")).toBe(route === "GET /entries");
    }
  });

  describe.skipIf(Bun.which("openssl") === null)("with a certificate that nobody vouches for", () => {
    let tls: { cert: string; key: string };
    let secure: ReturnType<typeof Bun.serve>;
    beforeAll(async () => {
      tls = await makeCertificate();
      secure = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        tls,
        fetch: (request) => fetch(server.url + new URL(request.url).pathname, request),
      });
    });
    afterAll(() => secure.stop(true));

    test("is refused, at once and before anything is sent", async () => {
      const waits: string[] = [];
      const url = `https://localhost:${secure.port}`;
      const vault = openVault({ url }, { on_wait: ({ code }) => void waits.push(code) });
      expect(await errorOf(vault.unlock(account))).toMatchObject({
        code: "certificate-refused",
        hostile: false,
      });
      expect(waits).toEqual([]);
    });

    test("is trusted by a fetch that knows its authority, and only under its name", async () => {
      const trusting = (url: string, init: RequestInit) => fetch(url, { ...init, tls: { ca: tls.cert } });
      const { vault } = await registerDevice(
        { url: `https://localhost:${secure.port}` },
        { fetch: trusting },
      );
      const { id } = await vault.add(randomLogin());
      expect((await vault.list()).map((entry) => entry.id)).toEqual([id]);
      const other = openVault({ url: `https://127.0.0.1:${secure.port}` }, { fetch: trusting });
      expect(await codeOf(other.unlock(account))).toBe("certificate-refused");
    });
  });
});

async function makeCertificate(): Promise<{ cert: string; key: string }> {
  const directory = temporaryDirectory();
  const [key, cert] = [join(directory, "key"), join(directory, "certificate")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const command = ["openssl", "req", "-x509", ...kind, "-keyout", key, "-out", cert, ...name];
  expect(await Bun.spawn(command, { stderr: "ignore" }).exited).toBe(0);
  return { cert: await Bun.file(cert).text(), key: await Bun.file(key).text() };
}
