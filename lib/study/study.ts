/** A study from configuration to report: started, resumed, evaluated. What the commands show comes through `hooks`. */
import { join } from "node:path";
import { type Config, configSchema } from "../config/schema.ts";
import { runStudy, type StudyEvent, summarizeTrial, type TrialSummary } from "../hpo/executor.ts";
import { quasiRandomSampler } from "../hpo/sampler.ts";
import {
  bestTrial,
  createStudy,
  findStudy,
  findTrial,
  listStudies,
  listTrials,
  openStudyDatabase,
  type Study,
  type StudyDatabase,
} from "../hpo/study_db.ts";
import { readEvaluationReport, writeEvaluationReport, writeSummaryReport } from "../report/report_file.ts";
import { studyTable } from "../report/study_table.ts";
import { ensureWritable } from "../storage/disk.ts";
import { studyDatabasePath, trialFolder } from "../storage/layout.ts";
import { lockFolder } from "../storage/lock.ts";
import { inputError, storageError, WinnowError } from "../support/errors.ts";
import { createLogger, openLogFiles } from "../support/logging.ts";
import { VERSION } from "../support/version.ts";
import type { TrainingProgress } from "../train/trainer.ts";
import { contextPreflight, describeContext, openContext } from "./context.ts";
import { baselineMetrics, evaluateTrial } from "./evaluation.ts";
import {
  checkpointReference,
  dataReference,
  experimentsFolder,
  runTrial,
  type StudyContext,
  thresholdsOf,
} from "./trial.ts";

/** What a command shows of a study. */
export interface StudyHooks {
  /** A line or more for people. */
  say(text: string): void;
  /** `metric` is the name of what the study optimises. */
  onEvent(event: StudyEvent, metric: string): void;
  onProgress(progress: TrainingProgress): void;
}

/** A trial in the result of a command. */
export interface TrialResultLine {
  readonly trial_id: string;
  readonly number: number;
  readonly state: string;
  readonly value: number | null;
  /** The folder of the trial's best checkpoint, or null. */
  readonly checkpoint: string | null;
}

/** The object that `--json` prints of a study. */
export interface StudyResult {
  readonly study_id: string;
  readonly metric: string;
  readonly best_trial_id: string;
  readonly best_value: number;
  readonly summary_report: string;
  readonly trials: readonly TrialResultLine[];
}

const CONFIG = "winnow:config";

/** How long a command waits for the run before it, which may just have been killed, to end. */
const PATIENCE_MS = 10_000;
const DATA = "winnow:data";

const resultLine = (config: Config, trial: TrialSummary): TrialResultLine => ({
  trial_id: trial.trial_id,
  number: trial.number,
  state: trial.state,
  value: trial.value,
  checkpoint: trial.checkpoint === null ? null : join(config.paths.experiments, trial.checkpoint),
});

/** The configuration that a study was started with, in an experiments folder that may have moved since. */
function configOf(study: Study, experiments: string): Config {
  const parsed = configSchema.safeParse(study.attributes[CONFIG]);
  if (!parsed.success) {
    throw storageError(
      `study ${study.id} holds no configuration that this version reads`,
      "Continue it with the version that started it",
    );
  }
  return { ...parsed.data, paths: { ...parsed.data.paths, experiments } };
}

/**
 * Opens what a stored study stands on.
 *
 * @throws an input error when its data are no longer those it began with: its trials could not be compared
 */
async function reopen(study: Study, experiments: string, signal: AbortSignal): Promise<StudyContext> {
  const context = await openContext(configOf(study, experiments), study.id, signal);
  const began = study.attributes[DATA] as ReturnType<typeof dataReference> | undefined;
  const now = dataReference(context);
  if (began && (began.sha256 !== now.sha256 || began.split_sha256 !== now.split_sha256)) {
    const posts = (data: typeof now) => data.posts.train + data.posts.validation + data.posts.test;
    throw inputError(
      `the data of study ${study.id} have changed since it began: ${now.id} had ${posts(began)} posts ` +
        `(SHA-256 ${began.sha256.slice(0, 8)}…) and has ${posts(now)} (${now.sha256.slice(0, 8)}…)`,
      "Restore them, or start a new study with `deno task train`",
    );
  }
  return context;
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
  return { mode: "dry-run", adapter: context.gpu.name, memory, storage, data: dataReference(context) };
}

/** Starts a study and runs it to its end. */
export async function startStudy(config: Config, signal: AbortSignal, hooks: StudyHooks): Promise<StudyResult> {
  const studyId = crypto.randomUUID();
  await ensureWritable(config.paths.experiments);
  using _lock = await lockFolder(config.paths.experiments);
  const context = await openContext(config, studyId, signal);
  hooks.say(describeContext(context, await contextPreflight(context)));
  using db = await openStudyDatabase(studyDatabasePath(config.paths.experiments));
  const { direction, name } = config.study;
  const attributes = { [CONFIG]: config, [DATA]: dataReference(context), "winnow:name": name };
  const study = createStudy(db, { id: studyId, direction, attributes });
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
  await requireDatabase(experiments);
  using _lock = await lockFolder(experiments, PATIENCE_MS);
  using db = await openStudyDatabase(studyDatabasePath(experiments));
  const study = studyId === undefined ? latestUnfinished(db) : findStudy(db, studyId);
  const context = await reopen(study, experiments, signal);
  hooks.say(describeContext(context, await contextPreflight(context)));
  hooks.say(`study        ${study.id}, resumed`);
  return await runToEnd(db, study, context, hooks);
}

