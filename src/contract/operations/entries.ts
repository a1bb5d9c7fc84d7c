import {
  createEntriesRequest,
  createEntriesResponse,
  createEntryRequest,
  entryParams,
  entryResponse,
  listEntriesQuery,
  listEntriesResponse,
  replaceEntryRequest,
} from "../entries.ts";
import { CREATED_ENTRY, CURSOR, ENTRY, ENTRY_ID, LATER, OTHER_ENTRY_ID, SEALED } from "../examples.ts";
import { ALWAYS, type Operation, SIGNED_IN, WITH_BODY } from "../operation.ts";

export const ENTRY_OPERATIONS: readonly Operation[] = [
  {
    id: "createEntry",
    method: "POST",
    path: "/entries",
    tag: "Entries",
    summary: "Store an entry",
    description:
      "Stores what the client has sealed, at version 1. A client may choose the id; the id of an entry that was deleted is never given again.",
    signed_in: true,
    request: {
      schema: createEntryRequest,
      examples: { Sealed: SEALED, "With an id of the client's": { id: ENTRY_ID, ...SEALED } },
    },
    answers: {
      201: {
        description: "The entry is stored",
        schema: entryResponse,
        example: ENTRY,
        headers: ["Location", "ETag"],
      },
    },
    problems: [...ALWAYS, ...WITH_BODY, ...SIGNED_IN, "entry-id-taken", "entry-quota-reached"],
  },
  {
    id: "createEntries",
    method: "POST",
    path: "/entries/batch",
    tag: "Entries",
    summary: "Store many entries",
    description:
      "Stores 1 to 500 entries, all of them or none, by the rules of a single one. The body has at most 8 MiB. Where ids are taken, `errors` names every one of them.",
    signed_in: true,
    request: {
      schema: createEntriesRequest,
      examples: {
        Sealed: { entries: [SEALED, SEALED] },
        "With ids of the client's": {
          entries: [
            { id: ENTRY_ID, ...SEALED },
            { id: OTHER_ENTRY_ID, ...SEALED },
          ],
        },
      },
    },
    answers: {
      201: {
        description: "All are stored, told in the order of the request",
        schema: createEntriesResponse,
        example: { entries: [CREATED_ENTRY, { ...CREATED_ENTRY, id: OTHER_ENTRY_ID }] },
      },
    },
    problems: [...ALWAYS, ...WITH_BODY, ...SIGNED_IN, "entry-id-taken", "entry-quota-reached", "batch-busy"],
  },
  {
    id: "listEntries",
    method: "GET",
    path: "/entries",
    tag: "Entries",
    summary: "List the entries",
    description:
      "Newest first. A page ends at `limit` entries or at 4 MiB; where there are more, `next_cursor` says where the next one begins.",
    signed_in: true,
    query: listEntriesQuery,
    answers: {
      200: {
        description: "A page of entries",
        schema: listEntriesResponse,
        example: { entries: [ENTRY], next_cursor: CURSOR },
      },
    },
    problems: [...ALWAYS, ...SIGNED_IN, "request-invalid"],
  },
  {
    id: "readEntry",
    method: "GET",
    path: "/entries/{id}",
    tag: "Entries",
    summary: "Read an entry",
    description: "Somebody else's entry is answered like one that is not there.",
    signed_in: true,
    params: entryParams,
    request_headers: ["If-None-Match"],
    answers: {
      200: { description: "The entry", schema: entryResponse, example: ENTRY, headers: ["ETag"] },
      304: { description: "The client has the current version", headers: ["ETag"] },
    },
    problems: [...ALWAYS, ...SIGNED_IN, "request-invalid", "entry-not-found"],
  },
  {
    id: "replaceEntry",
    method: "PUT",
    path: "/entries/{id}",
    tag: "Entries",
    summary: "Replace an entry",
    description:
      "Puts a whole new content in the place of the old one, and what is left out is gone. The version grows by exactly 1. Send `If-Match`, or a change that somebody else made meanwhile is lost.",
    signed_in: true,
    params: entryParams,
    request_headers: ["If-Match"],
    request: { schema: replaceEntryRequest, examples: { Sealed: SEALED } },
    answers: {
      200: {
        description: "The entry as it is now",
        schema: entryResponse,
        example: { ...ENTRY, version: 2, updated_at: LATER },
        headers: ["ETag"],
      },
    },
    problems: [...ALWAYS, ...WITH_BODY, ...SIGNED_IN, "entry-not-found", "entry-conflict"],
  },
  {
    id: "deleteEntry",
    method: "DELETE",
    path: "/entries/{id}",
    tag: "Entries",
    summary: "Delete an entry",
    description: "For good. Its id is never given again.",
    signed_in: true,
    params: entryParams,
    request_headers: ["If-Match"],
    answers: { 204: { description: "The entry is gone" } },
    problems: [...ALWAYS, ...SIGNED_IN, "request-invalid", "entry-not-found", "entry-conflict"],
  },
];
