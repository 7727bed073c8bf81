/**
 * A study in the tracking store: a run for the study, below it a run for each trial.
 *
 * Metrics of training are logged at the optimizer steps that `training.log_every` names and at the last step of an epoch,
 * those of validation at the epoch's last step, so that all curves share one axis. A trial that is resumed computes some
 * steps again: what the store has of them already is not logged a second time, and what was reported before a checkpoint
 * is delivered before the checkpoint is there. So a run that was killed ends with each metric at each step once.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import type { RunningTrial, StudyEvent, TrialSummary } from "../hpo/executor.ts";
import { progressFields } from "../hpo/study_progress.ts";
import { trackingDatabasePath, trialFolder } from "../storage/layout.ts";
import { inputError, WinnowError } from "../support/errors.ts";
import { metricKey } from "../tracking/limits.ts";
import { openOutbox, type Outbox } from "../tracking/outbox.ts";
import { openTracker } from "../tracking/stores.ts";
import { type MetricEvent, type RunStatus, type Tracker, TrackerAway } from "../tracking/tracker.ts";
import type { StudyResult } from "./conclude.ts";
import { configParams, epochMetrics, originTags, stepMetrics, tagTexts } from "./tracked_values.ts";
import type { StudyContext, TrialEvents } from "./trial.ts";

/** How long a checkpoint waits for the store to take what was reported before it. */
const SETTLE_MS = 5_000;

/** How long a resumed trial waits until its run is open, before it asks what the run has. */
const OPEN_MS = 120_000;

/** How a trial's end is said to MLflow: the run's status and the trial's state, which tells more. */
const ENDS: Record<string, readonly [RunStatus, string]> = {
  trial_completed: ["FINISHED", "COMPLETE"],
  trial_pruned: ["KILLED", "PRUNED"],
  trial_failed: ["FAILED", "FAIL"],
};

/** The same for trials of the study database. */
const STATES: Record<string, RunStatus> = Object.fromEntries(
  Object.values(ENDS).map(([status, state]) => [state, status]),
);

/** Tracks a study while it runs. None of it throws or waits for the store, but `openTrial` of a resumed trial. */
export interface StudyTracking extends AsyncDisposable {
  onEvent(event: StudyEvent): void;
  /** Opens the trial's run. The result is given to `runTrial`; what it is told goes on to `events` too. */
  openTrial(trial: RunningTrial, events: TrialEvents): Promise<TrialEvents>;
  /** The study is done. */
  conclude(result: StudyResult): void;
}

/** What tracking needs of the command that runs. */
interface Hooks {
  say(text: string): void;
}

/**
 * Opens the store of the configuration and the study's run in it.
 *
 * @param trials those that the study has already
 * @throws an input error where a server is not there, the store's own error where it refuses
 */
export async function openStudyTracking(
  context: StudyContext,
  trials: readonly TrialSummary[],
  { say }: Hooks,
): Promise<StudyTracking> {
  const { config } = context;
  let isStarting = true;
  const tracker = openTracker(config.tracking, {
    defaultFile: trackingDatabasePath(config.paths.experiments),
    env: (name) => Deno.env.get(name),
    onRetry: (reason, wait) => isStarting && say(`tracking: ${reason}; trying again in ${wait / 1000} s`),
  });
  if (tracker === undefined) return untracked;
  try {
    const seen = await openStudyRun(tracker, context);
    isStarting = false;
    const outbox = openOutbox(tracker, { onWarning: (message) => say(`warning: ${message}`) });
    return trackStudy({ context, tracker, outbox, seen: new Map([[context.studyId, seen]]) }, trials);
  } catch (error) {
    await tracker[Symbol.asyncDispose]();
    if (!(error instanceof TrackerAway)) throw error;
    throw inputError(
      `the tracking store ${tracker.where} is not there: ${error.message}`,
      "Start it or check tracking.uri, or set tracking.store=mlflow_db to track in a file, or none",
      { cause: error },
    );
  }
}

