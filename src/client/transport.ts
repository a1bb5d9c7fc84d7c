import type { z } from "zod";
import { LIMITS } from "../contract/limits.ts";
import { readAnswer } from "./answer.ts";
import { failure, hostile, VaultError } from "./errors.ts";
import { isUnsettled, problemOf, waitBefore } from "./retry.ts";

/** `fetch`, or what a program puts in its place: for a certificate of its own, or a proxy. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export type TransportOptions = {
  url: string;
  fetch: Fetch;
  /** Allows plain HTTP to a server that is not on this machine. */
  insecure_http: boolean;
  /** Told before the client waits to try again. */
  on_wait: (wait: { wait_ms: number; code: string }) => void;
  sleep: (wait_ms: number) => Promise<void>;
};

export type Call<Schema extends z.ZodType> = {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  /** What the answer has to be; without one it has to be empty. */
  answer?: Schema;
  body?: unknown;
  token?: string;
  /** The version that a change replaces. */
  if_match?: number;
  /** Whether it may be sent again when it is not known whether it arrived. */
  idempotent: boolean;
  /** Whether it was sent before, and what became of it then is not known. */
  unsettled?: boolean;
};

/** `again`: whether it was sent more than once, so that "not found" may tell of its own first success. */
export type Answered<Schema extends z.ZodType> = { value: z.infer<Schema>; again: boolean };

export type Transport = {
  /** The server's address, as it names the account's place in the store. */
  base: string;
  call<Schema extends z.ZodType>(call: Call<Schema>): Promise<Answered<Schema>>;
};

/** Makes requests, one at a time and whole. Throws `url-invalid`, `url-insecure`. */
export function makeTransport(options: TransportOptions): Transport {
  const base = checkUrl(options.url, options.insecure_http);
  return { base, call: (request) => callWithRetries(options, base, request) };
}

/** Tokens and credentials follow this address, so it is no place to be lenient. */
function checkUrl(text: string, insecure_http: boolean): string {
  const url = URL.parse(text);
  const plain =
    url !== null && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (!plain || !/^https?:$/.test(url.protocol)) throw failure("url-invalid");
  const local = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol === "http:" && !local && !insecure_http) throw failure("url-insecure");
  // Of its parts, for an empty query or fragment leaves its mark in the whole.
  return url.origin + url.pathname.replace(/\/+$/, "");
}

async function callWithRetries<Schema extends z.ZodType>(
  options: TransportOptions,
  base: string,
  call: Call<Schema>,
): Promise<Answered<Schema>> {
  let waited_ms = 0;
  let unsettled = call.unsettled ?? false;
  for (let attempt = 1; ; attempt++) {
    try {
      const value = await callOnce(options.fetch, base, call);
      return { value, again: unsettled };
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      const wait_ms = waitBefore(error, attempt, call.idempotent);
      // What an attempt before this one did is still open: whoever asks has to know.
      if (wait_ms === undefined || waited_ms + wait_ms > LIMITS.client_wait_ms_max) {
        throw unsettled ? again(error) : error;
      }
      unsettled ||= isUnsettled(error);
      options.on_wait({ wait_ms, code: error.code });
      await options.sleep(wait_ms);
      waited_ms += wait_ms;
    }
  }
}

function again(error: VaultError): VaultError {
  return new VaultError(error.code, error.message, { ...error.details, again: true });
}

async function callOnce<Schema extends z.ZodType>(
  fetch: Fetch,
  base: string,
  call: Call<Schema>,
): Promise<z.infer<Schema>> {
  const deadline = AbortSignal.timeout(LIMITS.client_answer_ms);
  const { status, headers, text } = await send(fetch, base, call, deadline);
  if (status >= 400) throw problemOf(status, headers, text);
  if (status < 200 || status >= 300) throw hostile("response-invalid");
  return parse(call, text);
}

function parse<Schema extends z.ZodType>(call: Call<Schema>, text: string): z.infer<Schema> {
  if (call.answer === undefined) {
    if (text !== "") throw hostile("response-invalid");
    return undefined as z.infer<Schema>;
  }
  const parsed = call.answer.safeParse(readAnswer(text));
  // A key derivation out of bounds has a name of its own: it is what an attack on the password looks like.
  if (!parsed.success) {
    const kdf = parsed.error.issues.every((issue) => issue.path[0] === "kdf");
    throw hostile(kdf ? "kdf-refused" : "response-invalid");
  }
  return parsed.data;
}

type Received = { status: number; headers: Headers; text: string };

async function send(
  fetch: Fetch,
  base: string,
  call: Call<z.ZodType>,
  deadline: AbortSignal,
): Promise<Received> {
  try {
    const response = await fetch(base + call.path, {
      method: call.method,
      headers: {
        ...(call.body !== undefined && { "content-type": "application/json" }),
        ...(call.token !== undefined && { authorization: `Bearer ${call.token}` }),
        ...(call.if_match !== undefined && { "if-match": `"${call.if_match}"` }),
      },
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      // What is sent is for this address and for no other that an answer may name.
      redirect: "error",
      credentials: "omit",
      cache: "no-store",
      signal: deadline,
    });
    return { status: response.status, headers: response.headers, text: await readText(response) };
  } catch (error) {
    if (error instanceof VaultError) throw error;
    throw deadline.aborted ? failure("server-timeout") : networkFailure(error);
  }
}

/** The body as text, up to a limit: a hostile server must not fill the client's memory. */
async function readText(response: Response): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const reader = response.body.getReader();
  let text = "";
  let size_bytes = 0;
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    size_bytes += chunk.value.length;
    if (size_bytes > LIMITS.client_answer_bytes_max) {
      await reader.cancel();
      throw hostile("response-too-large");
    }
    text += decode(decoder, chunk.value);
  }
  return text + decode(decoder);
}

function decode(decoder: TextDecoder, bytes?: Uint8Array): string {
  try {
    return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
  } catch {
    throw hostile("response-invalid");
  }
}

/** Engines tell of a bad certificate each in its own way, but all by a code that names it. */
function networkFailure(error: unknown): VaultError {
  const codes = [error, (error as Error)?.cause].map((each) =>
    String((each as { code?: unknown })?.code ?? ""),
  );
  const text = codes.join(" ");
  if (/CERT|SELF_SIGNED|LEAF_SIGNATURE|ERR_TLS|ERR_SSL/i.test(text)) {
    return failure("certificate-refused", { cause: error });
  }
  if (/redirect/i.test(`${text} ${(error as Error)?.message}`)) return hostile("response-invalid");
  return failure("server-unreachable", { cause: error });
}
