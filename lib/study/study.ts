/** A study from configuration to report: checked, started, resumed. What the commands show comes through `hooks`. */
import type { Config } from "../config/schema.ts";
import { transaction } from "../hpo/database.ts";
import { runStudy, TrialPruned } from "../hpo/executor.ts";
import { createStudy, loadStudy, type Study } from "../hpo/study.ts";
import { findStudy, openStudyDatabase, type StudyDatabase } from "../hpo/study_db.ts";
import type { StudyEvent } from "../hpo/study_progress.ts";
import { isOwn, summarizeTrial } from "../hpo/trial_summary.ts";
import { cleanTemporaries } from "../storage/checkpoint.ts";
import { ensureWritable } from "../storage/disk.ts";
import { studyDatabasePath, studyFolder } from "../storage/layout.ts";
import { lockFolder } from "../storage/lock.ts";
import { WinnowError } from "../support/errors.ts";
import type { TrainingProgress } from "../train/trainer.ts";
import { concludeStudy, type StudyResult } from "./conclude.ts";
import { contextPreflight, describeContext, openContext } from "./context.ts";
import {
  describeSearchSpace,
  firstSettings,
  prunerOf,
  reportSearchSpace,
  samplerOf,
  searchSpaceOf,
} from "./search_space.ts";
import { latestUnfinished, reopen, withStudies } from "./stored.ts";
import { storeConfig, studyAttributes } from "./study_attributes.ts";
import { openHubPause } from "./hub_pause.ts";
import { openStudyLog } from "./study_log.ts";
import { openStudyStorage, studyCheckpointBytes } from "./study_storage.ts";
import { budgetOf, runTrial } from "./trial.ts";
import { dataReference, encodedSplits, type StudyContext } from "./trial_context.ts";
import { openStudyTracking, type StudyTracking } from "./tracking.ts";
import { describeGaps } from "./trial_gap.ts";
import { warmStart } from "./warm_start.ts";

/** What a command shows of a study. */
export interface StudyHooks {
  /** A line or more for people. */
  say(text: string): void;
  /** `metric` is the name of what the study optimises. */
  onEvent(event: StudyEvent, metric: string): void;
  onProgress(progress: TrainingProgress): void;
  /** Milliseconds between two looks at a token that the hub refuses; five minutes unless given. */
  readonly tokenCheckMs?: number;
}

/** The configuration as one mode runs it: `single` is one trial of the values as they are. */
export function configFor(config: Config, mode: "single" | "hpo"): Config {
  if (mode === "hpo") return config;
  const study: Config["study"] = { ...config.study, n_trials: 1, ...ONE_TRIAL };
  return { ...config, search_space: {}, study };
}

/** A single trial has nothing to choose from and nothing to be compared with. */
const ONE_TRIAL = {
  sampler: "random",
  sampler_options: {},
  pruner: "none",
  pruner_options: {},
  enqueue: null,
  warm_start: null,
  max_consecutive_failures: null,
} as const;

/** Checks configuration, search space, data, model, GPU memory and disk, and trains nothing. */
export async function dryRun(
  config: Config,
  signal: AbortSignal,
  hooks: StudyHooks,
  samples: number,
): Promise<object> {
  const space = searchSpaceOf(config);
  const search_space = reportSearchSpace(config, samples);
  // First: what it says needs neither data nor model, which may not be there yet.
  hooks.say(describeSearchSpace(search_space) + "\n");
  if (space.parameters.length > 0) samplerOf(config, space);
  const context = await openContext(config, crypto.randomUUID(), signal);
  const found = await contextPreflight(context);
  hooks.say(describeContext(context, found));
  const { memory, storage } = found;
  const inputs = encodedSplits(context).counts;
  const data = dataReference(context);
  return { mode: "dry-run", adapter: context.gpu.name, search_space, memory, storage, data, inputs };
}

/** Starts a study and runs it to its end. */
export async function startStudy(config: Config, signal: AbortSignal, hooks: StudyHooks): Promise<StudyResult> {
  const studyId = crypto.randomUUID();
  const space = searchSpaceOf(config);
  const strategy = { sampler: samplerOf(config, space), pruner: prunerOf(config), onWarning: hooks.say };
  await ensureWritable(config.paths.experiments);
  using _lock = await lockFolder(config.paths.experiments);
  const context = await openContext(config, studyId, signal);
  hooks.say(describeContext(context, await contextPreflight(context)));
  using db = await openStudyDatabase(studyDatabasePath(config.paths.experiments));
  // Before the study is stored: where its store is not there, nothing has begun.
  await using tracking = await openStudyTracking(context, undefined, hooks);
  const { direction } = config.study;
  const earlier = await warmStart(config, space, db);
  // All or nothing: a study that is killed here is not there.
  const study = transaction(db, () => {
    const userAttributes = studyAttributes(context);
    const made = createStudy({ storage: db, studyName: studyId, direction, userAttributes, ...strategy });
    made.addTrials(earlier);
    for (const setting of firstSettings(config, space)) made.enqueueTrial(setting);
    return made;
  });
  hooks.say(`study        ${studyId} in ${config.paths.experiments}`);
  if (earlier.length > 0) hooks.say(`warm start   ${earlier.length} trials of an earlier study are learnt from`);
  return await runToEnd(db, study, context, tracking, hooks);
}

