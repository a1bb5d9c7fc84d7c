import { Glob } from "bun";

/**
 * The coverage gate: 95% of all lines of the source. Bun's own threshold is one for each file and fails without a word.
 */
const LINES_MIN = 0.95;

/** The command line is tested in processes of its own, as people run it, and no count sees into those. */
const ELSEWHERE = /^src\/cli\/(?:commands\/)?[a-z-]+\.ts$/;

/** A line that any of the processes has run is covered: each has its lcov.info below `directory`. */
export async function judgeCoverage(directory: string): Promise<boolean> {
  const hits = new Map<string, boolean>();
  for (const report of new Glob("*/lcov.info").scanSync(directory)) {
    const text = await Bun.file(`${directory}/${report}`).text();
    for (const record of text.split("end_of_record")) {
      const file = /^SF:(src\/.*)$/m.exec(record)?.[1];
      if (file === undefined || ELSEWHERE.test(file)) continue;
      for (const [, line, count] of record.matchAll(/^DA:(\d+),(\d+)/gm)) {
        const key = `${file}:${line}`;
        hits.set(key, hits.get(key) === true || count !== "0");
      }
    }
  }
  const covered = [...hits.values()].filter((hit) => hit).length / hits.size;
  const verdict = covered >= LINES_MIN ? "enough" : "too few";
  console.log(`${(100 * covered).toFixed(2)}% of lines covered, ${100 * LINES_MIN}% wanted: ${verdict}`);
  return covered >= LINES_MIN;
}
