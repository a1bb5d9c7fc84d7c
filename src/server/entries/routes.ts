import { Elysia } from "elysia";
import { z } from "zod";
import {
  createEntryRequest,
  type EntryResponse,
  entryParams,
  entryResponse,
  listEntriesQuery,
  listEntriesResponse,
  replaceEntryRequest,
} from "../../contract/entries.ts";
import { sessionPlugin } from "../auth/session.ts";
import type { Deps } from "../deps.ts";
import { jsonBody } from "../http/body.ts";
import * as entries from "./entries.ts";
import { etagOf, preconditionOf, unchangedBy } from "./etag.ts";
import { list } from "./list.ts";

export function entryRoutes(deps: Deps) {
  return new Elysia({ name: "entries" })
    .use(sessionPlugin(deps))
    .post(
      "/entries",
      async ({ caller, body, set }) => {
        const entry = await entries.create(deps, caller, body);
        set.status = 201;
        set.headers.location = `/entries/${entry.id}`;
        set.headers.etag = etagOf(entry);
        return toWire(entry);
      },
      { ...jsonBody, body: createEntryRequest, response: { 201: entryResponse } },
    )
    .get(
      "/entries",
      async ({ caller, query }) => {
        const page = await list(deps, caller, query);
        return { entries: page.entries.map(toWire), next_cursor: page.next_cursor };
      },
      { query: listEntriesQuery, response: listEntriesResponse },
    )
    .get(
      "/entries/:id",
      async ({ caller, params, request, set }) => {
        const isUnchanged = unchangedBy(request.headers.get("if-none-match"));
        const entry = await entries.read(deps, caller, params.id);
        set.headers.etag = etagOf(entry);
        if (isUnchanged(entry.version)) {
          set.status = 304;
          return undefined;
        }
        return toWire(entry);
      },
      { params: entryParams, response: { 200: entryResponse, 304: z.undefined() } },
    )
    .put(
      "/entries/:id",
      async ({ caller, params, body, request, set }) => {
        const precondition = preconditionOf(request.headers.get("if-match"));
        const entry = await entries.replace(deps, caller, params.id, body, precondition);
        set.headers.etag = etagOf(entry);
        return toWire(entry);
      },
      { ...jsonBody, params: entryParams, body: replaceEntryRequest, response: entryResponse },
    )
    .delete(
      "/entries/:id",
      async ({ caller, params, request }) => {
        await entries.remove(deps, caller, params.id, preconditionOf(request.headers.get("if-match")));
        return new Response(null, { status: 204 });
      },
      { params: entryParams },
    );
}

function toWire(entry: entries.Entry): EntryResponse {
  return {
    id: entry.id,
    name: entry.name,
    ciphertext: entry.ciphertext.toBase64(),
    iv: entry.iv.toBase64(),
    tag: entry.tag.toBase64(),
    meta: entry.meta === null ? null : JSON.parse(entry.meta),
    version: entry.version,
    created_at: entry.created_at.toISOString(),
    updated_at: entry.updated_at.toISOString(),
  };
}
