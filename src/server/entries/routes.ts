import { Elysia } from "elysia";
import { z } from "zod";
import {
  createEntriesRequest,
  createEntriesResponse,
  createEntryRequest,
  type EntryResponse,
  entryParams,
  entryResponse,
  listEntriesQuery,
  listEntriesResponse,
  replaceEntryRequest,
} from "../../contract/entries.ts";
import { LIMITS } from "../../contract/limits.ts";
import { sessionPlugin } from "../auth/session.ts";
import type { Deps } from "../deps.ts";
import { jsonBody, largeJsonBody } from "../http/body.ts";
import { makeTurns } from "../turns.ts";
import { type Created, createAll } from "./batch.ts";
import * as entries from "./entries.ts";
import { etagOf, preconditionOf, unchangedBy } from "./etag.ts";
import { list } from "./list.ts";

export function entryRoutes(deps: Deps) {
  const receiving = batchTurns(LIMITS.batches_at_once_max);
  // One after the other, so that they never take all connections of the database, nor block the embedded one together.
  const writing = batchTurns(1);
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
    .post(
      "/entries/batch",
      async ({ caller, body, set }) => {
        const created = await writing.inTurn(() => createAll(deps, caller, body.entries));
        set.status = 201;
        return { entries: created.map(toReceipt) };
      },
      {
        ...largeJsonBody(LIMITS.batch_body_bytes_max, receiving),
        body: createEntriesRequest,
        response: { 201: createEntriesResponse },
      },
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

function batchTurns(at_once: number) {
  const { batches_waiting_max: waiting_max, batch_wait_ms: wait_ms } = LIMITS;
  return makeTurns({ at_once, waiting_max, wait_ms, busy: "batch-busy" });
}

function toWire(entry: entries.Entry): EntryResponse {
  return {
    name: entry.name,
    ciphertext: entry.ciphertext.toBase64(),
    iv: entry.iv.toBase64(),
    tag: entry.tag.toBase64(),
    meta: entry.meta === null ? null : JSON.parse(entry.meta),
    ...toReceipt(entry),
  };
}

function toReceipt({ id, version, created_at, updated_at }: Created) {
  return { id, version, created_at: created_at.toISOString(), updated_at: updated_at.toISOString() };
}
