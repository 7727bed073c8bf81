/**
 * Bootstrap intervals by post: posts are drawn with replacement, as many as there are, and every metric is computed anew
 * on what was drawn (Efron's percentile interval). A post brings all its criteria and spans, which are not independent of
 * one another. Thresholds stay as they are.
 *
 * A drawn set is held as how often each post is in it, so that scores are sorted once and not once per draw.
 */
import { randomStream } from "../support/rng.ts";
import {
  type Counts,
  type CriteriaPredictions,
  f1Of,
  meanOfDefined,
  meanWithZeros,
  precisionOf,
  ratio,
  recallOf,
  weightedMean,
} from "./metrics_criteria.ts";
import { type EvidencePair, type EvidenceScore, macroPartialF1, partialMetrics } from "./metrics_evidence.ts";
import { rankingAreas } from "./metrics_ranking.ts";

/** Between which values the middle of the bootstrap distribution lies; null where the metric was never defined. */
export type Interval = { readonly low: number; readonly high: number } | null;

/** The measures of a criterion that have an interval. */
export const CRITERION_INTERVALS = ["precision", "recall", "f1", "pr_auc", "roc_auc"] as const;

/** Intervals of one split. */
export interface Intervals {
  /** Of the study's metrics and of a few more, by their flat names. */
  readonly metrics: Record<string, Interval>;
  /** [K] */
  readonly criteria: Record<(typeof CRITERION_INTERVALS)[number], Interval>[];
}

/** What intervals are of. */
export interface BootstrapInput extends CriteriaPredictions {
  /** [K] */
  readonly thresholds: readonly number[];
  readonly pairs: readonly Pick<EvidencePair, "post" | "criterion">[];
  /** One of each pair. */
  readonly scores: readonly EvidenceScore[];
}

/** How intervals are made. */
export interface BootstrapOptions {
  /** Draws; 0: every interval is null. */
  readonly samples: number;
  readonly seed: number;
  /** Share of the draws between the ends; 0.95 if not given. */
  readonly confidence?: number;
}

/** Draw number `sample`: how often each of N posts is in it. */
export function resample(posts: number, { seed }: Pick<BootstrapOptions, "seed">, sample: number): Uint32Array {
  const stream = randomStream(seed, "bootstrap", sample), times = new Uint32Array(posts);
  for (let n = 0; n < posts; n++) times[stream.integer(posts)]!++;
  return times;
}

/** The values between which the middle share `confidence` lies, interpolated linearly as `numpy.percentile` does. */
export function percentileInterval(values: readonly number[], confidence: number): Interval {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => {
    const position = share * (sorted.length - 1), below = Math.floor(position);
    const low = sorted[below]!, high = sorted[Math.min(below + 1, sorted.length - 1)]!;
    return low + (high - low) * (position - below);
  };
  return { low: at((1 - confidence) / 2), high: at((1 + confidence) / 2) };
}

/** Intervals of every metric. */
export function bootstrapIntervals(input: BootstrapInput, options: BootstrapOptions): Intervals {
  const { criteria } = input;
  const posts = input.labels.length / criteria.length;
  const ranked = criteria.map((_, k) => rankedPosts(input, k));
  const evidence = evidenceSums(input);
  const found = new Map<string, number[]>();
  const add = (name: string, value: number | null) => {
    const values = found.get(name) ?? [];
    found.set(name, values);
    if (value !== null) values.push(value);
  };
  for (let sample = 0; sample < options.samples && posts > 0; sample++) {
    const times = resample(posts, options, sample);
    const per = ranked.map((one) => criterionOf(one, times));
    per.forEach((one, k) => CRITERION_INTERVALS.forEach((name) => add(`${k} ${name}`, one[name])));
    for (const [name, value] of Object.entries(criteriaOf(per, posts, rightPosts(input, times)))) add(name, value);
    for (const [name, value] of Object.entries(evidence(times))) add(name, value);
  }
  const interval = (name: string) => percentileInterval(found.get(name) ?? [], options.confidence ?? 0.95);
  return {
    metrics: Object.fromEntries(INTERVALS.map((name) => [name, interval(name)])),
    criteria: criteria.map((_, k) =>
      Object.fromEntries(
        CRITERION_INTERVALS.map((name) => [name, interval(`${k} ${name}`)]),
      ) as Intervals["criteria"][0]
    ),
  };
}

/** One criterion's posts by descending score. */
interface RankedPosts {
  readonly order: Uint32Array;
  /** Of each place in the order: whether a post of the next place has another score. */
  readonly ends: Uint8Array;
  readonly positive: Uint8Array;
  /** How many places from the top are predicted. */
  readonly predicted: number;
}

function rankedPosts({ criteria, probabilities, labels, thresholds }: BootstrapInput, k: number): RankedPosts {
  const width = criteria.length;
  const score = (post: number) => probabilities[post * width + k]!;
  const order = Uint32Array.from({ length: labels.length / width }, (_, post) => post)
    .sort((a, b) => score(b) - score(a));
  return {
    order,
    ends: Uint8Array.from(
      order,
      (post, at) => at + 1 === order.length || score(post) !== score(order[at + 1]!) ? 1 : 0,
    ),
    positive: Uint8Array.from(order, (post) => labels[post * width + k]!),
    predicted: order.findLastIndex((post) => score(post) >= thresholds[k]!) + 1,
  };
}

