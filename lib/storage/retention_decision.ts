/**
 * Which of a study's checkpoints stay, as a pure function of what manifests and the study database say (step, metric, bytes,
 * state of the trial); retention_rule.ts has the rule for one trial. Deleting is elsewhere (retention.ts), so a decision
 * can be tested, simulated and shown without a disk.
 *
 * A checkpoint can still matter as the point to resume the running trial from, or as the best of a trial that may be the
 * study's best. All others go right after a save. A new checkpoint is saved before an old one goes, so one save is
 * always on top: what is decided here keeps room for it.
 */
import {
  bestBy,
  byStep,
  type Direction,
  planRetention,
  type Ranked,
  type RetentionPlan,
  type RetentionPolicy,
} from "./retention_rule.ts";

/** In which order checkpoints go where only some have to. */
export const PRUNING_STRATEGIES = {
  oldest_first: "The oldest checkpoints go first",
  smallest_first: "The smallest checkpoints go first",
} as const;

/** What a study may keep. */
export interface StudyPolicy extends RetentionPolicy {
  /** Bytes that all checkpoints of the study may take; one save in progress is on top where the least that stays fills it. */
  readonly maxTotalBytes: number;
  readonly strategy: keyof typeof PRUNING_STRATEGIES;
}

/** A checkpoint of a study. */
export interface StudyCheckpoint extends Ranked {
  /** The trial's id. */
  readonly trial: string;
  /** Bytes of its files, and the optimizer state's share of them. */
  readonly bytes: number;
  readonly optimizerBytes: number;
}

/** A trial as the study database has it; states are Optuna's. */
export interface TrialStanding {
  readonly id: string;
  /** Position in the study, from 0. */
  readonly number: number;
  readonly state: "RUNNING" | "WAITING" | "COMPLETE" | "PRUNED" | "FAIL";
  /** The objective of a COMPLETE trial. */
  readonly value: number | null;
}

/** All that a decision depends on. */
export interface RetentionState<T extends StudyCheckpoint> {
  readonly policy: StudyPolicy;
  readonly metric: string;
  readonly direction: Direction;
  readonly trials: readonly TrialStanding[];
  /** Checkpoints of these trials; those of other trials are none of this study's business and stay. */
  readonly checkpoints: readonly T[];
  /** The id of the trial whose save this is about, or null between trials. */
  readonly current: string | null;
  /** The current trial's training is over, though it is not stored as COMPLETE yet. */
  readonly finished?: boolean;
  /** Trials from this number on, and all that have ended, are held to keep_best_k=1 and keep_last_n=0. */
  readonly tightFrom: number | null;
  readonly room: {
    /** Bytes free on the disk now. */
    readonly freeBytes: number;
    /** Bytes of the next save. */
    readonly neededBytes: number;
    /** Bytes that should be free beside: what lies below is disk pressure, but loses no checkpoint of the best. */
    readonly wantedBytes: number;
  };
}

/** What is done with a study's checkpoints. */
export interface RetentionDecision<T> extends RetentionPlan<T> {
  /** Why each checkpoint of `remove` and `reduce` goes or shrinks. */
  readonly reasons: ReadonlyMap<T, string>;
  /** How far disk pressure went: 0 none, 1 what is unprotected, 2 the tight policy, 3 all but best and resume point. */
  readonly pressure: 0 | 1 | 2 | 3;
  readonly tightFrom: number | null;
  /** Bytes of the checkpoints that stay. */
  readonly bytes: number;
  /** Bytes that this frees. */
  readonly freedBytes: number;
}

const TIGHT: RetentionPolicy = { keep_last_n: 0, keep_best_k: 1, keep_best_k_max: 1 };

/**
 * Decides which of a study's checkpoints go. Without pressure:
 *
 * - of trials that run, what `planRetention` keeps;
 * - of the best `keep_best_k` COMPLETE trials, and those as good, what it keeps of a finished trial;
 * - of all others nothing. If nothing would remain at all, one checkpoint does.
 *
 * Pressure is that the next save would not fit in the cap or on the disk, or that less than `wantedBytes` would be free
 * beside it. It goes in steps until there is none: (1) what is unprotected goes, as always; (2) trials that have ended, and
 * those from the next on, keep their best only and no last ones; (3) what is no resume point loses its optimizer state, then
 * checkpoints go in the order of `strategy` until the save fits, up to the single best one of the study and the resume
 * point of each running trial. Step 3 is for what the cap and the next save need, not for `wantedBytes`: it may take one
 * that ties with the best.
 */
