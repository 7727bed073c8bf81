/** A trial as reports name it, read back from what the executor stored, and which trials of a study are its own. */
import { bestTrial } from "./best_trials.ts";
import type { Params } from "./space.ts";
import type { StoredStudy } from "./study_db.ts";
import { FINISHED, type FrozenTrial } from "./trial.ts";

/** Where a trial's result lies: the folder of its best checkpoint. */
export const CHECKPOINT = "winnow:checkpoint";
export const METRICS = "winnow:metrics";
/** Why a trial failed. */
export const FAILURE = "winnow:failure";
/** Epochs that a trial may run; the executor's trials have it. */
export const BUDGET = "winnow:budget";
/** The study that a trial was copied from to be learnt from. */
export const WARM_START = "winnow:warm_start";
/** Seconds that all runs of a study have taken. */
export const TIME_SPENT = "winnow:time_spent_seconds";

/** A trial as the reports name it. */
export interface TrialSummary {
  trial_id: string;
  number: number;
  state: FrozenTrial["state"];
  value: number | null;
  params: Params;
  checkpoint: string | null;
  metrics: Record<string, number | null> | null;
  failure: string | null;
}

/** Whether the executor ran, or runs, a trial: not one that waits, nor one of another program. */
export const isOwn = (trial: FrozenTrial): boolean =>
  trial.id !== null && trial.state !== "WAITING" && BUDGET in trial.userAttributes;

/** Trials that count towards `nTrials`: the executor's, and those that other programs have added to the study and ended. */
export function countTaken(trials: readonly FrozenTrial[]): number {
  return trials.filter((trial) => isOwn(trial) || isForeignEnd(trial)).length;
}

/** Trials that have ended, of those that count. */
export function countEnded(trials: readonly FrozenTrial[]): number {
  return trials.filter((trial) => (isOwn(trial) && FINISHED.has(trial.state)) || isForeignEnd(trial)).length;
}

/** Whether a study is through: as many trials have ended as it was to have, and none runs. */
export function isFinished(trials: readonly FrozenTrial[], nTrials: number): boolean {
  return countEnded(trials) >= nTrials && !trials.some((trial) => isOwn(trial) && trial.state === "RUNNING");
}

const isForeignEnd = (trial: FrozenTrial): boolean =>
  !isOwn(trial) && FINISHED.has(trial.state) && !(WARM_START in trial.userAttributes);

/** The best of the executor's trials: those of other programs have no checkpoint. */
export function bestOf(study: StoredStudy, trials: readonly FrozenTrial[]): FrozenTrial | undefined {
  return bestTrial(trials.filter(isOwn), study.directions[0]!);
}

/** Reads back from the database what the executor stored of a trial that it ran. */
export function summarizeTrial(trial: FrozenTrial): TrialSummary {
  const { [CHECKPOINT]: checkpoint, [METRICS]: metrics, [FAILURE]: failure } = trial.userAttributes;
  return {
    trial_id: trial.id ?? "",
    number: trial.number,
    state: trial.state,
    value: trial.state === "COMPLETE" ? trial.values?.[0] ?? null : null,
    params: trial.params,
    checkpoint: typeof checkpoint === "string" ? checkpoint : null,
    metrics: (metrics ?? null) as TrialSummary["metrics"],
    failure: typeof failure === "string" ? failure : null,
  };
}
