import assert from "node:assert/strict";
import type { Example } from "../../lib/data/dataset.ts";
import {
  evidenceMetrics as metricsOf,
  type EvidencePair,
  evidencePairs,
  wholeTextBaseline,
} from "../../lib/train/metrics_evidence.ts";
import { criteriaMetrics, flatMetrics, METRICS } from "../../lib/train/metrics.ts";

/** Metrics of pairs of one criterion, if nothing else is said, each of its own post. */
const evidenceMetrics = (pairs: (Omit<EvidencePair, "post" | "criterion"> & { criterion?: number })[]) =>
  metricsOf(pairs.map((pair, post) => ({ post, criterion: 0, ...pair })));

const TEXT = "I cry and I cry all night.";
const at = (part: string, from = 0) => {
  const start = TEXT.indexOf(part, from);
  return { start, end: start + part.length };
};

Deno.test("evidence metrics: words as bags, characters as ranges, null apart", () => {
  const metrics = evidenceMetrics([
    { text: TEXT, gold: [at("I cry all night.")], predicted: [at(" I cry all night.")] }, // same words
    { text: TEXT, gold: [at("I cry")], predicted: [at("I cry", 5)] }, // the same words elsewhere
    { text: TEXT, gold: [at("I cry and")], predicted: [at("and I")] }, // words: 2 of 3 and 2 of 2
    { text: TEXT, gold: [at("all night.")], predicted: [] },
    { text: TEXT, gold: [], predicted: [] },
    { text: TEXT, gold: [], predicted: [at("all")] },
  ]);
  assert.equal(metrics.exact_match, 2 / 4);
  assert.equal(metrics.token_f1, (1 + 1 + 4 / 5 + 0) / 4);
  assert.equal(metrics.char_f1, (32 / 33 + 0 + (2 * 3) / (9 + 5) + 0) / 4);
  assert.equal(metrics.char_iou, (16 / 17 + 0 + 3 / 11 + 0) / 4);
  assert.equal(metrics.null_accuracy, 1 / 2);
  assert.deepEqual([metrics.support, metrics.null_support], [4, 2]);
  const none = evidenceMetrics([]);
  assert.deepEqual([none.token_f1, none.null_accuracy, none.partial_f1, none.squad.f1], [null, null, null, null]);
});

Deno.test("evidence metrics: spans have credit for their parts, and cost where there is no evidence", () => {
  const [cry, night, and] = [at("I cry"), at("all night."), at("and")];
  const metrics = evidenceMetrics([
    { text: TEXT, gold: [cry, night], predicted: [{ start: night.start, end: night.end - 2 }, and] },
    { text: TEXT, gold: [], predicted: [and] },
    { text: TEXT, gold: [cry], predicted: [at("I cry and")] },
    { text: TEXT, gold: [], predicted: [and], criterion: 1 },
    { text: TEXT, gold: [night], predicted: [], criterion: 2 },
  ]);
  // Given: 8 of 8, 0 of 3, 0 of 3, 5 of 9, 0 of 3. Gold: 0 of 5, 8 of 10, 5 of 5, 0 of 10.
  assert.equal(metrics.partial_precision, (1 + 5 / 9) / 5);
  assert.equal(metrics.partial_recall, (8 / 10 + 1) / 4);
  const f1 = (p: number, r: number) => 2 * p * r / (p + r);
  assert.equal(metrics.partial_f1, f1((1 + 5 / 9) / 5, 1.8 / 4));
  assert.equal(metrics.macro_partial_f1, (f1((1 + 5 / 9) / 4, 1.8 / 3) + 0) / 2); // without criterion 1: no gold
  assert.deepEqual(metrics.per_criterion.map(({ partial_f1 }) => partial_f1), [f1((1 + 5 / 9) / 4, 1.8 / 3), 0, 0]);
  assert.deepEqual(metrics.per_criterion.map(({ partial_precision }) => partial_precision)[2], null);
});

Deno.test("evidence metrics: several spans count together, whatever their order and overlap", () => {
  const [cry, night] = [at("I cry"), at("all night.")];
  const score = (gold: typeof cry[], predicted: typeof cry[]) => evidenceMetrics([{ text: TEXT, gold, predicted }]);
  const both = score([cry, night], [night, cry]);
  assert.deepEqual([both.exact_match, both.token_f1, both.char_f1], [1, 1, 1]);
  const half = score([cry, night], [night]);
  assert.deepEqual([half.exact_match, half.token_f1, half.char_f1], [0, 2 * 2 / (2 + 4), 2 * 10 / (10 + 15)]);
  const overlapping = score([at("I cry and I")], [at("I cry and"), at("and I")]);
  assert.deepEqual([overlapping.exact_match, overlapping.token_f1, overlapping.char_f1], [1, 1, 1]);
});

Deno.test("evidence metrics: unknown evidence is left out; the whole-text baseline", () => {
  const gold = { ...at("I cry"), status: "exact" as const };
  const example: Example = {
    postId: "p",
    text: TEXT,
    labels: Uint8Array.of(1, 1, 0),
    evidence: [gold, null, null],
    allEvidence: [[gold], [], []],
  };
  assert.deepEqual(evidencePairs([example], [[], [at("all")], [at("and")]]), [
    { text: TEXT, post: 0, criterion: 0, gold: [gold], predicted: [] },
    { text: TEXT, post: 0, criterion: 2, gold: [], predicted: [at("and")] },
  ]);
  const baseline = wholeTextBaseline([example]);
  assert.equal(baseline.token_f1, (2 * 2) / (2 + 7));
  assert.deepEqual([baseline.support, baseline.null_support, baseline.null_accuracy], [1, 1, 0]);
});

Deno.test("metrics: every flat name but the loss is there, and declared", () => {
  const criteria = criteriaMetrics({ criteria: ["A"], probabilities: [1], labels: [1] });
  const names = METRICS.map((metric) => metric.name).filter((name) => name !== "validation_loss");
  assert.deepEqual(Object.keys(flatMetrics(criteria, evidenceMetrics([]))), names);
  assert.equal(flatMetrics(criteria, evidenceMetrics([])).evidence_token_f1, 0);
});
