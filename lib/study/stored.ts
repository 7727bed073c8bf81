/** Studies that are stored: found in an experiments folder, and opened again with all that they stand on. */
import { type Config, configSchema } from "../config/schema.ts";
import type { Study } from "../hpo/study.ts";
import {
  findStudy,
  listStudies,
  listTrials,
  openStudyDatabase,
  type StoredStudy,
  type StudyDatabase,
} from "../hpo/study_db.ts";
import { countTaken } from "../hpo/trial_summary.ts";
import { studyDatabasePath } from "../storage/layout.ts";
import { lockFolder } from "../storage/lock.ts";
import { inputError, storageError } from "../support/errors.ts";
import { openContext } from "./context.ts";
import type { StudyChanges } from "./study.ts";
import { CONFIG } from "./study_storage.ts";
import { dataReference, type StudyContext } from "./trial.ts";

const DATA = "winnow:data";

/** How long a command waits for the run before it, which may just have been killed, to end. */
const PATIENCE_MS = 10_000;

/** What a study keeps of its beginning: its configuration, name and data. */
export function studyAttributes(context: StudyContext): Record<string, unknown> {
  const { config } = context;
  return { [CONFIG]: config, [DATA]: dataReference(context), "winnow:name": config.study.name };
}

/** Stores a configuration that a study goes on with. */
export function storeConfig(study: Study, config: Config): void {
  study.setUserAttribute(CONFIG, config);
}

/** The metric that a study optimises, where a command of Winnow's started it. */
export function metricOf({ userAttributes }: StoredStudy): string | undefined {
  const parsed = configSchema.safeParse(userAttributes[CONFIG]);
  return parsed.success ? parsed.data.study.metric : undefined;
}

/**
 * Runs `body` on the study database of an experiments folder, alone in that folder.
 *
 * @throws an input error when there is no database, a storage error when another run uses the folder
 */
export async function withStudies<T>(experiments: string, body: (db: StudyDatabase) => Promise<T>): Promise<T> {
  const path = studyDatabasePath(experiments);
  if (!await Deno.stat(path).then(() => true, () => false)) {
    throw inputError(`no study in ${experiments}`, "Start one with `deno task train`, or set paths.experiments");
  }
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
  const parsed = configSchema.safeParse(study.userAttributes[CONFIG]);
  if (!parsed.success) {
    throw storageError(
      `study ${study.id} holds no configuration that this version reads`,
      "Continue it with the version that started it",
    );
  }
  const { data } = parsed;
  return { ...data, paths: { ...data.paths, experiments }, study: { ...data.study, ...changes } };
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
  const began = study.userAttributes[DATA] as ReturnType<typeof dataReference> | undefined;
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
    const config = configSchema.safeParse(study.userAttributes[CONFIG]);
    return config.success ? [{ study, nTrials: changes.n_trials ?? config.data.study.n_trials }] : [];
  });
  const unfinished = ours.filter(({ study, nTrials }) => {
    const trials = listTrials(db, study);
    return trials.some(({ state }) => state === "RUNNING") || countTaken(trials) < nTrials;
  });
  return (unfinished.at(-1) ?? ours.at(-1))?.study ?? findStudy(db);
}
