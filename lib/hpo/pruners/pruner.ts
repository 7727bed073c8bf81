/** What a pruner is: it tells from what a trial has reported so far whether going on is hopeless. */
import type { FrozenTrial, StudyHistory } from "../trial.ts";

/** What a pruner says of a running trial. */
export interface PruneDecision {
  readonly prune: boolean;
  /** System attributes to store with the trial, such as Optuna's `completed_rung_0`. */
  readonly systemAttributes?: Readonly<Record<string, unknown>>;
}

/** A strategy to end trials early. It is a pure function of its options and what it is given. */
export interface Pruner {
  /** Decides on a running trial after its latest report; `history` holds the other trials and may hold this one too. */
  decide(history: StudyHistory, trial: FrozenTrial): PruneDecision;
  /** The history that samplers shall learn from for trial `trialNumber` (Hyperband: its bracket alone). Absent: all. */
  visibleTo?(history: StudyHistory, trialNumber: number): StudyHistory;
}
