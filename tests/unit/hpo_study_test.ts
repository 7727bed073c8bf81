/** A study in one process: trials that suggest and are told, the queue, the best, the names, the loop. */
import assert from "node:assert/strict";
import type { Pruner } from "../../lib/hpo/pruners/pruner.ts";
import type { Sampler } from "../../lib/hpo/samplers/sampler.ts";
import { createStudy, loadStudy, type Study } from "../../lib/hpo/study.ts";
import type { FrozenTrial, StudyHistory } from "../../lib/hpo/trial.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
import { quietStudy, withFile } from "../support/quiet_study.ts";
import { smallSpace } from "./hpo_scenario.ts";

const refused = (pattern: RegExp) => (error: WinnowError) => {
  assert.match(error.message, pattern);
  assert.notEqual(error.remedy, "");
  return exitCode(error) === 2;
};

/** All of a trial but its row, its number, its uuid and its times. */
const plain = (
  { state, params, distributions, values, intermediate, userAttributes, systemAttributes }: FrozenTrial,
) => {
  const { "winnow:trial_id": _id, ...attributes } = userAttributes;
  return { state, params, distributions, values, intermediate, userAttributes: attributes, systemAttributes };
};

Deno.test("a trial suggests, and the same name twice is the same value", () => {
  const { study, warnings } = quietStudy();
  const trial = study.ask();
  const rate = trial.suggestFloat("rate", 1e-5, 1e-1, { log: true });
  const dropout = trial.suggestFloat("dropout", 0, 0.5, { step: 0.1 });
  const layers = trial.suggestInt("layers", 1, 8);
  const pooling: "cls" | "mean" = trial.suggestCategorical("pooling", ["cls", "mean"]);
  assert.ok(rate >= 1e-5 && rate <= 1e-1 && Number.isInteger(layers) && Math.abs(dropout * 10 % 1) < 1e-9);
  assert.equal(trial.suggestFloat("rate", 1e-5, 1e-1, { log: true }), rate);
  assert.equal(warnings.length, 0);
  assert.equal(trial.suggestFloat("rate", 1, 2, { log: true }), rate); // as Optuna: the first range stays
  assert.match(warnings[0]!, /trial 0: rate was suggested from .*"low":0.00001/);
  const told = study.tell(trial, 0.5);
  assert.deepEqual(Object.entries(told.params), [["rate", rate], ["dropout", dropout], ["layers", layers], [
    "pooling",
    pooling,
  ]]);
  assert.deepEqual([told.state, told.values, told.number, told.id], ["COMPLETE", [0.5], 0, trial.id]);
  assert.deepEqual(study.trials, [told]);
  assert.equal(study.ask().suggestFloat("constructor", 3, 3), 3);
});

Deno.test("a name keeps its kind, its scale and its choices, in a trial and in the study", () => {
  const { study } = quietStudy();
  const first = study.ask(smallSpace);
  assert.throws(
    () => first.suggestFloat("model.layers", 1, 6),
    refused(/model\.layers.*expected.*"int".*found.*"float"/),
  );
  study.tell(first, 1);
  const second = study.ask();
  assert.throws(() => second.suggestFloat("training.learning_rate", 1e-5, 1e-3), refused(/"log":true.*"log":false/));
  assert.throws(() => second.suggestCategorical("model.pooling", ["mean", "cls"]), refused(/pooling/));
  second.suggestInt("model.layers", 4, 12); // another range may be
  for (const [low, high, log] of [[2, 1, false], [0, 1, true], [NaN, 1, false]] as const) {
    assert.throws(() => second.suggestFloat("new", low, high, { log }), refused(/parameter new: expected/));
  }
  assert.throws(() => second.suggestCategorical("new", []), refused(/at least one choice/));
  assert.deepEqual(Object.keys(study.tell(second, 1).params), ["model.layers"]);
});