/** The measures of a criterion with its posts taken so many times. */
function criterionOf({ order, ends, positive, predicted }: RankedPosts, times: Uint32Array) {
  const areas = rankingAreas();
  const counts = { tp: 0, fp: 0, fn: 0 };
  let positives = 0, negatives = 0;
  for (let at = 0; at < order.length; at++) {
    const n = times[order[at]!]!;
    if (positive[at] === 1) {
      positives += n;
      if (at < predicted) counts.tp += n;
      else counts.fn += n;
    } else {
      negatives += n;
      if (at < predicted) counts.fp += n;
    }
    if (ends[at] === 1 && positives + negatives > 0) {
      areas.add(positives, negatives);
      positives = negatives = 0;
    }
  }
  return {
    counts,
    precision: precisionOf(counts),
    recall: recallOf(counts),
    f1: f1Of(counts),
    pr_auc: areas.averagePrecision(),
    roc_auc: areas.rocAuc(),
  };
}

/** Posts with every decision right, as often as they were drawn. */
function rightPosts({ criteria, probabilities, labels, thresholds }: BootstrapInput, times: Uint32Array): number {
  const width = criteria.length;
  let right = 0;
  for (let post = 0; post < times.length; post++) {
    let k = 0;
    for (const at = post * width; k < width; k++) {
      if ((probabilities[at + k]! >= thresholds[k]!) !== (labels[at + k] === 1)) break;
    }
    if (k === width) right += times[post]!;
  }
  return right;
}

const INTERVALS = [
  ...["criteria_macro_f1", "criteria_micro_f1", "criteria_weighted_f1", "criteria_accuracy", "criteria_exact_match"],
  ...["criteria_macro_pr_auc", "criteria_macro_roc_auc"],
  ...["evidence_token_f1", "evidence_exact_match", "evidence_char_f1", "evidence_char_iou", "evidence_partial_f1"],
  ...["evidence_macro_partial_f1", "evidence_null_accuracy"],
] as const;
type Values<Prefix extends string> = Record<Extract<(typeof INTERVALS)[number], `${Prefix}${string}`>, number | null>;

function criteriaOf(
  per: readonly ReturnType<typeof criterionOf>[],
  posts: number,
  rightPosts: number,
): Values<"criteria_"> {
  const total: Counts = per.reduce(
    (sum, { counts: { tp, fp, fn } }) => ({ tp: sum.tp + tp, fp: sum.fp + fp, fn: sum.fn + fn }),
    { tp: 0, fp: 0, fn: 0 },
  );
  const f1 = per.map((one) => one.f1), support = per.map(({ counts: { tp, fn } }) => tp + fn);
  return {
    criteria_macro_f1: meanWithZeros(f1),
    criteria_micro_f1: f1Of(total),
    criteria_weighted_f1: weightedMean(f1, support),
    criteria_accuracy: 1 - (total.fp + total.fn) / (posts * per.length),
    criteria_exact_match: rightPosts / posts,
    criteria_macro_pr_auc: meanWithZeros(per.map((one) => one.pr_auc)),
    criteria_macro_roc_auc: meanOfDefined(per.map((one) => one.roc_auc)),
  };
}

/** Where the sums of a criterion's spans stand. */
const SPANS = ["given", "given_share", "gold", "gold_share"] as const;
/** What is summed over all pairs. */
const SUMMED = [
  ...["support", "null_support", "exact_match", "token_f1", "char_f1", "char_iou", "null_accuracy"] as const,
  ...SPANS,
] as const;

/** The evidence metrics of a draw. */
function evidenceSums(
  { criteria, pairs, scores, labels }: BootstrapInput,
): (times: Uint32Array) => Values<"evidence_"> {
  const posts = labels.length / criteria.length;
  const byPost = new Float64Array(posts * SUMMED.length);
  pairs.forEach(({ post }, i) => SUMMED.forEach((name, j) => byPost[post * SUMMED.length + j]! += scores[i]![name]));
  // Most pairs have neither gold nor given spans, and add nothing to a criterion's sums.
  const withSpans = pairs.flatMap((pair, i) => {
    const score = scores[i]!;
    return score.given + score.gold > 0 ? [{ ...pair, values: SPANS.map((name) => score[name]) }] : [];
  });
  return (times) => {
    const totals = new Float64Array(SUMMED.length);
    for (let post = 0; post < posts; post++) {
      const n = times[post]!;
      if (n > 0) { for (let j = 0; j < totals.length; j++) totals[j]! += n * byPost[post * totals.length + j]!; }
    }
    const spans = new Float64Array(criteria.length * SPANS.length);
    for (const { post, criterion, values } of withSpans) {
      const n = times[post]!;
      if (n > 0) { for (let j = 0; j < SPANS.length; j++) spans[criterion * SPANS.length + j]! += n * values[j]!; }
    }
    const all = Object.fromEntries(SUMMED.map((name, j) => [name, totals[j]!])) as Record<
      (typeof SUMMED)[number],
      number
    >;
    const ofCriterion = (k: number) =>
      Object.fromEntries(SPANS.map((name, j) => [name, spans[k * SPANS.length + j]!])) as Record<
        (typeof SPANS)[number],
        number
      >;
    return {
      evidence_token_f1: ratio(all.token_f1, all.support),
      evidence_exact_match: ratio(all.exact_match, all.support),
      evidence_char_f1: ratio(all.char_f1, all.support),
      evidence_char_iou: ratio(all.char_iou, all.support),
      evidence_partial_f1: partialMetrics(all).partial_f1,
      evidence_macro_partial_f1: macroPartialF1(criteria.map((_, k) => ofCriterion(k))),
      evidence_null_accuracy: ratio(all.null_accuracy, all.null_support),
    };
  };
}
