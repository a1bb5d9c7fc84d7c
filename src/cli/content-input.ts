import type { CustomField, EntryContent, EntryType } from "../client/index.ts";
import { makePassword } from "../crypto/passwords.ts";
import { readAll } from "./descriptors.ts";
import { CLI_EXIT, commandFault } from "./exit.ts";
import { givesPassword, type PasswordOptions, passwordSource, readSecret } from "./secret-input.ts";
import { oneLine, type Terminal } from "./terminal.ts";

/** The flags by which `add` and `edit` are told what an entry holds. None of them takes a secret. */
export type ContentOptions = PasswordOptions & {
  type?: EntryType;
  username?: string;
  uri?: string[];
  tag?: string[];
  notes?: string;
  field?: string[];
  hiddenField?: string[];
  favorite?: boolean;
  generate?: boolean;
  passwordPrompt?: boolean;
  totpPrompt?: boolean;
  totpStdin?: boolean;
  totpFd?: string;
};

const GENERATED = { length: 20, classes: ["lower", "upper", "digits", "symbols"] } as const;

/** What the flags say of a content, with secrets from where they say. Fields that no flag names are left out. */
export async function contentFromOptions(
  terminal: Terminal,
  options: ContentOptions,
): Promise<Partial<EntryContent>> {
  const password = await passwordFrom(terminal, options);
  const totp = await totpFrom(terminal, options);
  const fields = await fieldsFrom(terminal, options);
  return {
    ...(options.type !== undefined && { type: options.type }),
    ...(options.username !== undefined && { username: options.username }),
    ...(options.uri !== undefined && { uris: options.uri }),
    ...(options.tag !== undefined && { tags: options.tag }),
    ...(options.notes !== undefined && { notes: options.notes }),
    ...(options.favorite !== undefined && { favorite: options.favorite }),
    ...(password !== undefined && { password }),
    ...(totp !== undefined && { totp }),
    ...(fields !== undefined && { fields }),
  };
}

async function passwordFrom(terminal: Terminal, options: ContentOptions): Promise<string | undefined> {
  const source = passwordSource(options);
  const sources = [options.generate, options.passwordPrompt, source.stdin, source.fd !== undefined];
  if (sources.filter(Boolean).length > 1) {
    throw commandFault(CLI_EXIT.usage, "password-twice", "the password can come from one place only");
  }
  if (options.generate) return makePassword({ ...GENERATED, classes: [...GENERATED.classes] });
  const asked = options.passwordPrompt || givesPassword(options);
  return asked ? readSecret(terminal, source, { message: "Password", name: "password" }) : undefined;
}

async function totpFrom(terminal: Terminal, options: ContentOptions): Promise<string | undefined> {
  const source = { stdin: options.totpStdin, fd: options.totpFd };
  const asked = options.totpPrompt || source.stdin || source.fd !== undefined;
  return asked
    ? readSecret(terminal, source, { message: "TOTP secret or otpauth:// URI", name: "totp" })
    : undefined;
}

async function fieldsFrom(terminal: Terminal, options: ContentOptions): Promise<CustomField[] | undefined> {
  if (options.field === undefined && options.hiddenField === undefined) return undefined;
  const open = (options.field ?? []).map((text): CustomField => {
    const at = text.indexOf("=");
    if (at < 1) throw commandFault(CLI_EXIT.usage, "field-invalid", "a field is given as NAME=VALUE");
    return { name: text.slice(0, at), value: text.slice(at + 1) };
  });
  const hidden: CustomField[] = [];
  for (const name of options.hiddenField ?? []) {
    const prompt = { message: `Field ${name}`, name: "password" };
    const stdin = terminal.interactive ? undefined : true;
    hidden.push({ name, value: await readSecret(terminal, { stdin }, prompt), hidden: true });
  }
  return [...open, ...hidden];
}

const JSON_BYTES_MAX = 1024 ** 2;

/** What of an entry can be taken away again. */
export const REMOVABLE = [
  "username",
  "password",
  "uris",
  "notes",
  "totp",
  "fields",
  "tags",
  "favorite",
] as const;
const FIELDS: readonly string[] = ["type", "name", ...REMOVABLE];

/**
 * A content, or some fields of one, as JSON on standard input: the way for scripts, with every field. What is wrong with a value the SDK
 * tells; a name that is none would be passed over there when only some fields are changed.
 */
export function contentFromStdin(): Partial<EntryContent> {
  const value = parseJson(readAll(0, JSON_BYTES_MAX));
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw commandFault(CLI_EXIT.data, "json-invalid", "standard input is not a JSON object");
  }
  const unknown = Object.keys(value).find((field) => !FIELDS.includes(field));
  if (unknown === undefined) return value;
  const message = `an entry has no "${oneLine(unknown)}": it has ${FIELDS.join(", ")}`;
  throw commandFault(CLI_EXIT.data, "field-unknown", message);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw commandFault(CLI_EXIT.data, "json-invalid", "standard input is not JSON");
  }
}
