// What `import path from "..." with { type: "file" }` gives for the files that PGlite is made of.
declare module "@electric-sql/pglite/*.wasm" {
  const path: string;
  export default path;
}

declare module "@electric-sql/pglite/*.data" {
  const path: string;
  export default path;
}
