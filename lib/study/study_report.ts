/**
 * A study's page: gathers what the database, the reports and the logs hold, and writes `study_<uuid>/report.html`. It reads
 * without the folder's lock, so that a study can be looked at while it runs.
 */
import { dirname, join } from "node:path";
import { stringify } from "yaml";
import { paramImportances } from "../hpo/importance/ped_anova.ts";
import type { Category, Distribution } from "../hpo/space.ts";
import { findStudy, listTrials, openStudyDatabase, type StoredStudy, type StudyDatabase } from "../hpo/study_db.ts";
import { bestTrial } from "../hpo/best_trials.ts";
import { FAILURE, isOwn, WARM_START } from "../hpo/trial_summary.ts";
import { FINISHED, type FrozenTrial } from "../hpo/trial.ts";
import { summaryReportPath } from "../report/report_file.ts";
import type { ReportEpoch, ReportParameter, ReportTrial, StudyReport } from "../report/study_report/data.ts";
import type { EvidenceExample } from "../report/study_report/evidence_example.ts";
import { studyReportHtml } from "../report/study_report/page.ts";
import { formatSeconds } from "../report/study_report/tables.ts";
import { testResultOf } from "../report/study_report/test_result.ts";
import { makeFolder, writeFileAtomic } from "../storage/atomic_file.ts";
import { postTextFolder, studyFolder, TEXT_REPORTS } from "../storage/layout.ts";
import { parseByteSize } from "../support/byte_size.ts";
import { inputError } from "../support/errors.ts";
import type { LogEvent } from "../support/logging.ts";
import { maskData, maskSecrets } from "../support/masking.ts";
import { VERSION } from "../support/version.ts";
import { studiesPath } from "./find_stored.ts";
import { loggedEvents } from "./logged_events.ts";
import { CHECKPOINT_SAVED, CHECKPOINTS_PRUNED, storageHistoryOf } from "./storage_history.ts";
import { storedConfig, storedData } from "./study_attributes.ts";

const EPOCH = "epoch";

/** The file without text of posts. */
export const reportPath = (experiments: string, studyId: string): string =>
  join(studyFolder(experiments, studyId), "report.html");

/** The file that has some: it lies where all text of posts lies. */
export const textReportPath = (experiments: string, studyId: string): string =>
  join(postTextFolder(experiments), TEXT_REPORTS, `study_${studyId}.html`);

/** What `deno task report --json` prints. */
export interface ReportResult {
  readonly study_id: string;
  readonly metric: string;
  readonly trials: number;
  readonly best_trial_id: string | null;
  readonly best_value: number | null;
  readonly report: string;
  readonly bytes: number;
  readonly with_text: boolean;
  /** Shares of the parameters, the most important first. */
  readonly importances: Readonly<Record<string, number>>;
}

/** Makes evidence examples of a study's best trial. */
export type ExampleMaker = (db: StudyDatabase, study: StoredStudy) => Promise<readonly EvidenceExample[]>;

/**
 * Writes the page of a study, or of the latest one, from its experiments folder.
 *
 * @param examples makes the examples where text of posts is asked for; null leaves all text out
 * @throws an input error when there is no such study or it has several objectives
 */
export async function reportStudy(
  experiments: string,
  studyId: string | undefined,
  examples: ExampleMaker | null = null,
): Promise<ReportResult> {
  using db = await openStudyDatabase(await studiesPath(experiments));
  const study = findStudy(db, studyId);
  return await writeStudyReport(db, study, experiments, examples === null ? null : await examples(db, study));
}

/** Gathers and writes the page of a study that is open already. */
export async function writeStudyReport(
  db: StudyDatabase,
  study: StoredStudy,
  experiments: string,
  examples: readonly EvidenceExample[] | null = null,
): Promise<ReportResult> {
  const report = { ...await gatherStudyReport(db, study, experiments), examples };
  const html = studyReportHtml(report);
  const path = (examples === null ? reportPath : textReportPath)(experiments, fileName(study.id));
  await makeFolder(dirname(path));
  await writeFileAtomic(path, html);
  const best = report.trials.find(({ number }) => number === report.best);
  return {
    study_id: study.id,
    metric: report.metric,
    trials: report.trials.length,
    best_trial_id: best?.id ?? null,
    best_value: best?.value ?? null,
    report: path,
    bytes: new TextEncoder().encode(html).length,
    with_text: examples !== null,
    importances: Object.fromEntries(
      report.parameters.flatMap(({ name, importance }) => importance === null ? [] : [[name, importance]]),
    ),
  };
}

/** A study of another program may have any name: in a path it has letters, digits, dots, dashes and underscores only. */
const fileName = (studyId: string): string => studyId.replace(/[^\w.-]+/g, "_").slice(0, 100);

