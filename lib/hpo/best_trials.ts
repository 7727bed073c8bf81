/** Which trials of a study are its best: Optuna's rules, constraints included. */
import type { Direction, FrozenTrial } from "./trial.ts";

/**
 * Whether a trial kept all its constraints (none above 0). Optuna writes them as system attributes: a list
 * `constraints` up to version 4, `constraints:<name>` since.
 */
export function isFeasible({ systemAttributes }: FrozenTrial): boolean {
  return Object.entries(systemAttributes).every(([key, value]) => {
    const constraints = key === "constraints" && Array.isArray(value)
      ? value
      : key.startsWith("constraints:")
      ? [value]
      : [];
    return constraints.every((one) => one <= 0);
  });
}

/** The COMPLETE, feasible trial with the best first value, the earliest among equals; undefined if there is none. */
export function bestTrial(trials: readonly FrozenTrial[], direction: Direction): FrozenTrial | undefined {
  const sign = direction === "maximize" ? 1 : -1;
  let best: FrozenTrial | undefined;
  for (const trial of trials) {
    if (trial.state !== "COMPLETE" || trial.values === null || !isFeasible(trial)) continue;
    if (best === undefined || sign * trial.values[0]! > sign * best.values![0]!) best = trial;
  }
  return best;
}

/**
 * The Pareto front: the COMPLETE, feasible trials than which no other is at least as good in every objective and better in
 * one. In order of their numbers.
 */
export function paretoFront(trials: readonly FrozenTrial[], directions: readonly Direction[]): FrozenTrial[] {
  const candidates = trials
    .filter((trial) => trial.state === "COMPLETE" && trial.values?.length === directions.length && isFeasible(trial))
    .map((trial) => ({
      trial,
      losses: trial.values!.map((value, i) => directions[i] === "maximize" ? -value : value),
    }))
    .sort((a, b) => compare(a.losses, b.losses));
  // Whatever dominates a trial stands before it, and the front's members so far include one that does.
  const front: typeof candidates = [];
  for (const one of candidates) if (!front.some(({ losses }) => dominates(losses, one.losses))) front.push(one);
  return front.map(({ trial }) => trial).sort((a, b) => a.number - b.number);
}

/** Lexicographic order. */
function compare(a: readonly number[], b: readonly number[]): number {
  const i = a.findIndex((value, at) => value !== b[at]);
  return i === -1 ? 0 : a[i]! < b[i]! ? -1 : 1;
}

const dominates = (a: readonly number[], b: readonly number[]): boolean =>
  a.every((value, i) => value <= b[i]!) && a.some((value, i) => value < b[i]!);
