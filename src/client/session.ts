import { z } from "zod";
import { type TokenResponse, tokenResponse } from "../contract/auth.ts";
import { LIMITS } from "../contract/limits.ts";
import { decodeUtf8, encodeUtf8 } from "../crypto/bytes.ts";
import { type DeviceContext, openForDevice, sealForDevice } from "../crypto/envelope.ts";
import { failure, hostile, VaultError } from "./errors.ts";
import type { Store } from "./store.ts";
import type { Answered, Call, Transport } from "./transport.ts";

const tokens = z.strictObject({
  access_token: z.string(),
  refresh_token: z.string(),
  /** By this device's clock, before it ends; the server's word on an access token is the 401. */
  renew_at_ms: z.number(),
});
export type Tokens = z.infer<typeof tokens>;

/** A request of who is logged in: everything but the token, which the session adds. */
export type SignedCall<Schema extends z.ZodType> = Omit<Call<Schema>, "token" | "unsettled">;

export type Session = {
  /** Sends a request, with a token that is renewed when it has to be. Throws `signed-out`. */
  call<Schema extends z.ZodType>(call: SignedCall<Schema>): Promise<Answered<Schema>>;
  /** Puts new tokens in the place of the old, and gives back the old refresh token, where there was one. */
  begin(response: TokenResponse): Promise<string | undefined>;
  /** Ends the session on the server as well. */
  end(): Promise<void>;
};

export type SessionOptions = {
  transport: Transport;
  store: Store;
  username: string;
  account_id: string;
  /** Seals the tokens in the store: whoever reads it can neither read entries nor delete them. */
  state_key: Uint8Array;
  now_ms: () => number;
};

/**
 * The session of one account on one device. Its tokens are in the store, sealed, where every process of the device finds the newest: a
 * refresh token used twice ends the session for all of them.
 */
export function openSession(options: SessionOptions): Session {
  const { transport, store, now_ms } = options;
  const key = tokenKey(transport.base, options.username);
  let known: Tokens | undefined;
  let refreshing: Promise<Tokens> | undefined;

  async function current(): Promise<Tokens> {
    known ??= await openTokens(options, await store.read(key));
    if (known === undefined) throw failure("signed-out");
    return known.renew_at_ms <= now_ms() ? refresh(known) : known;
  }

  /** Any number of requests that find the token old wait for one refresh. */
  function refresh(stale: Tokens): Promise<Tokens> {
    refreshing ??= exchange(stale).finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  }

  async function exchange(stale: Tokens): Promise<Tokens> {
    let refused: VaultError | undefined;
    await store.update(key, async (text) => {
      const kept = await openTokens(options, text);
      known = kept;
      // Another process was quicker, or has logged out.
      if (kept === undefined || kept.access_token !== stale.access_token) return text;
      const answer = await askForTokens(transport, kept.refresh_token);
      if (answer instanceof VaultError) {
        known = undefined;
        refused = answer;
        return undefined;
      }
      known = toTokens(answer, now_ms());
      return sealTokens(options, known);
    });
    if (known === undefined) throw failure("signed-out", refused === undefined ? {} : { cause: refused });
    return known;
  }

  return {
    async call(call) {
      const first = await current();
      let unsettled: boolean;
      try {
        return await transport.call({ ...call, token: first.access_token });
      } catch (error) {
        if (!isTokenRefused(error)) throw error;
        unsettled = error.details.again === true;
      }
      // Refused before anything was done, unless the token has ended between two attempts.
      const second = await refresh(first);
      try {
        return await transport.call({ ...call, token: second.access_token, unsettled });
      } catch (error) {
        throw isTokenRefused(error) ? failure("signed-out", { cause: error }) : error;
      }
    },
    async begin(response) {
      let former: Tokens | undefined;
      await store.update(key, async (text) => {
        // Tokens of another vault key open nothing and are worth nothing.
        former = await openTokens(options, text).catch(() => undefined);
        known = toTokens(response, now_ms());
        return sealTokens(options, known);
      });
      return former?.refresh_token;
    },
    async end() {
      // The newest, not those that this process knows: another may have logged in since.
      await store.update(key, async (text) => {
        const kept = await openTokens(options, text);
        if (kept !== undefined) await logOut(transport, kept.refresh_token);
        return undefined;
      });
      known = undefined;
    },
  };
}

/** Ends the session that a refresh token belongs to; a token that is worth nothing any more is no error. */
export async function logOut(transport: Transport, refreshToken: string): Promise<void> {
  await transport.call({ method: "POST", path: "/auth/logout", body: { refreshToken }, idempotent: true });
}

/** Forgets the tokens of an account without a word to the server: whoever has no key cannot tell it. */
export async function forgetTokens(store: Store, base: string, username: string): Promise<void> {
  await store.update(tokenKey(base, username), async () => undefined);
}

function tokenKey(base: string, username: string): string {
  return `tokens ${base} ${username.toLowerCase()}`;
}

/** The refused refresh comes back as a value: the store has to forget the tokens, which an error would prevent. */
async function askForTokens(transport: Transport, refreshToken: string): Promise<TokenResponse | VaultError> {
  try {
    // The server gives the same successor to a repetition within its grace: an answer that was lost can be had again.
    const { value } = await transport.call({
      method: "POST",
      path: "/auth/token",
      body: { refreshToken },
      answer: tokenResponse,
      idempotent: true,
    });
    return value;
  } catch (error) {
    if (error instanceof VaultError && error.code === "refresh-token-invalid") return error;
    throw error;
  }
}

function isTokenRefused(error: unknown): error is VaultError {
  return error instanceof VaultError && (error.code === "token-invalid" || error.code === "token-missing");
}

/** A token becomes part of a header, and has to fit into one. */
function isToken(text: string): boolean {
  return text.length <= LIMITS.access_token_characters_max && /^[\x21-\x7e]+$/.test(text);
}

function toTokens(response: TokenResponse, now_ms: number): Tokens {
  if (!isToken(response.accessToken)) throw hostile("response-invalid");
  const lifetime_ms = response.expires_in * 1000;
  return {
    access_token: response.accessToken,
    refresh_token: response.refreshToken,
    renew_at_ms: now_ms + Math.max(lifetime_ms - LIMITS.client_refresh_early_ms, lifetime_ms / 2),
  };
}

async function sealTokens(options: SessionOptions, value: Tokens): Promise<string> {
  const plaintext = encodeUtf8(JSON.stringify(value));
  return JSON.stringify(await sealForDevice(options.state_key, plaintext, contextOf(options)));
}

async function openTokens(options: SessionOptions, text: string | undefined): Promise<Tokens | undefined> {
  if (text === undefined) return undefined;
  try {
    const opened = await openForDevice(options.state_key, JSON.parse(text), contextOf(options));
    return tokens.parse(JSON.parse(decodeUtf8(opened)));
  } catch {
    throw failure("store-damaged");
  }
}

function contextOf({ transport, account_id }: SessionOptions): DeviceContext {
  return { purpose: "tokens", server: transport.base, account_id };
}