Deno.test("what is told decides how a trial ends", () => {
  const { study, warnings } = quietStudy();
  const end = (told: Parameters<Study["tell"]>[1], reports: number[] = []) => {
    const trial = study.ask();
    for (const [step, value] of reports.entries()) trial.report(value, step);
    const { state, values } = study.tell(trial, told);
    return [state, values];
  };
  assert.deepEqual(end(1.5), ["COMPLETE", [1.5]]);
  assert.deepEqual(end([2]), ["COMPLETE", [2]]);
  assert.deepEqual(end(-Infinity), ["COMPLETE", [-Infinity]]);
  assert.deepEqual(end({ state: "COMPLETE", values: 3 }), ["COMPLETE", [3]]);
  assert.deepEqual(end({ state: "FAIL" }, [1]), ["FAIL", null]);
  assert.deepEqual(end({ state: "PRUNED" }), ["PRUNED", null]);
  assert.deepEqual(end({ state: "PRUNED" }, [4, 5]), ["PRUNED", [5]]);
  assert.deepEqual(end({ state: "PRUNED" }, [4, NaN]), ["PRUNED", null]);
  assert.equal(warnings.length, 0);
  assert.deepEqual(end(NaN), ["FAIL", null]);
  assert.deepEqual(end([1, 2]), ["FAIL", null]);
  assert.deepEqual(end("1" as unknown as number), ["FAIL", null]);
  assert.deepEqual(warnings.map((text) => text.replace(/^trial \d+ fails: /, "")), [
    "the objective is NaN",
    "expected 1 values, one per objective, but found 2",
    'expected numbers but found "1"',
  ]);
  assert.throws(() => end({ state: "COMPLETE", values: NaN }), refused(/NaN/));
  assert.equal(study.trials.at(-1)!.state, "RUNNING"); // it may still be told otherwise
  assert.throws(() => study.tell(0, 1), refused(/trial 0 .* is COMPLETE/));
  assert.throws(() => study.tell(99, 1), refused(/trial 99 .* is not there/));
  const { study: other } = quietStudy();
  for (let i = 0; i < study.trials.length; i++) other.ask();
  assert.throws(() => study.tell(other.continueTrial(study.trials.length - 1), 1), refused(/is not of study/));
});

Deno.test("a step reported again has the newer value", () => {
  const { study } = quietStudy();
  const trial = study.ask();
  trial.report(0.1, 1);
  trial.report(NaN, 0);
  trial.report(0.2, 1);
  assert.throws(() => trial.report(1, -1), refused(/step from 0/));
  assert.throws(() => trial.report(1, 0.5), refused(/step from 0/));
  assert.deepEqual(study.tell(trial, 1, { userAttributes: { reason: NaN } }).intermediate, [
    { step: 0, value: NaN },
    { step: 1, value: 0.2 },
  ]);
  assert.deepEqual(study.trials[0]!.userAttributes["reason"], NaN);
});

Deno.test("enqueued trials come first, with their parameters; what is not given is sampled", () => {
  const { study, warnings } = quietStudy();
  study.enqueueTrial({ x: 3, pooling: "mean" }, { userAttributes: { by: "hand" } });
  study.enqueueTrial({ x: 99 });
  study.enqueueTrial({ x: 3.00001, pooling: "mean" }, { skipIfExists: true });
  study.enqueueTrial({ x: 3 }, { skipIfExists: true });
  assert.deepEqual(study.trials.map(({ state, started }) => [state, started]), [
    ["WAITING", null],
    ["WAITING", null],
    ["WAITING", null],
  ]);
  const first = study.ask();
  assert.deepEqual([first.number, first.userAttributes["by"], first.suggestFloat("x", 0, 10)], [0, "hand", 3]);
  assert.ok(first.suggestFloat("y", 0, 1) <= 1);
  assert.equal(first.suggestCategorical("pooling", ["cls", "mean"]), "mean");
  assert.deepEqual(study.tell(first, 1).systemAttributes, { fixed_params: { x: 3, pooling: "mean" } });
  assert.equal(study.ask().suggestFloat("x", 0, 10), 99);
  assert.match(warnings.join(), /trial 1: the value 99 of the enqueued x is not in its distribution/);
  study.ask();
  const later = study.ask();
  assert.equal(later.number, 3);
  assert.deepEqual(study.trials.map(({ state }) => state), ["COMPLETE", "RUNNING", "RUNNING", "RUNNING"]);
  for (const { id, started } of study.trials) assert.ok(id !== null && started !== null);
  study.enqueueTrial({ x: "no number" });
  assert.throws(() => study.ask().suggestFloat("x", 0, 10), refused(/"no number" of the enqueued x/));
});

