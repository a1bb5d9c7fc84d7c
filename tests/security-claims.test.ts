import { expect, test } from "bun:test";
import { chmodSync, chownSync, copyFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import postgres from "postgres";
import { loadConfig } from "../src/server/config.ts";
import { openDatabase } from "../src/server/db/open.ts";
import { openListener } from "../src/server/listener.ts";
import { startPostgres } from "./support/postgres.ts";
import { run } from "./support/process.ts";
import { JWT_SECRET, makeTestLog, temporaryDirectory } from "./support/server.ts";

/** What SECURITY.md claims and no test of one feature shows. */
const ROOT = resolve(import.meta.dir, "..");
const read = (path: string) => Bun.file(join(ROOT, path)).text();
const PATIENCE_MS = 60_000;
const has_openssl = Bun.which("openssl") !== null;

test("the source starts no program, evaluates no text, asks nobody but the database, and guesses no number", async () => {
  const found: string[] = [];
  for (const file of new Glob("src/**/*.ts").scanSync(ROOT)) {
    // It runs while the program is built, and is not part of it.
    if (file === "src/web/docs/bundle.ts") continue;
    const text = await read(file);
    for (const [what, pattern] of Object.entries(NEVER))
      if (pattern.test(text)) found.push(`${file} ${what}`);
  }
  expect(found.sort()).toEqual(EXCEPTIONS);
});

test("a new database holds no account and no secret but the key of decoys", async () => {
  const inserts: string[] = [];
  for (const file of new Glob("drizzle/*.sql").scanSync(ROOT))
    inserts.push(...((await read(file)).match(/\b(?:insert into|copy) \S+/gi) ?? []));
  expect(inserts).toEqual(['INSERT INTO "server_keys"']);
});

test("Argon2id gives what its reference implementation gives", async () => {
  const of_reference =
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
  expect(await Bun.password.verify("password", of_reference, "argon2id")).toBe(true);
  expect(await Bun.password.verify("passwore", of_reference, "argon2id")).toBe(false);
});

test.skipIf(!has_openssl)("TLS is 1.2 or 1.3, and nothing older", async () => {
  const listener = openListener({ host: "127.0.0.1", port: 0, tls: makePair() }, () => new Response());
  const address = ["-connect", `127.0.0.1:${listener.url.port}`, "-cipher", "ALL:@SECLEVEL=0"];
  const spoken = async (version: string) => {
    const { stdout } = await run(["openssl", "s_client", ...address, version]);
    return /^New, (TLSv[\d.]+|\(NONE\))/m.exec(stdout)?.[1];
  };
  const versions = ["-tls1", "-tls1_1", "-tls1_2", "-tls1_3", "-no_tls1"];
  const answers = await Promise.all(versions.map(spoken));
  await listener.abort();
  // The last one leaves the choice open.
  expect(answers).toEqual(["(NONE)", "(NONE)", "TLSv1.2", "TLSv1.3", "TLSv1.3"]);
});

test.skipIf(!has_openssl)(
  "PostgreSQL's certificate is tested with sslmode=verify-full, and only then",
  async () => {
    const server = await startPostgres();
    try {
      await offerTls(server.url);
      const opens = (sslmode: string) => opensDatabase(`${server.url}?sslmode=${sslmode}`);
      // It takes a moment until the server has read its settings anew.
      for (let tries = 0; tries < 50 && !(await opens("require")); tries++) await Bun.sleep(20);
      expect(await opens("require")).toBe(true);
      expect(await opens("verify-full")).toBe(false);
    } finally {
      await server.stop();
    }
  },
  PATIENCE_MS,
);

/** What a person's own commands do; of the server's, `health` alone asks, and only the server of its own machine. */
const EXCEPTIONS = [
  "src/cli/account.ts asks somebody",
  "src/cli/clipboard.ts starts a program",
  "src/cli/commands/run.ts starts a program",
  // A one-time code is of the hash that its issuer chose (RFC 6238, section 1.2).
  "src/cli/import/kdbx-otp.ts hashes weakly",
  "src/cli/keychain.ts starts a program",
  "src/client/transport.ts asks somebody",
  "src/server/commands/health.ts asks somebody",
];

const NEVER: Record<string, RegExp> = {
  "starts a program": /child_process|\bBun\.(?:spawn|\$)/,
  "evaluates text": /\beval\(|new Function\b|new RegExp\(|node:vm/,
  // Two files call the handler that they were given.
  "asks somebody": /(?<![.\w])fetch\((?!request\)|Object\.)|new WebSocket|node:(?:https?|http2|net|dgram)\b/,
  "guesses a number": /Math\.random/,
  "hashes weakly": /["'](?:md5|sha-?1)["']/i,
};

/** A certificate that nobody knows, and its key. */
function makePair(): { certificate_file: string; key_file: string } {
  const directory = temporaryDirectory();
  const [certificate_file, key_file] = [join(directory, "certificate.pem"), join(directory, "key.pem")];
  const subject = [
    "-subj",
    "/CN=localhost",
    "-addext",
    "subjectAltName=IP:127.0.0.1",
    "-days",
    "2",
    "-nodes",
  ];
  const files = ["-newkey", "rsa:2048", "-keyout", key_file, "-out", certificate_file];
  Bun.spawnSync(["openssl", "req", "-x509", ...files, ...subject]);
  return { certificate_file, key_file };
}

async function offerTls(url: string): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => {} });
  const [row] = await client`select current_setting('data_directory') as directory`;
  const { uid, gid } = statSync(row?.directory);
  const { certificate_file, key_file } = makePair();
  for (const [name, file] of Object.entries({ certificate: certificate_file, key: key_file })) {
    const copy = join(row?.directory, `${name}.pem`);
    copyFileSync(file, copy);
    chmodSync(copy, 0o600);
    chownSync(copy, uid, gid);
  }
  await client`alter system set ssl_cert_file = 'certificate.pem'`;
  await client`alter system set ssl_key_file = 'key.pem'`;
  await client`alter system set ssl = on`;
  await client`select pg_reload_conf()`;
  await client.end();
}

async function opensDatabase(DATABASE_URL: string): Promise<boolean> {
  const config = loadConfig({ DATABASE_URL, JWT_SECRET });
  const database = await openDatabase(config, makeTestLog().log, 0).catch(() => undefined);
  await database?.close();
  return database !== undefined;
}
