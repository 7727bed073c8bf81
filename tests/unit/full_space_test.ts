import assert from "node:assert/strict";
import { loadConfig, withParams } from "../../lib/config/compose.ts";
import { conditionalSize, conditionalSpace, distributionsOf, randomParams } from "../../lib/hpo/conditional_space.ts";
import { contains } from "../../lib/hpo/space.ts";
import { catalog } from "../../lib/report/catalog.ts";

const config = loadConfig({ file: "configs/hpo_study.yaml" });
const full = conditionalSpace(config.search_space);
const space = distributionsOf(full);

Deno.test("full space: more than 10^15 combinations, beside its continuous axes", () => {
  const { combinations, continuous } = conditionalSize(full);
  assert.equal(combinations, 2_834_151_285_888_000_000n);
  assert.ok(continuous.includes("training.learning_rate") && !continuous.includes("model.criteria_dropout"));
  assert.deepEqual(full.idle, []);
});

Deno.test("full space: every part of the model and of its training that the catalog has", () => {
  // Not every name: sigmoid is for gates, a constant rate has no course to choose. No axis: windows follow the length of
  // posts, precision and recomputation trade time and memory, not quality, thresholds do not touch the objective, and the
  // rest is the search's and the storage's own.
  const partial = ["model.activation", "training.schedule"];
  const none = ["data.window_aggregation", "training.precision", "training.recompute", "study.sampler", "study.pruner"]
    .concat("evaluation.thresholds", "tracking.store", "retention.pruning_strategy");
  for (const { key, entries } of catalog().sections) {
    if (none.includes(key)) continue;
    const distribution = space[key];
    assert.ok(distribution?.type === "categorical", `${key} is no axis of configs/search_space/full.yaml`);
    const named = key === "augmentation.methods"
      ? new Set(distribution.choices.flatMap((methods) => String(methods).split(",")))
      : new Set(distribution.choices);
    const missing = entries.filter(({ name }) => !named.has(name)).map(({ name }) => name);
    if (key === "augmentation.methods") assert.deepEqual(missing, ["delete", "eda"]);
    else if (!partial.includes(key)) assert.deepEqual(missing, [], key);
  }
});

Deno.test("full space: every subset of the five augmentation methods, once", () => {
  const methods = space["augmentation.methods"]!;
  assert.ok(methods.type === "categorical");
  const subsets = methods.choices.map((choice) => String(choice).split(",").sort().join());
  assert.equal(new Set(subsets).size, 32);
  assert.equal(subsets.length, 32);
});

Deno.test("full space: whatever is drawn from it is a valid configuration", () => {
  for (let trial = 0; trial < 200; trial++) {
    const params = randomParams(full, 3, trial);
    for (const [key, value] of Object.entries(params)) assert.ok(contains(space[key]!, value), key);
    withParams(config, params);
  }
});

Deno.test("full space: search_space=full on the command line of another configuration", () => {
  const base = ["search_space=full", "model=bert_base", "augmentation=back_translation"];
  assert.deepEqual(loadConfig({ file: "configs/quickstart.yaml", overrides: base }).search_space, config.search_space);
  const without = ["search_space.augmentation.methods=null", "search_space.model.id=null", "search_space=full"];
  const random = loadConfig({ file: "configs/quickstart.yaml", overrides: without });
  assert.equal(Object.keys(random.search_space).length, Object.keys(space).length - 2);
  assert.throws(
    () => loadConfig({ file: "configs/quickstart.yaml", overrides: ["search_space=full"] }),
    /has insert, but model\.id is random[^]*has back_translation, but augmentation\.back_translation names no models/,
  );
});
