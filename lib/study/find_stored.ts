/** What of an experiments folder a user names: its studies and trials, with what was probably meant where there is none. */
import { findStudy, findTrial, type FrozenTrial, listStudies, listTrials } from "../hpo/study_db.ts";
import type { StoredStudy, StudyDatabase } from "../hpo/study_db.ts";
import { isOwn } from "../hpo/trial_summary.ts";
import { studyDatabasePath } from "../storage/layout.ts";
import { inputError } from "../support/errors.ts";
import { isThere } from "../support/file_system.ts";
import { nearest } from "../support/text_distance.ts";

/**
 * The study database of an experiments folder.
 *
 * @throws an input error when there is none
 */
export async function studiesPath(experiments: string): Promise<string> {
  const path = studyDatabasePath(experiments);
  if (await isThere(path)) return path;
  throw inputError(`no study in ${experiments}`, "Start one with `deno task train`, or set paths.experiments");
}

/** The one of `ids` that a text begins or nearly is. */
const meant = (id: string, ids: readonly string[]): string | undefined =>
  ids.find((one) => one.startsWith(id)) ?? nearest(id, ids);

const didYouMean = (id: string | undefined) => id === undefined ? "" : `Did you mean ${id}? `;

/**
 * The study with this id.
 *
 * @throws an input error that names the nearest id and the newest studies, or says that it is a trial's
 */
export function studyOf(db: StudyDatabase, id: string): StoredStudy {
  const ids = listStudies(db).map((study) => study.id);
  if (ids.length === 0 || ids.includes(id)) return findStudy(db, id);
  const trial = findTrial(db, id);
  if (trial) {
    throw inputError(`${id} is a trial of study ${trial.study.id}, no study`, `Use --trial-id ${id}`);
  }
  const newest = ids.slice(-5).reverse().join(", ");
  throw inputError(
    `no study ${id} in ${db.path}`,
    `${didYouMean(meant(id, ids))}Give the id of a known study, the newest first: ${newest}.`,
  );
}

/**
 * The trial with this id, and its study.
 *
 * @throws an input error that names the nearest id and the newest study's trials, or says that it is a study's
 */
export function trialOf(db: StudyDatabase, id: string): { study: StoredStudy; trial: FrozenTrial } {
  const found = findTrial(db, id);
  if (found) return found;
  const studies = listStudies(db);
  if (studies.some((study) => study.id === id)) throw inputError(`${id} is a study, no trial`, `Use --study-id ${id}`);
  const trials = studies.map((study) => listTrials(db, study).filter(isOwn).map((trial) => trial.id!));
  const newest = trials.findLast((ids) => ids.length > 0)?.slice(-5).reverse().join(", ");
  throw inputError(
    `no trial ${id} in ${db.path}`,
    newest === undefined
      ? "Start a study with `deno task train`"
      : `${
        didYouMean(meant(id, trials.flat()))
      }Name a trial of the table that a study ends with; the newest study has ` +
        `${newest}.`,
  );
}
