import { expect } from "bun:test";
import Ajv, { type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import { OPERATIONS } from "../../src/contract/operations.ts";
import { DOCUMENT_HEAD, describeComponents, describePaths } from "../../src/server/http/openapi.ts";
import type { Answer } from "./client.ts";

/** The OpenAPI document as the server makes it. A test asserts that it is what /openapi.json answers. */
export const openapi = {
  ...DOCUMENT_HEAD,
  paths: describePaths() as Record<string, Record<string, DocumentedOperation>>,
  components: describeComponents() as { examples: Record<string, { value: unknown }> },
};

export type DocumentedOperation = {
  requestBody?: { content: Record<string, Media> };
  parameters: object[];
  responses: Record<string, { headers: object; content?: Record<string, Media> }>;
};
type Media = {
  schema: object;
  example?: unknown;
  examples?: Record<string, { value?: unknown; $ref?: string }>;
};

const ajv = new Ajv({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema(openapi, "openapi");
const compiled = new Map<object, ValidateFunction>();

/** What is wrong with a value by a schema of the document; empty when nothing is. */
export function faultsBySchema(schema: object, value: unknown): string[] {
  let validate = compiled.get(schema);
  if (validate === undefined) {
    validate = ajv.compile(withAbsoluteReferences(schema));
    compiled.set(schema, validate);
  }
  return validate(value)
    ? []
    : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`);
}

/** Asserts that an answer is one that the document tells of: its status, its headers, its media type, its body. */
export function expectDocumented(route: string, answer: Answer): void {
  const [method = "", path = ""] = route.split(" ");
  const documented = find(method, path);
  // Another application, such as that of metrics alone, has none of the addresses.
  if (documented === undefined || answer.body?.code === "not-found") return;
  const response = documented.responses[answer.status];
  if (response === undefined) throw new Error(`${route} answers ${answer.status}, which is not documented`);
  const missing = Object.keys(response.headers).filter(
    // A limit that is off has none of these.
    (name) => !name.startsWith("RateLimit") && answer.headers.get(name) === null,
  );
  expect({ route, status: answer.status, missing }).toEqual({ route, status: answer.status, missing: [] });
  const [type, media] = Object.entries(response.content ?? {})[0] ?? [];
  if (media === undefined) return void expect(answer.text).toBe("");
  expect(answer.headers.get("content-type")?.replace(/;.*/, "")).toBe(type as string);
  expect({ route, faults: faultsBySchema(media.schema, answer.body) }).toEqual({ route, faults: [] });
  if (answer.status >= 400 && !Object.keys(media.examples ?? {}).includes(answer.body.code))
    throw new Error(`${route} answers ${answer.status} ${answer.body.code}, which is not documented`);
}

function find(method: string, path: string): DocumentedOperation | undefined {
  const given = path
    .replace(/\?.*/, "")
    .replace(/(.)\/$/, "$1")
    .split("/");
  const operation = OPERATIONS.find((one) => {
    const steps = one.path.split("/");
    const fits = steps.every(
      (step, index) => step === given[index] || (step === "{id}" && given[index] !== ""),
    );
    return one.method === method && steps.length === given.length && fits;
  });
  return operation && openapi.paths[operation.path]?.[method.toLowerCase()];
}

function withAbsoluteReferences(schema: object): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"openapi#/'));
}
