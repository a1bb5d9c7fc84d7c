import { beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { isOperatorFault } from "../../src/exit.ts";
import { type Listener, openListener } from "../../src/server/listener.ts";
import { temporaryDirectory } from "../support/server.ts";

/** A renewed certificate is taken over while the server runs. */
const directory = temporaryDirectory();
const tls = { certificate_file: join(directory, "certificate"), key_file: join(directory, "key") };
const options = { rejectUnauthorized: false };

describe.skipIf(Bun.which("openssl") === null)("a listener with TLS", () => {
  let listener: Listener;
  let finish: () => void = () => {};

  beforeAll(async () => {
    await Promise.all(["old", "new"].map(makePair));
    install("old");
    listener = openListener({ host: "127.0.0.1", port: 0, tls }, async (request) => {
      if (request.url.endsWith("/slow")) await new Promise<void>((resolve) => (finish = resolve));
      return new Response(listener.peer(request));
    });
  });

  test("takes a renewed pair over, and lets requests in flight finish", async () => {
    expect(await subject(listener)).toBe("old");
    const slow = fetch(new URL("/slow", listener.url), { tls: options });
    while (finish.toString() === (() => {}).toString()) await Bun.sleep(5);
    install("new");
    expect(await subject(listener)).toBe("old");
    listener.reloadTls();
    expect(await subject(listener)).toBe("new");
    expect(await (await fetch(listener.url, { tls: options })).text()).toBe("127.0.0.1");
    finish();
    expect(await (await slow).text()).toBe("127.0.0.1");
  });

  test("keeps the pair it has when the new one is none", async () => {
    for (const spoil of [
      () => writeFileSync(tls.key_file, "no key"),
      () => copyFileSync(join(directory, "old.key"), tls.key_file),
      () => writeFileSync(tls.certificate_file, ""),
    ]) {
      install("new");
      spoil();
      expect(faultOf(() => listener.reloadTls())).toBe(78);
      expect(await subject(listener)).toBe("new");
    }
  });

  test("speaks only recommended cipher suites with TLS 1.2, and prefers the strongest", async () => {
    const weak_first = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384";
    expect(await cipherOf(listener, weak_first)).toBe("ECDHE-ECDSA-AES256-GCM-SHA384");
    for (const weak of [
      "AES128-SHA",
      "AES256-GCM-SHA384",
      "ECDHE-ECDSA-AES128-SHA",
      "ECDHE-ECDSA-AES256-SHA",
    ]) {
      expect(cipherOf(listener, weak)).rejects.toThrow();
    }
  });

  test("is gone with everything it has when it stops", async () => {
    await listener.stop();
    expect(subject(listener)).rejects.toThrow();
  });
});

async function makePair(name: string): Promise<void> {
  const files = ["-keyout", join(directory, `${name}.key`), "-out", join(directory, `${name}.crt`)];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const command = ["openssl", "req", "-x509", ...kind, ...files, "-subj", `/CN=${name}`];
  expect(await Bun.spawn(command, { stderr: "ignore" }).exited).toBe(0);
}

function install(name: string): void {
  copyFileSync(join(directory, `${name}.crt`), tls.certificate_file);
  copyFileSync(join(directory, `${name}.key`), tls.key_file);
}

/** The suite that is agreed on with a client that has these and no TLS 1.3. */
function cipherOf(listener: Listener, ciphers: string): Promise<string> {
  const address = { host: "127.0.0.1", port: Number(listener.url.port) };
  const socket = connect({ ...address, ...options, ciphers, maxVersion: "TLSv1.2" });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      resolve(socket.getCipher().name);
      socket.destroy();
    });
  });
}

function subject(listener: Listener): Promise<string | undefined> {
  const socket = connect({ host: "127.0.0.1", port: Number(listener.url.port), ...options });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      const { CN } = socket.getPeerCertificate().subject;
      resolve(Array.isArray(CN) ? CN[0] : CN);
      socket.destroy();
    });
  });
}

function faultOf(work: () => void): number | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return isOperatorFault(error) ? error.exit_code : undefined;
  }
}
