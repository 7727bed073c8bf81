/**
 * Trials of an earlier study that a new one learns from. They are copied into it, as Optuna's `add_trials` does it, so that
 * Optuna learns from them too and the earlier study may go; they count for neither `n_trials` nor the best trial.
 */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { type ConditionalSpace, distributionsOf } from "../hpo/conditional_space.ts";
import { areCompatible, contains } from "../hpo/space.ts";
import { findStudy, listTrials, openStudyDatabase, type StudyDatabase, type TrialTemplate } from "../hpo/study_db.ts";
import { WARM_START } from "../hpo/trial_summary.ts";
import type { FrozenTrial } from "../hpo/trial.ts";
import { inputError } from "../support/errors.ts";
import { isThere } from "../support/file_system.ts";
import { storedConfig } from "./study_attributes.ts";

/**
 * The completed and pruned trials of the study that `study.warm_start` names, with those of their parameters that the space
 * has too, of the same kind, and whose value lies in it.
 *
 * @throws an input error when there is no such study, it optimises something else, or no trial has such a parameter
 */
export async function warmStart(
  config: Config,
  space: ConditionalSpace,
  db: StudyDatabase,
): Promise<TrialTemplate[]> {
  const { warm_start, metric, direction } = config.study;
  if (warm_start === null) return [];
  const { path, study_id } = typeof warm_start === "string" ? { path: db.path, study_id: warm_start } : warm_start;
  if (path === db.path) return learnt(db);
  const file = await Deno.stat(path).then(({ isDirectory }) => isDirectory ? join(path, "study.db") : path, () => path);
  if (!await isThere(file)) {
    throw inputError(`study.warm_start: there is no file ${file}`, "Give the path of a study.db.");
  }
  using other = await openStudyDatabase(file);
  return learnt(other);

  function learnt(from: StudyDatabase): TrialTemplate[] {
    const study = findStudy(from, study_id);
    const found = storedConfig(study)?.study.metric;
    if (study.directions.join() !== direction || (found !== undefined && found !== metric)) {
      throw inputError(
        `study.warm_start: study ${study_id} optimises ${found ?? "its objective"} (${study.directions.join(", ")}), ` +
          `not ${metric} (${direction})`,
        "Name a study of the same metric and direction, or set study.warm_start=null.",
      );
    }
    const trials = listTrials(from, study).flatMap((trial) => compatibleTrial(trial, space, study_id));
    if (trials.length === 0) {
      throw inputError(
        `study.warm_start: no finished trial of study ${study_id} has a parameter of this search space`,
        "Name another study, or set study.warm_start=null.",
      );
    }
    return trials;
  }
}

function compatibleTrial(trial: FrozenTrial, space: ConditionalSpace, study: string): TrialTemplate[] {
  const { state, values, intermediate, started, completed, number } = trial;
  if (state !== "COMPLETE" && state !== "PRUNED") return [];
  const known = distributionsOf(space);
  const names = Object.keys(trial.params).filter((name) => {
    const distribution = known[name], before = trial.distributions[name];
    return distribution !== undefined && before !== undefined && areCompatible(before, distribution) &&
      contains(distribution, trial.params[name]);
  });
  if (names.length === 0) return [];
  return [{
    ...{ state, values, intermediate, started, completed },
    params: Object.fromEntries(names.map((name) => [name, trial.params[name]!])),
    distributions: Object.fromEntries(names.map((name) => [name, known[name]!])),
    userAttributes: { [WARM_START]: { study, number } },
  }];
}