/** What may be changed of a study that is continued: how long it goes on. */
export type StudyChanges = Partial<
  Pick<Config["study"], "n_trials" | "time_limit_hours" | "max_consecutive_failures" | "heartbeat_seconds">
>;

/** Continues a study: the one named, or the latest that is not finished. `changes` stay with the study. */
export async function resumeStudy(
  experiments: string,
  studyId: string | undefined,
  signal: AbortSignal,
  hooks: StudyHooks,
  changes: StudyChanges = {},
): Promise<StudyResult> {
  return await withStudies(experiments, async (db) => {
    const stored = studyId === undefined ? latestUnfinished(db, changes) : findStudy(db, studyId);
    const context = await reopen(stored, experiments, signal, changes);
    const { config } = context;
    const space = searchSpaceOf(config);
    const study = loadStudy({
      ...{ storage: db, studyName: stored.id, onWarning: hooks.say },
      ...{ sampler: samplerOf(config, space), pruner: prunerOf(config) },
    });
    if (Object.keys(changes).length > 0) storeConfig(study, config);
    const ownedBytes = await studyCheckpointBytes(db, stored, experiments);
    hooks.say(describeContext(context, await contextPreflight(context, ownedBytes)));
    const trials = study.trials.filter(isOwn).map(summarizeTrial);
    await using tracking = await openStudyTracking(context, trials, hooks);
    hooks.say(`study        ${stored.id}, resumed`);
    return await runToEnd(db, study, context, tracking, hooks);
  });
}

async function runToEnd(
  db: StudyDatabase,
  study: Study,
  context: StudyContext,
  tracking: StudyTracking,
  hooks: StudyHooks,
): Promise<StudyResult> {
  const { config, signal } = context;
  const { experiments } = config.paths;
  const { time_limit_hours, max_consecutive_failures, heartbeat_seconds, metric, n_trials } = config.study;
  await cleanTemporaries(studyFolder(experiments, study.studyName));
  // Opened first and closed last: what the others do on their way out is logged.
  using log = openStudyLog(experiments, study.studyName, metric, hooks.say);
  using storage = await openStudyStorage(db, study.stored, config, { log: log.study, say: hooks.say });
  // What a process that was killed right after the end of a trial left.
  await storage.keeper.sweep();
  const pause = openHubPause({ log: () => current, say: hooks.say, checkMs: hooks.tokenCheckMs });
  // A trial that begins with the command is there while somebody looks: a token that is refused then ends it at once.
  let begun = 0, current = log.study;
  const patient = (): StudyContext => begun > 1 ? { ...context, hubPause: pause } : context;
  const search = runStudy({
    study,
    space: searchSpaceOf(config),
    nTrials: n_trials,
    budgetOf: (params) => budgetOf(config, params),
    maxConsecutiveFailures: max_consecutive_failures,
    timeLimitSeconds: time_limit_hours === null ? null : time_limit_hours * 3600,
    heartbeatSeconds: heartbeat_seconds,
    signal,
    persist: (write) => storage.withReserve(write),
    onEvent: (event) => {
      log.event(event);
      tracking.onEvent(event);
      hooks.onEvent(event, metric);
    },
    runTrial: async (trial) => {
      const trialLog = log.trial;
      storage.useLog(current = trialLog);
      begun++;
      try {
        const events = tracking.openTrial(trial, hooks, storage.isCritical);
        const onWarning = (message: string) => hooks.say(`warning: ${message}`);
        const forTrial = { ...patient(), signal: trial.signal };
        return await runTrial(forTrial, trial, { ...events, onWarning, onNotice: hooks.say }, trialLog, storage);
      } catch (error) {
        if (!(error instanceof TrialPruned)) {
          trialLog.error(
            error instanceof Error ? error.message : String(error),
            error instanceof WinnowError && error.remedy !== "" ? { remedy: error.remedy } : {},
          );
        }
        throw error;
      } finally {
        storage.useLog(current = log.study);
      }
    },
    // Of trials that have ended only the best keep checkpoints: one that was pruned is never the best and never goes on.
    afterTrial: () => storage.keeper.sweep(),
  }).finally(() => context.cache.engine.release());
  const { ended } = await search.catch((error) => {
    if (!(error instanceof WinnowError && error.kind === "interrupted")) throw error;
    const place = shellWord(`paths.experiments=${config.paths.experiments}`);
    const remedy = `Continue with \`deno task resume --study-id ${study.studyName} ${place}\``;
    throw new WinnowError("interrupted", error.message, remedy, { cause: error });
  });
  if (ended === "time_limit") {
    hooks.say(
      `the study's time of ${time_limit_hours} hours is over; more of it: deno task resume --study-id ` +
        `${study.studyName} study.time_limit_hours=HOURS`,
    );
  } else if (ended === "exhausted") hooks.say("every combination of the grid has been tried");
  describeGaps(context.cache.gap.gaps).forEach(hooks.say);
  const isUnchanged = begun++ === 0;
  const result = await concludeStudy(db, study.stored, patient(), hooks, { isUnchanged });
  tracking.conclude(result);
  return result;
}

/** A word as a shell takes it. */
const shellWord = (word: string): string => /^[\w./=:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
