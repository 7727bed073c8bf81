/** The end of a study: the test split is looked at, the summary report written and the table shown. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { bestOf, isOwn, summarizeTrial, type TrialSummary } from "../hpo/trial_summary.ts";
import { findStudy, findTrial, listTrials, type StoredStudy, type StudyDatabase } from "../hpo/study_db.ts";
import { readEvaluationReport, writeEvaluationReport, writeSummaryReport } from "../report/report_file.ts";
import { studyTable } from "../report/study_table.ts";
import { inputError } from "../support/errors.ts";
import { VERSION } from "../support/version.ts";
import { WEIGHTS_FILE } from "../train/state.ts";
import { baselineMetrics, evaluateTrial, type TestedCheckpoint } from "./evaluation.ts";
import { thresholdFields } from "./checkpoint_details.ts";
import { reopen, withStudies } from "./stored.ts";
import { writeStudyReport } from "./study_report.ts";
import { withStoredCheckpoint } from "./study_storage.ts";
import { recordTestEvaluation } from "./test_evaluations.ts";
import { checkpointReference, dataReference, experimentsFolder, type StudyContext } from "./trial.ts";

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

const resultLine = (config: Config, trial: TrialSummary): TrialResultLine => ({
  trial_id: trial.trial_id,
  number: trial.number,
  state: trial.state,
  value: trial.value,
  checkpoint: trial.checkpoint === null ? null : join(config.paths.experiments, trial.checkpoint),
});

/** What is recorded of a look at the test split. */
const lookOf = (trial_id: string, tested: readonly TestedCheckpoint[]) => ({
  trial_id,
  checkpoints: tested.map(({ checkpoint }) => checkpoint.files[WEIGHTS_FILE]!.sha256),
});

/** Evaluates the best trial on the test split, writes the summary report and shows the table. */
export async function concludeStudy(
  db: StudyDatabase,
  study: StoredStudy,
  context: StudyContext,
  { say }: { say(text: string): void },
): Promise<StudyResult> {
  const { config } = context;
  const stored = listTrials(db, study).filter(isOwn);
  const best = bestOf(study, stored);
  if (!best) throw inputError(`study ${study.id} has no completed trial`, "Continue it with `deno task resume`");
  const trials = await Promise.all(
    stored.map((trial) => withStoredCheckpoint(config.paths.experiments, summarizeTrial(trial))),
  );
  const bestSummary = summarizeTrial(best);
  const tested = await evaluateTrial(context, bestSummary);
  const test_evaluations = recordTestEvaluation(
    db,
    findStudy(db, study.id),
    lookOf(bestSummary.trial_id, tested),
    say,
  );
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
    test_details: tested[0]!.details,
    co_best: tested.map(({ checkpoint, test, thresholds }) => ({
      checkpoint: checkpointReference(experiments, checkpoint),
      test,
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
    const study = findStudy(db, studyId);
    return await concludeStudy(db, study, await reopen(study, experiments, signal), { say });
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
    const found = findTrial(db, trialId);
    if (!found) {
      throw inputError(`no trial ${trialId} in ${db.path}`, "Name a trial of the table that a study ends with");
    }
    const context = await reopen(found.study, experiments, signal);
    const { config } = context;
    const trial = await withStoredCheckpoint(experiments, summarizeTrial(found.trial));
    const tested = await evaluateTrial(context, trial);
    recordTestEvaluation(db, found.study, lookOf(trialId, tested), say);
    const { format: _format, written: _written, ...report } = await readEvaluationReport(experiments, trialId);
    const { test, details, thresholds } = tested[0]!;
    const path = await writeEvaluationReport(experiments, {
      ...report,
      ...thresholdFields(thresholds),
      test,
      test_details: details,
    });
    const baseline = baselineMetrics(context);
    const { metric } = config.study;
    say(studyTable({ metric, best_trial_id: trialId, trials: [trial], test, baseline }));
    say(`\nreport: ${path}`);
    return { study_id: found.study.id, metric, ...resultLine(config, trial), evaluation_report: path, test, baseline };
  });
}
