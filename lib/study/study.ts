/** A study from configuration to report: checked, started, resumed. What the commands show comes through `hooks`. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { runStudy, type StudyEvent } from "../hpo/executor.ts";
import { quasiRandomSampler } from "../hpo/sampler.ts";
import { createStudy, findStudy, openStudyDatabase, type Study, type StudyDatabase } from "../hpo/study_db.ts";
import { cleanTemporaries } from "../storage/checkpoint.ts";
import { ensureWritable } from "../storage/disk.ts";
import { studyDatabasePath, studyFolder, trialFolder } from "../storage/layout.ts";
import { lockFolder } from "../storage/lock.ts";
import { WinnowError } from "../support/errors.ts";
import { createLogger, openLogFiles } from "../support/logging.ts";
import type { TrainingProgress } from "../train/trainer.ts";
import { concludeStudy, type StudyResult } from "./conclude.ts";
import { contextPreflight, describeContext, openContext } from "./context.ts";
import { latestUnfinished, reopen, studyAttributes, withStudies } from "./stored.ts";
import { dataReference, encodedSplits, runTrial, type StudyContext } from "./trial.ts";

/** What a command shows of a study. */
export interface StudyHooks {
  /** A line or more for people. */
  say(text: string): void;
  /** `metric` is the name of what the study optimises. */
  onEvent(event: StudyEvent, metric: string): void;
  onProgress(progress: TrainingProgress): void;
}

/** The configuration as one mode runs it: `single` is one trial of the values as they are. */
export function configFor(config: Config, mode: "single" | "hpo"): Config {
  return mode === "hpo" ? config : { ...config, search_space: {}, study: { ...config.study, n_trials: 1 } };
}

/** Checks configuration, data, model, GPU memory and disk, and trains nothing. */
export async function dryRun(config: Config, signal: AbortSignal, hooks: StudyHooks): Promise<object> {
  const context = await openContext(config, crypto.randomUUID(), signal);
  const found = await contextPreflight(context);
  hooks.say(describeContext(context, found));
  const { memory, storage } = found;
  const inputs = encodedSplits(context).counts;
  return { mode: "dry-run", adapter: context.gpu.name, memory, storage, data: dataReference(context), inputs };
}

/** Starts a study and runs it to its end. */
export async function startStudy(config: Config, signal: AbortSignal, hooks: StudyHooks): Promise<StudyResult> {
  const studyId = crypto.randomUUID();
  await ensureWritable(config.paths.experiments);
  using _lock = await lockFolder(config.paths.experiments);
  const context = await openContext(config, studyId, signal);
  hooks.say(describeContext(context, await contextPreflight(context)));
  using db = await openStudyDatabase(studyDatabasePath(config.paths.experiments));
  const { direction } = config.study;
  const study = createStudy(db, { id: studyId, direction, attributes: studyAttributes(context) });
  hooks.say(`study        ${studyId} in ${config.paths.experiments}`);
  return await runToEnd(db, study, context, hooks);
}

/** Continues a study: the one named, or the latest that is not finished. */
export async function resumeStudy(
  experiments: string,
  studyId: string | undefined,
  signal: AbortSignal,
  hooks: StudyHooks,
): Promise<StudyResult> {
  return await withStudies(experiments, async (db) => {
    const study = studyId === undefined ? latestUnfinished(db) : findStudy(db, studyId);
    const context = await reopen(study, experiments, signal);
    hooks.say(describeContext(context, await contextPreflight(context)));
    hooks.say(`study        ${study.id}, resumed`);
    return await runToEnd(db, study, context, hooks);
  });
}

async function runToEnd(
  db: StudyDatabase,
  study: Study,
  context: StudyContext,
  hooks: StudyHooks,
): Promise<StudyResult> {
  const { config, signal } = context;
  await cleanTemporaries(studyFolder(config.paths.experiments, study.id));
  const initial = Object.fromEntries(Object.keys(config.search_space).map((key) => [key, valueOf(config, key)]));
  const search = runStudy({
    db,
    study,
    space: config.search_space,
    sampler: quasiRandomSampler({ seed: config.seed, initial }),
    nTrials: config.study.n_trials,
    signal,
    onEvent: (event) => hooks.onEvent(event, config.study.metric),
    runTrial: async (trial) => {
      const files = openLogFiles(join(trialFolder(config.paths.experiments, trial.id), "logs"));
      const log = createLogger([files.sink], { component: "trainer", trial: trial.id });
      try {
        return await runTrial(context, trial, hooks, log);
      } catch (error) {
        log.error(error instanceof Error ? error.message : String(error));
        throw error;
      } finally {
        files.close();
      }
    },
  });
  await search.catch((error) => {
    if (!(error instanceof WinnowError && error.kind === "interrupted")) throw error;
    const place = shellWord(`paths.experiments=${config.paths.experiments}`);
    const remedy = `Continue with \`deno task resume --study-id ${study.id} ${place}\``;
    throw new WinnowError("interrupted", error.message, remedy, { cause: error });
  });
  return await concludeStudy(db, study, context, hooks);
}

/** A word as a shell takes it. */
const shellWord = (word: string): string => /^[\w./=:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** The value at a dotted key of the configuration. */
function valueOf(config: Config, key: string): unknown {
  return key.split(".").reduce<unknown>((value, part) => (value as Record<string, unknown> | null)?.[part], config);
}
