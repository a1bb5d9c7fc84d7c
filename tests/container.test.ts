import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { ValidationSeverity, validate } from "dockerfile-utils";
import { loadConfig } from "../src/server/config.ts";
import { temporaryDirectory } from "./support/server.ts";

/** What the image and the compose file promise. That they work is for CI's job `container`, which has an engine. */
const ROOT = resolve(import.meta.dir, "..");
const text = (file: string) => Bun.file(join(ROOT, file)).text();
const DEFAULT_PORT = 4000;
const DATA_DIR = "/data";
const NONROOT = "65532:65532";
const DIGEST = /@sha256:[0-9a-f]{64}$/;
const SECRET = /SECRET|TOKEN|PASSWORD|DATABASE_URL/;

describe("the Dockerfile", () => {
  test("has no fault that a linter finds", async () => {
    const faults = validate(await text("Dockerfile"), { deprecatedMaintainer: ValidationSeverity.ERROR });
    expect(faults.map(({ range, message }) => `${range.start.line + 1}: ${message}`)).toEqual([]);
  });

  test("stands on bases pinned by digest", async () => {
    const bases = (await stages()).map(
      ([from]) => from?.words.filter((word) => word.includes("/") || /:/.test(word))[0],
    );
    expect(bases.length).toBe(2);
    expect(bases.filter((base) => !DIGEST.test(base ?? ""))).toEqual([]);
  });

  test("ends in an image that runs as nobody in particular, without a shell, and says how it is", async () => {
    const image = (await stages()).at(-1) ?? [];
    const said = (name: string) =>
      image.filter((step) => step.name === name).map((step) => step.words.join(" "));
    expect(said("RUN")).toEqual([]);
    expect(said("USER")).toEqual([NONROOT]);
    expect(said("VOLUME")).toEqual([DATA_DIR]);
    expect(said("EXPOSE")).toEqual([String(DEFAULT_PORT)]);
    expect(said("ENV")).toEqual([`HOST=0.0.0.0 PORT=${DEFAULT_PORT} DATA_DIR=${DATA_DIR}`]);
    expect(said("STOPSIGNAL")).toEqual(["SIGTERM"]);
    expect(said("ENTRYPOINT")).toEqual(['["/usr/local/bin/blindvault"]']);
    expect(said("CMD")).toEqual(['["serve"]']);
    expect(said("HEALTHCHECK")[0]).toEndWith('CMD ["/usr/local/bin/blindvault", "health"]');
    expect(said("COPY")).toContain(`--from=build --chown=${NONROOT} ${DATA_DIR} ${DATA_DIR}`);
    expect(said("LABEL")[0]).toContain('org.opencontainers.image.licenses="MIT"');
  });

  test("takes and holds no secret", async () => {
    const settings = (await stages()).flat().filter(({ name }) => name === "ARG" || name === "ENV");
    expect(settings.length).toBeGreaterThan(1);
    expect(settings.filter(({ words }) => SECRET.test(words.join(" ")))).toEqual([]);
  });

  test("is given what the build needs and nothing else", async () => {
    const rules = (await text(".dockerignore"))
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    const [first, ...admitted] = rules;
    expect(first).toBe("*");
    expect(
      admitted.filter((rule) => !rule.startsWith("!") || !existsSync(join(ROOT, rule.slice(1)))),
    ).toEqual([]);
    expect(admitted.filter((rule) => /^!\.|data|secret|dist|node_modules/.test(rule))).toEqual([]);
  });
});

