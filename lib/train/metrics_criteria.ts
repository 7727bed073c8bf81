/**
 * Metrics of the criteria agent, as scikit-learn defines them (`zero_division=0`), from probabilities and labels [N, K].
 *
 * The field names are those of the reports and of the tracker, hence snake_case.
 */

/** Predictions for N posts and K criteria. */
export interface CriteriaPredictions {
  /** [K] */
  criteria: readonly string[];
  /** [N, K] row by row */
  probabilities: ArrayLike<number>;
  /** [N, K] row by row, 0 or 1 */
  labels: ArrayLike<number>;
}

/** Metrics of one criterion. */
export interface CriterionMetrics {
  f1: number;
  precision: number;
  recall: number;
  /** Average precision; 0 without positives. */
  pr_auc: number;
  /** Posts with the label. */
  support: number;
  /** [[true negatives, false positives], [false negatives, true positives]] */
  confusion_matrix: [[number, number], [number, number]];
}

/** Metrics over all criteria. */
export interface CriteriaMetrics {
  /** Share of the N·K decisions that are right (1 − Hamming loss). */
  accuracy: number;
  /** Share of posts with all K decisions right. */
  subset_accuracy: number;
  macro_f1: number;
  macro_precision: number;
  macro_recall: number;
  micro_f1: number;
  micro_precision: number;
  micro_recall: number;
  /** Mean of the criteria's average precision. */
  macro_pr_auc: number;
  per_criterion: Record<string, CriterionMetrics>;
}

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
  const cell = (row: 0 | 1, col: 0 | 1) => sum(per.map((metrics) => metrics.confusion_matrix[row][col]));
  const [tn, fp, fn, tp] = [cell(0, 0), cell(0, 1), cell(1, 0), cell(1, 1)];
  const micro = precisionRecallF1(tp, fp, fn);
  const macro = (name: "f1" | "precision" | "recall" | "pr_auc") => mean(per.map((metrics) => metrics[name]));
  let allRight = 0;
  for (let post = 0; post < posts; post++) {
    const right = (k: number) => {
      const at = post * criteria.length + k;
      return (probabilities[at]! >= thresholds[k]!) === (labels[at] === 1);
    };
    if (criteria.every((_, k) => right(k))) allRight++;
  }
  return {
    accuracy: ratio(tn + tp, posts * criteria.length),
    subset_accuracy: ratio(allRight, posts),
    macro_f1: macro("f1"),
    macro_precision: macro("precision"),
    macro_recall: macro("recall"),
    micro_f1: micro.f1,
    micro_precision: micro.precision,
    micro_recall: micro.recall,
    macro_pr_auc: macro("pr_auc"),
    per_criterion: Object.fromEntries(criteria.map((name, k) => [name, per[k]!])),
  };
}

/**
 * Average precision: Σ (Rₙ − Rₙ₋₁)·Pₙ over the distinct scores in descending order, without interpolation
 * (`sklearn.metrics.average_precision_score`). 0 without positives.
 */
export function averagePrecision(scores: ArrayLike<number>, labels: ArrayLike<number>): number {
  const order = Array.from(scores, (_, index) => index).sort((a, b) => scores[b]! - scores[a]!);
  const positives = sum(Array.from(labels));
  let area = 0, taken = 0, hits = 0;
  while (taken < order.length) {
    const score = scores[order[taken]!]!;
    const hitsBefore = hits;
    // Equal scores enter together: no threshold tells them apart.
    for (; taken < order.length && scores[order[taken]!] === score; taken++) hits += labels[order[taken]!]!;
    area += (hits - hitsBefore) * (hits / taken);
  }
  return ratio(area, positives);
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
  const answer = criteria.map((_, k) => sum(column(trainLabels, k, criteria.length)) > posts / 2 ? 1 : 0);
  const probabilities = Array.from(testLabels, (_, index) => answer[index % criteria.length]!);
  return criteriaMetrics({ criteria, probabilities, labels: testLabels });
}

function criterionMetrics(scores: number[], truth: number[], threshold: number): CriterionMetrics {
  const counts: [[number, number], [number, number]] = [[0, 0], [0, 0]];
  scores.forEach((score, post) => counts[truth[post] === 1 ? 1 : 0][score >= threshold ? 1 : 0]++);
  const [[, fp], [fn, tp]] = counts;
  return {
    ...precisionRecallF1(tp, fp, fn),
    pr_auc: averagePrecision(scores, truth),
    support: fn + tp,
    confusion_matrix: counts,
  };
}

function precisionRecallF1(tp: number, fp: number, fn: number) {
  return { f1: ratio(2 * tp, 2 * tp + fp + fn), precision: ratio(tp, tp + fp), recall: ratio(tp, tp + fn) };
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

function column(values: ArrayLike<number>, k: number, width: number): number[] {
  return Array.from({ length: values.length / width }, (_, row) => values[row * width + k]!);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number {
  return ratio(sum(values), values.length);
}

/** a / b, and 0 where there is nothing to divide by. */
function ratio(a: number, b: number): number {
  return b === 0 ? 0 : a / b;
}
