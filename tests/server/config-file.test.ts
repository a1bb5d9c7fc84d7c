import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig, withConfigFile } from "../../src/server/config.ts";
import { temporaryDirectory } from "../support/server.ts";

const random = () => randomBytes(48).toString("base64url");
const secret = random();
const root = process.getuid?.() === 0;

describe("a configuration file", () => {
  test("in DATA_DIR is read where it is, and not missed where it is not", () => {
    const { DATA_DIR, path } = write(`JWT_SECRET=${secret}\nPORT=8080\n`);
    expect(path).toBe(join(DATA_DIR, "blindvault.env"));
    expect(loadConfig(withConfigFile({ DATA_DIR }, undefined))).toMatchObject({
      port: 8080,
      jwt: { secret },
    });
    const nothing = { DATA_DIR: join(DATA_DIR, "elsewhere"), JWT_SECRET: secret };
    expect(withConfigFile(nothing, undefined)).toEqual(nothing);
  });

  test("that is named must be there", () => {
    const { DATA_DIR } = write("");
    const missing = join(DATA_DIR, "other.env");
    expect(() => withConfigFile({ DATA_DIR }, missing)).toThrow(
      `The configuration file ${missing} cannot be read (ENOENT)`,
    );
    expect(() => withConfigFile({}, DATA_DIR)).toThrow("cannot be read (EISDIR)");
  });

  test("that is named is read in place of the one in DATA_DIR", () => {
    const { DATA_DIR } = write("PORT=1111");
    const { path } = write("PORT=2222");
    expect(withConfigFile({ DATA_DIR }, path).PORT).toBe("2222");
  });

  test("loses against the environment, but not against an empty variable", () => {
    const { DATA_DIR } = write(`JWT_SECRET=${secret}\nPORT=8080\nHOST=::1\n`);
    const environment = withConfigFile({ DATA_DIR, PORT: "9090", HOST: "" }, undefined);
    expect(loadConfig(environment)).toMatchObject({ port: 9090, host: "::1", jwt: { secret } });
  });

  test("loses against the environment under either name of a secret", () => {
    const other = random();
    const other_file = join(write("").DATA_DIR, "secret");
    writeFileSync(other_file, other);
    const by_name = write(`JWT_SECRET=${secret}`);
    const by_file = write(`JWT_SECRET_FILE=${other_file}`);
    const rows = [
      [{ DATA_DIR: by_name.DATA_DIR, JWT_SECRET_FILE: other_file }, other],
      [{ DATA_DIR: by_name.DATA_DIR, JWT_SECRET: other }, other],
      [{ DATA_DIR: by_file.DATA_DIR, JWT_SECRET: secret }, secret],
      [{ DATA_DIR: by_file.DATA_DIR }, other],
    ] as const;
    for (const [environment, expected] of rows)
      expect(loadConfig(withConfigFile(environment, undefined)).jwt.secret).toBe(expected);
  });

  test("has comments, quotes and empty lines", () => {
    const { DATA_DIR } = write(
      `# settings\n\nJWT_SECRET="${secret}" # kept apart\n  PORT = 8080\n#HOST=::1\n`,
    );
    const config = loadConfig(withConfigFile({ DATA_DIR }, undefined));
    expect(config).toMatchObject({ port: 8080, host: "127.0.0.1", jwt: { secret } });
  });

  test("with a name that is no setting is refused, by name and without a value", () => {
    const { DATA_DIR, path } = write(`JWT_SECRET=${secret}\nJWT_SECERT=hidden-value\nport=1\nPATH=/x\n`);
    expect(() => withConfigFile({ DATA_DIR }, undefined)).toThrow(
      `${path} holds JWT_SECERT, port, PATH, which is no setting of blindvault: correct or delete the line`,
    );
    expect(() => withConfigFile({ DATA_DIR }, undefined)).not.toThrow("hidden-value");
  });

  test("never sets anything but settings in the environment of this process", () => {
    const { DATA_DIR } = write("PORT=8080");
    withConfigFile({ DATA_DIR }, undefined);
    expect(process.env.PORT).toBeUndefined();
  });

  for (const mode of [0o620, 0o602, 0o660, 0o666, 0o777]) {
    test(`that others may write is refused: ${mode.toString(8)}`, () => {
      const { DATA_DIR, path } = write(`JWT_SECRET=${secret}`, mode);
      expect(() => withConfigFile({ DATA_DIR }, undefined)).toThrow(
        `${path} can be written by others: run chmod 600 ${path}`,
      );
      expect(() => withConfigFile({}, path)).toThrow("can be written by others");
    });
  }

  for (const mode of [0o600, 0o400, 0o640, 0o644]) {
    test(`that nobody else may write is taken: ${mode.toString(8)}`, () => {
      const { DATA_DIR } = write(`JWT_SECRET=${secret}`, mode);
      expect(withConfigFile({ DATA_DIR }, undefined).JWT_SECRET).toBe(secret);
    });
  }

  test.skipIf(root)("that may not be read is a fault, and never passed over in silence", () => {
    const { DATA_DIR } = write(`JWT_SECRET=${secret}`, 0o000);
    expect(() => withConfigFile({ DATA_DIR }, undefined)).toThrow("cannot be read (EACCES)");
  });
});

function write(content: string, mode = 0o600): { DATA_DIR: string; path: string } {
  const DATA_DIR = join(temporaryDirectory(), "data");
  mkdirSync(DATA_DIR, { mode: 0o700 });
  const path = join(DATA_DIR, "blindvault.env");
  writeFileSync(path, content);
  chmodSync(path, mode);
  return { DATA_DIR, path };
}
