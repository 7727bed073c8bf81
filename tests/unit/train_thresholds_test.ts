import assert from "node:assert/strict";
import { join } from "node:path";
import { ALL_CANDIDATES, givenSpans, PREDICT_ABOVE_NONE } from "../../lib/train/aggregation.ts";
import { calibrate, defaultThresholds, thresholdList } from "../../lib/train/thresholds.ts";
import { globalThreshold, perClassThresholds } from "../../lib/train/thresholds_criteria.ts";
import { evidenceThresholds } from "../../lib/train/thresholds_evidence.ts";
import { loadThresholds, THRESHOLDS_FILE, thresholdsText } from "../../lib/train/thresholds_file.ts";
import { exitCode, type WinnowError } from "../../lib/support/errors.ts";
import { withFolder } from "./storage_scenario.ts";

/** The threshold of one criterion by its decisions. */
const best = (...decisions: [score: number, label: 0 | 1][]) =>
  perClassThresholds({
    criteria: ["A"],
    probabilities: decisions.map(([score]) => score),
    labels: decisions.map(([, label]) => label),
  })[0];

Deno.test("thresholds: the middle between the scores that are told apart, one half where that is between them", () => {
  assert.equal(best([0.9, 1], [0.25, 1], [0.125, 0], [0, 0]), 0.1875);
  assert.equal(best([0.9, 1], [0.8, 0], [0.7, 0], [0.6, 0]), (0.9 + 0.8) / 2);
  assert.equal(best([0.9, 1], [0.3, 0]), 0.5);
  assert.equal(best([0.5, 1], [0.3, 0]), 0.5); // a probability at the threshold counts
  assert.equal(best([0.7, 1], [0.5, 0]), 0.6);
  assert.equal(best([0.25, 1], [0.25, 0]), 0.125); // all or nothing: all
  assert.equal(best([1, 0], [1, 1], [0.2, 0]), 0.5);
});

Deno.test("thresholds: of equal F1 the nearest to one half; without positives, or without posts, one half", () => {
  // 2/3 by the first alone, and by the first four.
  assert.equal(best([0.95, 1], [0.8, 0], [0.7, 0], [0.625, 1], [0.5625, 0]), 0.59375);
  assert.equal(best([0.4375, 1], [0.4, 0], [0.3, 0], [0.2, 1], [0.1, 0]), (0.4375 + 0.4) / 2);
  assert.equal(best([0.9, 1], [0.6, 0], [0.55, 0], [0.2, 1], [0.1, 0]), (0.9 + 0.6) / 2); // 0.15 is farther off
  assert.equal(best([0.9, 0], [0.3, 0]), 0.5);
  assert.equal(best(), 0.5);
});

Deno.test("thresholds: one for all criteria maximises the mean of their F1", () => {
  const probabilities = [0.9, 0.4, 0.3, 0.3, 0.2, 0.1], labels = [1, 1, 1, 1, 0, 0];
  assert.equal(globalThreshold({ criteria: ["A", "B"], probabilities, labels }), 0.25);
  const thresholds = calibrate("global", { criteria: ["A", "B"], probabilities, labels }, []);
  assert.deepEqual(thresholds, {
    calibration: "global",
    criteria: { A: 0.25, B: 0.25 },
    evidence: PREDICT_ABOVE_NONE,
  });
  assert.deepEqual(
    calibrate("fixed", { criteria: ["A", "B"], probabilities, labels }, []),
    defaultThresholds(["A", "B"]),
  );
});

/** A pair with spans of so many characters from 0, 100, 200, … on. */
const pair = (gold: number[], ...candidates: [score: number, at: number][]) => ({
  criterion: 0,
  gold: gold.map((at) => ({ start: 100 * at, end: 100 * at + 10 })),
  candidates: candidates.map(([score, at]) => ({ score, start: 100 * at, end: 100 * at + 10 })),
});

