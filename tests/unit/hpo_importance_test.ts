import assert from "node:assert/strict";
import { paramImportances } from "../../lib/hpo/importance/ped_anova.ts";
import type { Distribution } from "../../lib/hpo/space.ts";
import { randomStream } from "../../lib/support/rng.ts";
import type { FrozenTrial } from "../../lib/hpo/trial.ts";

const SPACE: Record<string, Distribution> = {
  strong: { type: "float", low: 0, high: 1 },
  weak: { type: "float", low: 0, high: 1 },
  head: { type: "categorical", choices: ["a", "b"] },
  single: { type: "int", low: 4, high: 4 },
};

function trialsOf(count: number, objective: (strong: number) => number): FrozenTrial[] {
  const stream = randomStream(7, "importance");
  return Array.from({ length: count }, (_, number): FrozenTrial => {
    const strong = stream.uniform();
    return {
      ...{ row: number + 1, number, id: null, state: "COMPLETE", intermediate: [], started: null, completed: null },
      params: { strong, weak: stream.uniform(), head: stream.uniform() < 0.5 ? "a" : "b", single: 4 },
      distributions: SPACE,
      values: [objective(strong)],
      userAttributes: {},
      systemAttributes: {},
    };
  });
}

Deno.test("importance finds the parameter that matters, and a parameter of one value has none", () => {
  const trials = trialsOf(200, (strong) => -((strong - 0.8) ** 2));
  const shares = paramImportances(trials, ["maximize"]);
  assert.equal(Object.keys(shares)[0], "strong");
  assert.ok(shares["strong"]! > 0.7, String(shares["strong"]));
  assert.equal(shares["single"], 0);
  assert.ok(Math.abs(Object.values(shares).reduce((a, b) => a + b) - 1) < 1e-12);
  // The other end of the objective is another question with another answer.
  assert.notDeepEqual(shares, paramImportances(trials, ["minimize"]));
});

Deno.test("importances are equal where nothing can be told, and there are none without a complete trial", () => {
  const equal = { strong: 0.25, weak: 0.25, head: 0.25, single: 0.25 };
  assert.deepEqual(paramImportances(trialsOf(1, () => 1), ["maximize"]), equal);
  assert.deepEqual(paramImportances(trialsOf(20, () => 1), ["maximize"]), equal);
  assert.deepEqual(paramImportances(trialsOf(20, () => Infinity), ["maximize"]), equal);
  assert.deepEqual(paramImportances([], ["maximize"]), {});
  assert.deepEqual(paramImportances(trialsOf(3, () => 1).map((one) => ({ ...one, state: "FAIL" })), ["maximize"]), {});
});