Deno.test("the trials of an earlier study are a warm start, all of them or none", () => {
  const { study: earlier } = quietStudy();
  earlier.tell(earlier.ask(smallSpace), 0.5, { userAttributes: { odd: [NaN, Infinity] } });
  const pruned = earlier.ask(smallSpace);
  pruned.report(Infinity, 3);
  earlier.tell(pruned, { state: "PRUNED" });
  earlier.tell(earlier.ask(), { state: "FAIL" });
  const { study } = quietStudy();
  study.tell(study.ask(), 1);
  study.addTrials(earlier.trials);
  assert.deepEqual(study.trials.slice(1).map(plain), earlier.trials.map(plain));
  assert.deepEqual(study.trials.map(({ number }) => number), [0, 1, 2, 3]);
  const [, copy] = study.trials, [original] = earlier.trials;
  assert.deepEqual([copy!.id, copy!.started, copy!.completed], [null, original!.started, original!.completed]);
  assert.equal(study.bestTrial, copy);

  const x = { x: { type: "float", low: 0, high: 1 } } as const;
  for (
    const [trial, pattern] of [
      [{ state: "COMPLETE" }, /expected numbers/],
      [{ state: "COMPLETE", values: [NaN] }, /NaN/],
      [{ state: "COMPLETE", values: [1, 2] }, /1 values, one per objective, but found 2/],
      [{ state: "FAIL", values: [1] }, /a FAIL trial with values 1/],
      [{ state: "COMPLETE", values: [1], params: { x: 1 } }, /x has no distribution/],
      [{ state: "COMPLETE", values: [1], params: { x: 2 }, distributions: x }, /x: expected one of .* but found 2/],
    ] as const
  ) {
    assert.throws(() => study.addTrials([earlier.trials[0]!, trial]), refused(pattern));
  }
  const other: FrozenTrial = { ...earlier.trials[0]!, distributions: x, params: { x: 0.5 } };
  assert.equal(study.trials.length, 4);
  study.addTrial(other);
  const integer: FrozenTrial = { ...other, params: { x: 1 }, distributions: { x: { type: "int", low: 0, high: 1 } } };
  assert.throws(() => study.addTrial(integer), refused(/parameter x of .*"int".*in this study .*"float"/));
  const { study: empty } = quietStudy();
  assert.throws(() => empty.addTrials([other, integer]), refused(/parameter x of .*"int".*in this study .*"float"/));
  assert.deepEqual(empty.trials, []);
});

Deno.test("of several objectives the best are the Pareto front", () => {
  const { study, warnings } = quietStudy({ directions: ["minimize", "maximize"] });
  for (const values of [[1, 1], [2, 2], [2, 1], [0, 0], [1, 1], [3, Infinity]]) study.tell(study.ask(), values);
  const infeasible = study.ask();
  infeasible.setSystemAttribute("constraints:memory", 0.1);
  study.tell(infeasible, [-9, 9]);
  const failing = study.ask();
  assert.throws(() => failing.report(1, 0), refused(/2 objectives/));
  assert.throws(() => failing.shouldPrune(), refused(/2 objectives/));
  assert.equal(study.tell(failing, 1).state, "FAIL");
  assert.match(warnings.join(), /expected 2 values/);
  assert.deepEqual(study.bestTrials.map(({ number }) => number), [0, 1, 3, 4, 5]);
  assert.throws(() => study.bestTrial, refused(/2 objectives/));
  assert.throws(() => study.direction, refused(/2 objectives/));
});

