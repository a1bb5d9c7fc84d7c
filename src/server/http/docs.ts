import { type ElysiaSwaggerConfig, swagger } from "@elysiajs/swagger";
import { Elysia } from "elysia";
import { Problem } from "../../contract/problems.ts";
import { DOCUMENT_HEAD, describeComponents, describePaths } from "./openapi.ts";

/**
 * What a browser is given. It is made outside and handed in, because a page has code that encrypts, and the server's
 * own bundle has none.
 */
export type Site = {
  pages: Readonly<Record<"docs" | "redoc", string>>;
  /** By the name that stands in their address. */
  assets: ReadonlyMap<string, Asset>;
};

export type Asset = {
  type: string;
  /** Of the content: pages name it in an asset's address, so that a browser may keep what it has for good. */
  hash: string;
  read(): Promise<string>;
};

/**
 * The OpenAPI document, Swagger UI and ReDoc. They work without a network and under a policy that allows no code but
 * the server's own. Without a site there is only the document.
 */
export function docsRoutes(site?: Site) {
  return (
    new Elysia({ name: "docs" })
      .use(swagger({ path: "/docs", specPath: "/openapi.json", provider: "swagger-ui", documentation }))
      // In the place of the plugin's page, which loads scripts from another host.
      .get("/docs", ({ set }) => page(set, POLICIES.docs, site?.pages.docs), hidden)
      .get("/redoc", ({ set }) => page(set, POLICIES.redoc, site?.pages.redoc), hidden)
      .get(
        "/docs/assets/:file",
        ({ params, request, set }) => asset(set, request, site?.assets.get(params.file)),
        hidden,
      )
  );
}

const hidden = { detail: { hide: true } } as const;

/** The plugin reads these for every answer; they are made once, and not before somebody asks. */
const documentation = {
  ...DOCUMENT_HEAD,
  get paths() {
    return paths();
  },
  get components() {
    return components();
  },
} as unknown as NonNullable<ElysiaSwaggerConfig["documentation"]>;
const paths = lazy(describePaths);
const components = lazy(describeComponents);

/** Each page's policy has nothing that the page does not need: a test watches the pages in a browser. */
const NOTHING_ELSE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const OWN = "script-src 'self'; img-src 'self' data:; connect-src 'self'";
/** The two styles that ReDoc writes into its page, by their content: its scroll bar's, and an empty one that it fills by rules. */
const REDOC_STYLES =
  "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc=' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='";
const POLICIES = {
  docs: `${NOTHING_ELSE}; ${OWN}; style-src 'self'`,
  redoc: `${NOTHING_ELSE}; ${OWN}; style-src 'self' ${REDOC_STYLES}`,
} as const;

type Reply = { headers: Record<string, unknown>; status?: number | string };

function page({ headers }: Reply, policy: string, html: string | undefined): string {
  if (html === undefined) throw new Problem("not-found");
  headers["content-security-policy"] = policy;
  headers["content-type"] = "text/html; charset=utf-8";
  return html;
}

async function asset(reply: Reply, request: Request, found: Asset | undefined): Promise<string | undefined> {
  if (found === undefined) throw new Problem("not-found");
  const etag = `"${found.hash}"`;
  reply.headers["cache-control"] = "public, max-age=31536000, immutable";
  reply.headers["content-type"] = found.type;
  reply.headers.etag = etag;
  if (request.headers.get("if-none-match") !== etag) return found.read();
  reply.status = 304;
  return undefined;
}

function lazy<Value>(make: () => Value): () => Value {
  let made: Value | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
