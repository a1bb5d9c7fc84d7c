import { z } from "zod";
import { time } from "./encoding.ts";

/** Liveness: the process answers. */
export const healthResponse = z.object({ status: z.literal("ok"), timestamp: time });

/** Readiness: the database answers, and the server is neither starting nor stopping. */
export const readyResponse = z.object({ status: z.literal("ready"), timestamp: time });
