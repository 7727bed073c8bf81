/** The end of a study: the test split is looked at, the summary report written and the table shown. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { bestOf, countEnded, isFinished, isOwn, summarizeTrial, type TrialSummary } from "../hpo/trial_summary.ts";
import { findStudy, type FrozenTrial, listTrials, type StoredStudy, type StudyDatabase } from "../hpo/study_db.ts";
import {
  readEvaluationReport,
  readSummaryReport,
  summaryReportPath,
  writeEvaluationReport,
  writeSummaryReport,
} from "../report/report_file.ts";
import { metricsTable, studyTable } from "../report/study_table.ts";
import { VERSION } from "../support/version.ts";
import {
  chooseCheckpoints,
  type ChosenCheckpoints,
  describePassedOver,
  type PassedOver,
} from "./choose_checkpoints.ts";
import { WEIGHTS_FILE } from "../train/state.ts";
import { thresholdFields } from "./checkpoint_details.ts";
import { baselineMetrics, evaluateCheckpoints, type EvaluatedCheckpoint } from "./evaluation.ts";
import { candidateTrials, describeStates, rankable, requireCompleted } from "./find_model.ts";
import { studyOf } from "./find_stored.ts";
import { reopen, withStudies } from "./stored.ts";
import { writeStudyReport } from "./study_report.ts";
import { withStoredCheckpoint } from "./study_storage.ts";
import { recordTestEvaluation } from "./test_evaluations.ts";
import { summariseGaps } from "./trial_gap.ts";
import { checkpointReference, experimentsFolder } from "./trial.ts";
import { dataReference, type StudyContext } from "./trial_context.ts";

/** A trial in the result of a command. */
export interface TrialResultLine {
  readonly trial_id: string;
  readonly number: number;
  readonly state: string;
  readonly value: number | null;
  /** The folder of the trial's best checkpoint, or null. */
  readonly checkpoint: string | null;
}

/** How far a study is. */
export interface StudyProgress {
  /** Trials that have ended, of `n_trials`. */
  readonly ended: number;
  readonly n_trials: number;
  readonly finished: boolean;
}

/** What is only in a result where it is out of the ordinary. */
export interface StudyRemarks {
  /** Of a study that is not through with its trials. */
  readonly progress?: StudyProgress;
  /** The trial that was evaluated on the test split, and the better checkpoints that could not be. */
  readonly tested_trial_id?: string;
  readonly passed_over?: readonly PassedOver[];
}

/** The object that `--json` prints of a study. */
export interface StudyResult extends StudyRemarks {
  readonly study_id: string;
  readonly metric: string;
  readonly best_trial_id: string;
  readonly best_value: number;
  readonly summary_report: string;
  readonly trials: readonly TrialResultLine[];
}

const resultLine = (config: Config, trial: TrialSummary): TrialResultLine => ({
  trial_id: trial.trial_id,
  number: trial.number,
  state: trial.state,
  value: trial.value,
  checkpoint: trial.checkpoint === null ? null : join(config.paths.experiments, trial.checkpoint),
});

/** What is said of a study that is not through with its trials, for people and in the report. */
function progressOf(trials: readonly FrozenTrial[], { study: { n_trials } }: Config) {
  return { ended: countEnded(trials), n_trials, finished: isFinished(trials, n_trials) };
}

/** What is recorded of a look at the test split. */
const lookOf = (trial_id: string, tested: readonly EvaluatedCheckpoint[]) => ({
  trial_id,
  checkpoints: tested.map(({ checkpoint }) => checkpoint.files[WEIGHTS_FILE]!.sha256),
});

/**
 * Evaluates the best trial on the test split, writes the summary report and shows the table.
 *
 * @param options.isUnchanged whether no trial has run since: a report that is there is shown, and the test split is not
 * looked at again
 */
