/**
 * Which of one trial's checkpoints stay, as a pure function of what their manifests say (step and metric): neither names nor
 * times of files count, and the order of the arguments does not matter. What a whole study keeps is decided with it in
 * retention_decision.ts.
 */

/** How many checkpoints a trial keeps. */
export interface RetentionPolicy {
  /** The newest n by step. 0 still keeps the resume point while the trial runs. */
  readonly keep_last_n: number;
  /** The best k by the metric; those that tie with the k-th stay too. */
  readonly keep_best_k: number;
  /** The most that ties with the k-th may add up to; those that tie with the very best stay in any number. */
  readonly keep_best_k_max?: number | undefined;
}

/** What the rule needs to know of a checkpoint. */
export interface Ranked {
  readonly name: string;
  readonly resumable: boolean;
  readonly info: { readonly step: number; readonly metrics: Readonly<Record<string, number | null>> };
}

/** The optimum's side of the metric. */
export type Direction = "maximize" | "minimize";

/** The rule's arguments beside the checkpoints. */
export interface RetentionRule {
  readonly policy: RetentionPolicy;
  /** A key of `info.metrics`. A checkpoint without it, or with null, is never among the best. */
  readonly metric: string;
  readonly direction: Direction;
  /** The trial will not be resumed: no resume point is needed. One checkpoint always remains all the same. */
  readonly finished?: boolean | undefined;
}

/** The best k, with those that tie with the k-th up to k_max, and with all that tie with the best. */
export function bestBy<T>(all: readonly T[], valueOf: (one: T) => number | null, rule: BestRule): T[] {
  const sign = rule.direction === "maximize" ? 1 : -1;
  const score = (one: T) => {
    const value = valueOf(one);
    return typeof value === "number" && !Number.isNaN(value) ? sign * value : -Infinity;
  };
  const ranked = all.filter((one) => score(one) > -Infinity).sort((a, b) => score(b) - score(a));
  const worstKept = ranked[Math.min(rule.k, ranked.length) - 1];
  if (worstKept === undefined) return [];
  const most = Math.max(rule.k, rule.max ?? Infinity);
  return ranked.filter((one, rank) =>
    score(one) === score(ranked[0]!) || (score(one) >= score(worstKept) && rank < most)
  );
}

/** How many are the best, and by which side. */
export interface BestRule {
  readonly k: number;
  readonly max: number | undefined;
  readonly direction: Direction;
}

/** Checkpoints by what is done with them. */
export interface RetentionPlan<T> {
  remove: T[];
  /** Kept as "best" only: their optimizer state can go. */
  reduce: T[];
  keep: T[];
}

/** By step, then by name: what two checkpoints of one trial cannot share. */
export const byStep = (a: Ranked, b: Ranked) => a.info.step - b.info.step || (a.name < b.name ? -1 : 1);

/** Sorts one trial's checkpoints into those to remove, to reduce to their weights, and to keep whole. */
export function planRetention<T extends Ranked>(checkpoints: readonly T[], rule: RetentionRule): RetentionPlan<T> {
  const { keep_last_n, keep_best_k: k, keep_best_k_max: max } = rule.policy;
  const sorted = [...checkpoints].sort(byStep);
  const top = bestBy(sorted, (one) => one.info.metrics[rule.metric] ?? null, { k, max, direction: rule.direction });
  const whole = new Set<T | undefined>(keep_last_n > 0 ? sorted.slice(-keep_last_n) : []);
  if (!rule.finished) whole.add(sorted.at(-1)).add(sorted.findLast((one) => one.resumable));
  const kept = new Set<T | undefined>([...whole, ...top]);
  if (kept.size === 0) kept.add(sorted.at(-1));
  const reduced = (one: T) => one.resumable && (rule.finished === true || !whole.has(one));
  return {
    remove: sorted.filter((one) => !kept.has(one)),
    reduce: sorted.filter((one) => kept.has(one) && reduced(one)),
    keep: sorted.filter((one) => kept.has(one) && !reduced(one)),
  };
}

/** The newest by step of some checkpoints. */
export const newest = <T extends Ranked>(checkpoints: readonly T[]): T | undefined =>
  checkpoints.reduce<T | undefined>((found, one) => !found || one.info.step > found.info.step ? one : found, undefined);