export function decideRetention<T extends StudyCheckpoint>(state: RetentionState<T>): RetentionDecision<T> {
  const standing = new Map(state.trials.map((trial) => [trial.id, trial]));
  const number = (one: T) => standing.get(one.trial)!.number;
  const ours = state.checkpoints.filter((one) => standing.has(one.trial))
    .sort((a, b) => number(a) - number(b) || byStep(a, b));
  const decide = (tightFrom: number | null) => withoutPressure(state, ours, standing, tightFrom);
  const total = ours.reduce((sum, one) => sum + one.bytes, 0);
  const { freeBytes, neededBytes, wantedBytes } = state.room;
  const { maxTotalBytes } = state.policy;
  const bytesAfter = ({ reduce, keep }: RetentionPlan<T>) =>
    [...keep, ...reduce].reduce((sum, one) => sum + one.bytes, 0) -
    reduce.reduce((sum, one) => sum + one.optimizerBytes, 0);
  const freeAfter = (plan: RetentionPlan<T>) => freeBytes + total - bytesAfter(plan);
  // The save on top is counted in, so that the cap holds while it is written too.
  const doesNotFit = (plan: RetentionPlan<T>) =>
    bytesAfter(plan) + neededBytes > maxTotalBytes || freeAfter(plan) < neededBytes;
  const isShort = (plan: RetentionPlan<T>) => doesNotFit(plan) || freeAfter(plan) < wantedBytes;

  let tightFrom = state.tightFrom;
  let plan = decide(tightFrom);
  let pressure: RetentionDecision<T>["pressure"] = 0;
  // Whether there was pressure before anything went: what always goes was enough then, or not.
  if (freeBytes < Math.max(neededBytes, wantedBytes) || total + neededBytes > maxTotalBytes) pressure = 1;
  if (isShort(plan)) {
    const current = state.current === null ? undefined : standing.get(state.current);
    const next = current ? current.number + 1 : Math.max(-1, ...state.trials.map((trial) => trial.number)) + 1;
    tightFrom = Math.min(tightFrom ?? Infinity, next);
    plan = decide(tightFrom);
    pressure = 2;
  }
  if (doesNotFit(plan)) {
    pressure = 3;
    const resumePoints = resumePointsOf(state, ours);
    // Last ones that were to stay whole first give up what only a resume needs.
    for (const one of plan.keep.filter((one) => one.resumable && !resumePoints.has(one))) {
      plan.keep = plan.keep.filter((other) => other !== one);
      plan.reduce.push(one);
      plan.reasons.set(one, "disk pressure: only the resume point stays whole");
    }
    for (const one of lastToGo(state, ours, standing, plan, resumePoints)) {
      if (!doesNotFit(plan)) break;
      plan.remove.push(one);
      plan.reasons.set(one, "disk pressure: only the study's best and the resume point stay");
      plan.keep = plan.keep.filter((other) => other !== one);
      plan.reduce = plan.reduce.filter((other) => other !== one);
    }
  }
  const bytes = bytesAfter(plan);
  return { ...plan, pressure, tightFrom, bytes, freedBytes: total - bytes };
}

interface ReasonedPlan<T> extends RetentionPlan<T> {
  reasons: Map<T, string>;
}

const isUnfinished = ({ state }: TrialStanding) => state === "RUNNING" || state === "WAITING";

function withoutPressure<T extends StudyCheckpoint>(
  state: RetentionState<T>,
  ours: readonly T[],
  standing: ReadonlyMap<string, TrialStanding>,
  tightFrom: number | null,
): ReasonedPlan<T> {
  const { policy, metric, direction } = state;
  const plan: ReasonedPlan<T> = { remove: [], reduce: [], keep: [], reasons: new Map() };
  const ended = tightFrom === null ? policy : TIGHT;
  const byTrial = Map.groupBy(ours, (one) => one.trial);
  const complete = [...byTrial.keys()].map((id) => standing.get(id)!).filter((trial) => trial.state === "COMPLETE");
  const top = new Set(bestBy(complete, (trial) => trial.value, {
    k: Math.max(1, ended.keep_best_k),
    max: Math.max(1, ended.keep_best_k_max ?? Infinity),
    direction,
  }));
  for (const [id, checkpoints] of byTrial) {
    const trial = standing.get(id)!;
    const runs = isUnfinished(trial);
    if (!runs && !top.has(trial)) {
      plan.remove.push(...checkpoints);
      for (const one of checkpoints) plan.reasons.set(one, lostReason(trial));
      continue;
    }
    const finished = !runs || (id === state.current && state.finished === true);
    const held = runs && !(tightFrom !== null && trial.number >= tightFrom) ? policy : ended;
    const own = planRetention(checkpoints, { policy: held, metric, direction, finished });
    const kept = held === TIGHT ? "keep_best_k=1 and keep_last_n=0 under disk pressure" : describePolicy(held);
    for (const one of own.remove) plan.reasons.set(one, `neither among the best nor the last ones (${kept})`);
    for (const one of own.reduce) {
      plan.reasons.set(one, finished ? "the trial is over: no resume needs it" : "kept as one of the best only");
    }
    plan.remove.push(...own.remove);
    plan.reduce.push(...own.reduce);
    plan.keep.push(...own.keep);
  }
  if (plan.keep.length + plan.reduce.length === 0) keepOne(state, ours, plan);
  order(plan.remove, policy.strategy);
  return plan;
}

