import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { Validator } from "@seriousme/openapi-schema-validator";
import { OPERATIONS } from "../../../src/contract/operations.ts";
import { PROBLEMS, problemSchema } from "../../../src/contract/problems.ts";
import { createApp } from "../../../src/server/app.ts";
import { call } from "../../support/client.ts";
import { type DocumentedOperation, faultsBySchema, openapi } from "../../support/document.ts";
import { startTestServer, type TestServer } from "../../support/server.ts";

let server: TestServer;
// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back, and asserts what it finds there
let served: any;

beforeAll(async () => {
  server = await startTestServer("embedded");
  served = (await call(server, "GET /openapi.json")).body;
}, 30_000);
afterAll(() => server.stop());

describe("the OpenAPI document", () => {
  test("is what the contract makes it", () => {
    expect(served).toEqual(JSON.parse(JSON.stringify(openapi)));
  });

  test("is valid OpenAPI 3.0", async () => {
    expect(served.openapi).toBe("3.0.3");
    expect(await new Validator().validate(structuredClone(served))).toEqual({ valid: true });
  });

  test("has nothing that a linter minds", async () => {
    const config = await createConfig({
      extends: ["recommended-strict"],
      // /health and /ready take nothing that a client could do wrong.
      rules: { "operation-4xx-response": "off" },
    });
    const found = await lintFromString({ source: JSON.stringify(served), config });
    expect(found.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual([]);
  });

  test("tells of every route but its own pages, and of none that is not there", () => {
    const app = createApp(server.deps, { state: "ready" }, () => "127.0.0.1");
    const routes = app.routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`);
    const pages = ["GET /docs", "GET /docs/assets/{file}", "GET /openapi.json", "GET /redoc"];
    const documented = operations().map(({ method, path }) => `${method} ${path}`);
    expect([...documented, ...pages].sort()).toEqual(routes.sort());
    expect(new Set(OPERATIONS.map(({ id }) => id)).size).toBe(OPERATIONS.length);
  });

  test("tells of every problem there is; two belong to no operation", () => {
    const told = new Set(OPERATIONS.flatMap(({ problems }) => problems as string[]));
    const elsewhere = ["not-found", "method-not-allowed"];
    expect([...told, ...elsewhere].sort()).toEqual(Object.keys(PROBLEMS).sort());
    const errors = served.tags.find(({ name }: { name: string }) => name === "Errors").description;
    for (const [code, { status }] of Object.entries(PROBLEMS))
      expect(errors).toContain(`| ${status} | \`${code}\` |`);
  });

  test("asks for an access token where the server does, and nowhere else", () => {
    for (const { method, path, signed_in } of OPERATIONS) {
      const { security } = served.paths[path][method.toLowerCase()];
      expect([path, security]).toEqual([path, signed_in ? [{ access_token: [] }] : []]);
    }
  });

  test("refuses unknown fields in every body, as the server does", () => {
    for (const { name, documented, request } of operations()) {
      const media = documented.requestBody?.content["application/json"];
      for (const example of request ? Object.values(request.examples) : []) {
        const stranger = { ...example, surplus: 1 };
        expect([name, faultsBySchema(media?.schema ?? {}, stranger)]).not.toEqual([name, []]);
        expect([name, request?.schema.safeParse(stranger).success]).toEqual([name, false]);
      }
    }
  });
});

describe("every example", () => {
  test("of a body is one that the server takes, by zod and by the document", () => {
    for (const { name, documented, request } of operations()) {
      const media = documented.requestBody?.content["application/json"];
      const examples = Object.values(media?.examples ?? {}).map(({ value }) => value);
      expect([name, examples]).toEqual([name, Object.values(request?.examples ?? {})]);
      expect([name, examples.length > 0]).toEqual([name, request !== undefined]);
      for (const example of examples) {
        expect([name, faultsBySchema(media?.schema ?? {}, example)]).toEqual([name, []]);
        expect([name, request?.schema.safeParse(example).error]).toEqual([name, undefined]);
      }
    }
  });

  test("of an answer keeps its schema, and every answer with a body has one", () => {
    for (const { name, documented, answers } of operations()) {
      for (const [status, { schema }] of Object.entries(answers)) {
        const media = documented.responses[status]?.content?.["application/json"];
        expect([name, media !== undefined]).toEqual([name, schema !== undefined]);
        if (media === undefined || schema === undefined) continue;
        expect([name, faultsBySchema(media.schema, media.example)]).toEqual([name, []]);
        expect([name, schema.safeParse(media.example).error]).toEqual([name, undefined]);
      }
    }
  });

  test("of a problem is that problem, and keeps its schema", () => {
    for (const [code, { value }] of Object.entries(openapi.components.examples)) {
      expect(problemSchema.parse(value)).toMatchObject({ code, type: `urn:blindvault:problem:${code}` });
    }
  });
});

function operations() {
  return OPERATIONS.map((operation) => ({
    ...operation,
    name: `${operation.method} ${operation.path}`,
    documented: openapi.paths[operation.path]?.[operation.method.toLowerCase()] as DocumentedOperation,
  }));
}
