/** Where things lie in the experiments folder; nothing else in the project builds these paths. */
import { join } from "node:path";

/** The search's database, in Optuna's schema. */
export const studyDatabasePath = (experiments: string): string => join(experiments, "study.db");

/** The tracking store, in MLflow's schema. */
export const trackingDatabasePath = (experiments: string): string => join(experiments, "mlflow.db");

/** One study's folder: summary_report.json, report.html, logs. */
export const studyFolder = (experiments: string, studyId: string): string => join(experiments, `study_${studyId}`);

/** What a study's tracking store has not got yet. */
export const trackingBufferPath = (experiments: string, studyId: string): string =>
  join(studyFolder(experiments, studyId), "tracking_buffer.jsonl");

/** One trial's folder: logs, checkpoints, config.yaml, evaluation_report.json. */
export const trialFolder = (experiments: string, trialId: string): string => join(experiments, `trial_${trialId}`);

/** The parent folder of one trial's checkpoints. */
export const checkpointsFolder = (experiments: string, trialId: string): string =>
  join(trialFolder(experiments, trialId), "checkpoints");

/** Text of posts that was made from the dataset (back-translations, reports with text): it lies here and nowhere else. */
export const postTextFolder = (experiments: string): string => join(experiments, "data");

/** The tokens of posts, which their text can be made of. */
export const tokensFolder = (experiments: string): string => join(postTextFolder(experiments), "tokens");

/** The folder in `postTextFolder` of the pages about studies that hold text of posts. */
export const TEXT_REPORTS = "reports";

/** A few pages that are given up when the disk is full, so that the last log lines and a commit have room. */
export const reserveFile = (experiments: string): string => join(experiments, ".reserve");
