/** Studies that go to and fro between Winnow and Optuna. */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { openStorage } from "../../lib/hpo/database.ts";
import { parseAttribute } from "../../lib/hpo/optuna_values.ts";
import type { Category, Distribution } from "../../lib/hpo/space.ts";
import { createStudy, loadStudy, type Study, type Trial } from "../../lib/hpo/study.ts";
import type { TrialTemplate } from "../../lib/hpo/study_db.ts";
import { askPython } from "../support/python.ts";

/** What Optuna sees of studies: see tests/peers/optuna_studies.py. */
async function optunaSees(request: { path: string; make?: number[]; studies?: string[]; optimize?: number }) {
  const json = await askPython<string>("optuna_studies.py", [], request);
  return parseAttribute(json) as ReturnType<typeof winnowSees>[];
}

/** A distribution with all of Optuna's attributes. */
function whole(distribution: Distribution): unknown {
  if (distribution.type === "categorical") return distribution;
  const { type, low, high, log = false, step } = distribution;
  return { type, low, high, log, step: step ?? (type === "int" ? 1 : null) };
}

/** Times without a fraction, as early versions wrote them, are whole milliseconds. */
const milliseconds = (time: string | null) => time === null ? null : new Date(time).toISOString();

/** The same of a study as Winnow sees it. */
const winnowSees = (study: Study) => ({
  name: study.studyName,
  directions: study.directions,
  userAttributes: study.userAttributes,
  systemAttributes: study.systemAttributes,
  best: study.bestTrials.map(({ number }) => number),
  trials: study.trials.map((trial) => ({
    number: trial.number,
    state: trial.state,
    params: Object.entries(trial.params),
    distributions: Object.fromEntries(Object.entries(trial.distributions).map(([name, one]) => [name, whole(one)])),
    values: trial.values,
    intermediate: trial.intermediate.map(({ step, value }) => [step, value]),
    userAttributes: trial.userAttributes,
    systemAttributes: trial.systemAttributes,
    started: milliseconds(trial.started),
    completed: milliseconds(trial.completed),
  })),
});

async function withFile(body: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "winnow-optuna-" });
  try {
    await body(join(folder, "study.db"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("random studies made by Optuna read as Optuna reads them", async () => {
  await withFile(async (path) => {
    const states = new Set<string>();
    for (const theirs of await optunaSees({ path, make: [...Array(16).keys()] })) {
      using study = loadStudy({ storage: path, studyName: theirs.name });
      assert.deepEqual(winnowSees(study), theirs);
      for (const { state } of theirs.trials) states.add(state);
    }
    assert.equal(states.size, 5, "not every state occurred");
  });
});

const attribute = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value))) // no -0
  .chain((value) => fc.constantFrom(value, NaN, [Infinity, value], { "-Infinity": -Infinity }));
const attributes = fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), attribute, { maxKeys: 3 });
const number = fc.double({ noNaN: true, min: -1e9, max: 1e9 }).map((value) => value + 0);
const finiteOrNot = fc.oneof({ weight: 4, arbitrary: number }, fc.constantFrom(Infinity, -Infinity));

/** Parameters whose kind depends on their name, as a study wants it. */
const params: fc.Arbitrary<[string, Distribution, Category][]> = fc.tuple(
  fc.tuple(number, number, fc.double({ min: 0, max: 1, noNaN: true })).map(([a, b, at]) => {
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    const value = Math.min(Math.max(low + at * (high - low), low), high);
    return ["float", { type: "float", low, high }, value] as [string, Distribution, Category];
  }),
  fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 50 }), fc.nat(50)).map(([step, count, at]) => {
    const distribution: Distribution = { type: "int", low: -3, high: -3 + step * count, step };
    return ["int é", distribution, -3 + step * Math.min(at, count)] as [string, Distribution, Category];
  }),
  fc.double({ min: 1e-8, max: 1, noNaN: true }).map((value) =>
    ["log", { type: "float", low: 1e-8, high: 1, log: true }, value] as [string, Distribution, Category]
  ),
  fc.nat(4).map((at) => {
    const choices = ["a", null, true, 2.5, "😀"];
    return ["constructor", { type: "categorical", choices }, choices[at]!] as [string, Distribution, Category];
  }),
).chain((all) => fc.shuffledSubarray(all));

