import assert from "node:assert/strict";
import { frozenTrial } from "../../bench/search_loop.ts";
import { bracketBudgets, bracketOf, hyperbandPruner } from "../../lib/hpo/pruners/hyperband.ts";
import { patientPruner } from "../../lib/hpo/pruners/patient.ts";
import { percentileOf, percentilePruner } from "../../lib/hpo/pruners/percentile.ts";
import { PRUNERS } from "../../lib/hpo/pruners/registry.ts";
import { successiveHalvingPruner } from "../../lib/hpo/pruners/successive_halving.ts";
import { thresholdPruner } from "../../lib/hpo/pruners/threshold.ts";
import type { FrozenTrial, StudyHistory } from "../../lib/hpo/trial.ts";

const reports = (...values: number[]) => values.map((value, step) => ({ step: step + 1, value }));

const history = (trials: FrozenTrial[], study: Partial<StudyHistory> = {}): StudyHistory => ({
  ...{ studyName: "s", directions: ["maximize"], trials },
  ...study,
});

const running = (number: number, values: number[], systemAttributes = {}) =>
  frozenTrial(number, { state: "RUNNING", intermediate: reports(...values), systemAttributes });

Deno.test("percentiles are numpy.nanpercentile's", () => {
  assert.equal(percentileOf([3, 1, NaN, 2], 50), 2);
  assert.equal(percentileOf([1, 2, 3, 4], 25), 1.75);
  assert.equal(percentileOf([1, 2, 3, 4], 100), 4);
  assert.ok(Number.isNaN(percentileOf([NaN], 50)));
});

Deno.test("the median pruner ends a trial below the median of completed ones at its step", () => {
  const done = [0.2, 0.4, 0.6, 0.8, 0.9].map((value, number) =>
    frozenTrial(number, { values: [value], intermediate: reports(value / 2, value) })
  );
  const { decide } = PRUNERS.median.create();
  assert.equal(decide(history(done), running(5, [0.3, 0.5])).prune, true);
  assert.equal(decide(history(done), running(5, [0.3, 0.6])).prune, false);
  assert.equal(decide(history(done), running(5, [0.7, 0.1])).prune, false, "its best so far counts");
  assert.equal(decide(history(done.slice(1)), running(5, [0, 0])).prune, false, "too few to tell");
  assert.equal(decide(history(done), running(5, [0, 0, 0])).prune, false, "nobody came so far");
  assert.equal(decide(history(done), running(5, [NaN])).prune, true);
});

Deno.test("successive halving stores the rungs that a trial passes, and lets the best go on", () => {
  const { decide } = successiveHalvingPruner({ minResource: 1, reductionFactor: 2 });
  const first = decide(history([]), running(0, [0.5]));
  assert.deepEqual(first, { prune: false, systemAttributes: { completed_rung_0: 0.5 } });
  const others = [running(0, [0.5], first.systemAttributes)];
  assert.deepEqual(decide(history(others), running(1, [0.4])), {
    prune: true,
    systemAttributes: { completed_rung_0: 0.4 },
  });
  assert.deepEqual(decide(history(others), running(1, [0.1, 0.7])), {
    prune: false,
    systemAttributes: { completed_rung_0: 0.7, completed_rung_1: 0.7 },
  });
  assert.deepEqual(decide(history(others), running(1, [0.4], { completed_rung_0: 0.4 })), { prune: false });
});

Deno.test("Hyperband's brackets: budgets and shares of trials", () => {
  assert.deepEqual(bracketBudgets(1, 81, 3), [81, 34, 15, 8, 5]);
  assert.equal(bracketOf("study", 0, [1]), 0);
  const budgets = bracketBudgets(1, 9, 3), counts = budgets.map(() => 0);
  for (let number = 0; number < 2000; number++) counts[bracketOf("study", number, budgets)]!++;
  const total = budgets.reduce((a, b) => a + b);
  counts.forEach((count, i) => assert.ok(Math.abs(count / 2000 - budgets[i]! / total) < 0.03));
  const trials = Array.from({ length: 50 }, (_, number) => frozenTrial(number, { intermediate: reports(1, 2, 3) }));
  const { visibleTo } = hyperbandPruner({ maxResource: 9 });
  const seen = new Set(trials.map(({ number }) => visibleTo!(history(trials), number).trials.length));
  assert.equal([...seen].reduce((a, b) => a + b), 50);
});

Deno.test("pruners refuse several objectives and options that do not fit", () => {
  const several = history([], { directions: ["minimize", "maximize"], studyName: "two" });
  assert.throws(() => PRUNERS.median.create().decide(several, running(0, [1])), /study two has 2 objectives/);
  assert.throws(() => percentilePruner({ percentile: 101 }), /percentile is 101/);
  assert.throws(() => percentilePruner({ percentile: 50, intervalSteps: 0 }), /intervalSteps is 0/);
  assert.throws(() => successiveHalvingPruner({ reductionFactor: 1 }), /reductionFactor is 1/);
  assert.throws(() => successiveHalvingPruner({ bootstrapCount: 1 }), /without a minResource/);
  assert.throws(() => hyperbandPruner({ bootstrapCount: 1 }), /without a maxResource/);
  assert.throws(() => hyperbandPruner({ minResource: 5, maxResource: 4 }), /maxResource is 4/);
  assert.throws(() => patientPruner({ patience: -1 }), /patience is -1/);
  assert.throws(() => thresholdPruner({}), /limits are null and null/);
  assert.throws(() => thresholdPruner({ lower: 2, upper: 1 }), /limits are 2 and 1/);
});

Deno.test("pruners by name: each is made of its defaults, and has one line without a full stop", () => {
  for (const [name, entry] of Object.entries(PRUNERS)) {
    assert.match(entry.summary, /^\S.{0,108}[^\s.]$/, name);
    if (name === "threshold") continue; // it has no use without a limit
    assert.equal(entry.create().decide(history([]), running(0, [1])).prune, false);
  }
  const { decide } = PRUNERS.threshold.create({ upper: 1 });
  assert.deepEqual([1, 1.1, NaN].map((value) => decide(history([]), running(0, [value])).prune), [false, true, true]);
});
