import { jwt } from "@elysiajs/jwt";
import { Elysia } from "elysia";
import { LIMITS } from "../../contract/limits.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../deps.ts";
import type { Secrets } from "./secrets.ts";

/** Whom an access token speaks for. */
export type Claims = { user_id: string; session_id: string };

export type Tokens = ReturnType<typeof makeTokens>;

/** Access tokens: JWT by HS256 with `typ: at+jwt` (RFC 9068) and every claim required (RFC 8725, section 3). */
export function makeTokens(
  config: Pick<Config, "jwt" | "access_token_ms">,
  secrets: Secrets,
  clock: Clock,
  verified_max: number = LIMITS.verified_tokens_max,
) {
  const { issuer, audience } = config.jwt;
  const signers = new Map(secrets.map((keys) => [keys.key_id, signer(keys.signing_secret, keys.key_id)]));
  const [current] = signers.values();
  const verified = new Map<string, Claims & { expires_ms: number }>();

  async function issue(claims: Claims): Promise<{ accessToken: string; expires_in: number }> {
    const expires_in = Math.floor(config.access_token_ms / 1000);
    const accessToken = await current?.sign({
      iss: issuer,
      aud: audience,
      sub: claims.user_id,
      sid: claims.session_id,
      jti: crypto.randomUUID(),
      exp: Math.floor(clock.now_ms() / 1000) + expires_in,
    });
    return { accessToken: accessToken as string, expires_in };
  }

  /**
   * The claims of a token that this server, or one with the same secret, signed and that has not expired;
   * undefined otherwise. Verified tokens are remembered, a bounded number and never past their end: checking a
   * signature costs 40 times what finding the token in a map does.
   */
  function verify(token: string): Claims | undefined | Promise<Claims | undefined> {
    const known = verified.get(token);
    if (known === undefined) return verifyOnce(token);
    if (known.expires_ms > clock.now_ms()) return known;
    verified.delete(token);
    return undefined;
  }

  async function verifyOnce(token: string): Promise<Claims | undefined> {
    if (token.length > LIMITS.access_token_characters_max || !TOKEN_FORM.test(token)) return undefined;
    const verifier = signers.get(keyId(token) ?? "");
    const payload = await verifier?.verify(token, {
      algorithms: ["HS256"],
      typ: "at+jwt",
      issuer,
      audience,
      requiredClaims: ["iss", "aud", "sub", "sid", "jti", "iat", "exp"],
      maxTokenAge: `${LIMITS.access_token_ms_max / 1000}s`,
      // For iat alone, which is another server's clock; exp is compared below without any.
      clockTolerance: LIMITS.clock_skew_ms_max / 1000,
      currentDate: new Date(clock.now_ms()),
    });
    if (!payload || typeof payload.sub !== "string" || typeof payload.sid !== "string") return undefined;
    if (!UUID.test(payload.sub) || !UUID.test(payload.sid) || payload.exp === undefined) return undefined;
    const claims = { user_id: payload.sub, session_id: payload.sid, expires_ms: payload.exp * 1000 };
    if (claims.expires_ms <= clock.now_ms()) return undefined;
    remember(token, claims);
    return claims;
  }

  function remember(token: string, claims: Claims & { expires_ms: number }): void {
    const [oldest] = verified.keys();
    if (verified.size >= verified_max && oldest !== undefined) verified.delete(oldest);
    verified.set(token, claims);
  }

  return { issue, verify };
}

/**
 * Three parts of canonical base64url, the last of 32 bytes: jose also accepts white space and other spellings
 * of the same signature, and one signature must have one spelling.
 */
const TOKEN_FORM = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function signer(secret: string, key_id: string) {
  return new Elysia().use(jwt({ name: "jwt", secret, alg: "HS256", typ: "at+jwt", kid: key_id })).decorator
    .jwt;
}

/** The `kid` of a token's header, only to choose the key: what is said there is trusted in nothing else. */
function keyId(token: string): string | undefined {
  try {
    const header = JSON.parse(Buffer.from(token.slice(0, token.indexOf(".")), "base64url").toString());
    return typeof header?.kid === "string" ? header.kid : undefined;
  } catch {
    return undefined;
  }
}