const templates = (objectives: number): fc.Arbitrary<TrialTemplate> =>
  fc.record({
    state: fc.constantFrom("COMPLETE", "COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"),
    params,
    values: fc.array(finiteOrNot, { minLength: objectives, maxLength: objectives }),
    intermediate: fc.uniqueArray(fc.tuple(fc.nat(1000), fc.oneof(finiteOrNot, fc.constant(NaN))), {
      selector: ([step]) => step,
      maxLength: 4,
    }),
    userAttributes: attributes,
    systemAttributes: attributes,
    started: fc.date({ min: new Date("2001-01-01"), max: new Date("2037-01-01"), noInvalidDate: true }),
  }).map(({ params, values, intermediate, started, ...trial }): TrialTemplate => ({
    ...trial,
    params: Object.fromEntries(params.map(([name, , value]) => [name, value])),
    distributions: Object.fromEntries(params.map(([name, distribution]) => [name, distribution])),
    values: trial.state === "COMPLETE" || (trial.state === "PRUNED" && objectives === 1) ? values : null,
    intermediate: intermediate.map(([step, value]) => ({ step, value })),
    started: trial.state === "WAITING" ? null : started.toISOString(),
  }));

Deno.test("random studies made by Winnow read in Optuna as they read here", async () => {
  const studies = fc.array(fc.constantFrom("minimize" as const, "maximize" as const), { minLength: 1, maxLength: 3 })
    .chain((directions) =>
      fc.record({
        directions: fc.constant(directions),
        userAttributes: attributes,
        trials: fc.array(templates(directions.length), { maxLength: 12 }),
      })
    );
  await withFile(async (path) => {
    await fc.assert(
      fc.asyncProperty(fc.array(studies, { minLength: 1, maxLength: 12, size: "max" }), async (several) => {
        using storage = openStorage(path);
        const made = several.map(({ directions, userAttributes, trials }) => {
          const study = createStudy({ storage, directions, userAttributes });
          study.addTrials(trials);
          return study;
        });
        assert.deepEqual(made.map(winnowSees), await optunaSees({ path, studies: made.map((one) => one.studyName) }));
      }),
      { numRuns: 3, endOnFailure: true },
    );
  });
});

/** The objective of tests/peers/optuna_studies.py. */
function objective(trial: Trial): number {
  const x = trial.suggestFloat("x", -5, 5);
  if (trial.suggestCategorical("kind", ["plain", "shifted"]) === "plain") return (x - 1) ** 2;
  return (x - 1) ** 2 + (trial.suggestFloat("y", 0, 2) - 1) ** 2;
}

Deno.test("a study begun by Winnow is continued by Optuna's TPE, that by Winnow's, and so on", async () => {
  await withFile(async (path) => {
    {
      using study = createStudy({ storage: path, studyName: "relay", direction: "minimize" });
      await study.optimize(objective, { nTrials: 15 });
      study.enqueueTrial({ x: 4, kind: "shifted" });
    }
    const [first] = await optunaSees({ path, studies: ["relay"], optimize: 15 });
    assert.deepEqual(first!.trials[15]!.params.slice(0, 2), [["x", 4], ["kind", "shifted"]]);
    {
      using study = loadStudy({ storage: path });
      assert.deepEqual(winnowSees(study), first);
      await study.optimize(objective, { nTrials: 15 });
    }
    const [last] = await optunaSees({ path, studies: ["relay"], optimize: 1 });
    using study = loadStudy({ storage: path });
    assert.deepEqual(winnowSees(study), last);
    assert.deepEqual(last!.trials.map(({ number }) => number), [...Array(46).keys()]);
    assert.ok(last!.trials.every(({ state }) => state === "COMPLETE"));
    assert.ok(study.bestValue < 0.5, `the best of 46 trials is ${study.bestValue}`);
  });
});