const describePolicy = ({ keep_last_n, keep_best_k }: RetentionPolicy) =>
  `keep_last_n=${keep_last_n}, keep_best_k=${keep_best_k}`;

function lostReason({ number, state }: TrialStanding): string {
  return state === "COMPLETE" ? `trial ${number} is not among the best` : `trial ${number} is ${state}`;
}

/** Nothing that can matter is left, so the best of the rest stays: never fewer than one. */
function keepOne<T extends StudyCheckpoint>(state: RetentionState<T>, ours: readonly T[], plan: ReasonedPlan<T>): void {
  const one = bestCheckpoints(state, ours)[0] ?? ours.at(-1);
  if (one === undefined) return;
  plan.remove = plan.remove.filter((other) => other !== one);
  plan.reasons.delete(one);
  if (one.resumable) {
    plan.reduce.push(one);
    plan.reasons.set(one, "the trial is over: no resume needs it");
  } else plan.keep.push(one);
}

/** The checkpoints with the best metric of all. */
function bestCheckpoints<T extends StudyCheckpoint>({ metric, direction }: RetentionState<T>, ours: readonly T[]): T[] {
  return bestBy(ours, (one) => one.info.metrics[metric] ?? null, { k: 1, max: undefined, direction });
}

/** In place; what comes first goes first. The given order, by trial and step, is the oldest first. */
function order<T extends StudyCheckpoint>(checkpoints: T[], strategy: StudyPolicy["strategy"]): T[] {
  return strategy === "smallest_first" ? checkpoints.sort((a, b) => a.bytes - b.bytes) : checkpoints;
}

/** The point that each trial which runs would be resumed from. */
function resumePointsOf<T extends StudyCheckpoint>(state: RetentionState<T>, ours: readonly T[]): Set<T> {
  const running = state.trials.filter(isUnfinished).filter(({ id }) => !(id === state.current && state.finished));
  const found = running.map(({ id }) => ours.findLast((one) => one.trial === id && one.resumable));
  return new Set(found.filter((one) => one !== undefined));
}

/** What may go in step 3, in its order: all but one best checkpoint of the study and the resume points. */
function lastToGo<T extends StudyCheckpoint>(
  state: RetentionState<T>,
  ours: readonly T[],
  standing: ReadonlyMap<string, TrialStanding>,
  plan: RetentionPlan<T>,
  resumePoints: ReadonlySet<T>,
): T[] {
  const left = new Set([...plan.keep, ...plan.reduce]);
  const staying = ours.filter((one) => left.has(one));
  const isComplete = (one: T) => standing.get(one.trial)!.state === "COMPLETE";
  // Among equals that of a trial that has ended, which cannot fail any more, else one that stays anyway.
  const tied = bestCheckpoints(state, staying);
  const top = tied.find(isComplete) ?? tied.find((one) => resumePoints.has(one)) ?? tied[0] ??
    (resumePoints.size > 0 ? undefined : staying.at(-1));
  // A trial that has just been trained is about to be reported with its best checkpoint.
  const result = state.finished
    ? bestCheckpoints(state, staying.filter((one) => one.trial === state.current))[0]
    : null;
  const must = new Set([top, result, ...resumePoints]);
  // A trial that runs may fail: until it has ended, the best of those that have goes last.
  const safe = bestCheckpoints(state, staying.filter(isComplete))[0];
  const going = order(staying.filter((one) => !must.has(one) && one !== safe), state.policy.strategy);
  return safe === undefined || must.has(safe) ? going : [...going, safe];
}