Deno.test("the best trial is the earliest of equals that kept its constraints", () => {
  const { study } = quietStudy({ direction: "maximize" });
  assert.throws(() => study.bestTrial, refused(/no completed trial/));
  for (const [value, constraints] of [[1, []], [5, [1]], [3, [0, -1]], [3, []], [2, []]] as const) {
    const trial = study.ask({ x: { type: "int", low: value, high: value } });
    if (constraints.length > 0) trial.setSystemAttribute("constraints", constraints);
    study.tell(trial, value);
  }
  assert.deepEqual([study.bestTrial.number, study.bestValue, study.bestParams], [2, 3, { x: 3 }]);
  assert.deepEqual(study.bestTrials.map(({ number }) => number), [2, 3]);
});

Deno.test("sampler and pruner are given the history, and what they note is stored", () => {
  const calls: string[] = [];
  const describe = ({ studyName, trials }: StudyHistory) =>
    `${studyName}:${trials.map(({ state }) => state[0]).join("")}`;
  const sampler: Sampler = {
    sampleRelative: (history, number) => {
      calls.push(`relative ${number} ${describe(history)}`);
      return { space: { x: { type: "float", low: 0, high: 9 } }, params: { x: 5 } };
    },
    sampleIndependent: (history, number, name) => {
      calls.push(`independent ${name} ${number} ${describe(history)}`);
      return 1;
    },
    exhausted: ({ trials }) => trials.length >= 3,
  };
  const pruner: Pruner = {
    decide: (history, { number, intermediate }) => {
      calls.push(`prune ${number} ${describe(history)}`);
      return {
        prune: intermediate.at(-1)!.value > 1,
        systemAttributes: { completed_rung_0: intermediate.at(-1)!.value },
      };
    },
    visibleTo: (history, number) => ({ ...history, studyName: `bracket ${number % 2}` }),
  };
  const { study } = quietStudy({ studyName: "s", sampler, pruner });
  const trial = study.ask();
  assert.deepEqual([trial.suggestFloat("x", 0, 9), trial.suggestFloat("y", 0, 9), trial.suggestFloat("single", 1, 1)], [
    5,
    1,
    1,
  ]);
  trial.report(1, 0);
  assert.equal(trial.shouldPrune(), false);
  trial.report(2, 1);
  assert.equal(trial.shouldPrune(), true);
  assert.deepEqual(study.tell(trial, { state: "PRUNED" }).systemAttributes, { completed_rung_0: 2 });
  study.ask().suggestFloat("x", 0, 2); // the joint draw is outside of this range
  assert.deepEqual(calls, [
    "relative 0 bracket 0:",
    "independent y 0 bracket 0:",
    "prune 0 s:R",
    "prune 0 s:R",
    "relative 1 bracket 1:P",
    "independent x 1 bracket 1:P",
  ]);
  assert.equal(study.exhausted, false);
  study.ask();
  assert.equal(study.exhausted, true);
});

Deno.test("attributes of a study, the user's and Optuna's", () => {
  const { study } = quietStudy({ userAttributes: { lab: "é😀" } });
  study.setUserAttribute("lab", {
    NaN: [NaN, "NaN", -Infinity, "\u00000"],
    nested: { at: new Date(0), gone: undefined },
  });
  study.setUserAttribute("none", undefined);
  study.setSystemAttribute("study:metric_names", ["f1"]);
  assert.deepEqual(study.userAttributes, {
    lab: { NaN: [NaN, "NaN", -Infinity, "\u00000"], nested: { at: "1970-01-01T00:00:00.000Z" } },
    none: null,
  });
  assert.deepEqual(study.systemAttributes, { "study:metric_names": ["f1"] });
  assert.throws(() => study.setUserAttribute("big", 1n), TypeError);
});

