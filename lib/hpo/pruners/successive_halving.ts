/**
 * Asynchronous successive halving (L. Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020) as in
 * Optuna: at rungs a constant factor apart, a trial goes on if it is among the best of those that came there.
 */
import { inputError } from "../../support/errors.ts";
import type { FrozenTrial } from "../trial.ts";
import type { Pruner } from "./pruner.ts";
import { lastStep, onlyDirection, requireInteger } from "./steps.ts";

/** Options of successive halving; Optuna's names in camelCase. */
export interface SuccessiveHalvingOptions {
  /** The step of the first rung; "auto", which is the default: a hundredth of the longest completed trial, at least 1. */
  readonly minResource?: number | "auto";
  /** One of so many trials goes on from a rung, and the next rung is so many times as far. 4 if not given. */
  readonly reductionFactor?: number;
  /** Rungs that are left out at the beginning. 0 if not given. */
  readonly minEarlyStoppingRate?: number;
  /** Trials at a rung before which none goes on from it. 0 if not given; needs `minResource`. */
  readonly bootstrapCount?: number;
}

/** Optuna's name of the attribute that holds a trial's value at a rung. */
const rungKey = (rung: number): string => `completed_rung_${rung}`;

/** The longest completed trial's last step divided by 100, at least 1; null if no completed trial has reported. */
function estimateMinResource(trials: readonly FrozenTrial[]): number | null {
  let longest: number | null = null;
  for (const trial of trials) {
    const step = trial.state === "COMPLETE" ? lastStep(trial) : null;
    if (step !== null) longest = Math.max(longest ?? 0, step);
  }
  return longest === null ? null : Math.max(Math.floor(longest / 100), 1);
}

/**
 * Prunes by asynchronous successive halving. The attributes of its decisions have to be stored with the trial: they are what
 * later trials are compared with. With "auto" the first rung is where the history at hand puts it, as in an Optuna that
 * has just been started.
 *
 * @throws an input error for an option out of its range.
 */
export function successiveHalvingPruner(options: SuccessiveHalvingOptions = {}): Pruner {
  const { minResource = "auto", reductionFactor = 4, minEarlyStoppingRate = 0, bootstrapCount = 0 } = options;
  const name = "successive halving";
  if (minResource !== "auto") requireInteger(name, "minResource", minResource, 1);
  requireInteger(name, "reductionFactor", reductionFactor, 2);
  requireInteger(name, "minEarlyStoppingRate", minEarlyStoppingRate, 0);
  requireInteger(name, "bootstrapCount", bootstrapCount, 0);
  if (bootstrapCount > 0 && minResource === "auto") {
    throw inputError(
      "the successive halving pruner has a bootstrapCount without a minResource",
      "Give minResource, the step of the first rung.",
    );
  }
  return {
    decide: (history, trial) => {
      const direction = onlyDirection(history);
      const report = trial.intermediate.at(-1);
      const first = minResource === "auto" ? estimateMinResource(history.trials) : minResource;
      if (report === undefined || first === null) return { prune: false };
      const reached: Record<string, number> = {};
      const decided = (prune: boolean) =>
        Object.keys(reached).length === 0 ? { prune } : { prune, systemAttributes: reached };
      for (let rung = 0;; rung++) {
        if (Object.hasOwn(trial.systemAttributes, rungKey(rung))) continue;
        if (report.step < first * reductionFactor ** (minEarlyStoppingRate + rung)) return decided(false);
        if (Number.isNaN(report.value)) return decided(true);
        reached[rungKey(rung)] = report.value;
        const competing = [report.value];
        for (const { number, systemAttributes } of history.trials) {
          const value = number === trial.number ? undefined : systemAttributes[rungKey(rung)];
          if (typeof value === "number") competing.push(value);
        }
        if (competing.length <= bootstrapCount) return decided(true);
        competing.sort((a, b) => direction === "maximize" ? b - a : a - b);
        // Pruned trials never come back, so of the first few the best goes on at once.
        const last = competing[Math.max(Math.floor(competing.length / reductionFactor) - 1, 0)]!;
        if (direction === "maximize" ? report.value < last : report.value > last) return decided(true);
      }
    },
  };
}
