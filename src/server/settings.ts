import { readFileSync } from "node:fs";
import { DURATION_MS, LIMITS } from "../contract/limits.ts";
import { parseRate, type Rate } from "./http/limiter.ts";

/** The raw settings by name, as the environment and a configuration file give them. */
export type Environment = Record<string, string | undefined>;

type Fault = { fault: string };
type Parse<Value> = (text: string) => Value | Fault;
export type Reader = ReturnType<typeof reader>;

/** Hands out settings and gathers what is wrong with them; a faulty one yields its default meanwhile. */
export function reader(environment: Environment, faults: string[]) {
  const has = (name: string) => Boolean(environment[name] || environment[`${name}_FILE`]);
  const fault = (name: string, message: string) => void faults.push(`${name} ${message}`);

  function parsed<Value>(name: string, value: string, parse: Parse<Value>): Value | undefined {
    const result = parse(value);
    if (!isFault(result)) return result;
    fault(name, result.fault);
    return undefined;
  }

  return {
    has,
    fault,
    get<Value>(name: string, otherwise: string, parse: Parse<Value>): Value {
      const given = environment[name];
      const value = given ? parsed(name, given, parse) : undefined;
      return value ?? (parse(otherwise) as Value);
    },
    secret(name: string, parse: Parse<string>): string | undefined {
      const file = environment[`${name}_FILE`];
      if (!file) return environment[name] ? parsed(name, environment[name], parse) : undefined;
      if (environment[name]) fault(name, `and ${name}_FILE are both set: keep one`);
      try {
        return parsed(`${name}_FILE`, readFileSync(file, "utf8").replace(/\r?\n$/, ""), parse);
      } catch (error) {
        fault(
          `${name}_FILE`,
          `cannot be read (${(error as NodeJS.ErrnoException).code}): check path and permissions`,
        );
        return undefined;
      }
    },
  };
}

function isFault(value: unknown): value is Fault {
  return typeof value === "object" && value !== null && "fault" in value;
}

export function text(value: string): string | Fault {
  return /\p{Cc}/u.test(value) ? { fault: "has control characters: delete them" } : value;
}

export function whole(min: number, max: number): Parse<number> {
  return (value) => {
    const number = /^[0-9]{1,9}$/.test(value) ? Number(value) : Number.NaN;
    return number >= min && number <= max
      ? number
      : { fault: `must be a whole number from ${min} to ${max}` };
  };
}

export function oneOf<const Choice extends string>(...choices: Choice[]): Parse<Choice> {
  return (value) =>
    choices.find((choice) => choice === value) ?? { fault: `must be ${choices.join(" or ")}` };
}

export function duration(ms_min: number, ms_max: number): Parse<number> {
  return (value) => {
    const [, amount, unit] = /^([0-9]{1,9})([smhd])$/.exec(value) ?? [];
    const ms = Number(amount) * DURATION_MS[unit as keyof typeof DURATION_MS];
    if (ms >= ms_min && ms <= ms_max) return ms;
    return {
      fault: `must be a number and s, m, h or d, such as 35m, from ${ms_min / 1000}s to ${ms_max / 1000}s`,
    };
  };
}

export function logLevel(value: string): "debug" | "info" | "warn" | "error" | Fault {
  const level = value.toLowerCase().replace(/^warning$/, "warn");
  return oneOf("debug", "info", "warn", "error")(level) ?? { fault: "" };
}

export function rate(value: string): Rate | "off" | Fault {
  return parseRate(value) ?? { fault: "must be off, or a number, / and s, m or h, such as 10/m" };
}

export function origins(value: string): string[] | Fault {
  const list = value
    .split(",")
    .map((origin) => origin.trim())
    .filter(Boolean);
  // No browser sends a wildcard or another scheme: such an origin would be listed and match nothing.
  const exact = (origin: string) => /^https?:[^*]+$/.test(origin) && URL.canParse(origin);
  const wrong = list.find((origin) => !exact(origin) || new URL(origin).origin !== origin);
  return wrong === undefined
    ? list
    : { fault: "must be exact origins, such as https://vault.example.com, without * or a path" };
}

export function readableFile(path: string): string | Fault {
  if (path === "") return path;
  try {
    readFileSync(path);
    return path;
  } catch (error) {
    return { fault: `cannot be read (${(error as NodeJS.ErrnoException).code}): check path and permissions` };
  }
}

export function databaseUrl(value: string): string | Fault {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url?.protocol === "postgres:" || url?.protocol === "postgresql:") return value;
  return { fault: "must be a URL such as postgresql://user:password@host:5432/blindvault" };
}

/** `host:port`, an IPv6 address in brackets; undefined for none. */
export function listenAddress(value: string): { host: string; port: number } | undefined | Fault {
  if (value === "") return undefined;
  const [, host = "", digits = ""] = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):([0-9]{1,5})$/.exec(value) ?? [];
  const port = Number(digits || Number.NaN);
  if (port <= 65_535) return { host: host.replace(/^\[|\]$/g, ""), port };
  return { fault: "must be an address and a port, such as 127.0.0.1:9400 or [::1]:9400" };
}

export function metricsToken(value: string): string | Fault {
  if (/^[A-Za-z0-9._~+/=-]{16,512}$/.test(value)) return value;
  return {
    fault: "must be 16 to 512 of A-Z, a-z, 0-9 and ._~+/=-: take the output of `openssl rand -hex 24`",
  };
}

/**
 * What stands in examples and not in a secret drawn at random: of those fewer than one in 10^8 has any of these
 * words, so each is seven letters long at least.
 */
const PLACEHOLDER =
  /change(me|this|it)|placeholder|(your|my|the|super|jwt|top|long)(jwt|very|super)?secret|replace(me|this|with)|example|insecure|password|secretkey|default|(dummy|sample|test)(jwt|secret|token)|256bit(s|secret|key)|1234567890|0123456789|abcdefgh|qwertyui/;

export function jwtSecret(value: string): string | Fault {
  const mend = "run `blindvault init`, or take the output of `openssl rand -base64 48`";
  if (value.length < LIMITS.jwt_secret_characters_min) {
    return { fault: `has under ${LIMITS.jwt_secret_characters_min} characters: ${mend}` };
  }
  if (PLACEHOLDER.test(value.toLowerCase().replace(/[^a-z0-9]/g, ""))) {
    return { fault: `is a placeholder: ${mend}` };
  }
  // A secret of 32 random hexadecimal digits has under 8 different ones once in some 10^7 draws; a person's repetition always.
  return new Set(value).size < 8 ? { fault: `repeats few characters: ${mend}` } : value;
}
