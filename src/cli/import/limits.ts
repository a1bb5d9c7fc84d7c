const MIB = 1024 * 1024;

/** What a foreign file may ask of this machine before it is refused. */
export const IMPORT_LIMITS = {
  file_bytes_max: 256 * MIB,
  /** What a compressed part may become. Text that people keep shrinks 3 to 30 times, a bomb 1,000 times. */
  inflated_bytes_max: 256 * MIB,
  inflation_ratio_max: 200,
  archive_files_max: 100_000,
  entries_max: 100_000,
  json_depth_max: 64,
  key_file_bytes_max: MIB,
  /** Argon2 of a KDBX file: KeePassXC's slider ends at 1 GiB. */
  kdf_memory_kib_max: 1024 * 1024,
  /** Memory times passes, in MiB: about a minute on a small machine. */
  kdf_work_mib_max: 64 * 1024,
  kdf_parallelism_max: 64,
  /** Rounds of the AES key derivation of KeePass: some 10 s. */
  kdf_aes_rounds_max: 100_000_000,
} as const;