Deno.test("evidence thresholds: when there is evidence, and when there is more of it", () => {
  // Right above 2, wrong below it.
  assert.deepEqual(evidenceThresholds([pair([0], [3, 0]), pair([1], [2.5, 1]), pair([], [2, 3]), pair([0], [1, 9])]), {
    null_threshold: 2.25,
    min_span_score: 0,
  });
  // Evidence that the null span hides by a little.
  assert.equal(evidenceThresholds([pair([0], [-1, 0]), pair([], [-2, 0])]).null_threshold, -1.5);
  // Further spans are wrong below 4.
  assert.deepEqual(
    evidenceThresholds([pair([0, 1], [6, 0], [5, 1]), pair([0], [4, 0], [3, 5]), pair([2], [1, 2], [0.5, 7])]),
    { null_threshold: 0, min_span_score: 4 },
  );
  assert.deepEqual(evidenceThresholds([pair([], [3, 0]), pair([], [-1, 0])]), PREDICT_ABOVE_NONE);
  assert.deepEqual(evidenceThresholds([]), PREDICT_ABOVE_NONE);
  // What is no number that JSON has is no threshold.
  const endless = evidenceThresholds([pair([0], [Infinity, 0]), pair([0], [-Infinity, 0]), pair([], [-1, 3])]);
  assert.ok(Number.isFinite(endless.null_threshold) && Number.isFinite(endless.min_span_score));
});

Deno.test("given spans: the best above the null threshold, further ones above theirs", () => {
  const spans = [5, 3, 1].map((score) => ({ score }));
  const given = (null_threshold: number, min_span_score: number) =>
    givenSpans(spans, { null_threshold, min_span_score }).map(({ score }) => score);
  assert.deepEqual(given(0, 0), [5, 3, 1]);
  assert.deepEqual(given(5, 0), []);
  assert.deepEqual(given(4, 1), [5, 3]);
  assert.deepEqual(given(0, 9), [5]);
  assert.deepEqual(givenSpans(spans, ALL_CANDIDATES), spans);
  assert.deepEqual(givenSpans([], ALL_CANDIDATES), []);
});

Deno.test("thresholds of a checkpoint are read back in any order; without the file they are the default ones", async () => {
  await withFolder(async (folder) => {
    assert.deepEqual(await loadThresholds(folder, ["A", "B"]), defaultThresholds(["A", "B"]));
    const thresholds = {
      calibration: "per_class",
      criteria: { A: 0.1, B: 1 / 3 },
      evidence: { null_threshold: -1.5, min_span_score: 2 },
    } as const;
    await Deno.writeTextFile(join(folder, THRESHOLDS_FILE), thresholdsText(thresholds));
    const found = await loadThresholds(folder, ["B", "A"]);
    assert.deepEqual(found, thresholds);
    assert.deepEqual(thresholdList(found, ["B", "A"]), [1 / 3, 0.1]);
    assert.throws(() => thresholdList(found, ["toString"]), /threshold for toString/);
    assert.throws(() => thresholdsText({ ...thresholds, criteria: { A: NaN } }));
  });
});

Deno.test("thresholds that are damaged, or of other criteria, are refused", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, THRESHOLDS_FILE);
    const refused = (message: RegExp) =>
      assert.rejects(
        loadThresholds(folder, ["A", "B"]),
        (error: WinnowError) => exitCode(error) === 3 && message.test(error.message),
      );
    const text = thresholdsText(defaultThresholds(["A", "B"]));
    for (const bad of [text.slice(0, -10), text.replace("0.5", "1.5"), text.replace("/1", "/9"), "[]"]) {
      await Deno.writeTextFile(path, bad);
      await refused(/thresholds\.json cannot be used/);
    }
    await Deno.writeTextFile(path, thresholdsText(defaultThresholds(["A", "C"])));
    await refused(/of the criteria A, C and not of A, B/);
  });
});
