import { z } from "zod";
import { time, uuid } from "./encoding.ts";

export const sessionParams = z.strictObject({ id: uuid });

export const sessionResponse = z.object({
  id: uuid,
  device_name: z.string().nullable(),
  address: z.string(),
  created_at: time,
  last_used_at: time,
  expires_at: time,
  /** Whether it is the session of the request itself. */
  current: z.boolean(),
});
export const listSessionsResponse = z.object({ sessions: z.array(sessionResponse) });
