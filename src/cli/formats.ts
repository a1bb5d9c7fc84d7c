/** Named here, apart from their code, so that `--help` and every other command start without it. */

/** What `import` reads. The archive is our own. */
export const IMPORT_FORMATS = [
  "bitwarden-json",
  "bitwarden-csv",
  "1password-1pux",
  "1password-csv",
  "keepass-kdbx",
  "chrome-csv",
  "firefox-csv",
  "lastpass-csv",
  "protonpass-json",
  "blindvault-csv",
  "blindvault-archive",
] as const;

/** `archive` is ours and encrypted; KDBX is encrypted with a password of its own; the others anybody can read. */
export const EXPORT_FORMATS = ["archive", "bitwarden-json", "csv", "kdbx"] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
