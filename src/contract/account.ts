import { z } from "zod";
import { encryptionSalt, kdf, protectedKey } from "./auth.ts";
import { time, uuid } from "./encoding.ts";

export const accountResponse = z.object({
  id: uuid,
  username: z.string(),
  credential: z.enum(["password", "auth_key"]).meta({
    description: "Which secret logs in: the password itself, or a key that the client derives from it",
  }),
  encryption_salt: encryptionSalt,
  kdf,
  protected_key: protectedKey.nullable(),
  entries: z.int().min(0),
  entries_max: z.int().min(1),
  created_at: time,
});
