/**
 * The search: strictly one trial at a time, each of them a resumable function of its parameters with a budget. Trials that
 * were running when a process ended are continued first, under their own number, parameters and uuid; those that wait in
 * the queue come next; then new ones follow until there are `nTrials` in all, failed and pruned ones included.
 */
import { type ErrorKind, WinnowError } from "../support/errors.ts";
import { type ConditionalSpace, drawParams } from "./conditional_space.ts";
import type { Params } from "./space.ts";
import type { Study, Trial } from "./study.ts";
import { type EventDetails, progressOf, type StudyEvent, type TrialPhase } from "./study_progress.ts";
import {
  bestOf,
  BUDGET,
  CHECKPOINT,
  countTaken,
  FAILURE,
  isOwn,
  METRICS,
  summarizeTrial,
  TIME_SPENT,
  type TrialSummary,
} from "./trial_summary.ts";

/** Thrown by a trial that ends because `shouldPrune` said so; Optuna's `TrialPruned`. */
export class TrialPruned extends Error {
  /** @param metrics Its validation metrics so far. */
  constructor(readonly metrics: Readonly<Record<string, number | null>> = {}) {
    super("the trial was pruned");
    this.name = "TrialPruned";
  }
}

/** What the function that runs a trial is given. */
export interface RunningTrial {
  /** The trial's uuid; its folder is `trial_<id>`. */
  id: string;
  /** Position in the study, from 0. */
  number: number;
  params: Params;
  /**
   * Epochs up to which it may run, those of earlier runs included. A trial is a thing that can be left at any epoch and taken
   * up again with the same or a larger budget; today's executor gives each its whole budget at once.
   */
  budget: number;
  /** It ran before and may have checkpoints. Without one it starts from the initial state. */
  resume: boolean;
  /** Aborted by Ctrl-C and when the study's time is over. The trial saves, and throws. */
  signal: AbortSignal;
  /** Tells that the trial has come to its next phase. */
  enter(phase: "running" | "finishing"): void;
  /**
   * Stores the objective after an epoch. Call it before the epoch's checkpoint is published: killed in between, the
   * epoch is run and reported again, which replaces the same value; the other way round its value would be lost.
   */
  report(value: number, epoch: number): void;
  /** Whether going on is hopeless, by what was reported; then throw `TrialPruned`. */
  shouldPrune(): boolean;
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

/** Everything that a search consists of. */
export interface StudyRun {
  /** The study, with its sampler and pruner. */
  study: Study;
  space: ConditionalSpace;
  /** Trials in all, those of earlier runs, failed and pruned ones included. */
  nTrials: number;
  /** Epochs of a trial with these parameters. Not given: 1. */
  budgetOf?: (params: Params) => number;
  /** The search stops after so many failed trials in a row. Not given or null: never. */
  maxConsecutiveFailures?: number | null;
  /** The search stops, and pauses the running trial, after so many seconds of all its runs. Not given or null: never. */
  timeLimitSeconds?: number | null;
  /** Seconds between a running trial's signs of life, which other programs on the study look at. Not given or null: none. */
  heartbeatSeconds?: number | null;
  /** Aborted by Ctrl-C. */
  signal?: AbortSignal;
  /**
   * Runs a write of what a trial has come to, which is all or nothing, and may run it again where it made room after a full
   * disk. Not given: once.
   */
  persist?<T>(write: () => T): T;
  runTrial(trial: RunningTrial): Promise<TrialResult>;
  /** Awaited after each trial has ended: what it leaves on the disk, say. */
  afterTrial?(trial: TrialSummary): Promise<void>;
  onEvent?(event: StudyEvent): void;
}

/** Why a search ended before it had `nTrials`: its time was over, or the sampler has nothing left (a grid that is done). */
export type EarlyEnd = "time_limit" | "exhausted";

/** The search's end: all trials that Winnow ran, by number, and the best of them. */
export interface StudyResult {
  trials: TrialSummary[];
  best: TrialSummary;
  /** Null where all trials were run. */
  ended: EarlyEnd | null;
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
 * A trial that another program left RUNNING is marked FAIL once its heartbeat is two intervals old.
 *
 * @throws a WinnowError of kind "interrupted" when the signal is aborted before the last trial has ended (that trial
 * stays RUNNING), of kind "failure" when no trial has completed or too many have failed in a row, or what stopped the
 * search.
 */
export async function runStudy(run: StudyRun): Promise<StudyResult> {
  const { study, nTrials, signal, maxConsecutiveFailures = null } = run;
  const clock = studyClock(run);
  let failures: string[] = [];
  try {
    for (let first = true;; first = false) {
      failStale(run);
      const { trials } = study;
      const unfinished = trials.find((trial) => isOwn(trial) && trial.state === "RUNNING");
      if (unfinished === undefined && countTaken(trials) >= nTrials) return conclude(study, null);
      if (signal?.aborted) {
        throw interrupted(`interrupted with ${countTaken(trials)} of ${nTrials} trials begun`, signal.reason);
      }
      if (clock.isOver()) return conclude(study, "time_limit");
      const waits = trials.some(({ state }) => state === "WAITING");
      if (unfinished === undefined && !waits && study.exhausted) return conclude(study, "exhausted");
      const trial = unfinished === undefined ? begin(run) : study.continueTrial(unfinished.number);
      const state = await runOne(run, trial, clock, { resume: unfinished !== undefined, first });
      if (state === "paused") return conclude(study, "time_limit");
      await run.afterTrial?.(summarizeTrial(study.trials[trial.number]!));
      failures = state === "failed" ? [...failures, reasonStored(study, trial)] : [];
      if (failures.length === maxConsecutiveFailures) {
        throw new WinnowError(
          "failure",
          `${failures.length} trials of study ${study.studyName} failed in a row, as many as ` +
            `study.max_consecutive_failures allows; the last one: ${failures.at(-1)}`,
          "Remove the cause, then go on with `deno task resume`.",
        );
      }
    }
  } finally {
    clock.stop();
  }
}

/** Takes the next trial from the queue, or draws one. */
function begin({ study, space, budgetOf = () => 1 }: StudyRun): Trial {
  return study.ask((trial) => {
    const params = drawParams(space, (name, distribution) => trial.suggest(name, distribution));
    trial.setUserAttribute(BUDGET, budgetOf(params));
  });
}

const reasonStored = (study: Study, { number }: Trial) => summarizeTrial(study.trials[number]!).failure ?? "unknown";

/** Marks trials of other programs that have stopped living as failed: nobody would ever end them. */
function failStale({ study, heartbeatSeconds }: StudyRun): void {
  if (typeof heartbeatSeconds !== "number") return;
  for (const trial of study.staleTrials(2 * heartbeatSeconds)) {
    if (isOwn(trial)) continue;
    study.tell(trial.number, { state: "FAIL" }, {
      userAttributes: { [FAILURE]: `its program has given no sign of life for over ${2 * heartbeatSeconds} seconds` },
    });
  }
}

/** The study's result from its trials. */
function conclude(study: Study, ended: EarlyEnd | null): StudyResult {
  const trials = study.trials.filter(isOwn);
  const summaries = trials.map(summarizeTrial);
  const best = bestOf(study.stored, trials);
  if (best !== undefined) return { trials: summaries, best: summarizeTrial(best), ended };
  const failed = summaries.filter(({ state }) => state === "FAIL");
  const reason = failed.at(-1)?.failure;
  const why = ended === "time_limit" ? "the time limit was reached before a trial of" : "no trial completed of";
  throw new WinnowError(
    "failure",
    (failed.length === trials.length && ended === null
      ? `all ${trials.length} trials of study ${study.studyName} failed`
      : `${why} study ${study.studyName}${ended === "time_limit" ? " had completed" : ""}: ${failed.length} of ` +
        `${trials.length} failed, ${summaries.filter(({ state }) => state === "PRUNED").length} were pruned`) +
      (reason ? `; the last one: ${reason}` : ""),
    ended === "time_limit"
      ? "Go on with `deno task resume` and a larger study.time_limit_hours."
      : "Remove the cause and start a new study.",
  );
}

/** The time that the study's runs have taken, kept in the study, and the signal that ends the running trial. */
interface StudyClock {
  readonly signal: AbortSignal;
  /** Whether the time limit is reached. */
  isOver(): boolean;
  /** Stores the time so far: a run that is killed loses what came after. */
  store(): void;
  stop(): void;
}

/** Timers cannot wait longer than this. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

function studyClock({ study, timeLimitSeconds }: StudyRun): StudyClock {
  const before = Number(study.userAttributes[TIME_SPENT] ?? 0);
  const started = performance.now();
  const spent = () => before + (performance.now() - started) / 1000;
  const limit = timeLimitSeconds ?? Infinity;
  const controller = new AbortController();
  const over = () => controller.abort(interrupted("the study's time is over", undefined));
  const wait = Math.max(0, limit - before) * 1000;
  const timer = wait <= LONGEST_TIMER_MS ? setTimeout(over, wait) : undefined;
  const store = () => study.setUserAttribute(TIME_SPENT, Math.round(spent() * 1000) / 1000);
  return {
    signal: controller.signal,
    isOver: () => spent() >= limit,
    store,
    stop: () => {
      clearTimeout(timer);
      try {
        store();
      } catch { /* what made the database fail is on its way to the user already */ }
    },
  };
}

