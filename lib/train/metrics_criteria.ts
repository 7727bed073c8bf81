/**
 * Metrics of the criteria agent, as scikit-learn defines them, from probabilities and labels [N, K].
 *
 * What is undefined is null: a criterion's precision where nothing is predicted, recall and PR AUC without positives, F1
 * without either (scikit-learn warns and gives 0), ROC AUC with one class only (it warns and gives NaN). In means over
 * criteria the former count as 0, as with scikit-learn's default `zero_division`, since leaving them out would favour a
 * model that never predicts a criterion; ROC AUC is the mean of those that have one. Without posts everything is null.
 *
 * The field names are those of the reports and of the tracker, hence snake_case.
 */
import { brierScore, expectedCalibrationError, reliability } from "./metrics_calibration.ts";
import { averagePrecision, rocAuc, scoreGroups } from "./metrics_ranking.ts";

/** Predictions for N posts and K criteria. */
export interface CriteriaPredictions {
  /** [K] */
  criteria: readonly string[];
  /** [N, K] row by row */
  probabilities: ArrayLike<number>;
  /** [N, K] row by row, 0 or 1 */
  labels: ArrayLike<number>;
}

/** Metrics of one criterion; null where undefined. */
export interface CriterionMetrics {
  f1: number | null;
  precision: number | null;
  recall: number | null;
  /** Average precision. */
  pr_auc: number | null;
  roc_auc: number | null;
  /** Mean squared error of the probabilities. */
  brier: number | null;
  /** Expected calibration error. */
  ece: number | null;
  /** Posts with the label. */
  support: number;
  /** [[true negatives, false positives], [false negatives, true positives]] */
  confusion_matrix: [[number, number], [number, number]];
}

/** Metrics over all criteria. */
export interface CriteriaMetrics {
  /** Share of the N·K decisions that are right (1 − Hamming loss). */
  accuracy: number | null;
  /** Share of posts with all K decisions right: exact match. */
  subset_accuracy: number | null;
  macro_f1: number | null;
  macro_precision: number | null;
  macro_recall: number | null;
  micro_f1: number | null;
  micro_precision: number | null;
  micro_recall: number | null;
  /** Means of the criteria weighted by support; null without positives. */
  weighted_f1: number | null;
  weighted_precision: number | null;
  weighted_recall: number | null;
  /** Mean of the criteria's average precision. */
  macro_pr_auc: number | null;
  macro_roc_auc: number | null;
  macro_brier: number | null;
  macro_ece: number | null;
  per_criterion: Record<string, CriterionMetrics>;
}

/** Numbers of decisions by outcome. */
export interface Counts {
  readonly tp: number;
  readonly fp: number;
  readonly fn: number;
}

/** a / b, null where there is nothing to divide by. */
export const ratio = (a: number, b: number): number | null => b === 0 ? null : a / b;
/** tp / (tp + fp), null where nothing is predicted. */
export const precisionOf = ({ tp, fp }: Counts): number | null => ratio(tp, tp + fp);
/** tp / (tp + fn), null without positives. */
export const recallOf = ({ tp, fn }: Counts): number | null => ratio(tp, tp + fn);
/** 2tp / (2tp + fp + fn), null without positives and predictions. */
export const f1Of = ({ tp, fp, fn }: Counts): number | null => ratio(2 * tp, 2 * tp + fp + fn);

/** The mean, undefined values counting as 0; null of none. */
export const meanWithZeros = (values: readonly (number | null)[]): number | null =>
  ratio(values.reduce((sum: number, value) => sum + (value ?? 0), 0), values.length);

/** The mean of the values that are defined; null where none is. */
export function meanOfDefined(values: readonly (number | null)[]): number | null {
  return meanWithZeros(values.filter((value) => value !== null));
}

/** The mean weighted by support, undefined values counting as 0; null without support. */
export const weightedMean = (values: readonly (number | null)[], support: readonly number[]): number | null =>
  ratio(
    values.reduce((sum: number, value, k) => sum + (value ?? 0) * support[k]!, 0),
    support.reduce((sum, one) => sum + one, 0),
  );

/**
 * Computes all criteria metrics.
 *
 * @param threshold One for all criteria or one each [K]; a criterion is predicted where probability ≥ threshold
 * @throws RangeError when sizes disagree or a probability is NaN
 */
