/**
 * Which checkpoints stand for a study: those of its best trial that are sound, else the next best that are. What is passed
 * over is told, with the reason.
 */
import { relative, resolve } from "node:path";
import type { Direction } from "../hpo/trial.ts";
import type { TrialSummary } from "../hpo/trial_summary.ts";
import { type Checkpoint, listCheckpoints, verifyCheckpoint } from "../storage/checkpoint.ts";
import { checkpointsFolder } from "../storage/layout.ts";
import { inputError, storageError, WinnowError } from "../support/errors.ts";
import { isThere } from "../support/file_system.ts";

/** A checkpoint that should have been used, and why it was not. */
export interface PassedOver {
  readonly trial_id: string;
  /** Relative to the experiments folder. */
  readonly checkpoint: string;
  readonly reason: string;
}

/** What stands for a study or a trial. */
export interface ChosenCheckpoints {
  readonly trial: TrialSummary;
  /** The objective of these checkpoints on the validation split; the trial's unless its best ones are passed over. */
  readonly value: number;
  /** Verified; the best, and those of the trial that tie with it. */
  readonly checkpoints: readonly [Checkpoint, ...Checkpoint[]];
  /** In the order in which they were tried. */
  readonly passedOver: readonly PassedOver[];
}

/** Where the trials are and what they are compared by. */
export interface ChoosingOptions {
  readonly experiments: string;
  /** The name of the objective. */
  readonly metric: string;
  readonly direction: Direction;
}

/** Checkpoints of one trial with one value. */
interface Candidates {
  readonly trial: TrialSummary;
  readonly value: number;
  readonly checkpoints: readonly Checkpoint[];
}

/** A trial's checkpoints whose manifests are sound, by value, each group in the order of their steps. */
async function candidatesOf(trial: TrialSummary, { experiments, metric }: ChoosingOptions): Promise<Candidates[]> {
  const listed = await listCheckpoints(checkpointsFolder(experiments, trial.trial_id));
  const groups = Map.groupBy(listed, ({ info }) => info.metrics[metric]);
  return [...groups].flatMap(([value, checkpoints]) =>
    typeof value === "number" ? [{ trial, value, checkpoints }] : []
  );
}

/** The checkpoint that a trial names as its best, first among those that tie with it. */
function bestFirst(trial: TrialSummary, found: readonly Candidates[], experiments: string): Candidates {
  const { checkpoints = [] } = found.find(({ value }) => value === trial.value) ?? {};
  const isNamed = ({ folder }: Checkpoint) => relative(resolve(experiments), folder) === trial.checkpoint;
  return {
    trial,
    value: trial.value!,
    checkpoints: [...checkpoints.filter(isNamed), ...checkpoints.filter((one) => !isNamed(one))],
  };
}

/**
 * Chooses the checkpoints of the best of these trials: the best one and all that tie with it, those that verify. Where none
 * does, the next best checkpoint of all trials takes their place.
 *
 * @param trials COMPLETE ones with their values; the best is the one with the best value, the earliest among equals
 * @throws a storage error that names what is damaged when no checkpoint is sound, an input error when there is no trial
 */
export async function chooseCheckpoints(
  trials: readonly TrialSummary[],
  options: ChoosingOptions,
): Promise<ChosenCheckpoints> {
  const { experiments, direction } = options;
  const sign = direction === "maximize" ? 1 : -1;
  const ranked = trials.filter(({ state, value }) => state === "COMPLETE" && value !== null)
    .toSorted((a, b) => sign * (b.value! - a.value!) || a.number - b.number);
  const [best] = ranked;
  if (!best) throw inputError("there is no completed trial", "Continue the study with `deno task resume`");
  const passedOver: PassedOver[] = [];
  const pass = ({ trial_id }: TrialSummary, checkpoint: string, reason: string) =>
    passedOver.push({ trial_id, checkpoint, reason });
  const soundOf = async ({ trial, value, checkpoints }: Candidates): Promise<ChosenCheckpoints | undefined> => {
    const sound: Checkpoint[] = [];
    for (const { folder } of checkpoints) {
      try {
        sound.push(await verifyCheckpoint(folder));
      } catch (error) {
        if (!(error instanceof WinnowError)) throw error;
        pass(trial, relative(resolve(experiments), folder), error.message);
      }
    }
    const [first, ...others] = sound;
    return first && { trial, value, checkpoints: [first, ...others], passedOver };
  };

  const ofBest = await candidatesOf(best, options);
  const first = bestFirst(best, ofBest, experiments);
  const named = best.checkpoint === null ? undefined : resolve(experiments, best.checkpoint);
  if (named !== undefined && first.checkpoints[0]?.folder !== named) pass(best, best.checkpoint!, await whyNot(named));
  const chosen = await soundOf(first);
  if (chosen) return chosen;

  const rest = [...ofBest, ...(await Promise.all(ranked.slice(1).map((one) => candidatesOf(one, options)))).flat()]
    .filter(({ trial, value }) => trial !== best || value !== best.value)
    .toSorted((a, b) => sign * (b.value - a.value) || a.trial.number - b.trial.number);
  for (const candidates of rest) {
    const next = await soundOf(candidates);
    if (next) return next;
  }
  const reasons = passedOver.map(({ reason }) => reason);
  throw storageError(
    reasons.length === 0
      ? `trial ${best.trial_id} has no checkpoint any more, and no other trial has one`
      : `no checkpoint is left to use: ${reasons.join("; ")}`,
    "Restore another checkpoint from a copy, or train again",
  );
}

/** What is wrong with a checkpoint that is not listed among the sound ones. */
async function whyNot(folder: string): Promise<string> {
  if (!await isThere(folder)) {
    return `${folder} is not there any more: retention has removed it, or somebody has`;
  }
  return await verifyCheckpoint(folder).then(
    () => `${folder} has another value of the objective than its trial`,
    (error) => error instanceof Error ? error.message : String(error),
  );
}

/** What was passed over and what took its place, in lines for people; nothing where all was as it should be. */
export function describePassedOver({ trial, checkpoints, value, passedOver }: ChosenCheckpoints): string[] {
  if (passedOver.length === 0) return [];
  const [{ folder }] = checkpoints;
  const ties = trial.trial_id === passedOver[0]!.trial_id && trial.value === value;
  const place = ties ? "which ties with it" : "the next best";
  return [
    ...passedOver.map(({ reason }) => `warning: ${reason}`),
    `warning: used in its place: ${folder} of trial ${trial.number}, ${place} (validation ${value.toFixed(4)})`,
  ];
}
