import assert from "node:assert/strict";
import { averagePrecision, criteriaMetrics, majorityBaseline } from "../../lib/train/metrics_criteria.ts";

Deno.test("metrics: a hand-counted case", () => {
  const metrics = criteriaMetrics({
    criteria: ["A", "B"],
    probabilities: [0.9, 0.2, 0.6, 0.5, 0.4, 0.1, 0.1, 0.8],
    labels: [1, 0, 0, 1, 1, 0, 0, 1],
  });
  assert.deepEqual(metrics.per_criterion["A"], {
    f1: 0.5,
    precision: 0.5,
    recall: 0.5,
    pr_auc: 1 * 0.5 + (2 / 3) * 0.5,
    support: 2,
    confusion_matrix: [[1, 1], [1, 1]],
  });
  assert.deepEqual(metrics.per_criterion["B"]!.confusion_matrix, [[2, 0], [0, 2]]);
  assert.equal(metrics.accuracy, 6 / 8);
  assert.equal(metrics.subset_accuracy, 2 / 4);
  assert.equal(metrics.macro_f1, 0.75);
  assert.equal(metrics.micro_f1, 0.75);
});

Deno.test("metrics: thresholds may differ by criterion, and a probability at the threshold counts", () => {
  const metrics = criteriaMetrics({ criteria: ["A", "B"], probabilities: [0.3, 0.6], labels: [1, 0] }, [0.3, 0.7]);
  assert.equal(metrics.subset_accuracy, 1);
});

Deno.test("metrics: average precision takes equal scores together, and is 0 without positives", () => {
  assert.equal(averagePrecision([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0]), 0.25);
  assert.equal(averagePrecision([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]), 0.5 + 0.5 * (2 / 3));
  assert.equal(averagePrecision([0.9, 0.1], [0, 0]), 0);
});

Deno.test("metrics: without any positive all is 0, not NaN; NaN and wrong sizes are refused", () => {
  const metrics = criteriaMetrics({ criteria: ["A"], probabilities: [0.1, 0.2], labels: [0, 0] });
  assert.deepEqual([metrics.macro_f1, metrics.macro_pr_auc, metrics.micro_recall, metrics.accuracy], [0, 0, 0, 1]);
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
