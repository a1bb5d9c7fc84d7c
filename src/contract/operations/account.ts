import { accountResponse } from "../account.ts";
import { currentSecret } from "../auth.ts";
import { ACCOUNT_ID, AUTH_KEY, CREATED, KEYS, PASSWORD, USERNAME } from "../examples.ts";
import { ALWAYS, type Operation, SECRET_TESTED, SIGNED_IN, WITH_BODY } from "../operation.ts";

export const ACCOUNT_OPERATIONS: readonly Operation[] = [
  {
    id: "showAccount",
    method: "GET",
    path: "/account",
    tag: "Account",
    summary: "Show the account",
    description: "All that the server knows of it.",
    signed_in: true,
    answers: {
      200: {
        description: "The account",
        schema: accountResponse,
        example: {
          id: ACCOUNT_ID,
          username: USERNAME,
          credential: "auth_key",
          ...KEYS,
          entries: 1,
          entries_max: 10_000,
          created_at: CREATED,
        },
      },
    },
    problems: [...ALWAYS, ...SIGNED_IN],
  },
  {
    id: "deleteAccount",
    method: "DELETE",
    path: "/account",
    tag: "Account",
    summary: "Delete the account",
    description:
      "Asks for the current secret once more. The account goes with everything in it: entries, sessions, audit log.",
    signed_in: true,
    request: {
      schema: currentSecret,
      examples: {
        "By password": { current_password: PASSWORD },
        "By auth_key": { current_auth_key: AUTH_KEY },
      },
    },
    answers: { 204: { description: "The account is gone" } },
    problems: [...ALWAYS, ...WITH_BODY, ...SIGNED_IN, ...SECRET_TESTED],
  },
];
