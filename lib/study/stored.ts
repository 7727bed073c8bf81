/** Studies that are stored: found in an experiments folder, and opened again with all that they stand on. */
import type { Config } from "../config/schema.ts";
import {
  findStudy,
  listStudies,
  listTrials,
  openStudyDatabase,
  type StoredStudy,
  type StudyDatabase,
} from "../hpo/study_db.ts";
import { countTaken } from "../hpo/trial_summary.ts";
import { lockFolder } from "../storage/lock.ts";
import { inputError, storageError } from "../support/errors.ts";
import { openContext } from "./context.ts";
import { studiesPath } from "./find_stored.ts";
import type { StudyChanges } from "./study.ts";
import { storedConfig, storedData } from "./study_attributes.ts";
import { dataReference, type StudyContext } from "./trial_context.ts";

/** How long a command waits for the run before it, which may just have been killed, to end. */
const PATIENCE_MS = 10_000;

/**
 * Runs `body` on the study database of an experiments folder, alone in that folder.
 *
 * @throws an input error when there is no database, a storage error when another run uses the folder
 */
export async function withStudies<T>(experiments: string, body: (db: StudyDatabase) => Promise<T>): Promise<T> {
  const path = await studiesPath(experiments);
  using _lock = await lockFolder(experiments, PATIENCE_MS);
  using db = await openStudyDatabase(path);
  return await body(db);
}

/**
 * The configuration that a study was started with, in an experiments folder that may have moved since.
 *
 * @throws a storage error when it is not one of this version's
 */
export function configOf(study: StoredStudy, experiments: string, changes: StudyChanges = {}): Config {
  const stored = storedConfig(study);
  if (stored === null) {
    throw storageError(
      `study ${study.id} holds no configuration that this version reads`,
      "Continue it with the version that started it",
    );
  }
  return { ...stored, paths: { ...stored.paths, experiments }, study: { ...stored.study, ...changes } };
}

/**
 * Opens what a stored study stands on.
 *
 * @throws an input error when its data are no longer those it began with: its trials could not be compared
 */
export async function reopen(
  study: StoredStudy,
  experiments: string,
  signal: AbortSignal,
  changes: StudyChanges = {},
): Promise<StudyContext> {
  const context = await openContext(configOf(study, experiments, changes), study.id, signal);
  const began = storedData(study);
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

/**
 * The newest study with trials to run, else the newest of all. Studies that Optuna or another version made are passed
 * over.
 */
export function latestUnfinished(db: StudyDatabase, changes: StudyChanges = {}): StoredStudy {
  const ours = listStudies(db).flatMap((study) => {
    const config = storedConfig(study);
    return config === null ? [] : [{ study, nTrials: changes.n_trials ?? config.study.n_trials }];
  });
  const unfinished = ours.filter(({ study, nTrials }) => {
    const trials = listTrials(db, study);
    return trials.some(({ state }) => state === "RUNNING") || countTaken(trials) < nTrials;
  });
  return (unfinished.at(-1) ?? ours.at(-1))?.study ?? findStudy(db);
}
