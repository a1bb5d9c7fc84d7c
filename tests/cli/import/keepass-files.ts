import {
  BinaryStream,
  Consts,
  Credentials,
  Int64,
  Kdbx,
  type KdbxEntry,
  KdbxFormat,
  ProtectedValue,
  VarDictionary,
} from "kdbxweb";
import { useArgon2 } from "../../../src/cli/import/kdbx-open.ts";

export const PASSPHRASE = "example-passphrase-1";

/** A KeePass file of the lowest cost, as KeePassXC would make it but for that. */
export async function databaseOf(passphrase: string | null = PASSPHRASE, key_file?: Uint8Array) {
  useArgon2();
  const password = passphrase === null ? null : ProtectedValue.fromString(passphrase);
  const credentials = await new Credentials(password, key_file?.slice().buffer).ready;
  const database = Kdbx.create(credentials, "Example");
  setCost(database, { M: 8 * 1024, I: 1, P: 1 });
  return database;
}

export function setCost(database: Kdbx, { M, I, P }: { M: number; I: number; P: number }): void {
  const { UInt32, UInt64 } = VarDictionary.ValueType;
  database.header.kdfParameters?.set("M", UInt64, Int64.from(M));
  database.header.kdfParameters?.set("I", UInt64, Int64.from(I));
  database.header.kdfParameters?.set("P", UInt32, P);
}

/** Protected values are written as { secret }. */
export function addEntry(
  database: Kdbx,
  fields: Record<string, string | { secret: string }>,
  group = database.getDefaultGroup(),
): KdbxEntry {
  const entry = database.createEntry(group);
  for (const [key, value] of Object.entries(fields)) {
    entry.fields.set(key, typeof value === "string" ? value : ProtectedValue.fromString(value.secret));
  }
  return entry;
}

export async function bytesOfDatabase(database: Kdbx): Promise<Uint8Array> {
  return new Uint8Array(await database.save());
}

/** A header that asks for this much, and nothing behind it. */
export function headerAsking(database: Kdbx): Uint8Array {
  database.header.generateSalts();
  const stream = new BinaryStream();
  database.header.write(stream);
  return new Uint8Array(stream.getWrittenBytes());
}

/** A file that opens, and whose content is these bytes in place of gzipped XML. */
export async function holding(database: Kdbx, packed: Uint8Array): Promise<Uint8Array> {
  const format = new KdbxFormat(database);
  const steps = format as unknown as {
    encryptData(data: ArrayBuffer, key: ArrayBuffer): Promise<ArrayBuffer>;
  };
  const encrypt = steps.encryptData.bind(format);
  steps.encryptData = (_, key) => encrypt(packed.slice().buffer, key);
  return new Uint8Array(await format.save());
}

/** The inner header of KDBX 4: ChaCha20 with a key of zeros, and the end. */
export function innerHeader(): Uint8Array {
  const key = new Uint8Array(64);
  return Uint8Array.of(
    1,
    4,
    0,
    0,
    0,
    Consts.CrsAlgorithm.ChaCha20,
    0,
    0,
    0,
    2,
    64,
    0,
    0,
    0,
    ...key,
    0,
    0,
    0,
    0,
    0,
  );
}
