/** Which trial's checkpoint a user means by a study, a trial, or nothing at all: read while others run, changing nothing. */
import { withParams } from "../config/compose.ts";
import type { Config } from "../config/schema.ts";
import { isFeasible } from "../hpo/best_trials.ts";
import { type FrozenTrial, listStudies, listTrials, openForReading } from "../hpo/study_db.ts";
import type { StoredStudy, StudyDatabase } from "../hpo/study_db.ts";
import { isFinished, isOwn, summarizeTrial, type TrialSummary } from "../hpo/trial_summary.ts";
import { listCheckpoints } from "../storage/checkpoint.ts";
import { checkpointsFolder } from "../storage/layout.ts";
import { inputError } from "../support/errors.ts";
import { chooseCheckpoints, type ChosenCheckpoints, describePassedOver } from "./choose_checkpoints.ts";
import { studiesPath, studyOf, trialOf } from "./find_stored.ts";
import { configOf } from "./stored.ts";
import { storedConfig } from "./study_attributes.ts";
import { withStoredCheckpoint } from "./study_storage.ts";

/** What a user names: one of the two, or neither for the latest finished study. */
export interface ModelChoice {
  readonly studyId?: string;
  readonly trialId?: string;
}

/** A trial's checkpoint, found and verified. */
export interface FoundModel extends ChosenCheckpoints {
  readonly study: StoredStudy;
  /** The trial's configuration. */
  readonly config: Config;
}

/** The states of a study's trials, for messages: "2 complete, 1 failed". */
export function describeStates(trials: readonly FrozenTrial[]): string {
  const names = { COMPLETE: "complete", PRUNED: "pruned", FAIL: "failed", RUNNING: "unfinished", WAITING: "waiting" };
  const counts = Map.groupBy(trials, ({ state }) => state);
  const parts = Object.entries(names).flatMap(([state, name]) => {
    const count = counts.get(state as FrozenTrial["state"])?.length ?? 0;
    return count === 0 ? [] : [`${count} ${name}`];
  });
  return parts.length === 0 ? "none was started" : parts.join(", ");
}

/** The trials that may be a study's best, with those of the same objective that retention has left no checkpoint. */
export function rankable(trials: readonly FrozenTrial[]): TrialSummary[] {
  return trials.filter((trial) => isOwn(trial) && isFeasible(trial) && trial.state === "COMPLETE").map(summarizeTrial);
}

/**
 * Refuses a study of which no trial has been completed.
 *
 * @throws an input error that says what became of its trials and what to do
 */
export function requireCompleted(study: StoredStudy, trials: readonly FrozenTrial[]): void {
  if (rankable(trials).length > 0) return;
  const own = trials.filter(isOwn);
  const over = own.length > 0 && own.every(({ state }) => state === "FAIL" || state === "PRUNED");
  throw inputError(
    `study ${study.id} has no completed trial: ${describeStates(own)}`,
    over
      ? "Its log says why trials failed; `deno task resume` runs what is left of study.n_trials"
      : `Continue it with \`deno task resume --study-id ${study.id}\``,
  );
}

/**
 * Refuses a trial without a checkpoint to use: one that has not ended well, or whose checkpoints are all gone.
 *
 * @throws an input error that says why there is none
 */
export async function requireCheckpoint(experiments: string, trial: TrialSummary): Promise<void> {
  if (trial.state !== "COMPLETE") {
    throw inputError(`trial ${trial.trial_id} has no checkpoint: it is ${trial.state}`, "Name a COMPLETE trial");
  }
  if ((await withStoredCheckpoint(experiments, trial)).checkpoint !== null) return;
  const folder = checkpointsFolder(experiments, trial.trial_id);
  // A best one that somebody has deleted beside others that are there is for the choice of checkpoints to tell.
  if ((await listCheckpoints(folder)).length > 0) return;
  throw inputError(
    `trial ${trial.trial_id} has no checkpoint any more: others were better`,
    "Name the study with --study-id for its best trial; retention.keep_best_k says how many trials keep theirs",
  );
}

/** The newest study that is through with its trials, else the newest with a completed one; the second is told. */
function latestStudy(db: StudyDatabase, say: (text: string) => void): StoredStudy {
  const usable = listStudies(db).flatMap((study) => {
    const config = storedConfig(study);
    const trials = listTrials(db, study);
    if (config === null || rankable(trials).length === 0) return [];
    return [{ study, finished: isFinished(trials, config.study.n_trials) }];
  });
  const found = usable.findLast(({ finished }) => finished) ?? usable.at(-1);
  if (!found) throw inputError(`no study in ${db.path} has a completed trial`, "Train one with `deno task train`");
  if (!found.finished) say(`warning: no study is finished; the best trial so far of study ${found.study.id} is used`);
  return found.study;
}

/**
 * Finds and verifies the checkpoint that a user means: of a study its best trial's, where that is damaged a co-best or the
 * next best one. The database is only read, and no lock is taken, so a run may be under way.
 *
 * @param say gets a line for whatever is not as it should be
 * @throws an input error when there is no such study or trial, or it has no checkpoint; a storage error when none is sound
 */
export async function findModel(
  experiments: string,
  choice: ModelChoice,
  say: (text: string) => void,
): Promise<FoundModel> {
  using db = openForReading(await studiesPath(experiments));
  const { study, trials } = await candidateTrials(db, experiments, choice, say);
  const config = configOf(study, experiments);
  const { metric, direction } = config.study;
  const chosen = await chooseCheckpoints(trials, { experiments, metric, direction });
  describePassedOver(chosen).forEach(say);
  return { ...chosen, study, config: withParams(config, chosen.trial.params) };
}

/**
 * The trials that are meant, among which the best is looked for, and their study.
 *
 * @param say gets a line where the latest study is meant and none is finished
 * @throws an input error when there is no such study or trial, or none with a checkpoint
 */
export async function candidateTrials(
  db: StudyDatabase,
  experiments: string,
  { studyId, trialId }: ModelChoice,
  say: (text: string) => void,
): Promise<{ study: StoredStudy; trials: readonly TrialSummary[] }> {
  if (trialId !== undefined) {
    const { study, trial } = trialOf(db, trialId);
    const summary = summarizeTrial(trial);
    await requireCheckpoint(experiments, summary);
    return { study, trials: [summary] };
  }
  const study = studyId === undefined ? latestStudy(db, say) : studyOf(db, studyId);
  const trials = listTrials(db, study);
  requireCompleted(study, trials);
  return { study, trials: rankable(trials) };
}