describe("docker-compose.yml", () => {
  test("gives each service no more than it needs", async () => {
    for (const service of Object.values((await compose()).services)) {
      expect(service).toMatchObject({
        read_only: true,
        cap_drop: ["ALL"],
        security_opt: ["no-new-privileges:true"],
      });
      expect(service.privileged).toBeUndefined();
      expect(service.cap_add).toBeUndefined();
    }
  });

  test("has no key that compose would not know", async () => {
    const { services, ...top } = await compose();
    expect(Object.keys(top).sort()).toEqual(["name", "networks", "secrets", "volumes"]);
    const unknown = Object.values(services).flatMap((service) =>
      Object.keys(service).filter((key) => !SERVICE_KEYS.has(key)),
    );
    expect(unknown).toEqual([]);
  });

  test("builds ours and pins PostgreSQL, which runs as nobody's root", async () => {
    const { blindvault, postgres } = (await compose()).services;
    expect(blindvault?.build).toBe(".");
    expect(postgres?.image).toMatch(DIGEST);
    expect(postgres?.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  });

  test("is reached from its machine alone, at the image's port, and believes that machine's proxy", async () => {
    const { services, networks } = await compose();
    expect(services.blindvault?.ports).toEqual([`127.0.0.1:${DEFAULT_PORT}:${DEFAULT_PORT}`]);
    expect(services.postgres?.ports).toBeUndefined();
    expect(networks.back).toEqual({ internal: true });
    const gateway = networks.front?.ipam?.config[0]?.gateway;
    expect(gateway).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(services.blindvault?.environment?.TRUSTED_PROXIES).toBe(gateway as string);
  });

  test("waits for PostgreSQL to be healthy", async () => {
    const { blindvault, postgres } = (await compose()).services;
    expect(blindvault?.depends_on).toEqual({ postgres: { condition: "service_healthy" } });
    expect(postgres?.healthcheck?.test?.slice(0, 2)).toEqual(["CMD", "pg_isready"]);
  });

  test("takes every secret from a file", async () => {
    const { services, secrets } = await compose();
    const files = Object.entries(secrets).map(([name, { file }]) => [name, file]);
    expect(files).toEqual(Object.keys(secrets).map((name) => [name, `./secrets/${name}`]));
    for (const { environment = {}, secrets: granted = [] } of Object.values(services)) {
      const named = Object.entries(environment).filter(([name]) => SECRET.test(name));
      expect(named.map(([, value]) => value).sort()).toEqual(
        granted.map((name) => `/run/secrets/${name}`).sort(),
      );
      expect(named.filter(([name]) => !name.endsWith("_FILE"))).toEqual([]);
    }
    expect(await text(".gitignore")).toContain("\nsecrets/\n");
  });

  test("is content with the secrets that CI makes, as the README makes them, and so is the server", async () => {
    const { services, secrets } = await compose();
    const ci = Bun.YAML.parse(await text(".github/workflows/ci.yml")) as Workflow;
    const script = ci.jobs.container?.steps.find(({ name }) => name === "Make the secrets")?.run ?? "";
    const directory = temporaryDirectory();
    expect(Bun.spawnSync(["bash", "-eu", "-c", script], { cwd: directory }).exitCode).toBe(0);
    expect(readdirSync(join(directory, "secrets")).sort()).toEqual(Object.keys(secrets).sort());

    const secret = (name: string) => join(directory, "secrets", name);
    const config = loadConfig({
      JWT_SECRET_FILE: secret("jwt_secret"),
      DATABASE_URL_FILE: secret("database_url"),
    });
    const { username, password, hostname, pathname } = new URL(config.database_url ?? "");
    const { POSTGRES_USER, POSTGRES_DB } = services.postgres?.environment ?? {};
    expect({ username, pathname }).toEqual({
      username: POSTGRES_USER as string,
      pathname: `/${POSTGRES_DB}`,
    });
    expect(Object.keys(services)).toContain(hostname);
    expect(password).toBe(await Bun.file(secret("postgres_password")).text());
    expect(password.length).toBe(48);
  });
});

type Service = {
  build?: string;
  image?: string;
  user?: string;
  ports?: string[];
  environment?: Record<string, string>;
  secrets?: string[];
  depends_on?: unknown;
  healthcheck?: { test?: string[] };
  privileged?: boolean;
  cap_add?: string[];
};

type Compose = {
  services: Record<string, Service>;
  networks: Record<string, { internal?: boolean; ipam?: { config: { gateway?: string }[] } }>;
  secrets: Record<string, { file: string }>;
};

type Workflow = { jobs: Record<string, { steps: { name?: string; run?: string }[] }> };

/** The keys of a service in the Compose Specification, as far as they are used here. */
const SERVICE_KEYS = new Set(
  `build image restart depends_on ports environment secrets networks read_only cap_drop security_opt tmpfs pids_limit
  stop_grace_period user volumes healthcheck shm_size`.split(/\s+/),
);

async function compose(): Promise<Compose> {
  return Bun.YAML.parse(await text("docker-compose.yml")) as Compose;
}

type Step = { name: string; words: string[] };

/** The Dockerfile's instructions, one list a stage. */
async function stages(): Promise<Step[][]> {
  const lines = (await text("Dockerfile"))
    .replace(/^#.*\n/gm, "")
    .replace(/\\\n/g, " ")
    .split("\n");
  const steps = lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([name]) => name !== "")
    .map(([name = "", ...words]) => ({ name, words }));
  const all: Step[][] = [];
  for (const step of steps) {
    if (step.name === "FROM") all.push([]);
    all.at(-1)?.push(step);
  }
  return all;
}
