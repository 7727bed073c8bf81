import assert from "node:assert/strict";
import fc from "fast-check";
import { planRetention, type Ranked } from "../../lib/storage/retention_rule.ts";

/** Few distinct metric values, so that ties are common; NaN is null in a manifest. */
const metricArbitrary = fc.option(fc.constantFrom(0, 0.5, 0.5, 0.75, 1, -Infinity), { freq: 5 });
const checkpointsArbitrary = fc.array(fc.record({ metric: metricArbitrary, resumable: fc.boolean() }), {
  minLength: 1,
  maxLength: 12,
}).chain((drawn) => {
  const made: Ranked[] = drawn.map(({ metric, resumable }, index) => ({
    name: `epoch_${index}`,
    resumable,
    info: { step: index * 10, metrics: metric === null && index % 2 === 0 ? {} : { f1: metric } },
  }));
  return fc.shuffledSubarray(made, { minLength: made.length });
});
const policyArbitrary = fc.record({ keep_last_n: fc.nat({ max: 4 }), keep_best_k: fc.nat({ max: 4 }) });
const directionArbitrary = fc.constantFrom("maximize", "minimize");

const step = (one: Ranked) => one.info.step;
const remaining = <T>(all: readonly T[], removed: readonly T[]) => all.filter((one) => !removed.includes(one));

Deno.test("one at least, the newest, the resume point and the last n always remain", () => {
  fc.assert(fc.property(checkpointsArbitrary, policyArbitrary, directionArbitrary, (all, policy, direction) => {
    const kept = remaining(all, planRetention(all, { policy, metric: "f1", direction }).remove);
    const byStep = all.toSorted((a, b) => step(b) - step(a));
    assert.ok(kept.length >= 1);
    assert.ok(kept.includes(byStep[0]!));
    for (const one of byStep.slice(0, policy.keep_last_n)) assert.ok(kept.includes(one));
    const resumePoint = byStep.find((one) => one.resumable);
    if (resumePoint) assert.ok(kept.includes(resumePoint));
  }));
});

Deno.test("nothing that was removed is better than, or as good as, one of the best k", () => {
  fc.assert(fc.property(checkpointsArbitrary, policyArbitrary, directionArbitrary, (all, policy, direction) => {
    const removed = planRetention(all, { policy, metric: "f1", direction }).remove;
    const sign = direction === "maximize" ? 1 : -1;
    const values = all.map((one) => one.info.metrics["f1"]).filter((value) => typeof value === "number")
      .map((value) => sign * value).filter((value) => value > -Infinity).sort((a, b) => b - a);
    const threshold = values.slice(0, policy.keep_best_k).at(-1);
    for (const one of removed) {
      const value = one.info.metrics["f1"];
      if (threshold === undefined || typeof value !== "number") continue;
      assert.ok(sign * value < threshold, `${one.name} with ${value} was removed`);
    }
  }));
});

Deno.test("no more remain than the policy asks for, ties and the resume point aside", () => {
  fc.assert(fc.property(checkpointsArbitrary, policyArbitrary, directionArbitrary, (all, policy, direction) => {
    // Distinct metrics: no ties.
    const distinct = all.map((one) => ({
      ...one,
      resumable: true,
      info: { ...one.info, metrics: { f1: one.info.step } },
    }));
    const kept = remaining(distinct, planRetention(distinct, { policy, metric: "f1", direction }).remove);
    assert.ok(kept.length <= Math.max(1, policy.keep_last_n) + policy.keep_best_k);
  }));
});

Deno.test("what is kept as the best only is reduced, a resume point never; removing twice removes nothing more", () => {
  fc.assert(fc.property(
    checkpointsArbitrary,
    policyArbitrary,
    directionArbitrary,
    fc.boolean(),
    (all, policy, direction, finished) => {
      const rule = { policy, metric: "f1", direction, finished } as const;
      const plan = planRetention(all, rule);
      assert.deepEqual(new Set([...plan.remove, ...plan.reduce, ...plan.keep]), new Set(all));
      assert.ok(plan.keep.length + plan.reduce.length >= 1);
      const newest = all.toSorted((a, b) => step(b) - step(a));
      const protectedFromReducing = new Set([
        newest[0],
        newest.find((one) => one.resumable),
        ...newest.slice(0, policy.keep_last_n),
      ]);
      for (const one of plan.reduce) assert.ok(one.resumable && (finished || !protectedFromReducing.has(one)));
      for (const one of plan.keep) assert.ok(!one.resumable || (!finished && protectedFromReducing.has(one)));
      const again = planRetention([...plan.keep, ...plan.reduce.map((one) => ({ ...one, resumable: false }))], rule);
      assert.deepEqual([again.remove, again.reduce], [[], []]);
    },
  ));
});
