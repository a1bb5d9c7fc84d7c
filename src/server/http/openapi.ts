import {
  type Answer,
  type Operation,
  REQUEST_HEADERS,
  RESPONSE_HEADERS,
  TAGS,
} from "../../contract/operation.ts";
import { OPERATIONS, SCHEMAS } from "../../contract/operations.ts";
import { PROBLEMS, type ProblemCode, problemSchema } from "../../contract/problems.ts";
import { type JsonSchema, makeJsonSchemas } from "./json-schema.ts";

const DESCRIPTION = `A zero-knowledge store for passwords and secrets. The server holds ciphertext, iv and tag
(AES-256-GCM) and never a key.

**To try it:** register, log in, copy \`accessToken\` into *Authorize*, then store and list entries. Each body is ready
to be sent.

**With \`password\`, as in any REST API, the server sees the password while you log in:** the encryption key must then
come from something else. With \`auth_key\` the client derives a key from the master password (Argon2id, HKDF) and sends
only that.

Times are RFC 3339 in UTC, binary fields are canonical padded base64, unknown fields are refused. Errors are
\`application/problem+json\` (RFC 9457) with a stable \`code\`.`;

/** What the document says before its operations. */
export const DOCUMENT_HEAD = {
  openapi: "3.0.3",
  info: {
    title: "Blindvault",
    version: "1",
    license: { name: "MIT", url: "https://opensource.org/license/mit" },
    description: DESCRIPTION,
  },
  servers: [{ url: "/", description: "This server" }],
  tags: [
    ...Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    // No operation has it: ReDoc makes a chapter of such a tag.
    { name: "Errors", description: errorTable(), "x-traitTag": true },
  ],
};

function errorTable(): string {
  const rows = Object.entries(PROBLEMS).map(
    ([code, { status, title }]) => `| ${status} | \`${code}\` | ${title} |`,
  );
  const about = `Every error has the media type \`application/problem+json\` and a \`code\` that never changes. An address
that is not there answers 404 \`not-found\`, a method that it does not know 405 with \`Allow\`.`;
  return `${about}\n\n| Status | Code | Means |\n|---|---|---|\n${rows.join("\n")}`;
}

const schemas = makeJsonSchemas(SCHEMAS);

/** The operations as OpenAPI 3.0 has them, out of the contract and nothing else. */
export function describePaths(): Record<string, JsonSchema> {
  const by_path = Map.groupBy(OPERATIONS, ({ path }) => path);
  const described = [...by_path].map(([path, operations]) => [
    path,
    Object.fromEntries(operations.map((operation) => [operation.method.toLowerCase(), describe(operation)])),
  ]);
  return Object.fromEntries(described);
}

/** What the operations refer to. */
export function describeComponents(): Record<string, JsonSchema> {
  return {
    schemas: mapped(SCHEMAS, schemas.whole),
    securitySchemes: {
      access_token: {
        type: "http",
        scheme: "bearer",
        bearerFormat: "JWT",
        description: "The `accessToken` of a login.",
      },
    },
    parameters: mapped(REQUEST_HEADERS, ({ description }, name) => ({
      name,
      in: "header",
      required: false,
      description,
      schema: { type: "string" },
    })),
    headers: mapped(RESPONSE_HEADERS, ({ description, example }) => ({
      description,
      schema: { type: "string" },
      example,
    })),
    examples: problemExamples(),
  };
}

function describe(operation: Operation): JsonSchema {
  const { id, tag, summary, description, signed_in, request } = operation;
  return {
    operationId: id,
    tags: [tag],
    summary,
    description,
    security: signed_in ? [{ access_token: [] }] : [],
    parameters: describeParameters(operation),
    ...(request && {
      requestBody: { required: true, content: { "application/json": describeBody(request) } },
    }),
    responses: { ...describeAnswers(operation), ...describeProblems(operation) },
  };
}

