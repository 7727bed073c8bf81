/**
 * Which checkpoints stay: the last n, the best k with all that tie with the k-th, and always the newest and the newest
 * that can be resumed from. Ranked by the step and the metric in the manifests, never by names or times. Deleting
 * happens after a save, so at the worst there is one checkpoint too many and never none.
 */
import type { WinnowError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem } from "../support/file_system.ts";
import {
  type Checkpoint,
  dropOptimizer,
  listCheckpoints,
  type OnWarning,
  removeCheckpoint,
  verifyCheckpoint,
} from "./checkpoint.ts";

/** How many checkpoints a trial keeps. */
export interface RetentionPolicy {
  /** The newest n by step. 0 still keeps the resume point while the trial runs. */
  keep_last_n: number;
  /** The best k by the metric; those that tie with the k-th stay too. */
  keep_best_k: number;
}

/** What the rule needs to know of a checkpoint. */
export type Ranked = Pick<Checkpoint, "name" | "resumable"> & { info: Pick<Checkpoint["info"], "step" | "metrics"> };

/** The optimum's side of the metric. */
export type Direction = "maximize" | "minimize";

/** The rule's arguments beside the checkpoints. */
export interface RetentionRule {
  policy: RetentionPolicy;
  /** A key of `info.metrics`. A checkpoint without it, or with null, is never among the best. */
  metric: string;
  direction: Direction;
  /** The trial will not be resumed: no resume point is needed. One checkpoint always remains all the same. */
  finished?: boolean | undefined;
}

/** The best k and those equal to the k-th of them. */
function best<T extends Ranked>(checkpoints: readonly T[], { policy, metric, direction }: RetentionRule): T[] {
  const sign = direction === "maximize" ? 1 : -1;
  const score = (one: T) => {
    const value = one.info.metrics[metric];
    return typeof value === "number" && !Number.isNaN(value) ? sign * value : -Infinity;
  };
  const ranked = checkpoints.filter((one) => score(one) > -Infinity).sort((a, b) => score(b) - score(a));
  const worstKept = ranked[Math.min(policy.keep_best_k, ranked.length) - 1];
  return worstKept === undefined ? [] : ranked.filter((one) => score(one) >= score(worstKept));
}

/** Checkpoints by what is done with them. */
export interface RetentionPlan<T> {
  remove: T[];
  /** Kept as "best" only: their optimizer state can go. */
  reduce: T[];
  keep: T[];
}

/** Sorts checkpoints into those to remove, to reduce to their weights, and to keep whole. Pure; order does not matter. */
export function planRetention<T extends Ranked>(checkpoints: readonly T[], rule: RetentionRule): RetentionPlan<T> {
  const byStep = [...checkpoints].sort((a, b) => a.info.step - b.info.step);
  const top = best(byStep, rule);
  const last = rule.policy.keep_last_n > 0 ? byStep.slice(-rule.policy.keep_last_n) : [];
  const whole = new Set<T | undefined>(last);
  if (!rule.finished) whole.add(byStep.at(-1)).add(byStep.findLast((one) => one.resumable));
  const kept = new Set<T | undefined>([...whole, ...top]);
  if (kept.size === 0) kept.add(byStep.at(-1));
  return {
    remove: byStep.filter((one) => !kept.has(one)),
    reduce: byStep.filter((one) => kept.has(one) && one.resumable && (rule.finished || !whole.has(one))),
    keep: byStep.filter((one) => kept.has(one) && !(one.resumable && (rule.finished || !whole.has(one)))),
  };
}

/**
 * Applies the policy to a folder of checkpoints after a save: removes, and drops optimizer states.
 *
 * Before anything goes, the checkpoints that stay are relied upon: the newest of them is read whole and compared with
 * its manifest. If it is damaged it counts as absent, with a warning, and the rule is asked again without it.
 *
 * @returns the checkpoints that are there afterwards, by ascending step, and the names of the removed ones.
 */
export async function applyRetention(
  parent: string,
  rule: RetentionRule,
  onWarning: OnWarning = () => {},
  fs: FileSystem = diskFileSystem,
): Promise<{ kept: Checkpoint[]; removed: string[] }> {
  let sound = await listCheckpoints(parent, onWarning, fs);
  let plan = planRetention(sound, rule);
  while (plan.remove.length + plan.reduce.length > 0) {
    const witness = [...plan.keep, ...plan.reduce].sort((a, b) => b.info.step - a.info.step)[0]!;
    const damage = await verifyCheckpoint(witness.folder, fs).then(() => null, (error: WinnowError) => error);
    if (damage === null) break;
    onWarning(damage.message);
    sound = sound.filter((one) => one !== witness);
    plan = planRetention(sound, rule);
  }
  // Removing comes first, since a manifest needs room to be written and the disk may be full.
  for (const one of plan.remove) await removeCheckpoint(one.folder, fs);
  const reduced: Checkpoint[] = [];
  for (const one of plan.reduce) reduced.push(await dropOptimizer(one, undefined, fs));
  const kept = [...plan.keep, ...reduced].sort((a, b) => a.info.step - b.info.step);
  return { kept, removed: plan.remove.map((one) => one.name) };
}
