import { constants, createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Server } from "bun";
import { LIMITS } from "../contract/limits.ts";
import { EXIT, operatorFault } from "../exit.ts";
import type { Config } from "./config.ts";
import type { Fetch } from "./http/observe.ts";

export type Listener = {
  url: URL;
  /** The address at the other end of a request's connection. */
  peer(request: Request): string;
  /** Answers with `fetch` from now on. */
  serve(fetch: Fetch): void;
  /** Reads certificate and key anew. Connections that exist finish with the old ones; a faulty pair changes nothing. */
  reloadTls(): void;
  /** Closes the listener and idle connections at once; resolves when the requests in flight are answered. */
  stop(): Promise<void>;
  /** Ends everything at once. */
  abort(): Promise<void>;
};

type Address = Pick<Config, "host" | "port" | "tls">;

/** Listens as the configuration says. Throws a fault that names what to mend. */
export function openListener(address: Address, fetch: Fetch): Listener {
  let current = fetch;
  const answer: Fetch = (request) => current(request);
  let server = bind(address, answer);
  const draining = new Set<Server<undefined>>();
  // With PORT=0 the system has chosen one; it stays.
  const bound = { ...address, port: server.port ?? address.port };

  return {
    url: server.url,
    peer(request) {
      for (const one of [server, ...draining]) {
        const peer = one.requestIP(request);
        if (peer !== null) return peer.address;
      }
      return "0.0.0.0";
    },
    serve(next) {
      current = next;
    },
    reloadTls() {
      checkPair(bound.tls);
      const old = server;
      draining.add(old);
      // Bun cannot change the certificate of a server that listens. Binding anew takes a quarter of a
      // millisecond, in which a connection may be refused; requests in flight are finished by the old one.
      void old.stop(false).finally(() => draining.delete(old));
      server = bind(bound, answer);
    },
    async stop() {
      await Promise.all([server, ...draining].map((one) => one.stop(false)));
    },
    async abort() {
      await Promise.all([server, ...draining].map((one) => one.stop(true)));
    },
  };
}

function bind({ host, port, tls }: Address, fetch: Fetch): Server<undefined> {
  const secure = checkPair(tls);
  try {
    return Bun.serve({
      hostname: host,
      port,
      // Two servers on one port would share its connections in silence.
      reusePort: false,
      idleTimeout: LIMITS.request_idle_s,
      // Bodies are counted as they are read, so that too large a one gets an answer of ours; Bun's own is bare.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      development: false,
      fetch: withPlainUrl(fetch),
      ...(secure && {
        tls: {
          ...secure,
          ciphers: TLS_1_2_CIPHERS,
          secureOptions: constants.SSL_OP_CIPHER_SERVER_PREFERENCE,
        },
      }),
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw operatorFault(
      EXIT.unavailable,
      code === "EADDRINUSE"
        ? `${host}:${port} is in use by another program: stop it, or set PORT to another number`
        : `Cannot listen on ${host}:${port} (${code ?? message}): check HOST and PORT`,
    );
  }
}

/** Forward secrecy and authenticated encryption only (RFC 9325, section 4.2); TLS 1.3 has nothing else. */
const TLS_1_2_CIPHERS = [
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
].join(":");

/**
 * Elysia looks for the path from the eighth character on, which is right for "http://" and a host of any length, and wrong
 * for "https://" and for the bare path that Bun gives where Host is missing (HTTP/1.0) or none. Nothing asks a
 * request for its scheme or host.
 */
function withPlainUrl(fetch: Fetch): Fetch {
  return (request) => {
    const { url } = request;
    if (url.startsWith("http://")) return fetch(request);
    const value = url.startsWith("/") ? `http://localhost${url}` : url.replace(/^https:/, "http:");
    return fetch(Object.defineProperty(request, "url", { value }));
  };
}

/** Certificate and key, when they are readable and belong together. */
function checkPair(tls: Config["tls"]): { cert: string; key: string } | undefined {
  if (tls === undefined) return undefined;
  try {
    const pair = {
      cert: readFileSync(tls.certificate_file, "utf8"),
      key: readFileSync(tls.key_file, "utf8"),
    };
    createSecureContext(pair);
    if (new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key))) return pair;
    throw new Error("the key is another certificate's");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw operatorFault(
      EXIT.config,
      `TLS_CERT_FILE and TLS_KEY_FILE are no certificate and its key (${code ?? message}): check both files`,
    );
  }
}
