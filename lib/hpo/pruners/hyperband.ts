/**
 * Hyperband (L. Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization", JMLR 2018) as in
 * Optuna: several brackets of successive halving, the first of which prunes early and the last hardly at all. A trial's
 * bracket follows from the study's name and its number, and it is compared with trials of its bracket alone.
 */
import { crc32 } from "node:zlib";
import { inputError } from "../../support/errors.ts";
import type { FrozenTrial, StudyHistory } from "../trial.ts";
import type { Pruner } from "./pruner.ts";
import { lastStep, requireInteger } from "./steps.ts";
import { successiveHalvingPruner } from "./successive_halving.ts";

/** Options of Hyperband; Optuna's names in camelCase. */
export interface HyperbandOptions {
  /** The step of the first rung of the first bracket. 1 if not given. */
  readonly minResource?: number;
  /** The steps of a whole trial; "auto", which is the default: those of the longest completed trial. */
  readonly maxResource?: number | "auto";
  /** As in successive halving. 3 if not given. */
  readonly reductionFactor?: number;
  /** As in successive halving. 0 if not given; needs `maxResource`. */
  readonly bootstrapCount?: number;
}

/** How many trials out of all brackets' go to each: ⌈n·η^s / (s + 1)⌉ for s = n − 1 … 0. */
export function bracketBudgets(minResource: number, maxResource: number, reductionFactor: number): number[] {
  const brackets = Math.floor(Math.log(maxResource / minResource) / Math.log(reductionFactor)) + 1;
  return Array.from({ length: Math.max(brackets, 0) }, (_, bracket) => {
    const s = brackets - 1 - bracket;
    return Math.ceil(brackets * reductionFactor ** s / (s + 1));
  });
}

/** The bracket of a trial, by the CRC-32 of `<study name>_<number>`. */
export function bracketOf(studyName: string, trialNumber: number, budgets: readonly number[]): number {
  const total = budgets.reduce((sum, budget) => sum + budget, 0);
  let left = crc32(new TextEncoder().encode(`${studyName}_${trialNumber}`)) % total;
  for (let bracket = 0; bracket < budgets.length; bracket++) {
    left -= budgets[bracket]!;
    if (left < 0) return bracket;
  }
  return 0;
}

/**
 * Prunes by Hyperband. With "auto" nothing is pruned and all trials are in one bracket until a trial has completed. A sampler
 * shall learn from `visibleTo` alone, the trials of the same bracket.
 *
 * @throws an input error for an option out of its range.
 */
export function hyperbandPruner(options: HyperbandOptions = {}): Pruner {
  const { minResource = 1, maxResource = "auto", reductionFactor = 3, bootstrapCount = 0 } = options;
  requireInteger("hyperband", "minResource", minResource, 1);
  if (maxResource !== "auto") requireInteger("hyperband", "maxResource", maxResource, minResource);
  requireInteger("hyperband", "reductionFactor", reductionFactor, 2);
  requireInteger("hyperband", "bootstrapCount", bootstrapCount, 0);
  if (bootstrapCount > 0 && maxResource === "auto") {
    throw inputError(
      "the hyperband pruner has a bootstrapCount without a maxResource",
      "Give maxResource, the steps of a whole trial.",
    );
  }

  /** Empty as long as the length of a trial is not known. */
  const budgetsFor = (trials: readonly FrozenTrial[]): number[] => {
    if (maxResource !== "auto") return bracketBudgets(minResource, maxResource, reductionFactor);
    let longest = -1;
    for (const trial of trials) if (trial.state === "COMPLETE") longest = Math.max(longest, lastStep(trial) ?? -1);
    return longest < 0 ? [] : bracketBudgets(minResource, longest + 1, reductionFactor);
  };
  const within = (history: StudyHistory, bracket: number, budgets: readonly number[]): StudyHistory => ({
    ...history,
    trials: history.trials.filter(({ number }) => bracketOf(history.studyName, number, budgets) === bracket),
  });
  const brackets: Pruner[] = [];
  const prunerOf = (bracket: number) =>
    brackets[bracket] ??= successiveHalvingPruner({
      minResource,
      reductionFactor,
      minEarlyStoppingRate: bracket,
      bootstrapCount,
    });

  return {
    decide: (history, trial) => {
      const budgets = budgetsFor(history.trials);
      if (budgets.length === 0) return { prune: false };
      const bracket = bracketOf(history.studyName, trial.number, budgets);
      return prunerOf(bracket).decide(within(history, bracket, budgets), trial);
    },
    visibleTo: (history, trialNumber) => {
      const budgets = budgetsFor(history.trials);
      if (budgets.length === 0) return history;
      return within(history, bracketOf(history.studyName, trialNumber, budgets), budgets);
    },
  };
}
