import assert from "node:assert/strict";
import type { PostPredictions } from "../../lib/train/aggregation.ts";
import { labelsOf, scorePosts } from "../../lib/train/evaluator.ts";
import { flatMetrics } from "../../lib/train/metrics.ts";
import {
  bootstrapIntervals,
  CRITERION_INTERVALS,
  percentileInterval,
  resample,
} from "../../lib/train/metrics_bootstrap.ts";
import { splitDetails } from "../../lib/train/split_details.ts";
import { defaultThresholds, thresholdList } from "../../lib/train/thresholds.ts";
import { CRITERIA, randomPosts } from "../support/predictions.ts";

const THRESHOLDS = {
  ...defaultThresholds(CRITERIA),
  criteria: { A: 0.4, B: 0.5, C: 0.3, D: 0.62 },
  evidence: { null_threshold: 0.3, min_span_score: 0.6 },
};

/** Posts as often as they were drawn, one after the other. */
function drawn({ examples, probabilities, spans }: PostPredictions, times: Uint32Array): PostPredictions {
  const width = CRITERIA.length;
  const rows = [...times].flatMap((n, post) => new Array<number>(n).fill(post));
  return {
    examples: rows.map((post) => examples[post]!),
    probabilities: Float32Array.from(
      rows.flatMap((post) => [...probabilities.subarray(post * width, (post + 1) * width)]),
    ),
    spans: rows.flatMap((post) => spans.slice(post * width, (post + 1) * width)),
  };
}

const bootstrap = (posts: PostPredictions, samples: number, seed = 3) => {
  const { pairs, scores } = scorePosts(posts, CRITERIA, THRESHOLDS);
  const thresholds = thresholdList(THRESHOLDS, CRITERIA);
  return bootstrapIntervals(
    { criteria: CRITERIA, probabilities: posts.probabilities, labels: labelsOf(posts), thresholds, pairs, scores },
    { samples, seed },
  );
};

Deno.test("bootstrap: intervals are those of the metrics computed anew on the posts that were drawn", () => {
  const posts = randomPosts(4, 30, { steps: 8 }), samples = 25;
  const found = bootstrap(posts, samples);
  const draws = Array.from({ length: samples }, (_, sample) => {
    const { criteria, evidence } = scorePosts(drawn(posts, resample(30, { seed: 3 }, sample)), CRITERIA, THRESHOLDS);
    return { criteria, evidence };
  });
  const assertInterval = (name: string, actual: unknown, values: (number | null)[]) => {
    const expected = percentileInterval(values.filter((value) => value !== null), 0.95);
    if (expected === null) return assert.equal(actual, null, name);
    const { low, high } = actual as typeof expected;
    assert.ok(
      Math.abs(low - expected.low) < 1e-9 && Math.abs(high - expected.high) < 1e-9,
      `${name}: ${low} to ${high}`,
    );
  };
  const flat = draws.map(({ criteria, evidence }) => ({
    ...flatMetrics(criteria, evidence),
    criteria_macro_roc_auc: criteria.macro_roc_auc,
    evidence_macro_partial_f1: evidence.macro_partial_f1,
  }));
  assert.deepEqual(Object.keys(found.metrics).sort(), Object.keys(flat[0]!).sort());
  for (const name of Object.keys(found.metrics)) {
    assertInterval(name, found.metrics[name], flat.map((one) => one[name as keyof typeof one]));
  }
  CRITERIA.forEach((criterion, k) => {
    for (const name of CRITERION_INTERVALS) {
      const values = draws.map(({ criteria }) => criteria.per_criterion[criterion]![name]);
      assertInterval(`${criterion} ${name}`, found.criteria[k]![name], values);
    }
  });
  assert.equal(found.criteria[2]!.recall, null); // C has no positives
  assert.ok(found.metrics["criteria_macro_f1"]!.low < found.metrics["criteria_macro_f1"]!.high);
});

Deno.test("bootstrap: a seed gives the same intervals, another one others; no sample and no post give none", () => {
  const posts = randomPosts(5, 20);
  assert.deepEqual(bootstrap(posts, 20), bootstrap(posts, 20));
  assert.notDeepEqual(bootstrap(posts, 20), bootstrap(posts, 20, 4));
  for (const found of [bootstrap(posts, 0), bootstrap(randomPosts(5, 0), 20)]) {
    assert.ok([...Object.values(found.metrics), ...found.criteria.flatMap((one) => Object.values(one))]
      .every((interval) => interval === null));
  }
});

Deno.test("bootstrap: nearly all 95% intervals hold the truth", () => {
  // The share of positives of a fair coin: an interval should hold 1/2 nearly always.
  const held = Array.from({ length: 60 }, (_, seed) => {
    const posts = randomPosts(seed, 80, { likely: [0.5, 0.5, 0.5, 0.5] });
    const { low, high } = bootstrapOf(posts, seed);
    return low <= 0.5 && 0.5 <= high;
  }).filter(Boolean).length;
  assert.ok(held >= 51, `${held} of 60 intervals hold the truth`);
});

/** Precision of predicting everything, which is the share of positives. */
function bootstrapOf(posts: PostPredictions, seed: number) {
  const input = {
    criteria: CRITERIA,
    probabilities: posts.probabilities,
    labels: labelsOf(posts),
    pairs: [],
    scores: [],
  };
  return bootstrapIntervals({ ...input, thresholds: [0, 0, 0, 0] }, { samples: 200, seed }).criteria[0]!.precision!;
}

Deno.test("details of thousands of posts have intervals of 1,000 resamples around the figures", () => {
  const criteria = Array.from({ length: 9 }, (_, k) => `C${k}`);
  const one = randomPosts(1, 3000, { likely: criteria.map((_, k) => (k + 1) / 20) });
  const details = splitDetails(one, criteria, defaultThresholds(criteria), { samples: 1000, seed: 1 });
  assert.equal(details.intervals.samples, 1000);
  const named = Object.entries(details.intervals.metrics).filter(([name]) => typeof details.metrics[name] === "number");
  assert.ok(named.length > 3, "metrics have intervals");
  for (const [name, interval] of named) {
    const value = details.metrics[name]!;
    assert.ok(interval!.low <= value && value <= interval!.high, `${name}: ${value} of ${JSON.stringify(interval)}`);
    assert.ok(interval!.high - interval!.low < 0.2, `${name} of thousands of posts is known well`);
  }
});
