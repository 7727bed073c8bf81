import assert from "node:assert/strict";
import fc from "fast-check";
import { PREDICT_ABOVE_NONE } from "../../lib/train/aggregation.ts";
import { calibratePosts, scorePosts } from "../../lib/train/evaluator.ts";
import { criteriaMetrics, f1Of } from "../../lib/train/metrics_criteria.ts";
import { defaultThresholds } from "../../lib/train/thresholds.ts";
import { globalThreshold, perClassThresholds } from "../../lib/train/thresholds_criteria.ts";
import { CRITERIA, randomPosts } from "../support/predictions.ts";

/** Decisions of 3 criteria on up to 12 posts; probabilities with many ties, or any in 32 or 64 bits. */
const predictions = fc.array(
  fc.tuple(
    fc.oneof(
      fc.integer({ min: 0, max: 8 }).map((n) => n / 8),
      fc.float({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
    ),
    fc.constantFrom(0, 1),
  ),
  { maxLength: 36 },
).map((decisions) => {
  const whole = decisions.slice(0, decisions.length - decisions.length % 3);
  return {
    criteria: ["A", "B", "C"],
    probabilities: whole.map(([probability]) => probability),
    labels: whole.map(([, label]) => label),
  };
});

const macroF1 = (input: Parameters<typeof criteriaMetrics>[0], thresholds: number | number[]) =>
  criteriaMetrics(input, thresholds).macro_f1 ?? 0;

Deno.test("thresholds are never worse than one half on what they were tuned on, per class never worse than global", () => {
  fc.assert(
    fc.property(predictions, (input) => {
      const perClass = perClassThresholds(input), global = globalThreshold(input);
      for (const threshold of [...perClass, global]) assert.ok(threshold >= 0 && threshold <= 1);
      assert.ok(macroF1(input, global) >= macroF1(input, 0.5));
      assert.ok(macroF1(input, perClass) >= macroF1(input, global));
      // Criterion by criterion too.
      const tuned = criteriaMetrics(input, perClass), half = criteriaMetrics(input, 0.5);
      for (const name of input.criteria) {
        assert.ok((tuned.per_criterion[name]!.f1 ?? 0) >= (half.per_criterion[name]!.f1 ?? 0));
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("no threshold is better than the one that is found, and one half is kept where it is as good", () => {
  fc.assert(
    fc.property(predictions, (input) => {
      const scoresOf = (k: number) => input.probabilities.filter((_, at) => at % 3 === k);
      const labelsOf = (k: number) => input.labels.filter((_, at) => at % 3 === k);
      perClassThresholds(input).forEach((found, k) => {
        const scores = scoresOf(k), labels = labelsOf(k);
        const f1 = (threshold: number) => {
          const count = (wanted: number, said: boolean) =>
            scores.filter((score, i) => labels[i] === wanted && (score >= threshold) === said).length;
          return f1Of({ tp: count(1, true), fp: count(0, true), fn: count(1, false) }) ?? 0;
        };
        const best = Math.max(...scores.map(f1), f1(1), f1(0.5), 0);
        assert.equal(f1(found), best);
        if (f1(0.5) === best) assert.equal(found, 0.5);
      });
      const found = macroF1(input, globalThreshold(input));
      for (const threshold of [...input.probabilities, 0.5, 1]) assert.ok(found >= macroF1(input, threshold));
    }),
    { numRuns: 500 },
  );
});

Deno.test("evidence thresholds are never worse than none on what they were tuned on, and often better", () => {
  let better = 0;
  for (let seed = 0; seed < 60; seed++) {
    const posts = randomPosts(seed, 1 + seed % 25);
    const tuned = calibratePosts(posts, CRITERIA, "per_class");
    const evidence = (thresholds: typeof tuned) =>
      scorePosts(posts, CRITERIA, thresholds).evidence.macro_partial_f1 ?? 0;
    const gain = evidence(tuned) - evidence({ ...tuned, evidence: PREDICT_ABOVE_NONE });
    assert.ok(gain >= 0, `seed ${seed}: ${gain}`);
    if (gain > 0.01) better++;
    if (seed % 3 > 0) continue;
    // No pair of a grid is better: the scores are few enough for an exact search.
    for (let null_threshold = -6; null_threshold <= 6; null_threshold += 0.75) {
      for (let min_span_score = -6; min_span_score <= 6; min_span_score += 0.75) {
        const other = evidence({ ...tuned, evidence: { null_threshold, min_span_score } });
        assert.ok(evidence(tuned) >= other - 1e-9, `seed ${seed}: ${other} at ${null_threshold}, ${min_span_score}`);
      }
    }
  }
  assert.ok(better > 10, `${better} of 60`);
});

Deno.test("thresholds depend on nothing but the split that they are given, and not on its order", () => {
  const posts = randomPosts(3, 40);
  const tuned = calibratePosts(posts, CRITERIA, "per_class");
  const order = Array.from({ length: 40 }, (_, i) => (i * 17) % 40), width = CRITERIA.length;
  const shuffled = {
    examples: order.map((post) => posts.examples[post]!),
    probabilities: Float32Array.from(
      order.flatMap((post) => [...posts.probabilities.slice(post * width, (post + 1) * width)]),
    ),
    spans: order.flatMap((post) => posts.spans.slice(post * width, (post + 1) * width)),
  };
  assert.deepEqual(calibratePosts(shuffled, CRITERIA, "per_class"), tuned);
  assert.notDeepEqual(tuned, defaultThresholds(CRITERIA));
});
