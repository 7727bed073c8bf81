import assert from "node:assert/strict";
import { expectedCalibrationError, reliability } from "../../lib/train/metrics_calibration.ts";
import { criteriaMetrics, majorityBaseline } from "../../lib/train/metrics_criteria.ts";
import { averagePrecision, precisionRecallCurve, rocAuc, scoreGroups } from "../../lib/train/metrics_ranking.ts";

Deno.test("metrics: a hand-counted case", () => {
  const metrics = criteriaMetrics({
    criteria: ["A", "B"],
    probabilities: [0.9, 0.2, 0.6, 0.5, 0.4, 0.1, 0.1, 0.8],
    labels: [1, 0, 0, 1, 1, 0, 0, 1],
  });
  const { brier, ece, ...first } = metrics.per_criterion["A"]!;
  assert.ok(Math.abs(brier! - (0.01 + 0.36 + 0.36 + 0.01) / 4) < 1e-12);
  assert.ok(Math.abs(ece! - (0.1 + 0.6 + 0.6 + 0.1) / 4) < 1e-12);
  assert.deepEqual(first, {
    f1: 0.5,
    precision: 0.5,
    recall: 0.5,
    pr_auc: 1 * 0.5 + (2 / 3) * 0.5,
    roc_auc: 3 / 4,
    support: 2,
    confusion_matrix: [[1, 1], [1, 1]],
  });
  assert.deepEqual(metrics.per_criterion["B"]!.confusion_matrix, [[2, 0], [0, 2]]);
  assert.equal(metrics.accuracy, 6 / 8);
  assert.equal(metrics.subset_accuracy, 2 / 4);
  assert.equal(metrics.macro_f1, 0.75);
  assert.equal(metrics.micro_f1, 0.75);
  assert.equal(metrics.weighted_f1, 0.75);
});

Deno.test("metrics: thresholds may differ by criterion, and a probability at the threshold counts", () => {
  const metrics = criteriaMetrics({ criteria: ["A", "B"], probabilities: [0.3, 0.6], labels: [1, 0] }, [0.3, 0.7]);
  assert.equal(metrics.subset_accuracy, 1);
});

Deno.test("metrics: rankings take equal scores together, and are null where there is nothing to rank", () => {
  const precision = (scores: number[], labels: number[]) => averagePrecision(scoreGroups(scores, labels));
  assert.equal(precision([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0]), 0.25);
  assert.equal(precision([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]), 0.5 + 0.5 * (2 / 3));
  assert.equal(precision([0.9, 0.1], [0, 0]), null);
  const area = (scores: number[], labels: number[]) => rocAuc(scoreGroups(scores, labels));
  assert.equal(area([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0]), 0.5);
  assert.equal(area([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]), 3.5 / 4);
  assert.deepEqual([area([0.9, 0.1], [0, 0]), area([0.9, 0.1], [1, 1]), area([], [])], [null, null, null]);
});

Deno.test("metrics: a precision-recall curve is thinned evenly and keeps its ends", () => {
  const scores = Array.from({ length: 1000 }, (_, i) => i / 1000), labels = scores.map((_, i) => i % 3 === 0 ? 1 : 0);
  const whole = precisionRecallCurve(scoreGroups(scores, labels))!;
  const thin = precisionRecallCurve(scoreGroups(scores, labels), 200)!;
  assert.deepEqual([whole.threshold.length, thin.threshold.length, thin.recall.length], [1000, 200, 200]);
  assert.deepEqual([thin.threshold[0], thin.threshold.at(-1)], [whole.threshold[0], whole.threshold.at(-1)]);
  assert.equal(thin.recall.at(-1), 1);
  const places = thin.threshold.map((threshold) => whole.threshold.indexOf(threshold));
  places.forEach((place, i) => assert.equal(thin.precision[i], whole.precision[place]));
  assert.ok(places.slice(1).every((place, i) => place - places[i]! >= 5 && place - places[i]! <= 6));
  assert.equal(precisionRecallCurve(scoreGroups([0.5], [0])), null);
  assert.deepEqual(precisionRecallCurve(scoreGroups([0.5], [1]), 200), {
    threshold: [0.5],
    precision: [1],
    recall: [1],
  });
});

Deno.test("metrics: bins of calibration hold every post once", () => {
  const bins = reliability([0, 0.2, 0.21, 1], [0, 1, 1, 1], 5);
  assert.deepEqual(bins.map(({ count }) => count), [2, 1, 0, 0, 1]);
  assert.deepEqual(bins[0], { count: 2, mean_probability: 0.1, frequency: 0.5 });
  assert.deepEqual(bins[2], { count: 0, mean_probability: null, frequency: null });
  assert.ok(Math.abs(expectedCalibrationError(bins)! - (2 * 0.4 + 0.79) / 4) < 1e-12);
  assert.equal(expectedCalibrationError(reliability([], [])), null);
});

Deno.test("metrics: what is undefined is null, and counts as 0 in means; NaN and wrong sizes are refused", () => {
  const metrics = criteriaMetrics({ criteria: ["A", "B"], probabilities: [0.1, 0.9, 0.2, 0.8], labels: [0, 1, 0, 0] });
  const { precision, recall, f1, pr_auc, roc_auc } = metrics.per_criterion["A"]!;
  assert.deepEqual([precision, recall, f1, pr_auc, roc_auc], [null, null, null, null, null]);
  assert.deepEqual([metrics.macro_f1, metrics.macro_pr_auc, metrics.macro_roc_auc], [(2 / 3) / 2, 1 / 2, 1]);
  const none = criteriaMetrics({ criteria: ["A"], probabilities: [0.1, 0.2], labels: [0, 0] });
  assert.deepEqual([none.macro_f1, none.micro_recall, none.weighted_f1, none.accuracy], [0, null, null, 1]);
  const empty = criteriaMetrics({ criteria: ["A"], probabilities: [], labels: [] });
  assert.deepEqual([empty.macro_f1, empty.accuracy, empty.subset_accuracy, empty.macro_brier], [
    null,
    null,
    null,
    null,
  ]);
  assert.throws(() => criteriaMetrics({ criteria: ["A"], probabilities: [NaN], labels: [0] }), /NaN at 0/);
  assert.throws(() => criteriaMetrics({ criteria: ["A", "B"], probabilities: [1], labels: [0] }), /\[N, 2\]/);
  assert.throws(() => criteriaMetrics({ criteria: ["A"], probabilities: [1, 0], labels: [0] }), /but found 2 and 1/);
});

Deno.test("metrics: the majority baseline answers by the frequencies of training", () => {
  const metrics = majorityBaseline(["A", "B", "C"], [1, 0, 1, 1, 0, 0, 1, 1, 0], [1, 1, 0, 0, 0, 1]);
  assert.deepEqual(metrics.per_criterion["A"]!.confusion_matrix, [[0, 1], [0, 1]]); // always present
  assert.deepEqual(metrics.per_criterion["B"]!.confusion_matrix, [[1, 0], [1, 0]]); // always absent
  assert.deepEqual(metrics.per_criterion["C"]!.confusion_matrix, [[1, 0], [1, 0]]);
  assert.equal(metrics.macro_pr_auc, 0.5); // a constant score: the prevalence
  assert.equal(majorityBaseline(["A"], [1, 0], [1]).micro_recall, 0); // a tie is "absent"
});