function describeParameters({ params, query, request_headers = [] }: Operation): JsonSchema[] {
  return [
    ...fieldsOf(params).map(([name, schema]) => ({ name, in: "path", required: true, ...lifted(schema) })),
    ...fieldsOf(query).map(([name, schema]) => ({ name, in: "query", required: false, ...lifted(schema) })),
    ...request_headers.map((name) => ({ $ref: `#/components/parameters/${name}` })),
  ];
}

function fieldsOf(object: Operation["params"]): [string, JsonSchema][] {
  if (object === undefined) return [];
  return Object.entries(schemas.whole(object).properties as Record<string, JsonSchema>);
}

/** Swagger UI and ReDoc look for a parameter's description beside its schema. */
function lifted({ description, ...schema }: JsonSchema): JsonSchema {
  return { ...(description !== undefined && { description }), schema };
}

function describeBody({ schema, examples }: NonNullable<Operation["request"]>): JsonSchema {
  const named = Object.entries(examples).map(([summary, value], index) => [
    `body-${index + 1}`,
    { summary, value },
  ]);
  return { schema: schemas.reference(schema), examples: Object.fromEntries(named) };
}

function describeAnswers(operation: Operation): JsonSchema {
  return mapped(operation.answers, ({ description, schema, example, headers = [] }: Answer) => ({
    description,
    headers: references([...headersOfAll(operation), ...headers]),
    ...(schema && { content: { "application/json": { schema: schemas.reference(schema), example } } }),
  }));
}

function describeProblems(operation: Operation): JsonSchema {
  const by_status = Map.groupBy(new Set(operation.problems), (code) => PROBLEMS[code].status);
  const described = [...by_status].map(([status, codes]) => [
    status,
    {
      description: codes.map((code) => `${PROBLEMS[code].title} (\`${code}\`).`).join(" "),
      headers: references([...headersOfAll(operation), ...(HEADERS_OF_STATUS[status] ?? [])]),
      content: {
        "application/problem+json": {
          schema: schemas.reference(problemSchema),
          examples: Object.fromEntries(
            codes.map((code) => [code, { $ref: `#/components/examples/${code}` }]),
          ),
        },
      },
    },
  ]);
  return Object.fromEntries(described);
}

type HeaderName = keyof typeof RESPONSE_HEADERS;

const HEADERS_OF_STATUS: Readonly<Record<number, readonly HeaderName[]>> = {
  401: ["WWW-Authenticate"],
  412: ["ETag"],
  429: ["Retry-After"],
  503: ["Retry-After"],
};

function headersOfAll({ problems }: Operation): HeaderName[] {
  return problems.includes("rate-limited")
    ? ["X-Request-Id", "RateLimit-Policy", "RateLimit"]
    : ["X-Request-Id"];
}

function references(names: readonly HeaderName[]): JsonSchema {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function problemExamples(): JsonSchema {
  const codes = new Set(OPERATIONS.flatMap(({ problems }) => problems));
  const examples = [...codes].map((code) => [
    code,
    { summary: PROBLEMS[code].title, value: problemExample(code) },
  ]);
  return Object.fromEntries(examples);
}

function problemExample(code: ProblemCode): JsonSchema {
  return {
    type: `urn:blindvault:problem:${code}`,
    title: PROBLEMS[code].title,
    status: PROBLEMS[code].status,
    code,
    request_id: RESPONSE_HEADERS["X-Request-Id"].example,
    ...(code === "request-invalid" && {
      errors: [{ path: "body.username", reason: "must be 3 to 30 of A-Z, a-z, 0-9 and _" }],
    }),
  };
}

function mapped<Key extends string | number, Value>(
  record: Readonly<Record<Key, Value>>,
  map: (value: Value, key: Key) => unknown,
): JsonSchema {
  return Object.fromEntries(
    Object.entries<Value>(record).map(([key, value]) => [key, map(value, key as Key)]),
  );
}
