import { listEventsQuery, listEventsResponse } from "../audit.ts";
import { ADDRESS, CREATED, ENTRY_ID, EVENT_ID, REQUEST_ID, SESSION_ID } from "../examples.ts";
import { ALWAYS, type Operation, SIGNED_IN } from "../operation.ts";

export const AUDIT_OPERATIONS: readonly Operation[] = [
  {
    id: "listEvents",
    method: "GET",
    path: "/audit",
    tag: "Audit",
    summary: "List what happened",
    description:
      "The account's own events, newest first. Reads are gathered for about a second before they are written.",
    signed_in: true,
    query: listEventsQuery,
    answers: {
      200: {
        description: "A page of events",
        schema: listEventsResponse,
        example: {
          events: [
            {
              id: EVENT_ID,
              time: CREATED,
              type: "entry-created",
              success: true,
              reason: null,
              session_id: SESSION_ID,
              entry_id: ENTRY_ID,
              address: ADDRESS,
              request_id: REQUEST_ID,
              count: 1,
            },
          ],
          next_cursor: null,
        },
      },
    },
    problems: [...ALWAYS, ...SIGNED_IN, "request-invalid"],
  },
];
