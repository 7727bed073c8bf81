/**
 * A study in the tracking store: a run for the study, below it a run for each trial.
 *
 * Metrics of training are logged at the optimizer steps that `training.log_every` names and at the last step of an epoch,
 * those of validation at the epoch's last step, so that all curves share one axis. A trial that is resumed computes some
 * steps again: what was logged of them already is not logged a second time, and what was reported before a checkpoint
 * is in the store or on disk before the checkpoint is there. So a run that was killed ends with each metric at each step
 * once.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import type { RunningTrial } from "../hpo/executor.ts";
import { progressFields, type StudyEvent } from "../hpo/study_progress.ts";
import type { TrialSummary } from "../hpo/trial_summary.ts";
import { trackingBufferPath, trackingDatabasePath, trialFolder } from "../storage/layout.ts";
import { inputError } from "../support/errors.ts";
import { openOperationBuffer } from "../tracking/buffer.ts";
import { noteStep, openOutbox, type Outbox, type SeenSteps } from "../tracking/outbox.ts";
import { openTracker } from "../tracking/stores.ts";
import { deliver, type RunStatus, TrackerAway, type TrackingOperation } from "../tracking/tracker.ts";
import type { StudyResult } from "./conclude.ts";
import { configParams, epochMetrics, originTags, stepMetrics, tagTexts } from "./tracked_values.ts";
import type { TrialEvents } from "./trial.ts";
import type { StudyContext } from "./trial_context.ts";

/** How long a checkpoint waits for the store to take what was reported before it; then that goes to the disk. */
const SETTLE_MS = 5_000;

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

/** Tracks a study while it runs. None of it throws or waits for the store. */
export interface StudyTracking extends AsyncDisposable {
  onEvent(event: StudyEvent): void;
  /**
   * Opens the trial's run. The result is given to `runTrial`; what it is told goes on to `events` too.
   *
   * @param isCritical whether the disk is short: what waits on it is then delivered before it grows
   */
  openTrial(trial: RunningTrial, events: TrialEvents, isCritical: () => boolean): TrialEvents;
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
 * @param trials those that the study has already; undefined where it is new
 * @throws an input error where a server is not there and the study is new, the store's own error where it refuses
 */
export async function openStudyTracking(
  context: StudyContext,
  trials: readonly TrialSummary[] | undefined,
  { say }: Hooks,
): Promise<StudyTracking> {
  const { config, studyId } = context;
  const { experiments } = config.paths;
  let isStarting = true;
  const tracker = openTracker(config.tracking, {
    defaultFile: trackingDatabasePath(experiments),
    env: (name) => Deno.env.get(name),
    onRetry: (reason, wait) => isStarting && say(`tracking: ${reason}; trying again in ${wait / 1000} s`),
  });
  if (tracker === undefined) return untracked;
  const opening = studyRun(context);
  let isThere = true;
  try {
    for (const operation of opening) await deliver(tracker, operation);
  } catch (error) {
    isThere = false;
    const mayPass = error instanceof TrackerAway;
    if (!mayPass || trials === undefined) await tracker[Symbol.asyncDispose]();
    if (!mayPass) throw error;
    if (trials === undefined) {
      throw inputError(
        `the tracking store ${tracker.where} is not there: ${error.message}`,
        "Start it or check tracking.uri, or set tracking.store=mlflow_db to track in a file, or none",
        { cause: error },
      );
    }
  }
  isStarting = false;
  const buffered: SeenSteps = new Map();
  const outbox = openOutbox(tracker, {
    buffer: openOperationBuffer(trackingBufferPath(experiments, studyId), (event) => noteStep(buffered, event)),
    buffered,
    remedy: `\`deno task resume --study-id ${studyId}\` delivers it when that is there again`,
    onWarning: (message) => say(`warning: ${message}`),
  });
  // A study goes on without its store, and what it logs waits.
  if (!isThere) { for (const operation of opening) outbox.put(operation); }
  return trackStudy({ context, outbox }, trials ?? []);
}

/** No store. */
const untracked: StudyTracking = {
  onEvent: () => {},
  openTrial: (_trial, events) => events,
  conclude: () => {},
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** A study that is tracked. */
interface Tracked {
  readonly context: StudyContext;
  readonly outbox: Outbox;
}

/** Makes the study's run, or opens it again. */
function studyRun(context: StudyContext): TrackingOperation[] {
  const { config, studyId: run_id } = context;
  const name = config.study.name ?? `study ${run_id.slice(0, 8)}`;
  const note =
    `Winnow study \`${run_id}\`: ${config.study.direction} ${config.study.metric} on the validation split, ` +
    `${config.study.n_trials} trials. Search database: \`study.db\` in the experiments folder.`;
  return [
    { type: "open", run: { run_id, name, start_time: Date.now(), tags: originTags(context) } },
    { type: "log", batch: { run_id, params: configParams(config), tags: { "mlflow.note.content": note } } },
  ];
}

function trackStudy(tracked: Tracked, before: readonly TrialSummary[]): StudyTracking {
  const { context, outbox } = tracked;
  const { config, studyId } = context;
  /** Runs that have begun and not ended. */
  const open = new Set([studyId]);
  const end = (run_id: string, status: RunStatus) => {
    open.delete(run_id);
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
    openTrial(trial, events, isCritical) {
      open.add(trial.id);
      return openTrialRun(tracked, trial, events, isCritical);
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

/** Logs values; those at a step that the run has already are left out. */
function log({ outbox }: Tracked, run_id: string, step: number, values: Record<string, number>): void {
  const timestamp = Date.now();
  const metrics = Object.entries(values).map(([metric, value]) => ({ run_id, metric, step, value, timestamp }));
  if (metrics.length > 0) outbox.put({ type: "log", batch: { run_id, metrics } });
}

function openTrialRun(
  tracked: Tracked,
  trial: RunningTrial,
  events: TrialEvents,
  isCritical: () => boolean,
): TrialEvents {
  const { context, outbox } = tracked;
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
      await outbox.secure(SETTLE_MS, { insist: isCritical() });
    },
  };
}
