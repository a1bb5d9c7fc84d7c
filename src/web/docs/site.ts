/**
 * What /docs and /redoc are made of, for the server to be handed. All of it is embedded in the binary; the large files
 * are read when they are asked for.
 */
import redoc from "redoc/bundles/redoc.standalone.js" with { type: "file" };
import swagger_css from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import swagger from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import { bundled, fingerprintOf } from "./bundle.ts" with { type: "macro" };
import docs_css from "./docs.css" with { type: "text" };
import docs_html from "./docs.html" with { type: "text" };
import { fingerprint } from "./fingerprint.ts";
import icon from "./icon.svg" with { type: "text" };
import redoc_css from "./redoc.css" with { type: "text" };
import redoc_html from "./redoc.html" with { type: "text" };
import { withoutForeignLogo } from "./redoc-logo.ts";

type Asset = { type: string; hash: string; read(): Promise<string> };

const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";

const assets = new Map<string, Asset>([
  ["swagger-ui-bundle.js", file(SCRIPT, swagger, fingerprintOf("swagger-ui-dist/swagger-ui-bundle.js"))],
  ["swagger-ui.css", file(STYLE, swagger_css, fingerprintOf("swagger-ui-dist/swagger-ui.css"))],
  [
    "redoc.standalone.js",
    file(SCRIPT, redoc, fingerprintOf("redoc/bundles/redoc.standalone.js"), withoutForeignLogo),
  ],
  ["docs.js", text(SCRIPT, bundled("docs-page.ts"))],
  ["docs.css", text(STYLE, docs_css)],
  ["redoc.js", text(SCRIPT, bundled("redoc-page.ts"))],
  ["redoc.css", text(STYLE, redoc_css)],
  ["icon.svg", text("image/svg+xml; charset=utf-8", icon)],
]);

export const site = {
  pages: { docs: withFingerprints(String(docs_html)), redoc: withFingerprints(String(redoc_html)) },
  assets,
};

function file(type: string, path: string, hash: string, mend = (content: string) => content): Asset {
  return { type, hash, read: async () => mend(await Bun.file(path).text()) };
}

function text(type: string, content: string): Asset {
  return { type, hash: fingerprint(content), read: async () => content };
}

/** An address changes with its content, so that browsers can keep what they have. */
function withFingerprints(html: string): string {
  return html.replaceAll(/\/docs\/assets\/([a-z0-9.-]+)/g, (address, name) => {
    const asset = assets.get(name);
    if (asset === undefined) throw new Error(`no asset is called ${name}`);
    return `${address}?v=${asset.hash}`;
  });
}
