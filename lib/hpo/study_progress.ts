/** What happens in a search and how far it is: for progress bars, logs and trackers. */
import type { Params } from "./space.ts";
import type { Study } from "./study.ts";
import { bestOf, countEnded, isOwn, TIME_SPENT } from "./trial_summary.ts";

/** Where a trial is before it ends completed, pruned or failed. */
export type TrialPhase = "queued" | "preparing" | "running" | "finishing";

/** How far the search is. */
export interface StudyProgress {
  /** Which of the study's trials this one is, from 1. */
  trialIndex: number;
  nTrials: number;
  /** Trials that have ended, failed and pruned ones included. */
  ended: number;
  /** Their share of all, from 0 to 1. */
  completionRate: number;
  /** The best objective so far. */
  bestValue: number | null;
  bestTrialId: string | null;
  /** Seconds until all have ended, if the others take as long as those so far; null before the first has ended. */
  etaSeconds: number | null;
}

/** What happens to a trial. */
export type EventDetails =
  | { type: "trial_phase"; phase: TrialPhase }
  | { type: "trial_started"; resume: boolean }
  | { type: "trial_reported"; epoch: number; value: number }
  | { type: "trial_completed"; value: number }
  | { type: "trial_pruned"; epoch: number; value: number | null }
  | { type: "trial_paused"; reason: string }
  | { type: "trial_failed"; reason: string };

/** One event of a search. */
export type StudyEvent = EventDetails & {
  trial: { id: string; number: number; params: Params };
  progress: StudyProgress;
};

/** How far a study is, as trial `number` sees it. */
export function progressOf(study: Study, nTrials: number, number: number): StudyProgress {
  const { trials, stored } = study;
  const best = bestOf(stored, trials);
  const ended = countEnded(trials);
  const spent = Number(stored.userAttributes[TIME_SPENT] ?? 0);
  return {
    trialIndex: trials.filter((trial) => isOwn(trial) && trial.number <= number).length,
    nTrials,
    ended,
    completionRate: Math.min(1, ended / nTrials),
    bestValue: best?.values?.[0] ?? null,
    bestTrialId: best?.id ?? null,
    etaSeconds: ended === 0 ? null : spent / ended * Math.max(0, nTrials - ended),
  };
}

/** Progress under the names that logs, trackers and users have for it. */
export function progressFields({ trialIndex, nTrials, completionRate, bestValue, etaSeconds }: StudyProgress) {
  return {
    trial_index: trialIndex,
    n_trials: nTrials,
    completion_rate: completionRate,
    best_so_far: bestValue,
    eta_seconds: etaSeconds === null ? null : Math.round(etaSeconds),
  };
}
