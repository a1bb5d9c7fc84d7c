import { LIMITS } from "../../contract/limits.ts";
import type { Config } from "../config.ts";
import { type Argon2Cost, costOf, type Hashing } from "./hashing.ts";

/** What a client proves itself with; `kind` also decides what testing it costs. */
export type Credential = { kind: "password" | "auth_key"; secret: string };

/** What is stored of it: the PHC string. */
export type StoredCredential = { kind: "password" | "auth_key"; hash: string };

export type Credentials = ReturnType<typeof makeCredentials>;

/**
 * Hashing and testing of login secrets. The cost depends on what was sent and never on what the account has:
 * an account of the other kind and a name that nobody has cost the same as a wrong secret.
 */
export function makeCredentials(config: Pick<Config, "argon2">, hashing: Hashing) {
  const costs: Record<Credential["kind"], Argon2Cost> = {
    password: config.argon2,
    // 256 bits cannot be guessed: more than the floor would only help whoever floods the server.
    auth_key: { memory_kib: LIMITS.argon2_memory_kib_floor, iterations: LIMITS.argon2_iterations_floor },
  };
  const decoys = { password: decoyHash(costs.password), auth_key: decoyHash(costs.auth_key) };

  return {
    hash: (credential: Credential): Promise<string> =>
      hashing.hash(normalised(credential), costs[credential.kind]),

    /** Whether the credential opens the account; `stored` is undefined for a name that nobody has. */
    async verify(credential: Credential, stored: StoredCredential | undefined): Promise<boolean> {
      const comparable = stored !== undefined && stored.kind === credential.kind;
      const hash = comparable ? stored.hash : decoys[credential.kind];
      const matches = await hashing.verify(normalised(credential), hash);
      return comparable && matches;
    },

    /** Whether a stored hash is weaker than what is hashed today. */
    isOutdated(stored: StoredCredential): boolean {
      const cost = costOf(stored.hash);
      const wanted = costs[stored.kind];
      return cost === undefined || cost.memory_kib < wanted.memory_kib || cost.iterations < wanted.iterations;
    },
  };
}

/** The same password typed on another keyboard can come in another Unicode form (NIST SP 800-63B, section 3.1.1.2). */
function normalised(credential: Credential): string {
  return credential.kind === "password" ? credential.secret.normalize("NFC") : credential.secret;
}

/** A well-formed hash that no secret has: random bytes stand where the digest would. */
function decoyHash(cost: Argon2Cost): string {
  const random = () =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(32)))
      .toString("base64")
      .replace("=", "");
  return `$argon2id$v=19$m=${cost.memory_kib},t=${cost.iterations},p=1$${random()}$${random()}`;
}