Deno.test("studies are created, found and refused by name", async () => {
  await withFile((path, folder) => {
    assert.throws(() => loadStudy({ storage: path }), refused(/there is no file/));
    {
      using one = createStudy({ storage: `sqlite:///${path}`, studyName: "one", direction: "maximize" });
      assert.deepEqual([one.direction, one.database.path], ["maximize", path]);
      using again = createStudy({ storage: path, studyName: "one", direction: "maximize", loadIfExists: true });
      assert.equal(again.stored.row, one.stored.row);
      using only = loadStudy({ storage: path });
      assert.equal(only.studyName, "one");
      assert.throws(() => createStudy({ storage: path, studyName: "one" }), refused(/there is a study one/));
      assert.throws(
        () => createStudy({ storage: path, studyName: "one", direction: "minimize", loadIfExists: true }),
        refused(/directions maximize, not minimize/),
      );
      using two = createStudy({ storage: one.database });
      assert.match(two.studyName, /^[0-9a-f-]{36}$/);
      assert.throws(() => loadStudy({ storage: path }), refused(/2 studies/));
      assert.throws(() => loadStudy({ storage: path, studyName: "on" }), (error: WinnowError) => {
        return error.message.includes("no study on in") && error.remedy.includes(`${two.studyName}, one`);
      });
    }
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["study.db"]);
    for (
      const [options, pattern] of [
        [{ direction: "minimize", directions: ["minimize"] }, /both direction and directions/],
        [{ directions: [] }, /directions/],
        [{ direction: "up" as "minimize" }, /"up"/],
        [{ storage: "mysql://localhost/optuna" }, /mysql/],
      ] as const
    ) {
      assert.throws(() => createStudy(options), refused(pattern));
    }
    assert.throws(() => loadStudy({ storage: ":memory:" }), refused(/in memory/));
    assert.throws(() => createStudy({ storage: folder }), (error: WinnowError) => exitCode(error) === 3);
  });
});

Deno.test("optimize runs the queue and new trials, to the first of its limits", async () => {
  const { study, warnings } = quietStudy();
  study.enqueueTrial({ x: 7 });
  await study.optimize((trial) => trial.suggestFloat("x", 0, 10), { nTrials: 3 });
  assert.deepEqual([study.trials.length, study.trials[0]!.values], [3, [7]]);
  // The second trial outlasts the limit, however slow the machine.
  const seconds = 0.5;
  await study.optimize(async (trial) => {
    if (trial.number === 4) await new Promise((resolve) => setTimeout(resolve, seconds * 1000 + 10));
    return { state: trial.number % 2 === 0 ? "PRUNED" : "FAIL" };
  }, { timeoutSeconds: seconds });
  assert.deepEqual(study.trials.slice(3).map(({ state }) => state), ["FAIL", "PRUNED"]);

  const broken = ({ number }: { number: number }) => {
    if (number % 2 === 1) throw new Error("broken");
    return 1;
  };
  await assert.rejects(study.optimize(broken, { nTrials: 5 }), /broken/);
  assert.deepEqual(study.trials.slice(5).map(({ state }) => state), ["FAIL"]);
  await study.optimize(broken, { nTrials: 3, catchErrors: true });
  assert.deepEqual(study.trials.slice(6).map(({ state }) => state), ["COMPLETE", "FAIL", "COMPLETE"]);
  assert.match(warnings.join(), /trial 7 fails: Error: broken/);

  const abort = new AbortController();
  const aborted = study.optimize((trial) => {
    if (trial.number === 10) abort.abort(new Error("enough"));
    return trial.number;
  }, { signal: abort.signal });
  await assert.rejects(aborted, /enough/);
  assert.deepEqual(study.trials.slice(9).map(({ state }) => state), ["COMPLETE", "COMPLETE"]);
  await assert.rejects(study.optimize(() => 1, { signal: abort.signal }), /enough/);
  assert.equal(study.trials.length, 11);
});

Deno.test("where the next trial cannot begin, the one before it has ended all the same", async () => {
  let left = 2;
  const sampler: Sampler = {
    sampleRelative: () => ({ space: {}, params: {} }),
    sampleIndependent: () => 1,
    exhausted: () => {
      if (left-- === 0) throw new Error("no more");
      return false;
    },
  };
  const { study } = quietStudy({ sampler });
  await assert.rejects(study.optimize((trial) => trial.suggestFloat("x", 0, 2), {}), /no more/);
  assert.deepEqual(study.trials.map(({ state, params }) => [state, params]), [["COMPLETE", { x: 1 }], ["COMPLETE", {
    x: 1,
  }]]);
});
