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
/** A session as the server tells of it. Times are RFC 3339, UTC. */
export type SessionInfo = {
  id: string;
  device_name: string | null;
  /** The client's address when the session was last refreshed. */
  address: string;
  created_at: string;
  last_used_at: string;
  expires_at: string;
  /** Whether it is the session of who asks. */
  current: boolean;
};

export const listSessionsResponse = z.object({ sessions: z.array(sessionResponse) });
