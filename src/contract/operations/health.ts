import { CREATED } from "../examples.ts";
import { healthResponse, readyResponse } from "../health.ts";
import type { Operation } from "../operation.ts";

export const HEALTH_OPERATIONS: readonly Operation[] = [
  {
    id: "health",
    method: "GET",
    path: "/health",
    tag: "Health",
    summary: "Is it alive?",
    description: "Says that the process answers. It touches no database.",
    signed_in: false,
    answers: {
      200: {
        description: "The process answers",
        schema: healthResponse,
        example: { status: "ok", timestamp: CREATED },
      },
    },
    problems: ["internal-error"],
  },
  {
    id: "ready",
    method: "GET",
    path: "/ready",
    tag: "Health",
    summary: "Is it ready for work?",
    description:
      "Says whether work should be sent here: the database answers, and the server is not stopping.",
    signed_in: false,
    answers: {
      200: {
        description: "Work is welcome",
        schema: readyResponse,
        example: { status: "ready", timestamp: CREATED },
      },
    },
    problems: ["not-ready", "database-unavailable", "internal-error"],
  },
];
