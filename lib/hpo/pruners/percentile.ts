/** Pruning by percentile: a trial ends whose best value so far is worse than that of most trials at the same step. */
import { inputError } from "../../support/errors.ts";
import type { Pruner } from "./pruner.ts";
import { bestValue, isFirstInInterval, onlyDirection, requireInteger } from "./steps.ts";

/** Options of the median pruner; Optuna's names in camelCase. */
export interface MedianOptions {
  /** Completed trials before which nothing is pruned. 5 if not given. */
  readonly nStartupTrials?: number;
  /** Steps before which a trial is not pruned. 0 if not given. */
  readonly nWarmupSteps?: number;
  /** A trial is looked at once per so many steps. 1 if not given. */
  readonly intervalSteps?: number;
  /** Trials that must have reported at a step to be compared with there. 1 if not given. */
  readonly nMinTrials?: number;
}

/** Options of the percentile pruner. */
export interface PercentileOptions extends MedianOptions {
  /** The share of trials, in percent, that a trial must be among to go on. */
  readonly percentile: number;
}

/** `numpy.nanpercentile`: linear between the sorted values, NaN left out; NaN of nothing. */
export function percentileOf(values: readonly number[], percentile: number): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const position = (sorted.length - 1) * (percentile / 100);
  const low = Math.floor(position);
  const a = sorted[low]!, b = sorted[Math.min(low + 1, sorted.length - 1)]!;
  const t = position - low;
  return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

/**
 * Prunes a trial whose best value so far is worse than the given percentile of what completed trials reported at exactly
 * this step (Optuna's `PercentilePruner`). A trial that has reported nothing but NaN is pruned; one with nobody to compare
 * with goes on.
 *
 * @throws an input error for an option out of its range.
 */
export function percentilePruner(options: PercentileOptions): Pruner {
  const { percentile, nStartupTrials = 5, nWarmupSteps = 0, intervalSteps = 1, nMinTrials = 1 } = options;
  if (!(percentile >= 0 && percentile <= 100)) {
    throw inputError(
      `the percentile pruner's percentile is ${percentile}, expected 0 to 100`,
      "Correct the pruner's options.",
    );
  }
  requireInteger("percentile", "nStartupTrials", nStartupTrials, 0);
  requireInteger("percentile", "nWarmupSteps", nWarmupSteps, 0);
  requireInteger("percentile", "intervalSteps", intervalSteps, 1);
  requireInteger("percentile", "nMinTrials", nMinTrials, 1);
  return {
    decide: (history, trial) => {
      const direction = onlyDirection(history);
      const completed = history.trials.filter(({ state }) => state === "COMPLETE");
      const step = trial.intermediate.at(-1)?.step;
      if (completed.length === 0 || completed.length < nStartupTrials || step === undefined) return { prune: false };
      if (!isFirstInInterval(trial, nWarmupSteps, intervalSteps)) return { prune: false };
      const best = bestValue(trial.intermediate.map(({ value }) => value), direction);
      if (Number.isNaN(best)) return { prune: true };
      const others = completed.flatMap(({ intermediate }) =>
        intermediate.filter((report) => report.step === step).map(({ value }) => value)
      );
      if (others.length < nMinTrials) return { prune: false };
      const limit = percentileOf(others, direction === "maximize" ? 100 - percentile : percentile);
      return { prune: direction === "maximize" ? best < limit : best > limit };
    },
  };
}

/** Prunes a trial that is worse than the median: `percentilePruner` with 50. */
export const medianPruner = (options: MedianOptions = {}): Pruner => percentilePruner({ ...options, percentile: 50 });
