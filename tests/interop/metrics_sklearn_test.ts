import assert from "node:assert/strict";
import { randomStream } from "../../lib/support/rng.ts";
import { scorePosts } from "../../lib/train/evaluator.ts";
import { percentileInterval } from "../../lib/train/metrics_bootstrap.ts";
import { column, criteriaMetrics } from "../../lib/train/metrics_criteria.ts";
import { evidenceMetrics, evidenceScore } from "../../lib/train/metrics_evidence.ts";
import { precisionRecallCurve, scoreGroups } from "../../lib/train/metrics_ranking.ts";
import { CRITERIA, randomPosts } from "../support/predictions.ts";
import { askPython } from "../support/python.ts";

const TOLERANCE = 1e-9;

/** Asserts that two values of the same shape hold the same numbers and nulls. */
function assertClose(actual: unknown, expected: unknown, path = ""): void {
  if (typeof expected === "number") {
    assert.equal(typeof actual, "number", `${path}: ${actual} instead of ${expected}`);
    assert.ok(Math.abs((actual as number) - expected) <= TOLERANCE, `${path}: ${actual} instead of ${expected}`);
    return;
  }
  if (expected === null) return assert.equal(actual, null, path);
  const expectedEntries = Object.entries(expected as object);
  assert.deepEqual(Object.keys(actual as object).sort(), expectedEntries.map(([key]) => key).sort(), path);
  for (const [key, value] of expectedEntries) assertClose((actual as never)[key], value, `${path}.${key}`);
}

/** Labels and probabilities [N][K] with thresholds [K]. */
interface Case {
  readonly name: string;
  readonly labels: number[][];
  readonly probabilities: number[][];
  readonly thresholds: number[];
}

function randomCase(seed: number, posts: number): Case {
  const random = randomStream(seed, "metrics");
  const steps = random.pick([1, 4, 20, 1e6]); // few steps: many equal scores
  const labels = Array.from({ length: posts }, () => [0.5, 0.1, 0, 0.9].map((p) => (random.uniform() < p ? 1 : 0)));
  const probabilities = labels.map((row) =>
    row.map((label) => Math.round(steps * (0.3 * label + 0.7 * random.uniform())) / steps)
  );
  return {
    name: `random ${seed}`,
    labels,
    probabilities,
    thresholds: CRITERIA.map(() => random.pick([0.25, 0.5, 0.6])),
  };
}

const HALF = [0.5, 0.5];
/** Each has something that is undefined, or nothing to tell the classes apart by. */
const DEGENERATE: Case[] = [
  { name: "no positives", labels: [[0, 0], [0, 0]], probabilities: [[0.9, 0.1], [0.2, 0.3]], thresholds: HALF },
  { name: "nothing at all", labels: [[0, 0], [0, 0]], probabilities: [[0.1, 0.1], [0.2, 0.3]], thresholds: HALF },
  { name: "no negatives", labels: [[1, 1], [1, 1]], probabilities: [[0.9, 0.1], [0.2, 0.3]], thresholds: HALF },
  { name: "one class, all right", labels: [[1, 1]], probabilities: [[0.9, 0.7]], thresholds: HALF },
  { name: "never predicted", labels: [[1, 0], [0, 1]], probabilities: [[0, 0], [0, 0]], thresholds: HALF },
  {
    name: "one score",
    labels: [[1, 0], [0, 1], [1, 1]],
    probabilities: [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]],
    thresholds: HALF,
  },
  { name: "certain and wrong", labels: [[1, 0], [0, 1]], probabilities: [[0, 1], [1, 0]], thresholds: HALF },
  { name: "one criterion", labels: [[1], [0], [1]], probabilities: [[0.4], [0.6], [0.8]], thresholds: [0.5] },
  { name: "one post", labels: [[1, 0]], probabilities: [[0.4, 0.6]], thresholds: HALF },
  {
    name: "edges of the bins of calibration",
    labels: Array.from({ length: 16 }, (_, i) => [i % 2, 1]),
    probabilities: Array.from({ length: 16 }, (_, i) => [i / 15, (i / 15) ** 2]),
    thresholds: HALF,
  },
];