/** All that the page shows, but for the examples. */
export async function gatherStudyReport(
  db: StudyDatabase,
  study: StoredStudy,
  experiments: string,
): Promise<StudyReport> {
  const direction = study.directions[0]!;
  if (study.directions.length > 1) {
    throw inputError(
      `study ${study.id} has ${study.directions.length} objectives, and the report shows one`,
      "Open study.db with optuna-dashboard",
    );
  }
  const all = listTrials(db, study);
  const config = storedConfig(study);
  // What a study has learnt from at its start is not its own work.
  const trials = all.filter((trial) => trial.state !== "WAITING" && !(WARM_START in trial.userAttributes));
  const best = bestTrial(config === null ? trials : trials.filter(isOwn), direction);
  const ids = trials.flatMap(({ id }) => id !== null && fileName(id) === id ? [id] : []);
  const messages = new Set([EPOCH, CHECKPOINT_SAVED, CHECKPOINTS_PRUNED]);
  const events = config === null ? [] : await loggedEvents(experiments, fileName(study.id), ids, messages);
  const capBytes = config === null ? null : parseByteSize(config.retention.max_total_size);
  const epochs = Map.groupBy(events.filter(({ message }) => message === EPOCH), ({ trial }) => trial);
  const summary = await readSummary(experiments, fileName(study.id));
  return {
    written: new Date().toISOString(),
    version: VERSION,
    studyId: study.id,
    name: config?.study.name ?? study.id,
    metric: config?.study.metric ?? "value",
    direction,
    facts: factsOf(summary, study, trials),
    trials: trials.map((trial) => reportTrial(trial, epochs.get(trial.id ?? "") ?? [])),
    best: best?.number ?? null,
    parameters: parametersOf(all, trials, study),
    storage: storageHistoryOf(events.filter(({ message }) => message !== EPOCH), capBytes),
    test: summary === undefined
      ? { missing: "The test split has not been looked at yet: that is done at the end of the study." }
      : testResultOf(summary),
    configuration: config === null ? null : stringify(maskData(config)),
    examples: null,
  };
}

/** The summary report as it stands; undefined where there is none, null where it is not JSON. */
async function readSummary(experiments: string, studyId: string): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(summaryReportPath(experiments, studyId)));
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

const finite = (value: unknown): number | null => typeof value === "number" && Number.isFinite(value) ? value : null;

/** A trial with its reports; the logs know its losses too. Of an epoch that was run twice the later run counts. */
function reportTrial(trial: FrozenTrial, events: readonly LogEvent[]): ReportTrial {
  const { number, id, state, params, started, completed, values } = trial;
  const epochs = new Map<number, ReportEpoch>();
  for (const { step, value } of trial.intermediate) {
    epochs.set(step, { epoch: step, value: finite(value), trainLoss: null, validationLoss: null });
  }
  for (const { context } of events) {
    const epoch = finite(context["epoch"]);
    if (epoch === null) continue;
    const validation = context["validation"] as Record<string, unknown> | null | undefined;
    epochs.set(epoch, {
      epoch,
      value: epochs.get(epoch)?.value ?? null,
      trainLoss: finite(context["train_loss"]),
      validationLoss: finite(validation?.["validation_loss"]),
    });
  }
  const inOrder = [...epochs.values()].sort((a, b) => a.epoch - b.epoch);
  const reported = inOrder.findLast(({ value }) => value !== null)?.value ?? null;
  const failure = trial.userAttributes[FAILURE];
  return {
    number,
    id,
    state,
    value: state === "COMPLETE" ? finite(values?.[0]) : state === "FAIL" ? null : reported,
    params,
    epochs: inOrder,
    seconds: started !== null && completed !== null ? (Date.parse(completed) - Date.parse(started)) / 1000 : null,
    failure: typeof failure === "string" ? maskSecrets(failure) : null,
  };
}

/** The parameters of the search, the most important first, then those of no complete trial. */
function parametersOf(
  all: readonly FrozenTrial[],
  trials: readonly FrozenTrial[],
  { directions }: StoredStudy,
): ReportParameter[] {
  // Over all trials of the database, those of a warm start too: as Optuna does.
  const importances = paramImportances(all, directions);
  const distributions = new Map<string, Distribution[]>();
  for (const trial of trials) {
    for (const [name, one] of Object.entries(trial.distributions)) {
      const known = distributions.get(name) ?? [];
      if (!known.includes(one)) distributions.set(name, [...known, one]);
    }
  }
  return [...distributions].map(([name, seen]): ReportParameter => {
    const choices = new Set<Category>(seen.flatMap((one) => one.type === "categorical" ? one.choices : []));
    return {
      name,
      type: choices.size > 0 ? "categorical" : seen[0]!.type,
      log: seen.every((one) => one.type !== "categorical" && (one.log ?? false)),
      choices: [...choices],
      importance: importances[name] ?? null,
    };
  }).sort((a, b) => (b.importance ?? -1) - (a.importance ?? -1));
}

/** Data, adapter and time. */
function factsOf(summary: unknown, study: StoredStudy, trials: readonly FrozenTrial[]): StudyReport["facts"] {
  const { adapter } = (summary ?? {}) as { adapter?: { name?: unknown } };
  const data = storedData(study);
  const started = trials.flatMap(({ started }) => started ?? []).sort()[0];
  const seconds = trials.reduce((sum, { started, completed, state }) => {
    if (started === null || completed === null || !FINISHED.has(state)) return sum;
    return sum + (Date.parse(completed) - Date.parse(started)) / 1000;
  }, 0);
  const counts = Object.entries(data?.posts ?? {}).map(([split, count]) => `${count} ${split}`).join(", ");
  return [
    ...(data === undefined ? [] : [{ name: "data", value: `${data.id}: ${counts} posts` }]),
    ...(typeof adapter?.name === "string" ? [{ name: "adapter", value: adapter.name }] : []),
    ...(started === undefined ? [] : [{ name: "started", value: started.slice(0, 16).replace("T", " ") + " UTC" }]),
    ...(seconds > 0 ? [{ name: "time of the trials", value: formatSeconds(seconds) }] : []),
  ];
}
