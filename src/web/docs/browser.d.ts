// What the two libraries put into the window of their page.
declare const SwaggerUIBundle: (options: Record<string, unknown>) => void;
declare const Redoc: {
  init(url: string, options: Record<string, unknown>, element: HTMLElement | null): void;
};

// What `import path from "..." with { type: "file" }` gives for their files, and `with { type: "text" }` for ours.
declare module "swagger-ui-dist/*" {
  const path: string;
  export default path;
}
declare module "redoc/bundles/*" {
  const path: string;
  export default path;
}
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*.svg" {
  const text: string;
  export default text;
}
