/** How TPE tells good trials from the others: Optuna's `_split_trials`. */
import { inputError } from "../../support/errors.ts";
import type { Direction, FrozenTrial, StudyHistory } from "../trial.ts";
import { selectBest } from "./pareto.ts";
import type { TrialTable } from "./trial_table.ts";

/** The two sides of a history, each in the order of trial numbers, which weights go by. */
export interface Split {
  readonly below: readonly FrozenTrial[];
  readonly above: readonly FrozenTrial[];
}

/** How many of n finished trials count as good: a tenth, and with one objective 25 at most. */
export const gamma = (n: number, objectives = 1): number =>
  objectives === 1 ? Math.min(Math.ceil(0.1 * n), 25) : Math.ceil(0.1 * n);

/** Whether TPE learns from a trial as from a finished one. */
export const isLearnt = ({ state }: FrozenTrial): boolean => state === "COMPLETE" || state === "PRUNED";

/**
 * Splits a history for the trial `trialNumber`, which is left out: the best completed trials, then the pruned ones that came
 * furthest, then those that violate their constraints least, are below; the others, and with `constantLiar` all that are
 * running, above.
 *
 * @param table brought up to date with this history
 */
export function splitTrials(
  history: StudyHistory,
  trialNumber: number,
  constantLiar: boolean,
  table: TrialTable,
): Split {
  const { directions } = history;
  const trials = history.trials.filter(({ state, number }) =>
    number !== trialNumber && (state === "COMPLETE" || state === "PRUNED" || (state === "RUNNING" && constantLiar))
  );
  const complete: FrozenTrial[] = [], pruned: FrozenTrial[] = [], infeasible: FrozenTrial[] = [];
  let running = 0;
  for (const trial of trials) {
    if (trial.state === "RUNNING") running++;
    else if (table.violation(trial) > 0) infeasible.push(trial);
    else if (trial.state === "COMPLETE") complete.push(trial);
    else pruned.push(trial);
  }
  let room = gamma(trials.length - running, directions.length);
  const below = new Set<FrozenTrial>();
  const take = (best: readonly FrozenTrial[]) => {
    for (const trial of best.slice(0, room)) below.add(trial);
    room -= Math.min(room, best.length);
  };
  take(
    directions.length === 1 ? bestOf(complete, directions[0]!, room, table) : bestOfSeveral(complete, directions, room),
  );
  if (room > 0) {
    const scores = new Map(pruned.map((trial) => [trial, prunedScore(trial, directions[0]!)]));
    take(pruned.sort((a, b) => {
      const [stepA, valueA] = scores.get(a)!, [stepB, valueB] = scores.get(b)!;
      return stepA !== stepB ? stepA - stepB : compare(valueA, valueB);
    }));
  }
  if (room > 0) take(infeasible.sort((a, b) => compare(table.violation(a), table.violation(b))));
  return { below: trials.filter((trial) => below.has(trial)), above: trials.filter((trial) => !below.has(trial)) };
}

const compare = (a: number, b: number): number => a < b ? -1 : a > b ? 1 : 0;

/** The best `room` of the completed trials, from the table's sorted column. */
function bestOf(
  complete: readonly FrozenTrial[],
  direction: Direction,
  room: number,
  table: TrialTable,
): FrozenTrial[] {
  const { order, count } = table.losses(direction);
  const byNumber = new Map(complete.map((trial) => [trial.number, trial]));
  const best: FrozenTrial[] = [];
  for (let i = 0; i < count && best.length < room; i++) {
    const trial = byNumber.get(order[i]!);
    if (trial) best.push(trial);
  }
  return best;
}

function bestOfSeveral(
  complete: readonly FrozenTrial[],
  directions: readonly Direction[],
  room: number,
): FrozenTrial[] {
  if (room >= complete.length) return [...complete];
  const losses = complete.map(({ values, number }) => {
    if (values?.length !== directions.length) {
      throw inputError(
        `trial ${number} has ${values?.length ?? 0} values, the study ${directions.length} directions`,
        "Give a trial one value per direction.",
      );
    }
    return values.map((value, i) => directions[i] === "maximize" ? -value : value);
  });
  return selectBest(losses, room).map((index) => complete[index]!);
}

/** Pruned trials go by how far they came, then by their last value; those that reported nothing are last. */
function prunedScore({ intermediate }: FrozenTrial, direction: Direction): [number, number] {
  const last = intermediate.at(-1);
  if (last === undefined) return [1, 0];
  if (Number.isNaN(last.value)) return [-last.step, Infinity];
  return [-last.step, direction === "minimize" ? last.value : -last.value];
}
