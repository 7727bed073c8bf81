/** Pruning by fixed limits: a trial ends whose latest value is NaN or outside of them. */
import { inputError } from "../../support/errors.ts";
import type { Pruner } from "./pruner.ts";
import { isFirstInInterval, requireInteger } from "./steps.ts";

/** Options of the threshold pruner; Optuna's names in camelCase. One limit at least. */
export interface ThresholdOptions {
  readonly lower?: number | null;
  readonly upper?: number | null;
  /** Steps before which a trial is not pruned. 0 if not given. */
  readonly nWarmupSteps?: number;
  /** A trial is looked at once per so many steps. 1 if not given. */
  readonly intervalSteps?: number;
}

/**
 * Prunes a trial whose latest value is NaN, below `lower` or above `upper` (Optuna's `ThresholdPruner`).
 *
 * @throws an input error for an option out of its range.
 */
export function thresholdPruner(options: ThresholdOptions): Pruner {
  const { nWarmupSteps = 0, intervalSteps = 1 } = options;
  const lower = options.lower ?? -Infinity, upper = options.upper ?? Infinity;
  if ((options.lower ?? options.upper ?? null) === null || !(lower <= upper)) {
    throw inputError(
      `the threshold pruner's limits are ${options.lower ?? null} and ${options.upper ?? null}`,
      "Give lower, upper or both, lower not above upper.",
    );
  }
  requireInteger("threshold", "nWarmupSteps", nWarmupSteps, 0);
  requireInteger("threshold", "intervalSteps", intervalSteps, 1);
  return {
    decide: (_history, trial) => {
      const latest = trial.intermediate.at(-1);
      if (latest === undefined || !isFirstInInterval(trial, nWarmupSteps, intervalSteps)) return { prune: false };
      return { prune: !(latest.value >= lower && latest.value <= upper) };
    },
  };
}
