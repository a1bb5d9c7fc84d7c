import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { randomName, randomPassword, sealedEntry } from "../../support/client.ts";
import { run } from "../../support/process.ts";
import { startTestServer, type TestServer } from "../../support/server.ts";

/** Below the repository, so that the generated client finds its library. */
const ROOT = resolve(import.meta.dir, "../../..");
const DIRECTORY = join(ROOT, `dist/typed-client-${process.pid}`);

/** What somebody writes with the client that was made for them. Each line is typed by the document. */
const PROGRAM = `
import * as api from "./client.ts";
import { handle, ok } from "@oazapfts/runtime";

type Sealed = Pick<api.CreateEntryRequest, "ciphertext" | "iv" | "tag">;

async function main(baseUrl: string, username: string, password: string, sealed: Sealed): Promise<string[]> {
  api.defaults.baseUrl = baseUrl;
  const done: string[] = [];
  const registered: api.Registered = await ok(api.register({ username, password }));
  done.push(registered.username);
  const session: api.LoggedIn = await ok(api.login({ username, password, device_name: "Laptop" }));
  if (session.protected_key !== null) done.push(session.protected_key.commitment);
  const signed_in = { headers: { authorization: "Bearer " + session.accessToken } };
  const entry: api.Entry = await ok(api.createEntry(sealed, signed_in));
  const replaced = await ok(api.replaceEntry(entry.id, sealed, { ifMatch: '"1"' }, signed_in));
  done.push(String(replaced.version));
  const page: api.EntryPage = await ok(api.listEntries({ limit: 10 }, signed_in));
  done.push(...page.entries.map(({ ciphertext }) => ciphertext));
  const conflict = await api.replaceEntry(entry.id, sealed, { ifMatch: '"1"' }, signed_in);
  if (conflict.status === 412) done.push(conflict.data.code);
  const tokens: api.Tokens = await ok(api.refresh({ refreshToken: session.refreshToken }));
  await ok(api.logout({ refreshToken: tokens.refreshToken }));
  await handle(api.listEntries({}, signed_in), { 401: (problem: api.Problem) => done.push(problem.code) });
  return done;
}

const [baseUrl = "", username = "", password = "", sealed = ""] = process.argv.slice(2);
console.log(JSON.stringify(await main(baseUrl, username, password, JSON.parse(sealed))));
`;

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer("embedded");
  mkdirSync(DIRECTORY, { recursive: true });
}, 30_000);
afterAll(async () => {
  rmSync(DIRECTORY, { recursive: true, force: true });
  await server.stop();
});

test("a client that a public generator makes of the document compiles, and registers to logs out", async () => {
  const document = join(DIRECTORY, "openapi.json");
  await Bun.write(document, await (await fetch(`${server.url}/openapi.json`)).text());
  const generated = await bin("oazapfts", document, join(DIRECTORY, "client.ts"));
  expect([generated.code, generated.stderr]).toEqual([0, ""]);
  await Bun.write(join(DIRECTORY, "program.ts"), PROGRAM);
  await Bun.write(join(DIRECTORY, "tsconfig.json"), JSON.stringify(STRICT));
  expect(await bin("tsc", "--project", DIRECTORY)).toEqual({ code: 0, stdout: "", stderr: "" });

  const [username, sealed] = [randomName(), sealedEntry()];
  const program = [process.execPath, join(DIRECTORY, "program.ts")];
  const { stdout } = await run([...program, server.url, username, randomPassword(), JSON.stringify(sealed)]);
  expect(JSON.parse(stdout)).toEqual([username, "2", sealed.ciphertext, "entry-conflict", "token-invalid"]);
}, 30_000);

const STRICT = {
  extends: join(ROOT, "tsconfig.json"),
  // What the generator writes of itself is its own.
  compilerOptions: { exactOptionalPropertyTypes: false, noUnusedLocals: false },
  include: ["*.ts"],
};

function bin(name: string, ...args: string[]) {
  return run([process.execPath, join(ROOT, "node_modules/.bin", name), ...args], { cwd: DIRECTORY });
}
