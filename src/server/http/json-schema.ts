import { z } from "zod";

export type JsonSchema = Record<string, unknown>;

/**
 * Makes JSON Schemas, as OpenAPI 3.0 has them, of the contract's zod schemas. One that has a name in `named` is told
 * as a reference wherever it is a part. What JSON Schema cannot say, such as a password's rules, stands in
 * descriptions; a schema whose wire form it would tell wrongly says the right one itself, in its meta as `document`.
 */
export function makeJsonSchemas(named: Readonly<Record<string, z.ZodType>>) {
  const names = new Map<z.core.$ZodType, string>(
    Object.entries(named).map(([name, schema]) => [schema, name]),
  );

  function whole(schema: z.ZodType): JsonSchema {
    const {
      $schema: _,
      definitions: __,
      ...made
    } = z.toJSONSchema(schema, {
      target: "openapi-3.0",
      // A request's object is strict and says so. An answer's is open: a later version may add to it.
      io: "input",
      override: ({ zodSchema, jsonSchema }) => mend(schema, zodSchema, jsonSchema as JsonSchema),
    });
    return made;
  }

  function mend(root: z.ZodType, part: z.core.$ZodType, made: JsonSchema): void {
    const name = names.get(part);
    if (name !== undefined && part !== root) become(made, { $ref: `#/components/schemas/${name}` });
    else if (typeof made.document === "object") become(made, made.document as JsonSchema);
    // Beside a reference nothing counts in OpenAPI 3.0, `nullable` neither: here the schema has to stand itself.
    else if (part instanceof z.ZodNullable && Array.isArray(made.allOf))
      become(made, { ...whole(part.unwrap() as z.ZodType), nullable: true });
    else tidy(made);
  }

  return {
    whole,
    /** By its name where it has one. */
    reference(schema: z.ZodType): JsonSchema {
      const name = names.get(schema);
      return name === undefined ? whole(schema) : { $ref: `#/components/schemas/${name}` };
    },
  };
}

/** Leaves out what says nothing to a reader: a pattern that a format has said already, the range of safe integers. */
function tidy(made: JsonSchema): void {
  if (made.format === "uuid" || made.format === "date-time") delete made.pattern;
  if (made.maximum === Number.MAX_SAFE_INTEGER) delete made.maximum;
  if (made.minimum === Number.MIN_SAFE_INTEGER) delete made.minimum;
  delete made.contentEncoding;
}

function become(made: JsonSchema, other: JsonSchema): void {
  for (const key of Object.keys(made)) delete made[key];
  Object.assign(made, other);
}