export async function concludeStudy(
  db: StudyDatabase,
  study: StoredStudy,
  context: StudyContext,
  { say }: { say(text: string): void },
  { isUnchanged = false } = {},
): Promise<StudyResult> {
  const { config } = context;
  const { metric, direction } = config.study;
  const listed = listTrials(db, study);
  const stored = listed.filter(isOwn);
  requireCompleted(study, listed);
  const best = bestOf(study, stored)!;
  const progress = progressOf(listed, config);
  if (!progress.finished) {
    say(
      `${progress.ended} of ${progress.n_trials} trials have ended (${
        describeStates(stored)
      }): the best so far is evaluated`,
    );
  }
  const trials = await Promise.all(
    stored.map((trial) => withStoredCheckpoint(config.paths.experiments, summarizeTrial(trial))),
  );
  const bestSummary = summarizeTrial(best);
  const experiments = experimentsFolder(config);
  const written = isUnchanged && progress.finished
    ? await readSummaryReport(experiments, study.id).catch(() => undefined)
    : undefined;
  if (written?.best_trial_id === bestSummary.trial_id && written.trials.length === trials.length) {
    say(`\n${studyTable(written)}\n\nreport: ${summaryReportPath(config.paths.experiments, study.id)}`);
    return {
      study_id: study.id,
      metric,
      best_trial_id: written.best_trial_id,
      best_value: written.best_value,
      summary_report: summaryReportPath(config.paths.experiments, study.id),
      trials: trials.map((trial) => resultLine(config, trial)),
      ...(written.tested_trial_id !== undefined && written.passed_over && written.passed_over.length > 0
        ? { tested_trial_id: written.tested_trial_id, passed_over: written.passed_over }
        : {}),
    };
  }
  const chosen = await chooseCheckpoints(rankable(stored), { experiments, metric, direction });
  describePassedOver(chosen).forEach(say);
  const tested = await evaluateCheckpoints(context, chosen.trial, chosen.checkpoints, "test");
  const look = lookOf(chosen.trial.trial_id, tested);
  const test_evaluations = recordTestEvaluation(db, findStudy(db, study.id), look, say);
  const gaps = summariseGaps(context.cache.gap.gaps);
  const summary = {
    version: VERSION,
    study_id: study.id,
    metric,
    direction,
    progress,
    ...(gaps ? { trial_gaps: gaps } : {}),
    best_trial_id: bestSummary.trial_id,
    best_value: bestSummary.value!,
    trials,
    tested_trial_id: chosen.trial.trial_id,
    passed_over: [...chosen.passedOver],
    test: tested[0]!.metrics,
    test_details: tested[0]!.details,
    co_best: tested.map(({ checkpoint, metrics, thresholds }) => ({
      checkpoint: checkpointReference(experiments, checkpoint),
      test: metrics,
      ...thresholdFields(thresholds),
    })),
    test_evaluations,
    baseline: baselineMetrics(context),
    ...thresholdFields(tested[0]!.thresholds),
    config: JSON.parse(JSON.stringify(config)),
    adapter: { name: context.gpu.name },
    data: dataReference(context),
  };
  const path = await writeSummaryReport(config.paths.experiments, summary);
  say(`\n${studyTable(summary)}\n\nreport: ${path}`);
  await writePage(db, study, config.paths.experiments, say);
  return {
    study_id: study.id,
    metric,
    best_trial_id: summary.best_trial_id,
    best_value: summary.best_value,
    summary_report: path,
    trials: trials.map((trial) => resultLine(config, trial)),
    ...remarks(chosen, progress),
  };
}

/** What of a result is out of the ordinary; nothing where nothing is. */
function remarks({ trial, passedOver }: ChosenCheckpoints, progress: StudyProgress): StudyRemarks {
  return {
    ...(progress.finished ? {} : { progress }),
    ...(passedOver.length === 0 ? {} : { tested_trial_id: trial.trial_id, passed_over: passedOver }),
  };
}

/** Writes the study's page; the study is no worse off where that fails. */
async function writePage(
  db: StudyDatabase,
  study: StoredStudy,
  experiments: string,
  say: (text: string) => void,
): Promise<void> {
  try {
    const { report } = await writeStudyReport(db, study, experiments);
    say(`page: ${report}`);
  } catch (error) {
    say(`warning: the study's page could not be written: ${error instanceof Error ? error.message : error}`);
  }
}

/** Evaluates a study's best trial on the test split again and rewrites its summary report. */
export async function evaluateStudy(
  experiments: string,
  studyId: string,
  signal: AbortSignal,
  { say }: { say(text: string): void },
): Promise<StudyResult> {
  return await withStudies(experiments, async (db) => {
    const study = studyOf(db, studyId);
    // Before data and model are opened, which takes its time.
    requireCompleted(study, listTrials(db, study));
    return await concludeStudy(db, study, await reopen(study, experiments, signal), { say });
  });
}

