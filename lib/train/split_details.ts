/** Everything that a report says of a checkpoint on one split: all metrics at its thresholds, curves and intervals. */
import type { PostPredictions } from "./aggregation.ts";
import { labelsOf, scorePosts } from "./evaluator.ts";
import { bootstrapIntervals, type BootstrapOptions } from "./metrics_bootstrap.ts";
import { reliability } from "./metrics_calibration.ts";
import { column, flatMetrics, NO_EVIDENCE } from "./metrics.ts";
import { precisionRecallCurve, scoreGroups } from "./metrics_ranking.ts";
import { thresholdList, type Thresholds } from "./thresholds.ts";

/** Points of a precision-recall curve in a report at most. */
export const CURVE_POINTS = 200;

const CONFIDENCE = 0.95;

/** Digits of a curve's numbers: a picture needs no more. */
const rounded = (values: readonly number[]): number[] => values.map((value) => Math.round(value * 1e6) / 1e6);

/**
 * The details of a split, as `splitDetailsSchema` of the reports has them.
 *
 * @param posts with every span that was found
 */
export function splitDetails(
  posts: PostPredictions,
  criteria: readonly string[],
  thresholds: Thresholds,
  { samples, seed }: BootstrapOptions,
) {
  const labels = labelsOf(posts), { probabilities } = posts, list = thresholdList(thresholds, criteria);
  const scored = scorePosts(posts, criteria, thresholds), atDefault = scorePosts(posts, criteria);
  const intervals = bootstrapIntervals(
    { criteria, probabilities, labels, thresholds: list, pairs: scored.pairs, scores: scored.scores },
    { samples, seed, confidence: CONFIDENCE },
  );
  const { per_criterion, ...overall } = scored.criteria;
  const { per_criterion: evidencePer, ...evidence } = scored.evidence;
  const ofCriterion = (name: string, k: number) => {
    const scores = column(probabilities, k, criteria.length), truth = column(labels, k, criteria.length);
    const curve = precisionRecallCurve(scoreGroups(scores, truth), CURVE_POINTS);
    return {
      threshold: list[k]!,
      ...per_criterion[name]!,
      intervals: intervals.criteria[k]!,
      pr_curve: curve && {
        threshold: rounded(curve.threshold),
        precision: rounded(curve.precision),
        recall: rounded(curve.recall),
      },
      reliability: reliability(scores, truth),
    };
  };
  return {
    posts: posts.examples.length,
    metrics: flatMetrics(scored.criteria, scored.evidence) as Record<string, number>,
    metrics_at_default: flatMetrics(atDefault.criteria, atDefault.evidence) as Record<string, number>,
    criteria: {
      ...overall,
      per_criterion: Object.fromEntries(criteria.map((name, k) => [name, ofCriterion(name, k)])),
    },
    evidence: {
      ...evidence,
      per_criterion: Object.fromEntries(criteria.map((name, k) => [name, evidencePer[k] ?? NO_EVIDENCE])),
    },
    intervals: { confidence: CONFIDENCE, samples, seed, metrics: intervals.metrics },
  };
}
