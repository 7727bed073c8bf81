/**
 * Search quality of TPE against Optuna's: the best values of 30 seeds after 100 trials each, their medians and a rank test.
 * `--json` prints the figures, `--peer` asks Optuna anew (WINNOW_PYTHON) instead of reading what it came to before, and
 * `--write` keeps that in tests/golden/optuna/search_quality.json.
 */
import { tpeSampler } from "../lib/hpo/samplers/tpe.ts";
import { bestAfter, search } from "./search_loop.ts";
import { type ObjectiveName, OBJECTIVES } from "./search_objectives.ts";
import { median } from "../lib/support/median.ts";

/** Trials after which the best value is taken. */
export const COUNTS = [25, 50, 100] as const;

/** Optuna's figures by objective: the best values at `COUNTS`, one row per seed. */
export interface OptunaFigures {
  readonly optuna: string;
  readonly objectives: Readonly<Record<ObjectiveName, number[][]>>;
}

/** Both sides on one objective. */
export interface Comparison {
  readonly objective: ObjectiveName;
  readonly trials: number;
  readonly winnow: number;
  readonly optuna: number;
  /** The share of pairs of seeds in which Winnow's value is the better one, ties counted half. */
  readonly share: number;
  /** One-sided: how likely a share this low is if the two are as good as one another. Small: Winnow is worse. */
  readonly p: number;
}

/** Φ(z) to 7 digits (Abramowitz and Stegun, 26.2.17). */
function normalCdf(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const series = t *
    (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const upper = Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI) * series;
  return z > 0 ? 1 - upper : upper;
}

/**
 * The Mann-Whitney test of "ours are larger, that is worse", with the normal approximation, continuity correction and the
 * correction for ties.
 */
export function rankTest(ours: readonly number[], theirs: readonly number[]): { share: number; p: number } {
  let wins = 0;
  for (const a of ours) for (const b of theirs) wins += a < b ? 1 : a === b ? 0.5 : 0;
  const [n, m] = [ours.length, theirs.length];
  const counts = new Map<number, number>();
  for (const value of [...ours, ...theirs]) counts.set(value, (counts.get(value) ?? 0) + 1);
  let ties = 0;
  for (const count of counts.values()) ties += count ** 3 - count;
  const deviation = Math.sqrt(n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1))));
  return { share: wins / (n * m), p: deviation === 0 ? 1 : normalCdf((wins - n * m / 2 + 0.5) / deviation) };
}

/** The best values of Winnow's TPE with its defaults (groups for the conditional space), one row per seed. */
export function winnowFigures(objective: ObjectiveName, seeds: readonly number[], trials = 100): number[][] {
  return seeds.map((seed) => {
    const sampler = tpeSampler({ seed, group: objective === "conditional" });
    return bestAfter(search(sampler, OBJECTIVES[objective], trials), COUNTS.filter((count) => count <= trials));
  });
}

/** Compares two sides after each of `COUNTS`. */
export function compare(objective: ObjectiveName, ours: number[][], theirs: number[][]): Comparison[] {
  return COUNTS.slice(0, ours[0]!.length).map((trials, i) => {
    const [a, b] = [ours.map((row) => row[i]!), theirs.map((row) => row[i]!)];
    return { objective, trials, winnow: median(a), optuna: median(b), ...rankTest(a, b) };
  });
}

/** Where Optuna's figures are kept. */
export const FIGURES = new URL("../tests/golden/optuna/search_quality.json", import.meta.url);

/** Asks a Python peer for Optuna's figures. */
async function askOptuna(seeds: readonly number[]): Promise<OptunaFigures> {
  const { askPython } = await import("../tests/support/python.ts");
  const objectives: Record<string, number[][]> = {};
  let optuna = "";
  for (const objective of Object.keys(OBJECTIVES)) {
    const request = { objective, seeds, sampler: { group: objective === "conditional" } };
    const answer = await askPython<{ optuna: string; best: number[][] }>("tpe_search.py", [], request);
    [optuna, objectives[objective]] = [answer.optuna, answer.best];
  }
  return { optuna, objectives: objectives as OptunaFigures["objectives"] };
}

if (import.meta.main) {
  const seeds = Array.from({ length: 30 }, (_, seed) => seed);
  const theirs: OptunaFigures = Deno.args.includes("--peer")
    ? await askOptuna(seeds)
    : JSON.parse(await Deno.readTextFile(FIGURES));
  if (Deno.args.includes("--write")) await Deno.writeTextFile(FIGURES, JSON.stringify(theirs) + "\n");
  const comparisons = (Object.keys(OBJECTIVES) as ObjectiveName[]).flatMap((objective) =>
    compare(objective, winnowFigures(objective, seeds), theirs.objectives[objective])
  );
  if (Deno.args.includes("--json")) console.log(JSON.stringify({ optuna: theirs.optuna, comparisons }, null, 2));
  else {
    console.log(`best value, median of ${seeds.length} seeds, against Optuna ${theirs.optuna}`);
    for (const { objective, trials, winnow, optuna, share, p } of comparisons) {
      console.log(
        `${objective.padEnd(12)} ${String(trials).padStart(3)} trials  Winnow ${winnow.toPrecision(4).padStart(8)}  ` +
          `Optuna ${optuna.toPrecision(4).padStart(8)}  better in ${
            (100 * share).toFixed(0).padStart(3)
          } % of pairs  ` +
          `p(worse) ${p.toFixed(3)}`,
      );
    }
  }
}
