import { z } from "zod";
import { time, uuid } from "./encoding.ts";

export const sessionParams = z.strictObject({ id: uuid });

export const sessionResponse = z.object({
  id: uuid,
  device_name: z.string().nullable(),
  address: z.string().meta({ description: "The client's address when the session was last refreshed" }),
  created_at: time,
  last_used_at: time,
  expires_at: time,
  current: z.boolean().meta({ description: "Whether it is the session of the request itself" }),
});
export const listSessionsResponse = z.object({ sessions: z.array(sessionResponse) });
