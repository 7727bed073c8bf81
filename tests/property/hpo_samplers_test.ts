import assert from "node:assert/strict";
import fc from "fast-check";
import { frozenTrial } from "../../bench/search_loop.ts";
import { gridOf, gridSampler } from "../../lib/hpo/samplers/grid.ts";
import { quasiRandomSampler } from "../../lib/hpo/samplers/quasi_random.ts";
import { randomSampler } from "../../lib/hpo/samplers/random.ts";
import { groupedSpaces, intersectionSpace, shapesOf } from "../../lib/hpo/samplers/search_space_groups.ts";
import { tpeSampler } from "../../lib/hpo/samplers/tpe.ts";
import { createTrialTable } from "../../lib/hpo/samplers/trial_table.ts";
import {
  checkSpace,
  contains,
  type Distribution,
  type Params,
  type SearchSpace,
  valueAt,
} from "../../lib/hpo/space.ts";
import type { FrozenTrial, StudyHistory, TrialState } from "../../lib/hpo/trial.ts";

const distributions: fc.Arbitrary<Distribution> = fc.oneof(
  fc.tuple(fc.double({ min: -100, max: 100, noNaN: true }), fc.double({ min: 1e-3, max: 200, noNaN: true }))
    .map(([low, width]): Distribution => ({ type: "float", low, high: low + width })),
  fc.tuple(fc.double({ min: 1e-8, max: 10, noNaN: true }), fc.double({ min: 1.01, max: 1e6, noNaN: true }))
    .map(([low, factor]): Distribution => ({ type: "float", low, high: low * factor, log: true })),
  fc.tuple(
    fc.integer({ min: -20, max: 20 }),
    fc.integer({ min: 1, max: 30 }),
    fc.constantFrom(0.05, 0.1, 0.25, 1 / 3, 2),
  )
    .map(([low, steps, step]): Distribution => ({ type: "float", low: low / 10, high: low / 10 + steps * step, step })),
  fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 7 }))
    .map(([low, width, step]): Distribution => ({ type: "int", low, high: low + width, step })),
  fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 0, max: 2000 }))
    .map(([low, width]): Distribution => ({ type: "int", low, high: low + width, log: true })),
  fc.uniqueArray(fc.oneof(fc.string({ maxLength: 3 }), fc.boolean(), fc.integer(), fc.constant(null)), {
    minLength: 1,
    maxLength: 5,
  }).map((choices): Distribution => ({ type: "categorical", choices })),
);

const spaces = fc.array(distributions, { minLength: 1, maxLength: 4 }).map((all): SearchSpace =>
  checkSpace(Object.fromEntries(all.map((one, i) => [`p${i}`, one])))
);

interface Row {
  readonly state: TrialState;
  readonly present: readonly boolean[];
  readonly at: readonly number[];
  readonly value: number;
}

const rows: fc.Arbitrary<Row[]> = fc.array(
  fc.record({
    state: fc.constantFrom<TrialState>("COMPLETE", "COMPLETE", "COMPLETE", "PRUNED", "RUNNING", "FAIL", "WAITING"),
    present: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
    at: fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 4, maxLength: 4 }),
    value: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom(Infinity, -Infinity), fc.double({ noNaN: true })),
  }),
  { maxLength: 40 },
);

/** A history of trials that have each parameter or not. */
function historyOf(space: SearchSpace, all: readonly Row[]): StudyHistory {
  const trials = all.map(({ state, present, at, value }, number): FrozenTrial => {
    const names = Object.keys(space).filter((_, i) => present[i]);
    const params: Params = Object.fromEntries(names.map((name, i) => [name, valueAt(space[name]!, at[i]!)]));
    return frozenTrial(number, {
      state,
      params,
      distributions: Object.fromEntries(names.map((name) => [name, space[name]!])),
      values: state === "COMPLETE" ? [value] : null,
      intermediate: state === "PRUNED" ? [{ step: number % 4, value }] : [],
    });
  });
  return { studyName: "s", directions: ["minimize"], trials };
}

const options = fc.record({
  seed: fc.integer({ min: 0, max: 2 ** 40 }),
  nStartupTrials: fc.constantFrom(0, 1, 5),
  nEiCandidates: fc.constantFrom(1, 24),
  group: fc.boolean(),
  constantLiar: fc.boolean(),
  startup: fc.constantFrom("random" as const, "quasi_random" as const),
});

