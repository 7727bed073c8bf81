import assert from "node:assert/strict";
import fc from "fast-check";
import {
  checkSpace,
  contains,
  type Distribution,
  fromInternal,
  fromOptunaJson,
  type SearchSpace,
  toInternal,
  toOptunaJson,
  valueAt,
} from "../../lib/hpo/space.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";

const learningRate: Distribution = { type: "float", low: 1e-5, high: 1e-3, log: true };
const space: SearchSpace = {
  learning_rate: learningRate,
  dropout: { type: "float", low: 0, high: 0.5, step: 0.1 },
  layers: { type: "int", low: 2, high: 6, step: 2 },
  width: { type: "int", low: 1, high: 64, log: true },
  pooling: { type: "categorical", choices: ["cls", "mean", null, true, 3] },
};

const distributionArbitrary: fc.Arbitrary<Distribution> = fc.oneof(
  fc.record({ low: fc.integer({ min: -50, max: 50 }), span: fc.nat({ max: 40 }), step: fc.constantFrom(1, 2, 3, null) })
    .map(({ low, span, step }): Distribution => ({ type: "int", low, high: low + span, step })),
  fc.record({ low: fc.integer({ min: 1, max: 50 }), span: fc.nat({ max: 40 }) })
    .map(({ low, span }): Distribution => ({ type: "int", low, high: low + span, log: true })),
  fc.record({ low: fc.double({ min: -5, max: 5, noNaN: true }), span: fc.double({ min: 0, max: 9, noNaN: true }) })
    .map(({ low, span }): Distribution => ({ type: "float", low, high: low + span })),
  fc.record({
    low: fc.constantFrom(-0.3, 0, 0.1),
    span: fc.constantFrom(0, 0.3, 0.7),
    step: fc.constantFrom(0.1, 0.05, 0.2),
  })
    .map(({ low, span, step }): Distribution => ({ type: "float", low, high: low + span, step })),
  fc.record({
    low: fc.double({ min: 1e-6, max: 1, noNaN: true }),
    factor: fc.double({ min: 1, max: 1e4, noNaN: true }),
  })
    .map(({ low, factor }): Distribution => ({ type: "float", low, high: low * factor, log: true })),
  fc.uniqueArray(fc.oneof(fc.string(), fc.boolean(), fc.constant(null), fc.integer()), { minLength: 1, maxLength: 5 })
    .map((choices): Distribution => ({ type: "categorical", choices })),
);

Deno.test("every position yields a value of the distribution that survives Optuna's representations", () => {
  fc.assert(
    fc.property(distributionArbitrary, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (drawn, u) => {
      const distribution = checkSpace({ drawn })["drawn"]!;
      const value = valueAt(distribution, u);
      assert.ok(contains(distribution, value), `${value} is not in ${JSON.stringify(distribution)}`);
      assert.equal(fromInternal(distribution, toInternal(distribution, value)), value);
      const read = fromOptunaJson(toOptunaJson(distribution));
      assert.equal(toOptunaJson(read), toOptunaJson(distribution));
      assert.equal(valueAt(read, u), value);
    }),
    { numRuns: 500 },
  );
});

Deno.test("the shares: grid points and categories equal, a logarithmic scale even in ln", () => {
  const positions = Array.from({ length: 1000 }, (_, i) => (i + 0.5) / 1000);
  const share = (distribution: Distribution, test: (value: number) => boolean) =>
    positions.filter((u) => test(valueAt(distribution, u) as number)).length / 1000;
  for (const value of [2, 4, 6]) assert.ok(Math.abs(share(space["layers"]!, (x) => x === value) - 1 / 3) < 2e-3);
  for (const value of [0, 0.1, 0.2, 0.3, 0.4, 0.5]) {
    assert.ok(Math.abs(share(space["dropout"]!, (x) => x === value) - 1 / 6) < 2e-3);
  }
  assert.equal(share(learningRate, (x) => x < 1e-4), 0.5);
  // [0.5, 1.5) of [0.5, 64.5) in ln
  assert.ok(Math.abs(share(space["width"]!, (x) => x === 1) - Math.log(3) / Math.log(129)) < 2e-3);
});

Deno.test("Optuna's JSON, as Optuna itself writes it", () => {
  const parsed = (distribution: Distribution) => JSON.parse(toOptunaJson(distribution));
  assert.deepEqual(parsed(learningRate), {
    name: "FloatDistribution",
    attributes: { step: null, low: 1e-5, high: 1e-3, log: true },
  });
  assert.deepEqual(parsed({ type: "int", low: 1, high: 8 }), {
    name: "IntDistribution",
    attributes: { log: false, step: 1, low: 1, high: 8 },
  });
  assert.deepEqual(parsed(space["pooling"]!), {
    name: "CategoricalDistribution",
    attributes: { choices: ["cls", "mean", null, true, 3] },
  });
  assert.throws(() => fromOptunaJson('{"name":"OtherDistribution","attributes":{}}'), RangeError);
});

Deno.test("high moves down to the last step", () => {
  assert.deepEqual(checkSpace({ a: { type: "int", low: 1, high: 8, step: 3 } })["a"], {
    type: "int",
    low: 1,
    high: 7,
    step: 3,
  });
  assert.deepEqual(checkSpace({ a: { type: "float", low: 0.1, high: 0.75, step: 0.2 } })["a"], {
    type: "float",
    low: 0.1,
    high: 0.7,
    step: 0.2,
  });
});

Deno.test("an impossible distribution is refused by its parameter's name", () => {
  const bad: Distribution[] = [
    { type: "float", low: 1, high: 0 },
    { type: "float", low: 0, high: 1, log: true },
    { type: "float", low: 1, high: 2, log: true, step: 0.1 },
    { type: "float", low: 0, high: NaN },
    { type: "int", low: 0.5, high: 2 },
    { type: "int", low: 0, high: 8, step: 0 },
    { type: "categorical", choices: [] },
    { type: "categorical", choices: [1, 1] },
  ];
  for (const distribution of bad) {
    assert.throws(() => checkSpace({ "training.rate": distribution }), (error: WinnowError) => {
      return exitCode(error) === 2 && error.message.startsWith("search_space.training.rate: expected ");
    }, JSON.stringify(distribution));
  }
});