/** The texts that SQuAD compares. */
function squadTexts(posts: ReturnType<typeof randomPosts>) {
  const { pairs } = scorePosts(posts, CRITERIA);
  const textOf = (text: string, spans: readonly { start: number; end: number }[]) => {
    const taken: { start: number; end: number }[] = [];
    // As one answer: in order, and characters of several spans once.
    for (const { start, end } of spans.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
      const last = taken.at(-1);
      if (last && start < last.end) last.end = Math.max(last.end, end);
      else taken.push({ start, end });
    }
    return taken.map(({ start, end }) => text.slice(start, end)).join(" ");
  };
  return {
    pairs,
    texts: pairs.map(({ text, gold, predicted }) => ({
      gold: gold.length === 0 ? [] : [textOf(text, gold)],
      predicted: textOf(text, predicted),
    })),
  };
}

/** Pairs of whole texts whose normalisation is where implementations differ. */
const TEXTS = [
  ["The Cat’s mat.", "cat’s mat"],
  ["a\u0301n the", "the"],
  ["x_the an_", "the an"],
  ["über-an 4the", "über an the"],
  ["An\u00a0apple\u2003pie\x1cnow\x85then", "apple pie now then"],
  ["ΟΔΥΣΣΕΥΣ İ", "οδυσσευς i̇"],
  ["the", "a"],
  ["...", "?"],
  ["`~!@#$%^&*()_+-=[]{}|;':\",./<>?\\", ""],
  ["theta thé the", "theta thé"],
  ["\ufeffthe", "\ufeffa"],
] as const;

Deno.test("metrics equal scikit-learn's, numpy's and SQuAD v2's, degenerate cases included", async () => {
  const cases = [...DEGENERATE, ...Array.from({ length: 40 }, (_, seed) => randomCase(seed, 1 + seed * 3))];
  const { pairs, texts } = squadTexts(randomPosts(1, 150));
  const whole = TEXTS.flatMap(([a, b]) => [[a, b], [b, a]] as const);
  const samples = [[3], [1, 2], Array.from({ length: 999 }, (_, i) => Math.sin(i))];
  const peer = await askPython<{
    criteria: { metrics: unknown; averages: Record<string, number>; curves: unknown[] }[];
    squad: Record<string, number>;
    squad_pairs: { exact: number; f1: number }[];
    percentiles: [number, number][];
  }>("metrics_sklearn.py", [], {
    criteria: cases,
    squad: [...texts, ...whole.map(([predicted, gold]) => ({ predicted, gold: gold === "" ? [] : [gold] }))],
    percentiles: samples,
  });
  cases.forEach(({ name, labels, probabilities, thresholds }, index) => {
    const criteria = thresholds.map((_, k) => CRITERIA[k]!);
    const flat = { probabilities: probabilities.flat(), labels: labels.flat() };
    const metrics = criteriaMetrics({ criteria, ...flat }, thresholds);
    const expected = peer.criteria[index]!;
    assertClose({ ...metrics, per_criterion: Object.values(metrics.per_criterion) }, expected.metrics, name);
    // Where there are no positives scikit-learn's own value is the 0 that the mean counts.
    assertClose(metrics.macro_pr_auc, expected.averages["macro_pr_auc"], name);
    const curves = criteria.map((_, k) =>
      precisionRecallCurve(
        scoreGroups(column(flat.probabilities, k, criteria.length), column(flat.labels, k, criteria.length)),
      )
    );
    assertClose(curves, expected.curves, `${name} curve`);
  });

  const wholePairs = whole.map(([predicted, gold], i) => {
    const text = predicted + gold;
    const span = (start: number, part: string) => part === "" ? [] : [{ start, end: start + part.length }];
    return { text, post: i, criterion: 0, predicted: span(0, predicted), gold: span(predicted.length, gold) };
  });
  const all = [...pairs, ...wholePairs];
  const scores = all.map(evidenceScore);
  assertClose(
    scores.map(({ squad_exact, squad_f1 }) => ({ exact: squad_exact, f1: squad_f1 })),
    peer.squad_pairs,
    "squad",
  );
  assertClose(evidenceMetrics(all).squad, peer.squad, "squad");
  assert.ok(new Set(peer.squad_pairs.map(({ f1 }) => f1)).size > 20, "the pairs are too alike to tell anything");
  assertClose(
    samples.map((values) => percentileInterval(values, 0.95)),
    peer.percentiles.map(([low, high]) => ({ low, high })),
    "percentiles",
  );
});
