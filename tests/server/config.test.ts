import { describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isOperatorFault } from "../../src/exit.ts";
import { loadConfig, localUrl } from "../../src/server/config.ts";
import type { Environment } from "../../src/server/settings.ts";
import { temporaryDirectory } from "../support/server.ts";

const SECRET = Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString("base64url");
const load = (settings: Environment) => loadConfig({ JWT_SECRET: SECRET, ...settings });

const directory = temporaryDirectory();
const certificate = file("certificate.pem", "a certificate");
const key = file("key.pem", "a key");

describe("TLS", () => {
  test("is off, or has a certificate and a key", () => {
    expect(load({}).tls).toBeUndefined();
    expect(load({ TLS_CERT_FILE: certificate, TLS_KEY_FILE: key }).tls).toEqual({
      certificate_file: certificate,
      key_file: key,
    });
  });

  test("is refused with one file of the two", () => {
    for (const settings of [{ TLS_CERT_FILE: certificate }, { TLS_KEY_FILE: key }])
      expect(faultOf(settings)).toContain("TLS_CERT_FILE and TLS_KEY_FILE belong together: set both or none");
  });
});

describe("faults", () => {
  test("are all reported at once, one a line, with exit code 78", () => {
    const settings: Environment = {
      JWT_SECRET: "",
      JWT_SECRET_PREVIOUS: "short",
      PORT: "70000",
      LOG_LEVEL: "loud",
      RATE_LIMIT_AUTH: "often",
      TRUSTED_PROXIES: "everybody",
      CORS_ORIGINS: "*",
      TLS_CERT_FILE: certificate,
      REGISTRATION: "maybe",
      ARGON2_MEMORY_KIB: "1",
      ACCESS_TOKEN_EXPIRES_IN: "soon",
      DATABASE_URL: "oracle://x",
    };
    const lines = faultOf(settings).split("\n");
    expect(lines[0]).toBe("The configuration has 12 faults:");
    expect(
      lines
        .slice(1)
        .map((line) => line.replace(/^ {2}- ([A-Z0-9_]+) .*$/, "$1"))
        .sort(),
    ).toEqual(Object.keys(settings).sort());
  });

  test("never hold a secret's value", () => {
    const hidden = `hidden_${crypto.randomUUID()}`;
    for (const [name, value] of [
      ["JWT_SECRET", hidden.slice(0, 31)],
      ["JWT_SECRET", `changeme${hidden}`],
      ["JWT_SECRET_PREVIOUS", hidden.slice(0, 20)],
      ["DATABASE_URL", `mysql://root:${hidden}@db/x`],
      ["DATABASE_URL", hidden],
    ] as const) {
      const path = file(`secret-${name}`, value);
      for (const settings of [{ [name]: value }, { [name]: "", [`${name}_FILE`]: path }])
        expect(faultOf(settings)).not.toContain(value.slice(8, 20));
    }
  });
});

test("a configuration is frozen, all the way down", () => {
  const config = load({
    TRUSTED_PROXIES: "10.0.0.0/8",
    CORS_ORIGINS: "https://a.example",
    JWT_SECRET: SECRET,
  });
  const parts: unknown[] = [config];
  for (const part of parts) {
    expect(Object.isFrozen(part)).toBe(true);
    parts.push(...Object.values(part as object).filter((one) => typeof one === "object" && one !== null));
  }
  expect(parts.length).toBeGreaterThan(6);
  expect(() => Object.assign(config.jwt, { secret: "x" })).toThrow(TypeError);
});

describe("the address that health asks", () => {
  const ROWS: [settings: Environment, url: string][] = [
    [{}, "http://127.0.0.1:4000/"],
    [{ PORT: "8080", HOST: "192.0.2.1" }, "http://192.0.2.1:8080/"],
    [{ HOST: "0.0.0.0" }, "http://127.0.0.1:4000/"],
    [{ HOST: "::" }, "http://[::1]:4000/"],
    [{ HOST: "::1" }, "http://[::1]:4000/"],
    [{ HOST: "vault.example" }, "http://vault.example:4000/"],
    [{ TLS_CERT_FILE: certificate, TLS_KEY_FILE: key }, "https://127.0.0.1:4000/"],
    [{ HOST: "2001:db8::1" }, "http://[2001:db8::1]:4000/"],
    [{ PORT: "nonsense" }, "http://127.0.0.1:4000/"],
  ];
  for (const [settings, url] of ROWS) {
    test(`is ${url} with ${JSON.stringify(settings).replaceAll(directory, "")}, and needs no secret`, () => {
      expect(localUrl(settings).href).toBe(url);
    });
  }

  test("is a clear fault where HOST can be none", () => {
    expect(() => localUrl({ HOST: "no host" })).toThrow("HOST is neither an address nor a name: correct it");
  });
});

/** The one message of a refused configuration. */
function faultOf(settings: Environment): string {
  try {
    load(settings);
  } catch (error) {
    if (isOperatorFault(error)) {
      expect(error.exit_code).toBe(78);
      return error.message;
    }
    throw error;
  }
  throw new Error(`taken: ${JSON.stringify(settings)}`);
}

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  chmodSync(path, 0o600);
  return path;
}
