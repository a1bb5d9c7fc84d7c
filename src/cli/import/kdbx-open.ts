import { argon2d, argon2id } from "hash-wasm";
import {
  BinaryStream,
  ByteUtils,
  Consts,
  Credentials,
  CryptoEngine,
  HashedBlockTransform,
  Int64,
  Kdbx,
  KdbxContext,
  KdbxError,
  KdbxFormat,
  KdbxHeader,
  ProtectedValue,
} from "kdbxweb";
import { IMPORT_LIMITS } from "./limits.ts";
import { asImportError, importError } from "./result.ts";
import { gunzip } from "./zip.ts";

export type KdbxKey = { passphrase?: string | undefined; key_file?: Uint8Array | undefined };

/**
 * Opens a KeePass file of version 4, or of version 3. What its header asks for is judged before any key is derived, and
 * what it unpacks to while it is unpacked. Throws `import-password-wrong`, `import-too-large`, `import-damaged`.
 */
export async function openKdbx(bytes: Uint8Array, key: KdbxKey): Promise<Kdbx> {
  useArgon2();
  const file = bytes.slice().buffer;
  guardCost(file);
  try {
    const database = new Kdbx();
    database.credentials = await credentialsOf(key);
    return await boundedFormat(database).load(file);
  } catch (error) {
    if (error instanceof KdbxError && error.code === Consts.ErrorCodes.InvalidKey) {
      throw importError(
        "import-password-wrong",
        "The passphrase or the key file does not open the KeePass file",
      );
    }
    throw asImportError(error, "The KeePass file is damaged, or was cut off");
  }
}

/** Gives kdbxweb, which has none, an Argon2. It states the memory in KiB. */
export function useArgon2(): void {
  CryptoEngine.setArgon2Impl(
    async (password, salt, memory, iterations, length, parallelism, type, version) => {
      if (version !== 0x13) {
        throw importError("import-damaged", "The KeePass file uses an Argon2 from before 2016");
      }
      const derive = type === CryptoEngine.Argon2TypeArgon2d ? argon2d : argon2id;
      const hash = await derive({
        password: new Uint8Array(password),
        salt: new Uint8Array(salt),
        memorySize: memory,
        iterations,
        parallelism,
        hashLength: length,
        outputType: "binary",
      });
      return hash.slice().buffer;
    },
  );
}

/** Throws `import-password-wrong` when there is neither, and `import-damaged` for a key file that says so of itself. */
export async function credentialsOf({ passphrase, key_file }: KdbxKey): Promise<Credentials> {
  if (passphrase === undefined && key_file === undefined) {
    throw importError("import-password-wrong", "A KeePass file opens with a passphrase, a key file, or both");
  }
  if (key_file !== undefined && key_file.length > IMPORT_LIMITS.key_file_bytes_max) {
    throw importError("import-too-large", "The key file is too large");
  }
  const password = passphrase === undefined ? null : ProtectedValue.fromString(passphrase);
  try {
    return await new Credentials(password, key_file === undefined ? null : key_file.slice().buffer).ready;
  } catch (error) {
    throw asImportError(error, "The key file is damaged");
  }
}

function guardCost(file: ArrayBuffer): void {
  const header = headerOf(file);
  const parameters = header.kdfParameters;
  const number = (key: string): number => numberOf(parameters?.get(key));
  const [memory_kib, iterations, parallelism] = [number("M") / 1024, number("I"), number("P")];
  const rounds = Math.max(number("R"), header.keyEncryptionRounds ?? 0);
  const work_mib = (memory_kib / 1024) * iterations;
  const absurd =
    memory_kib > IMPORT_LIMITS.kdf_memory_kib_max ||
    work_mib > IMPORT_LIMITS.kdf_work_mib_max ||
    iterations > IMPORT_LIMITS.kdf_work_mib_max ||
    parallelism > IMPORT_LIMITS.kdf_parallelism_max ||
    rounds > IMPORT_LIMITS.kdf_aes_rounds_max;
  if (absurd) {
    throw importError(
      "import-too-large",
      "The KeePass file asks for a key derivation that is too costly: lower it in its database settings",
    );
  }
}

function headerOf(file: ArrayBuffer): KdbxHeader {
  try {
    return KdbxHeader.read(new BinaryStream(file), new KdbxContext({ kdbx: new Kdbx() }));
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === Consts.ErrorCodes.InvalidVersion) {
      throw importError("import-unknown-format", "The KeePass file is of a version that is not 3 or 4");
    }
    throw importError("import-damaged", "The header of the KeePass file is damaged");
  }
}

function numberOf(value: unknown): number {
  if (value instanceof Int64) return value.value;
  return typeof value === "number" ? value : 0;
}

/** The steps of kdbxweb's reader that are ours here; they are private in its types, not in its code. */
type Steps = {
  decryptData(data: ArrayBuffer, key: ArrayBuffer): Promise<ArrayBuffer>;
  decryptXmlV3(stream: BinaryStream): Promise<string>;
  getMasterKeyV3(): Promise<ArrayBuffer>;
  trimStartBytesV3(data: ArrayBuffer): ArrayBuffer;
};

/**
 * kdbxweb's reader, which would unpack a bomb whole and drop every tab of a text: it is given what is unpacked already,
 * within the limits, with the tabs as character references.
 */
function boundedFormat(database: Kdbx): KdbxFormat {
  const format = new KdbxFormat(database);
  const steps = format as unknown as Steps;
  const decrypt = steps.decryptData.bind(format);
  const unpack = (data: ArrayBuffer): Uint8Array => {
    const packed = database.header.compression === Consts.CompressionAlgorithm.GZip;
    return packed ? gunzip(new Uint8Array(data)) : new Uint8Array(data);
  };
  steps.decryptData = async (data, key) => {
    const plain = await decrypt(data, key);
    if (database.header.versionMajor === 3) return plain;
    const content = unpack(plain);
    database.header.compression = Consts.CompressionAlgorithm.None;
    const start = innerHeaderLength(content);
    const xml = ByteUtils.stringToBytes(safeXml(ByteUtils.bytesToString(content.subarray(start))));
    const whole = new Uint8Array(start + xml.length);
    whole.set(content.subarray(0, start));
    whole.set(xml, start);
    return whole.buffer;
  };
  steps.decryptXmlV3 = async (stream) => {
    const plain = await decrypt(stream.readBytesToEnd(), await steps.getMasterKeyV3());
    const blocks = await HashedBlockTransform.decrypt(steps.trimStartBytesV3(plain));
    return safeXml(ByteUtils.bytesToString(unpack(blocks)));
  };
  return format;
}

/** Fields of a number in 1 byte, a length in 4 and the bytes; number 0 ends them. */
function innerHeaderLength(content: Uint8Array): number {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  for (let at = 0; ; ) {
    const id = view.getUint8(at);
    at += 5 + view.getUint32(at + 1, true);
    if (id === 0) return at;
  }
}

/** KeePass declares no entities. The parser would not expand them; a file that has some is no KeePass file. */
function safeXml(xml: string): string {
  if (/<!(DOCTYPE|ENTITY)/i.test(xml)) {
    throw importError("import-damaged", "The KeePass file declares entities");
  }
  return xml.replace(/>([^<>]+)</g, (whole, text: string) =>
    text.includes("\t") && text.trim() !== "" ? whole.replaceAll("\t", "&#9;") : whole,
  );
}
