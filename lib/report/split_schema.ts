/**
 * What a report says of one split beyond the flat metrics: every metric at the calibrated thresholds, curves, confusion
 * matrices, calibration of the probabilities, and bootstrap intervals. No text of a post is in it.
 */
import { z } from "zod";
import { CALIBRATION_NAMES } from "../train/thresholds.ts";

/** Metrics by name, such as criteria_macro_f1; null where one is undefined. */
export const metricsSchema = z.record(z.string(), z.number().nullable())
  .describe("metrics by name, such as criteria_macro_f1; null where one is undefined");

const count = z.int().min(0);
const share = z.number().min(0).max(1);
const measure = share.nullable();

const interval = z.strictObject({ low: share, high: share }).nullable()
  .describe("bootstrap interval; null where the metric was undefined in every resample");

/** Decision thresholds by criterion: present where probability ≥ threshold. */
export const criteriaThresholdsSchema = z.record(z.string(), share)
  .describe("decision thresholds by criterion: present where probability ≥ threshold");

/** When spans are given. */
export const evidenceThresholdsSchema = z.strictObject({
  null_threshold: z.number().describe("a pair has evidence where its best span's lead over none is larger"),
  min_span_score: z.number().describe("further spans of a pair that has evidence are given where their lead is larger"),
});

/** How thresholds were chosen. */
export const calibrationSchema = z.enum(CALIBRATION_NAMES)
  .describe("per_class and global: on the validation split; fixed: one half, and a lead larger than 0");

const reliabilityBin = z.strictObject({
  count: count.describe("posts with a probability in this bin"),
  mean_probability: measure.describe("null in an empty bin"),
  frequency: measure.describe("share of them that have the criterion; null in an empty bin"),
});

const criterion = z.strictObject({
  threshold: share,
  support: count.describe("posts with the criterion"),
  precision: measure.describe("null where nothing is predicted"),
  recall: measure.describe("null without positives"),
  f1: measure.describe("null where there is neither a positive nor a prediction"),
  pr_auc: measure.describe("average precision; null without positives"),
  roc_auc: measure.describe("null where all posts are of one class"),
  brier: measure.describe("mean squared error of the probabilities"),
  ece: measure.describe("expected calibration error over the bins of reliability"),
  confusion_matrix: z.array(z.array(count).length(2)).length(2)
    .describe("[[true negatives, false positives], [false negatives, true positives]]"),
  intervals: z.strictObject({
    precision: interval,
    recall: interval,
    f1: interval,
    pr_auc: interval,
    roc_auc: interval,
  }),
  pr_curve: z.strictObject({
    threshold: z.array(share).describe("descending"),
    precision: z.array(share),
    recall: z.array(share).describe("ascending"),
  }).nullable().describe("at most 200 points, first and last included; null without positives"),
  reliability: z.array(reliabilityBin).describe("bins of equal width over [0, 1]"),
});

const criteria = z.strictObject({
  accuracy: measure.describe("share of right decisions over posts and criteria"),
  subset_accuracy: measure.describe("share of posts with every decision right: exact match"),
  macro_f1: measure.describe("means over criteria count precision, recall, F1 and PR AUC as 0 where undefined"),
  macro_precision: measure,
  macro_recall: measure,
  micro_f1: measure,
  micro_precision: measure,
  micro_recall: measure,
  weighted_f1: measure.describe("mean F1 of the criteria weighted by support"),
  weighted_precision: measure,
  weighted_recall: measure,
  macro_pr_auc: measure,
  macro_roc_auc: measure.describe("over the criteria that have one"),
  macro_brier: measure,
  macro_ece: measure,
  per_criterion: z.record(z.string(), criterion).describe("in the order of the model's outputs"),
});

const partial = {
  partial_precision: measure.describe("mean share of a given span that is gold; null where no span is given"),
  partial_recall: measure.describe("mean share of a gold span that is given; null without gold spans"),
  partial_f1: measure.describe("their harmonic mean: credit for parts, over spans"),
};

const evidence = z.strictObject({
  support: count.describe("pairs of a post and a criterion with gold evidence"),
  null_support: count.describe("pairs without"),
  exact_match: measure.describe("over pairs with gold evidence: the same words"),
  token_f1: measure.describe("over pairs with gold evidence: F1 of the bags of words"),
  char_f1: measure.describe("over pairs with gold evidence: F1 of the character ranges"),
  char_iou: measure.describe("over pairs with gold evidence: intersection over union of the character ranges"),
  null_accuracy: measure.describe("share of the pairs without gold evidence that are given none"),
  ...partial,
  macro_partial_f1: measure.describe("mean of partial_f1 over criteria with gold evidence: what calibration maximises"),
  squad: z.strictObject({
    exact: measure,
    f1: measure,
    has_answer_exact: measure,
    has_answer_f1: measure,
    no_answer_accuracy: measure,
  }).describe("as SQuAD v2's evaluation with its normalisation of the texts, as shares and not percent"),
  per_criterion: z.record(
    z.string(),
    z.strictObject({ support: count, null_support: count, token_f1: measure, null_accuracy: measure, ...partial }),
  ),
});

/** The schema of all that is known of a checkpoint on one split. */
export const splitDetailsSchema = z.strictObject({
  posts: count,
  metrics: metricsSchema.describe("the study's metrics at the calibrated thresholds"),
  metrics_at_default: metricsSchema.describe("the same at one half, and spans that lead over none"),
  criteria,
  evidence,
  intervals: z.strictObject({
    confidence: share.describe("0.95: between the 2.5th and the 97.5th percentile"),
    samples: count.describe("resamples of the posts; 0 where intervals are switched off"),
    seed: z.int(),
    metrics: z.record(z.string(), interval),
  }).describe("by resampling posts with replacement; the thresholds stay as they are"),
}).describe("every metric of one checkpoint on one split, at the calibrated thresholds");

/** All that is known of a checkpoint on one split. */
export type SplitDetails = z.infer<typeof splitDetailsSchema>;
