import { ADDRESS, CREATED, EXPIRES, LATER, SESSION_ID } from "../examples.ts";
import { ALWAYS, type Operation, SIGNED_IN } from "../operation.ts";
import { listSessionsResponse, sessionParams } from "../sessions.ts";

export const SESSION_OPERATIONS: readonly Operation[] = [
  {
    id: "listSessions",
    method: "GET",
    path: "/auth/sessions",
    tag: "Sessions",
    summary: "List the sessions",
    description: "The living ones, the one that was used last first.",
    signed_in: true,
    answers: {
      200: {
        description: "Where the account is logged in",
        schema: listSessionsResponse,
        example: {
          sessions: [
            {
              id: SESSION_ID,
              device_name: "Laptop",
              address: ADDRESS,
              created_at: CREATED,
              last_used_at: LATER,
              expires_at: EXPIRES,
              current: true,
            },
          ],
        },
      },
    },
    problems: [...ALWAYS, ...SIGNED_IN],
  },
  {
    id: "endOtherSessions",
    method: "DELETE",
    path: "/auth/sessions",
    tag: "Sessions",
    summary: "End all other sessions",
    description: "Every session of the account ends but the one that asks.",
    signed_in: true,
    answers: { 204: { description: "Only this session is left" } },
    problems: [...ALWAYS, ...SIGNED_IN],
  },
  {
    id: "endSession",
    method: "DELETE",
    path: "/auth/sessions/{id}",
    tag: "Sessions",
    summary: "End one session",
    description: "Its tokens stop at once. It may be the one that asks.",
    signed_in: true,
    params: sessionParams,
    answers: { 204: { description: "The session is over" } },
    problems: [...ALWAYS, ...SIGNED_IN, "request-invalid", "session-not-found"],
  },
];
