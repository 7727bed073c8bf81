/** Pruning with patience: a trial is given some steps without progress before another pruner may end it. */
import { inputError } from "../../support/errors.ts";
import type { Pruner } from "./pruner.ts";
import { bestValue, onlyDirection, requireInteger } from "./steps.ts";

/** Options of the patient pruner; Optuna's names in camelCase. */
export interface PatientOptions {
  /** The pruner that decides when patience is at its end; without one, the trial is pruned. */
  readonly wrapped?: Pruner;
  /** Reports without an improvement that are tolerated. */
  readonly patience: number;
  /** What counts as an improvement, at least. 0 if not given. */
  readonly minDelta?: number;
}

/**
 * Prunes, or lets another pruner decide, where the best of the last `patience` + 1 reports is worse than the best before them
 * by more than `minDelta` (Optuna's `PatientPruner`).
 *
 * @throws an input error for an option out of its range.
 */
export function patientPruner({ wrapped, patience, minDelta = 0 }: PatientOptions): Pruner {
  requireInteger("patient", "patience", patience, 0);
  if (!(minDelta >= 0)) {
    throw inputError(
      `the patient pruner's minDelta is ${minDelta}, expected 0 or more`,
      "Correct the pruner's options.",
    );
  }
  return {
    decide: (history, trial) => {
      const direction = onlyDirection(history);
      const values = trial.intermediate.map(({ value }) => value);
      if (values.length <= patience + 1) return { prune: false };
      const before = bestValue(values.slice(0, -patience - 1), direction);
      const after = bestValue(values.slice(-patience - 1), direction);
      const stuck = direction === "minimize" ? before + minDelta < after : before - minDelta > after;
      if (!stuck) return { prune: false };
      return wrapped ? wrapped.decide(history, trial) : { prune: true };
    },
    ...(wrapped?.visibleTo ? { visibleTo: wrapped.visibleTo } : {}),
  };
}
