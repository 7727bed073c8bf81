/**
 * The search: one trial at a time, each of them a function of its parameters. Trials that were running when a process
 * ended are continued first, under their own number, parameters and uuid; then new ones follow until there are
 * `nTrials` in all, failed ones included.
 */
import { type ErrorKind, WinnowError } from "../support/errors.ts";
import type { PastTrial, Sampler } from "./sampler.ts";
import { checkSpace, type Params, type SearchSpace } from "./space.ts";
import { bestTrial } from "./best_trials.ts";
import {
  createTrial,
  finishTrial,
  type FrozenTrial,
  listTrials,
  type StoredStudy,
  type StudyDatabase,
  updateTrial,
} from "./study_db.ts";

/** Where a trial's result lies: the folder of its best checkpoint. */
const CHECKPOINT = "winnow:checkpoint";
const METRICS = "winnow:metrics";
const FAILURE = "winnow:failure";

/** What the function that runs a trial is given. */
export interface RunningTrial {
  /** The trial's uuid; its folder is `trial_<id>`. */
  id: string;
  /** Position in the study, from 0. */
  number: number;
  params: Params;
  /** It ran before and may have checkpoints. Without one it starts from the initial state. */
  resume: boolean;
  /**
   * Stores the objective after an epoch. Call it before the epoch's checkpoint is published: killed in between, the
   * epoch is run and reported again, which replaces the same value; the other way round its value would be lost.
   */
  report(value: number, epoch: number): void;
  /** Stores an attribute of the trial; any JSON. */
  setAttribute(key: string, value: unknown): void;
}

/** What a trial comes to. */
export interface TrialResult {
  /** The objective on the validation split. NaN or an infinity makes the trial a failed one. */
  value: number;
  /** The folder of its best checkpoint relative to the experiments folder, which may move; or null. */
  checkpoint: string | null;
  /** Its other validation metrics. */
  metrics: Record<string, number | null>;
}

/** How far the search is. */
export interface StudyProgress {
  /** Trials that have ended, failed ones included. */
  ended: number;
  nTrials: number;
  bestValue: number | null;
  bestTrialId: string | null;
}

type EventDetails =
  | { type: "trial_started"; resume: boolean }
  | { type: "trial_reported"; epoch: number; value: number }
  | { type: "trial_completed"; value: number }
  | { type: "trial_failed"; reason: string };

/** What happens, for progress bars and logs. */
export type StudyEvent = EventDetails & {
  trial: { id: string; number: number; params: Params };
  progress: StudyProgress;
};

/** Everything that a search consists of. */
export interface StudyRun {
  db: StudyDatabase;
  study: StoredStudy;
  space: SearchSpace;
  sampler: Sampler;
  /** Trials in all, those of earlier runs and failed ones included. */
  nTrials: number;
  /** Aborted by Ctrl-C. `runTrial` listens to it too, saves, and throws. */
  signal?: AbortSignal;
  runTrial(trial: RunningTrial): Promise<TrialResult>;
  onEvent?(event: StudyEvent): void;
}

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

/** Reads back from the database what `runStudy` stored of a trial that it ran (`id` is not null). */
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

/** The search's end: all trials that Winnow ran, by number, and the best of them. */
export interface StudyResult {
  trials: TrialSummary[];
  best: TrialSummary;
}

/** Trials that count towards `nTrials`: all of Winnow's, and those that Optuna itself has added and ended. */
function countTaken(trials: readonly FrozenTrial[]): number {
  return trials.filter((trial) => trial.id !== null || !["RUNNING", "WAITING"].includes(trial.state)).length;
}

/** The best of Winnow's own trials: Optuna's have no checkpoint. */
export function bestOf(study: StoredStudy, trials: readonly FrozenTrial[]): FrozenTrial | undefined {
  return bestTrial(trials.filter(({ id }) => id !== null), study.directions[0]!);
}

const interrupted = (message: string, cause: unknown) =>
  new WinnowError("interrupted", message, "Continue with `deno task resume`.", { cause });

/**
 * Runs the search to its end.
 *
 * A trial that throws is stored as FAIL with the reason, and the search goes on. It stops, with the trial's error, where
 * the next trials would fare no better: on a storage error, and on an input error of the first trial that this call
 * runs. It leaves such a trial RUNNING, so that a resume continues it once the cause is gone; only where nothing has
 * worked yet, in a new trial of a study without a completed one, an input error makes the trial FAIL.
 *
 * @throws a WinnowError of kind "interrupted" when the signal is aborted before the last trial has ended (that trial
 * stays RUNNING), of kind "failure" when no trial has completed, or what stopped the search.
 */