Deno.test("TPE: draws lie in their distributions, and depend on options, history and number alone", () => {
  fc.assert(
    fc.property(spaces, rows, options, (space, all, chosen) => {
      const history = historyOf(space, all);
      const number = history.trials.length;
      const sampler = tpeSampler(chosen);
      // Warm: it has seen shorter histories, one trial at a time.
      const warm = tpeSampler(chosen);
      for (let n = 0; n < number; n++) {
        const shorter = { ...history, trials: history.trials.slice(0, n) };
        warm.sampleRelative(shorter, n);
        warm.sampleIndependent(shorter, n, "p0", space["p0"]!);
      }
      // Turned: it has seen another study, whose trials have the same numbers.
      const turned = tpeSampler(chosen);
      turned.sampleRelative(historyOf(space, [...all].reverse()), number);
      turned.sampleIndependent(historyOf(space, [...all].reverse()), number, "p0", space["p0"]!);

      const drawn = sampler.sampleRelative(history, number);
      for (const [name, value] of Object.entries(drawn.params)) {
        assert.ok(contains(drawn.space[name]!, value), `${name} is ${value}`);
        assert.ok(contains(space[name]!, value));
      }
      assert.deepEqual(warm.sampleRelative(history, number), drawn);
      assert.deepEqual(turned.sampleRelative(history, number), drawn);
      for (const [name, distribution] of Object.entries(space)) {
        const value = sampler.sampleIndependent(history, number, name, distribution);
        assert.ok(contains(distribution, value), `${name} is ${value} of ${JSON.stringify(distribution)}`);
        assert.deepEqual(warm.sampleIndependent(history, number, name, distribution), value);
        assert.deepEqual(turned.sampleIndependent(history, number, name, distribution), value);
        assert.deepEqual(tpeSampler(chosen).sampleIndependent(history, number, name, distribution), value);
      }
    }),
    { numRuns: 150 },
  );
});

Deno.test("TPE: several objectives", () => {
  fc.assert(
    fc.property(spaces, rows, fc.infiniteStream(fc.integer({ min: 0, max: 5 })), (space, all, more) => {
      const single = historyOf(space, all);
      const trials = single.trials.map((trial) =>
        trial.values ? { ...trial, values: [more.next().value!, more.next().value!, trial.values[0]!] } : trial
      );
      const history: StudyHistory = { ...single, directions: ["minimize", "maximize", "minimize"], trials };
      const sampler = tpeSampler({ seed: 1, nStartupTrials: 1 });
      assert.deepEqual(sampler.sampleRelative(history, trials.length).params, {});
      for (const [name, distribution] of Object.entries(space)) {
        assert.ok(contains(distribution, sampler.sampleIndependent(history, trials.length, name, distribution)));
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("random and quasi-random draws lie in their distributions and repeat", () => {
  fc.assert(fc.property(spaces, rows, fc.integer({ min: 0, max: 2 ** 40 }), (space, all, seed) => {
    const history = historyOf(space, all);
    for (const make of [randomSampler, quasiRandomSampler]) {
      for (const [name, distribution] of Object.entries(space)) {
        const value = make({ seed }).sampleIndependent(history, all.length, name, distribution);
        assert.ok(contains(distribution, value), `${value} of ${JSON.stringify(distribution)}`);
        assert.deepEqual(make({ seed }).sampleIndependent(history, all.length, name, distribution), value);
      }
    }
  }));
});

Deno.test("groups: a partition of all parameters, each wholly in a trial or not at all, and no coarser one", () => {
  fc.assert(fc.property(spaces, rows, (space, all) => {
    const history = historyOf(space, all);
    const table = createTrialTable();
    table.update(history.trials);
    const shapes = shapesOf(history.trials, table);
    const groups = groupedSpaces(shapes).map((group) => Object.keys(group));
    const learnt = history.trials.filter(({ state }) => state === "COMPLETE" || state === "PRUNED");
    const names = new Set(learnt.flatMap(({ params }) => Object.keys(params)));
    assert.deepEqual(groups.flat().sort(), [...names].sort());
    const presence = (name: string) => learnt.map(({ params }) => name in params ? 1 : 0).join("");
    for (const group of groups) assert.equal(new Set(group.map(presence)).size, 1);
    assert.equal(new Set(groups.map((group) => presence(group[0]!))).size, groups.length, "two groups could be one");
    const common = learnt.length === 0 ? [] : [...names].filter((name) => learnt.every(({ params }) => name in params));
    assert.deepEqual(Object.keys(intersectionSpace(shapes)).sort(), common.sort());
  }));
});

Deno.test("grid: every combination once, in an order of the seed, whichever trials fail and after every kill", () => {
  const small: SearchSpace = {
    a: { type: "categorical", choices: ["x", null, true] },
    b: { type: "int", low: 1, high: 4, step: 2 },
    c: { type: "float", low: 0, high: 0.3, step: 0.1 },
  };
  const orders = new Set<string>();
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 50 }),
      fc.array(fc.constantFrom<TrialState>("COMPLETE", "PRUNED", "FAIL"), { minLength: 24, maxLength: 24 }),
      (seed, states) => {
        const trials: FrozenTrial[] = [];
        const history: StudyHistory = { studyName: "s", directions: ["minimize"], trials };
        while (!gridSampler({ seed, grid: gridOf(small) }).exhausted!(history)) {
          const sampler = gridSampler({ seed, grid: gridOf(small) }); // a new process each time
          const params = Object.fromEntries(
            Object.entries(small).map((
              [name, one],
            ) => [name, sampler.sampleIndependent(history, trials.length, name, one)]),
          );
          trials.push(frozenTrial(trials.length, { params, distributions: small, state: states[trials.length]! }));
        }
        assert.equal(trials.length, 24);
        assert.equal(new Set(trials.map(({ params }) => JSON.stringify(params))).size, 24);
        orders.add(JSON.stringify(trials.map(({ params }) => params)));
        const sampler = gridSampler({ seed, grid: gridOf(small) });
        assert.throws(() => sampler.sampleIndependent(history, 24, "a", small["a"]!), /all 24 combinations/);
      },
    ),
    { numRuns: 30 },
  );
  assert.ok(orders.size > 5);
});
