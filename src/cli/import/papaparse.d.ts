/** The little of Papa Parse that is used; it brings no types of its own. */
declare module "papaparse" {
  type ParseOptions = {
    delimiter: string;
    newline: string;
    quoteChar: string;
    header: false;
    preview?: number;
    skipEmptyLines: boolean;
  };
  type ParseResult = { data: string[][]; errors: { type: string; code: string; row?: number }[] };
  type UnparseOptions = { delimiter: string; newline: string; quotes: boolean; header: false };
  const papa: {
    parse(text: string, options: ParseOptions): ParseResult;
    unparse(rows: readonly (readonly string[])[], options: UnparseOptions): string;
  };
  export default papa;
}