async function requireDatabase(experiments: string): Promise<void> {
  const path = studyDatabasePath(experiments);
  if (await Deno.stat(path).then(() => true, () => false)) return;
  throw inputError(`no study in ${experiments}`, "Start one with `deno task train`, or set paths.experiments");
}

/**
 * The newest study with trials to run, else the newest of all. Studies that Optuna or another version made are passed
 * over.
 */
function latestUnfinished(db: StudyDatabase): Study {
  const ours = listStudies(db).flatMap((study) => {
    const config = configSchema.safeParse(study.attributes[CONFIG]);
    return config.success ? [{ study, nTrials: config.data.study.n_trials }] : [];
  });
  const unfinished = ours.filter(({ study, nTrials }) => {
    const trials = listTrials(db, study);
    return trials.some(({ state }) => state === "RUNNING") || trials.length < nTrials;
  });
  return (unfinished.at(-1) ?? ours.at(-1))?.study ?? findStudy(db);
}

async function runToEnd(
  db: StudyDatabase,
  study: Study,
  context: StudyContext,
  hooks: StudyHooks,
): Promise<StudyResult> {
  const { config, signal } = context;
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
        return await runTrial(context, trial, {
          onProgress: (progress) => hooks.onProgress(progress),
          onEpoch: () => {},
        }, log);
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

/** Evaluates the best trial on the test split, writes the summary report and shows the table. */
async function concludeStudy(
  db: StudyDatabase,
  study: Study,
  context: StudyContext,
  hooks: StudyHooks,
): Promise<StudyResult> {
  const { config } = context;
  const stored = listTrials(db, study).filter(({ id }) => id !== null);
  const best = bestTrial(stored, study.direction);
  if (!best) throw inputError(`study ${study.id} has no completed trial`, "Continue it with `deno task resume`");
  const trials = stored.map(summarizeTrial);
  const bestSummary = summarizeTrial(best);
  const tested = await evaluateTrial(context, bestSummary);
  const { metric, direction } = config.study;
  const experiments = experimentsFolder(config);
  const summary = {
    version: VERSION,
    study_id: study.id,
    metric,
    direction,
    best_trial_id: bestSummary.trial_id,
    best_value: bestSummary.value!,
    trials,
    test: tested[0]!.test,
    co_best: tested.map(({ checkpoint, test }) => ({ checkpoint: checkpointReference(experiments, checkpoint), test })),
    baseline: baselineMetrics(context),
    thresholds: thresholdsOf(context),
    config: JSON.parse(JSON.stringify(config)),
    adapter: { name: context.gpu.name },
    data: dataReference(context),
  };
  const path = await writeSummaryReport(config.paths.experiments, summary);
  hooks.say(`\n${studyTable(summary)}\n\nreport: ${path}`);
  return {
    study_id: study.id,
    metric,
    best_trial_id: summary.best_trial_id,
    best_value: summary.best_value,
    summary_report: path,
    trials: trials.map((trial) => resultLine(config, trial)),
  };
}

/** Evaluates a study's best trial on the test split again and rewrites its summary report. */
export async function evaluateStudy(
  experiments: string,
  studyId: string,
  signal: AbortSignal,
  hooks: StudyHooks,
): Promise<StudyResult> {
  await requireDatabase(experiments);
  using _lock = await lockFolder(experiments, PATIENCE_MS);
  using db = await openStudyDatabase(studyDatabasePath(experiments));
  const study = findStudy(db, studyId);
  const context = await reopen(study, experiments, signal);
  return await concludeStudy(db, study, context, hooks);
}

/** Evaluates one trial on the test split and adds the figures to its evaluation report. */
export async function evaluateOneTrial(
  experiments: string,
  trialId: string,
  signal: AbortSignal,
  hooks: StudyHooks,
): Promise<object> {
  await requireDatabase(experiments);
  using _lock = await lockFolder(experiments, PATIENCE_MS);
  using db = await openStudyDatabase(studyDatabasePath(experiments));
  const found = findTrial(db, trialId);
  if (!found) throw inputError(`no trial ${trialId} in ${db.path}`, "Name a trial of the table that a study ends with");
  const context = await reopen(found.study, experiments, signal);
  const { config } = context;
  const trial = summarizeTrial(found.trial);
  const tested = await evaluateTrial(context, trial);
  const { format: _format, written: _written, ...report } = await readEvaluationReport(experiments, trialId);
  const test = tested[0]!.test;
  const path = await writeEvaluationReport(experiments, { ...report, test });
  const baseline = baselineMetrics(context);
  const { metric } = config.study;
  hooks.say(studyTable({ metric, best_trial_id: trialId, trials: [trial], test, baseline }));
  hooks.say(`\nreport: ${path}`);
  return { study_id: found.study.id, metric, ...resultLine(config, trial), evaluation_report: path, test, baseline };
}