/** What is evaluated: the best trial of a study, or one trial. */
export type EvaluationChoice = { readonly studyId: string } | { readonly trialId: string };

/** The result of an evaluation on the validation split. */
export interface ValidationResult {
  readonly study_id: string;
  readonly trial_id: string;
  readonly metric: string;
  readonly split: "validation";
  /** What training had measured of the first checkpoint. */
  readonly value: number;
  /** The best first, then those that tie with it. */
  readonly checkpoints: readonly { readonly checkpoint: string; readonly validation: Record<string, number> }[];
  readonly baseline: Record<string, number>;
  readonly passed_over?: readonly PassedOver[];
}

/**
 * Evaluates the best checkpoints of a study or trial on the validation split, as training did; no report is changed and the
 * test split is not looked at.
 */
export async function evaluateOnValidation(
  experiments: string,
  choice: EvaluationChoice,
  signal: AbortSignal,
  { say }: { say(text: string): void },
): Promise<ValidationResult> {
  return await withStudies(experiments, async (db) => {
    const { study, trials } = await candidateTrials(db, experiments, choice, say);
    const context = await reopen(study, experiments, signal);
    const { metric, direction } = context.config.study;
    const chosen = await chooseCheckpoints(trials, { experiments, metric, direction });
    describePassedOver(chosen).forEach(say);
    const { trial, value, passedOver } = chosen;
    const evaluated = await evaluateCheckpoints(context, trial, chosen.checkpoints, "validation");
    const [{ metrics }] = evaluated as [EvaluatedCheckpoint];
    const baseline = baselineMetrics(context, "validation");
    const found = metrics[metric]!;
    say(metricsTable("validation split", `trial ${trial.number}`, metrics, baseline));
    say(
      found === value
        ? `${metric} is as training measured it`
        : `warning: ${metric} is ${found}, and training measured ${value}: was that on another adapter?`,
    );
    return {
      study_id: study.id,
      trial_id: trial.trial_id,
      metric,
      split: "validation",
      value,
      checkpoints: evaluated.map(({ checkpoint, metrics }) => ({ checkpoint: checkpoint.folder, validation: metrics })),
      baseline,
      ...(passedOver.length === 0 ? {} : { passed_over: passedOver }),
    };
  });
}

/** Evaluates one trial on the test split and adds the figures to its evaluation report. */
export async function evaluateOneTrial(
  experiments: string,
  trialId: string,
  signal: AbortSignal,
  { say }: { say(text: string): void },
): Promise<object> {
  return await withStudies(experiments, async (db) => {
    const { study, trials } = await candidateTrials(db, experiments, { trialId }, say);
    const context = await reopen(study, experiments, signal);
    const { config } = context;
    const { metric, direction } = config.study;
    const chosen = await chooseCheckpoints(trials, { experiments, metric, direction });
    describePassedOver(chosen).forEach(say);
    const { trial, passedOver } = chosen;
    const tested = await evaluateCheckpoints(context, trial, chosen.checkpoints, "test");
    recordTestEvaluation(db, findStudy(db, study.id), lookOf(trialId, tested), say);
    const { format: _format, written: _written, ...report } = await readEvaluationReport(experiments, trialId);
    const [{ checkpoint, metrics: test, details, thresholds }] = tested as [EvaluatedCheckpoint];
    const path = await writeEvaluationReport(experiments, {
      ...report,
      ...thresholdFields(thresholds),
      test,
      test_details: details,
      test_checkpoint: checkpointReference(experimentsFolder(config), checkpoint),
      passed_over: [...passedOver],
    });
    const baseline = baselineMetrics(context);
    say(studyTable({ metric, best_trial_id: trialId, trials: [trial], test, baseline }));
    say(`\nreport: ${path}`);
    return {
      study_id: study.id,
      metric,
      ...resultLine(config, trial),
      evaluation_report: path,
      test,
      baseline,
      ...(passedOver.length === 0 ? {} : { passed_over: passedOver }),
    };
  });
}
