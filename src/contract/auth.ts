import { z } from "zod";
import { base64, boundedText, storableText, uuid } from "./encoding.ts";
import { LIMITS } from "./limits.ts";

export const username = z
  .string()
  .regex(/^[A-Za-z0-9_]{3,30}$/, "must be 3 to 30 of A-Z, a-z, 0-9 and _")
  .meta({ description: "3 to 30 of A-Z, a-z, 0-9 and _; unique without regard to case", example: "alice" });

/** A password somebody chooses now: the whole policy. */
export const newPassword = storableText
  .refine(
    (text) => text.length <= 2 * LIMITS.password_code_points_max && withinPasswordLength(text),
    `must be ${LIMITS.password_code_points_min} to ${LIMITS.password_code_points_max} characters and at most ${LIMITS.password_bytes_max} bytes`,
  )
  .refine((text) => /\p{Lu}/u.test(text), "must have an upper-case letter")
  .refine((text) => /\p{Ll}/u.test(text), "must have a lower-case letter")
  .refine((text) => /\p{Nd}/u.test(text), "must have a digit")
  .refine((text) => /[^\p{L}\p{Nd}\s]/u.test(text), "must have a special character")
  .meta({
    format: "password",
    minLength: LIMITS.password_code_points_min,
    maxLength: LIMITS.password_code_points_max,
    description: `At most ${LIMITS.password_bytes_max} bytes in UTF-8, with an upper-case and a lower-case letter, a digit and a special character. The server sees it: derive no encryption key from it.`,
  });

/** A password to be tested: only bounded, so that a policy made stricter locks nobody out. */
export const givenPassword = storableText
  .min(1, "must not be empty")
  .refine(
    (text) =>
      text.length <= 2 * LIMITS.password_code_points_max && byteLength(text) <= LIMITS.password_bytes_max,
    `must be at most ${LIMITS.password_bytes_max} bytes`,
  )
  .meta({ format: "password", description: "The password as it was chosen" });

function withinPasswordLength(text: string): boolean {
  const code_points = [...text].length;
  return (
    code_points >= LIMITS.password_code_points_min &&
    code_points <= LIMITS.password_code_points_max &&
    byteLength(text) <= LIMITS.password_bytes_max
  );
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).byteLength;
}

/** Derived on the client by HKDF from the root key; never the master password. */
export const authKey = base64(LIMITS.auth_key_bytes).meta({
  description: `Base64 of exactly ${LIMITS.auth_key_bytes} bytes, derived from the root key by HKDF; never the master password`,
});

export const encryptionSalt = z
  .string()
  .regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hexadecimal digits")
  .meta({ description: "32 random bytes as 64 hexadecimal digits" });

/** Parameters of the client's Argon2id (RFC 9106, section 3.1): memory in KiB. */
export const kdf = z.strictObject({
  algorithm: z.literal("argon2id"),
  memory_kib: z.int().min(LIMITS.kdf_memory_kib_min).max(LIMITS.kdf_memory_kib_max),
  iterations: z.int().min(LIMITS.kdf_iterations_min).max(LIMITS.kdf_iterations_max),
  parallelism: z.int().min(LIMITS.kdf_parallelism_min).max(LIMITS.kdf_parallelism_max),
});
/** Spelled out, as all types of the SDK are: whoever uses it needs no zod. */
export type Kdf = { algorithm: "argon2id"; memory_kib: number; iterations: number; parallelism: number };

export const KDF_DEFAULT: Kdf = {
  algorithm: "argon2id",
  memory_kib: LIMITS.kdf_memory_kib_default,
  iterations: LIMITS.kdf_iterations_default,
  parallelism: LIMITS.kdf_parallelism_default,
};

/** The vault key, wrapped on the client by AES-256-GCM, with the commitment to the key that wraps it. */
export const protectedKey = z.strictObject({
  ciphertext: base64(LIMITS.vault_key_bytes),
  iv: base64(LIMITS.iv_bytes),
  tag: base64(LIMITS.tag_bytes),
  commitment: base64(LIMITS.commitment_bytes),
});
export type ProtectedKey = z.infer<typeof protectedKey>;

const deviceName = boundedText(LIMITS.device_name_characters_max)
  .min(1, "must not be empty")
  .refine((text) => !/\p{Cc}/u.test(text), "must not have control characters")
  .meta({
    maxLength: LIMITS.device_name_characters_max,
    description: "What the list of sessions calls this device",
    example: "Laptop",
  });

const zeroKnowledgeKeys = { encryption_salt: encryptionSalt, kdf, protected_key: protectedKey };

export const registerRequest = z.union([
  z.strictObject({ username, password: newPassword }).meta({ title: "By password" }),
  z
    .strictObject({ id: uuid, username, auth_key: authKey, ...zeroKnowledgeKeys })
    .meta({ title: "By auth_key (zero-knowledge)" }),
]);
export type RegisterRequest = z.infer<typeof registerRequest>;
export const registerResponse = z.object({ id: uuid, username: z.string() });

export const preloginRequest = z.strictObject({ username });
export const preloginResponse = z.object({ encryption_salt: encryptionSalt, kdf });

export const loginRequest = z.union([
  z
    .strictObject({ username, password: givenPassword, device_name: deviceName.optional() })
    .meta({ title: "By password" }),
  z
    .strictObject({ username, auth_key: authKey, device_name: deviceName.optional() })
    .meta({ title: "By auth_key (zero-knowledge)" }),
]);
export type LoginRequest = z.infer<typeof loginRequest>;

export const tokenResponse = z.object({
  accessToken: z.string().meta({ description: "Sent as `Authorization: Bearer …`" }),
  refreshToken: z.string().meta({ description: "Good for one exchange at /auth/token" }),
  token_type: z.literal("Bearer"),
  expires_in: z.int().meta({ description: "Seconds until the access token ends" }),
});
export type TokenResponse = z.infer<typeof tokenResponse>;

export const loginResponse = tokenResponse.extend({
  user_id: uuid,
  encryption_salt: encryptionSalt,
  kdf,
  /** null for an account that logs in by password: its client manages its keys elsewhere. */
  protected_key: protectedKey.nullable(),
});

export const refreshRequest = z.strictObject({
  refreshToken: z
    .string()
    .min(1, "must not be empty")
    .max(LIMITS.refresh_token_characters_max)
    .meta({ description: "The newest refresh token of the session" }),
});

/** The way back from `auth_key` to a password does not exist: it would give the vault key's protection away. */
export const changePasswordRequest = z.union([
  z
    .strictObject({ current_password: givenPassword, new_password: newPassword })
    .meta({ title: "From password to password" }),
  z
    .strictObject({ current_password: givenPassword, new_auth_key: authKey, ...zeroKnowledgeKeys })
    .meta({ title: "From password to auth_key" }),
  z
    .strictObject({ current_auth_key: authKey, new_auth_key: authKey, ...zeroKnowledgeKeys })
    .meta({ title: "From auth_key to auth_key" }),
]);
export type ChangePasswordRequest = z.infer<typeof changePasswordRequest>;

/** What proves that the caller still knows the secret, wherever a session alone is not enough. */
export const currentSecret = z.union([
  z.strictObject({ current_password: givenPassword }).meta({ title: "By password" }),
  z.strictObject({ current_auth_key: authKey }).meta({ title: "By auth_key (zero-knowledge)" }),
]);
export type CurrentSecret = z.infer<typeof currentSecret>;