export async function runStudy(run: StudyRun): Promise<StudyResult> {
  const { db, study, sampler, nTrials, signal } = run;
  const space = checkSpace(run.space);
  for (let first = true;; first = false) {
    const trials = listTrials(db, study);
    const unfinished = trials.find((trial) => trial.id !== null && trial.state === "RUNNING");
    if (unfinished === undefined && countTaken(trials) >= nTrials) break;
    if (signal?.aborted) {
      throw interrupted(`interrupted with ${countTaken(trials)} of ${nTrials} trials begun`, signal.reason);
    }
    const trial = unfinished ??
      createTrial(db, study, space, sampler.suggest(space, trials.length, pastTrials(trials)));
    await runOne(run, trial, { resume: unfinished !== undefined, first });
  }
  return conclude(study, listTrials(db, study).filter((trial) => trial.id !== null));
}

const pastTrials = (trials: readonly FrozenTrial[]): PastTrial[] =>
  trials.map(({ number, params, state, values }) => ({ number, params, state, value: values?.[0] ?? null }));

/** The study's result from its trials. */
function conclude(study: StoredStudy, trials: FrozenTrial[]): StudyResult {
  const summaries = trials.map(summarizeTrial);
  const best = bestOf(study, trials);
  if (best !== undefined) return { trials: summaries, best: summarizeTrial(best) };
  const reason = summaries.findLast((trial) => trial.failure !== null)?.failure;
  throw new WinnowError(
    "failure",
    `all ${trials.length} trials of study ${study.id} failed` + (reason ? `; the last one: ${reason}` : ""),
    "Remove the cause and start a new study.",
  );
}

/** Runs one trial and stores how it ended. Throws what stops the search; the trial is RUNNING then, as a rule. */
async function runOne(run: StudyRun, trial: FrozenTrial, { resume, first }: { resume: boolean; first: boolean }) {
  const { db, study } = run;
  const id = trial.id!;
  const emit = (event: EventDetails) =>
    run.onEvent?.({ ...event, trial: { id, number: trial.number, params: trial.params }, progress: progressOf(run) });
  const fail = (reason: string) => {
    finishTrial(db, study, trial, { state: "FAIL" }, { [FAILURE]: reason });
    emit({ type: "trial_failed", reason });
  };

  emit({ type: "trial_started", resume });
  let result: TrialResult;
  try {
    result = await run.runTrial({
      id,
      number: trial.number,
      params: trial.params,
      resume,
      report: (value, epoch) => {
        updateTrial(db, study, trial, { intermediate: [{ step: epoch, value }] });
        emit({ type: "trial_reported", epoch, value });
      },
      setAttribute: (key, value) => updateTrial(db, study, trial, { userAttributes: { [key]: value } }),
    });
  } catch (error) {
    const kind: ErrorKind = error instanceof WinnowError ? error.kind : "failure";
    if (kind === "interrupted") throw error;
    // An abort surfaces as whatever it interrupted.
    if (run.signal?.aborted) throw interrupted(`interrupted in trial ${trial.number + 1} of ${run.nTrials}`, error);
    const stops = kind === "storage" || (kind === "input" && first);
    const keeps = kind === "storage" || resume || bestOf(study, listTrials(db, study)) !== undefined;
    if (!stops || !keeps) fail(reasonOf(error));
    if (stops) throw error;
    return;
  }
  if (!Number.isFinite(result.value)) return fail(`the objective is ${result.value}`);
  finishTrial(db, study, trial, { state: "COMPLETE", value: result.value }, {
    [CHECKPOINT]: result.checkpoint,
    [METRICS]: result.metrics,
  });
  emit({ type: "trial_completed", value: result.value });
}

/** One line: the message of our own errors, with the class before it for others. */
function reasonOf(error: unknown): string {
  if (error instanceof WinnowError) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function progressOf({ db, study, nTrials }: StudyRun): StudyProgress {
  const trials = listTrials(db, study);
  const best = bestOf(study, trials);
  const ended = trials.filter((trial) => !["RUNNING", "WAITING"].includes(trial.state)).length;
  return { ended, nTrials, bestValue: best?.values?.[0] ?? null, bestTrialId: best?.id ?? null };
}