export function criteriaMetrics(
  { criteria, probabilities, labels }: CriteriaPredictions,
  threshold: number | readonly number[] = 0.5,
): CriteriaMetrics {
  const posts = checkSizes(criteria.length, probabilities, labels);
  const thresholds = typeof threshold === "number" ? criteria.map(() => threshold) : threshold;
  const per = criteria.map((_, k) => {
    const scores = column(probabilities, k, criteria.length), truth = column(labels, k, criteria.length);
    return criterionMetrics(scores, truth, thresholds[k]!);
  });
  const cell = (row: 0 | 1, col: 0 | 1) => per.reduce((sum, metrics) => sum + metrics.confusion_matrix[row][col], 0);
  const total: Counts = { tp: cell(1, 1), fp: cell(0, 1), fn: cell(1, 0) };
  const of = (name: "f1" | "precision" | "recall" | "pr_auc" | "roc_auc" | "brier" | "ece") =>
    per.map((metrics) => metrics[name]);
  const support = per.map((metrics) => metrics.support);
  // Without posts there is nothing that a mean over criteria could be of.
  const macro = (values: readonly (number | null)[]) => posts === 0 ? null : meanWithZeros(values);
  let allRight = 0;
  for (let post = 0; post < posts; post++) {
    const right = (k: number) => {
      const at = post * criteria.length + k;
      return (probabilities[at]! >= thresholds[k]!) === (labels[at] === 1);
    };
    if (criteria.every((_, k) => right(k))) allRight++;
  }
  return {
    accuracy: ratio(cell(0, 0) + total.tp, posts * criteria.length),
    subset_accuracy: ratio(allRight, posts),
    macro_f1: macro(of("f1")),
    macro_precision: macro(of("precision")),
    macro_recall: macro(of("recall")),
    micro_f1: f1Of(total),
    micro_precision: precisionOf(total),
    micro_recall: recallOf(total),
    weighted_f1: weightedMean(of("f1"), support),
    weighted_precision: weightedMean(of("precision"), support),
    weighted_recall: weightedMean(of("recall"), support),
    macro_pr_auc: macro(of("pr_auc")),
    macro_roc_auc: meanOfDefined(of("roc_auc")),
    macro_brier: macro(of("brier")),
    macro_ece: macro(of("ece")),
    per_criterion: Object.fromEntries(criteria.map((name, k) => [name, per[k]!])),
  };
}

/**
 * The classifier that knows only how frequent each criterion is in training: it always gives the majority's answer.
 * A tie counts as "absent".
 *
 * @param trainLabels [N, K] of the training split
 * @param testLabels [M, K] of the split to score on
 */
export function majorityBaseline(
  criteria: readonly string[],
  trainLabels: ArrayLike<number>,
  testLabels: ArrayLike<number>,
): CriteriaMetrics {
  const posts = trainLabels.length / criteria.length;
  const positives = (k: number) => column(trainLabels, k, criteria.length).reduce((sum, label) => sum + label, 0);
  const answer = criteria.map((_, k) => positives(k) > posts / 2 ? 1 : 0);
  const probabilities = Array.from(testLabels, (_, index) => answer[index % criteria.length]!);
  return criteriaMetrics({ criteria, probabilities, labels: testLabels });
}

function criterionMetrics(scores: number[], truth: number[], threshold: number): CriterionMetrics {
  const counts: [[number, number], [number, number]] = [[0, 0], [0, 0]];
  scores.forEach((score, post) => counts[truth[post] === 1 ? 1 : 0][score >= threshold ? 1 : 0]++);
  const [[, fp], [fn, tp]] = counts;
  const groups = scoreGroups(scores, truth);
  return {
    f1: f1Of({ tp, fp, fn }),
    precision: precisionOf({ tp, fp, fn }),
    recall: recallOf({ tp, fp, fn }),
    pr_auc: averagePrecision(groups),
    roc_auc: rocAuc(groups),
    brier: brierScore(scores, truth),
    ece: expectedCalibrationError(reliability(scores, truth)),
    support: fn + tp,
    confusion_matrix: counts,
  };
}

function checkSizes(criteria: number, probabilities: ArrayLike<number>, labels: ArrayLike<number>): number {
  const posts = labels.length / criteria;
  if (!Number.isInteger(posts) || probabilities.length !== labels.length) {
    throw new RangeError(
      `Expected probabilities and labels [N, ${criteria}] but found ${probabilities.length} and ${labels.length} values`,
    );
  }
  for (let index = 0; index < probabilities.length; index++) {
    if (Number.isNaN(probabilities[index])) throw new RangeError(`Expected probabilities but found NaN at ${index}`);
  }
  return posts;
}

/** Column k of a matrix of so many columns. */
export function column(values: ArrayLike<number>, k: number, width: number): number[] {
  return Array.from({ length: values.length / width }, (_, row) => values[row * width + k]!);
}