/** No store. */
const untracked: StudyTracking = {
  onEvent: () => {},
  openTrial: (_trial, events) => Promise.resolve(events),
  conclude: () => {},
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** Steps that a run has, by metric. */
type Seen = Map<string, Set<number>>;

/** A study that is tracked. */
interface Tracked {
  readonly context: StudyContext;
  readonly tracker: Tracker;
  readonly outbox: Outbox;
  /** What each open run has, so that nothing is logged twice. */
  readonly seen: Map<string, Seen>;
}

async function openStudyRun(tracker: Tracker, context: StudyContext): Promise<Seen> {
  const { config } = context;
  const run_id = context.studyId;
  const name = config.study.name ?? `study ${run_id.slice(0, 8)}`;
  await tracker.openRun({ run_id, name, start_time: Date.now(), tags: originTags(context) });
  await tracker.logBatch({
    run_id,
    params: configParams(config),
    tags: {
      "mlflow.note.content":
        `Winnow study \`${run_id}\`: ${config.study.direction} ${config.study.metric} on the validation split, ` +
        `${config.study.n_trials} trials. Search database: \`study.db\` in the experiments folder.`,
    },
  });
  return await tracker.loggedSteps(run_id);
}

function trackStudy(tracked: Tracked, before: readonly TrialSummary[]): StudyTracking {
  const { context, outbox } = tracked;
  const { config, studyId } = context;
  /** Runs that have begun and not ended. */
  const open = new Set([studyId]);
  const end = (run_id: string, status: RunStatus) => {
    open.delete(run_id);
    if (run_id !== studyId) tracked.seen.delete(run_id);
    outbox.put({ type: "end", end: { run_id, status, end_time: Date.now() } });
  };
  const endTrial = (
    id: string,
    number: number,
    status: RunStatus,
    details: Record<string, unknown>,
    value?: number,
  ) => {
    outbox.put({ type: "log", batch: { run_id: id, tags: tagTexts(details) } });
    putArtifacts(outbox, config, id, status);
    if (value !== undefined) log(tracked, studyId, number, { "trial/value": value });
    end(id, status);
  };

  // The last trial of an earlier process may have ended between the two databases.
  const last = before.findLast(({ state }) => state in STATES);
  if (last) {
    const better = config.study.direction === "maximize" ? Math.max : Math.min;
    const values = before.flatMap(({ value }) => value === null ? [] : [value]);
    if (values.length > 0) log(tracked, studyId, last.number, { best_so_far: better(...values) });
    endTrial(
      last.trial_id,
      last.number,
      STATES[last.state]!,
      { "winnow.trial_state": last.state },
      last.value ?? undefined,
    );
  }

  return {
    onEvent(event) {
      const { trial, progress } = event;
      const ending = ENDS[event.type];
      if (!ending && event.type !== "trial_started") return;
      const { bestValue } = progress;
      const fields = Object.entries(progressFields(progress)).map(([name, value]) => [`winnow.${name}`, value]);
      const tags = tagTexts(Object.fromEntries(fields));
      outbox.put({ type: "log", batch: { run_id: studyId, tags } });
      if (!ending) return;
      if (bestValue !== null) log(tracked, studyId, trial.number, { best_so_far: bestValue });
      const [status, state] = ending;
      const value = "value" in event ? event.value ?? undefined : undefined;
      const reason = "reason" in event ? event.reason : undefined;
      endTrial(
        trial.id,
        trial.number,
        status,
        { ...tags, "winnow.trial_state": state, "winnow.failure": reason },
        value,
      );
    },
    async openTrial(trial, events) {
      open.add(trial.id);
      return await openTrialRun(tracked, trial, events);
    },
    conclude(result) {
      outbox.put({
        type: "artifact",
        artifact: { run_id: studyId, path: "summary_report.json", content: { file: result.summary_report } },
      });
      const tags = tagTexts({ "winnow.best_trial_id": result.best_trial_id, "winnow.best_so_far": result.best_value });
      outbox.put({ type: "log", batch: { run_id: studyId, tags } });
      end(studyId, "FINISHED");
    },
    async [Symbol.asyncDispose]() {
      // What is still open was interrupted: a resume opens it again.
      for (const id of open) end(id, "KILLED");
      await outbox.close();
    },
  };
}

function putArtifacts(outbox: Outbox, config: Config, trialId: string, status: RunStatus): void {
  const folder = trialFolder(config.paths.experiments, trialId);
  const files = status === "FINISHED" ? ["config.yaml", "evaluation_report.json"] : ["config.yaml"];
  for (const path of files.filter((name) => existsSync(join(folder, name)))) {
    outbox.put({ type: "artifact", artifact: { run_id: trialId, path, content: { file: join(folder, path) } } });
  }
}

/** Logs what the run does not have at that step. */
function log({ outbox, seen }: Tracked, run_id: string, step: number, values: Record<string, number>): void {
  const timestamp = Date.now();
  const known = seen.get(run_id) ?? new Map();
  seen.set(run_id, known);
  const metrics = Object.entries(values).flatMap(([metric, value]): MetricEvent[] => {
    const key = metricKey(metric);
    const steps = known.get(key) ?? new Set();
    if (steps.has(step)) return [];
    known.set(key, steps.add(step));
    return [{ run_id, metric, step, value, timestamp }];
  });
  if (metrics.length > 0) outbox.put({ type: "log", batch: { run_id, metrics } });
}

async function openTrialRun(tracked: Tracked, trial: RunningTrial, events: TrialEvents): Promise<TrialEvents> {
  const { context, tracker, outbox, seen } = tracked;
  const run_id = trial.id;
  const every = context.config.training.log_every;
  outbox.put({
    type: "open",
    run: {
      run_id,
      name: `trial ${trial.number}`,
      parent_id: context.studyId,
      start_time: Date.now(),
      tags: {
        ...originTags(context),
        ...tagTexts({
          "winnow.trial_id": run_id,
          "winnow.trial_index": trial.number + 1,
          "winnow.n_trials": context.config.study.n_trials,
          "winnow.trial_state": "RUNNING",
        }),
      },
    },
  });
  if (trial.resume) {
    await outbox.settle(OPEN_MS);
    seen.set(run_id, await loggedBefore(tracker, run_id));
  }
  /** A step that is logged if it turns out to be an epoch's last. */
  let waiting: (() => void) | undefined;
  return {
    ...events,
    onProgress(progress) {
      events.onProgress(progress);
      // Other steps are seen where a checkpoint or an interruption happens to fall.
      waiting = () => log(tracked, run_id, progress.step, stepMetrics(progress));
      if (progress.step % every === 0) waiting();
    },
    onConfig(config) {
      events.onConfig?.(config);
      outbox.put({ type: "log", batch: { run_id, params: configParams(config, trial.params) } });
    },
    onEpoch(record) {
      events.onEpoch?.(record);
      waiting?.();
      log(tracked, run_id, record.step, epochMetrics(record));
    },
    async beforeCheckpoint() {
      await events.beforeCheckpoint?.();
      await outbox.settle(SETTLE_MS);
    },
  };
}

/** What the store has of a trial that is resumed. Without the answer, steps would be logged twice. */
async function loggedBefore(tracker: Tracker, run_id: string): Promise<Seen> {
  try {
    return await tracker.loggedSteps(run_id);
  } catch (error) {
    if (!(error instanceof TrackerAway)) throw error;
    throw new WinnowError(
      "storage", // stops the study and leaves the trial to be resumed
      `the tracking store cannot say what it has of the trial: ${error.message}`,
      "Resume the study when it is there again",
      { cause: error },
    );
  }
}