/** Signs of life of a running trial; `stop` ends them. */
function heartbeats(trial: Trial, seconds: number | null | undefined): { stop(): void } {
  if (typeof seconds !== "number") return { stop: () => {} };
  const beat = () => {
    try {
      trial.heartbeat();
    } catch { /* the trial's next write fails as well, and says why */ }
  };
  beat();
  const timer = setInterval(beat, seconds * 1000);
  return { stop: () => clearInterval(timer) };
}

type Ending = "completed" | "pruned" | "failed" | "paused";

/**
 * Runs one trial and stores how it ended; "paused": the time was over, and it stays RUNNING. Throws what stops the search; the
 * trial is RUNNING then, as a rule.
 */
async function runOne(
  run: StudyRun,
  trial: Trial,
  clock: StudyClock,
  { resume, first }: { resume: boolean; first: boolean },
): Promise<Ending> {
  const { study, budgetOf = () => 1, persist = (write) => write() } = run;
  const { id, number } = trial, params = { ...trial.params };
  const emit = (event: EventDetails) => {
    run.onEvent?.({ ...event, trial: { id, number, params }, progress: progressOf(study, run.nTrials, number) });
  };
  const enter = (phase: TrialPhase) => emit({ type: "trial_phase", phase });
  const end = (ending: Ending, event: EventDetails, tell: () => void): Ending => {
    persist(tell);
    persist(clock.store);
    emit(event);
    return ending;
  };
  const fail = (reason: string) =>
    end("failed", { type: "trial_failed", reason }, () => {
      study.tell(trial, { state: "FAIL" }, { userAttributes: { [FAILURE]: reason } });
    });

  enter("queued");
  emit({ type: "trial_started", resume });
  enter("preparing");
  const life = heartbeats(trial, run.heartbeatSeconds);
  let result: TrialResult;
  try {
    result = await run.runTrial({
      id,
      number,
      params,
      budget: Number(trial.userAttributes[BUDGET] ?? budgetOf(params)),
      resume,
      signal: AbortSignal.any([clock.signal, ...(run.signal ? [run.signal] : [])]),
      enter,
      report: (value, epoch) => {
        persist(() => trial.report(value, epoch));
        persist(clock.store);
        emit({ type: "trial_reported", epoch, value });
      },
      shouldPrune: () => persist(() => trial.shouldPrune()),
      setAttribute: (key, value) => persist(() => trial.setUserAttribute(key, value)),
    });
  } catch (error) {
    if (error instanceof TrialPruned) {
      const last = study.trials[number]!.intermediate.at(-1);
      return end("pruned", { type: "trial_pruned", epoch: last?.step ?? 0, value: last?.value ?? null }, () => {
        study.tell(trial, { state: "PRUNED" }, { userAttributes: { [METRICS]: error.metrics } });
      });
    }
    const kind: ErrorKind = error instanceof WinnowError ? error.kind : "failure";
    // An abort surfaces as whatever it interrupted.
    if (run.signal?.aborted) {
      throw kind === "interrupted" ? error : interrupted(`interrupted in trial ${number + 1} of ${run.nTrials}`, error);
    }
    if (clock.signal.aborted) {
      emit({ type: "trial_paused", reason: "the study's time is over" });
      return "paused";
    }
    if (kind === "interrupted") throw error;
    const stops = kind === "storage" || (kind === "input" && first);
    const keeps = kind === "storage" || resume || bestOf(study.stored, study.trials) !== undefined;
    if (!stops || !keeps) fail(reasonOf(error));
    if (stops) throw error;
    return "failed";
  } finally {
    life.stop();
  }
  if (!Number.isFinite(result.value)) return fail(`the objective is ${result.value}`);
  return end("completed", { type: "trial_completed", value: result.value }, () => {
    study.tell(trial, result.value, {
      userAttributes: { [CHECKPOINT]: result.checkpoint, [METRICS]: result.metrics },
    });
  });
}

/** One line: the message of our own errors, with the class before it for others. */
function reasonOf(error: unknown): string {
  if (error instanceof WinnowError) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
