/** What of a study is stored when, and what another process sees of it. */
import assert from "node:assert/strict";
import { openStorage, transaction } from "../../lib/hpo/database.ts";
import type { Sampler } from "../../lib/hpo/samplers/sampler.ts";
import { createStudy, loadStudy } from "../../lib/hpo/study.ts";
import type { FrozenTrial } from "../../lib/hpo/trial.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
import { quietStudy, withFile } from "../support/quiet_study.ts";
import { smallSpace } from "./hpo_scenario.ts";

const refused = (pattern: RegExp) => (error: WinnowError) => {
  assert.match(error.message, pattern);
  assert.notEqual(error.remedy, "");
  return exitCode(error) === 2;
};

Deno.test("parameters are stored when the turn ends, with the next write, or with the trial", async () => {
  await withFile(async (storage) => {
    using study = createStudy({ storage, studyName: "s" });
    using other = loadStudy({ storage });
    const stored = () => other.trials.map(({ params }) => Object.keys(params));
    const late = study.ask();
    late.suggestFloat("a", 0, 1);
    assert.deepEqual(stored(), [[]]);
    await Promise.resolve();
    assert.deepEqual(stored(), [["a"]]);
    late.suggestFloat("b", 0, 1);
    late.report(1, 0);
    late.suggestFloat("c", 0, 1);
    assert.deepEqual(stored(), [["a", "b"]]);
    late.store();
    assert.deepEqual(stored(), [["a", "b", "c"]]);
    study.ask({ a: { type: "float", low: 0, high: 1 } });
    assert.deepEqual(stored()[1], ["a"]);
    study.ask((trial) => {
      if (trial.suggestCategorical("kind", ["deep"]) === "deep") trial.suggestInt("layers", 1, 9);
    });
    assert.deepEqual(stored()[2], ["kind", "layers"]);
    const open = study.ask();
    open.suggestFloat("d", 0, 1);
    study[Symbol.dispose]();
    assert.deepEqual(stored()[3], ["d"]);
  });
});

Deno.test("a trial whose definition throws has not begun, and its parameters go nowhere", async () => {
  const { study } = quietStudy();
  study.enqueueTrial({ x: 1 });
  const broken = () =>
    study.ask((trial) => {
      trial.suggestFloat("x", 0, 1);
      throw new Error("broken");
    });
  assert.throws(broken, /broken/);
  assert.deepEqual(study.trials.map(({ state, params }) => [state, params]), [["WAITING", {}]]);
  const next = study.ask();
  assert.throws(broken, /broken/);
  const third = study.ask(); // in the row that was given back
  await Promise.resolve();
  assert.deepEqual(study.trials.map(({ number, params }) => [number, params]), [[0, {}], [1, {}]]);
  assert.deepEqual([next.number, third.number], [0, 1]);
  study.tell(third, 1);
  third.params["x"] = 1;
  assert.deepEqual(study.trials[1]!.params, {});
});

Deno.test("finished trials are the same objects in every history, and other programs' writes are seen", async () => {
  await withFile((storage) => {
    using study = createStudy({ storage, studyName: "s" });
    using other = loadStudy({ storage, studyName: "s" });
    for (let i = 0; i < 3; i++) study.tell(study.ask(smallSpace), i);
    const before = study.trials;
    assert.equal(study.trials, before);
    const running = other.ask(smallSpace);
    const seen = study.trials;
    assert.deepEqual(seen.map(({ state }) => state), ["COMPLETE", "COMPLETE", "COMPLETE", "RUNNING"]);
    running.report(0.3, 1);
    assert.deepEqual(study.trials[3]!.intermediate, [{ step: 1, value: 0.3 }]);
    other.tell(running, 9);
    study.tell(study.ask(), 8);
    assert.deepEqual(study.trials, other.trials);
    assert.deepEqual(study.trials.map(({ values }) => values![0]), [0, 1, 2, 9, 8]);
    for (let i = 0; i < 3; i++) assert.equal(study.trials[i], before[i]);
    assert.equal(before.length, 3);
    assert.equal(seen[3]!.state, "RUNNING");
    assert.throws(() => study.tell(running, 1), refused(/trial 3 .* is COMPLETE/));
  });
});

Deno.test("a trial that a transaction ends is the same object during and after it", async () => {
  const seen = new Map<number, FrozenTrial>();
  const sampler: Sampler = {
    sampleRelative: ({ trials }) => {
      for (const trial of trials) {
        const before = seen.get(trial.number) ?? trial;
        assert.equal(trial, before, `trial ${trial.number} is another object`);
        seen.set(trial.number, trial);
      }
      return { space: {}, params: {} };
    },
    sampleIndependent: () => 1,
  };
  const { study } = quietStudy({ sampler });
  await study.optimize((trial) => trial.suggestFloat("x", 0, 2), { nTrials: 4 });
  assert.equal(seen.size, 3);
  for (const [number, trial] of seen) assert.equal(study.trials[number], trial);
});

Deno.test("another run's trial is continued with what it was given", async () => {
  await withFile(async (storage) => {
    const given: Record<string, unknown> = {};
    {
      using study = createStudy({ storage, studyName: "s" });
      study.enqueueTrial({ layers: 5 });
      const trial = study.ask();
      Object.assign(given, { layers: trial.suggestInt("layers", 1, 9), rate: trial.suggestFloat("rate", 0, 1) });
      trial.report(0.4, 1);
      await Promise.resolve();
    }
    using study = loadStudy({ storage });
    const trial = study.continueTrial(0);
    assert.deepEqual(trial.params, given);
    assert.deepEqual([trial.suggestInt("layers", 1, 9), trial.suggestFloat("rate", 0, 1)], [5, given["rate"]]);
    trial.suggestFloat("late", 0, 1);
    assert.deepEqual(Object.keys(study.tell(trial, { state: "PRUNED" }).params), ["layers", "rate", "late"]);
    assert.deepEqual(study.trials[0]!.values, [0.4]);
    assert.throws(() => study.continueTrial(0), refused(/trial 0 .* is PRUNED/));
  });
});

Deno.test("a trial is stale when its heartbeat is old, never without one", () => {
  const { study } = quietStudy();
  const [silent, beating, ended] = [study.ask(), study.ask(), study.ask()];
  beating.heartbeat();
  beating.heartbeat();
  ended.heartbeat();
  study.tell(ended, 1);
  const { connection } = study.database;
  assert.equal(connection.prepare("SELECT count(*) AS n FROM trial_heartbeats").get()!["n"], 2);
  assert.deepEqual(study.staleTrials(60), []);
  connection.exec("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-100 seconds')");
  assert.deepEqual(study.staleTrials(60).map(({ number }) => number), [beating.number]);
  assert.deepEqual(study.staleTrials(200), []);
  assert.equal(silent.number, 0);
});

Deno.test("a transaction within another is undone alone, or with the whole", () => {
  using db = openStorage(":memory:");
  const names = () => db.connection.prepare("SELECT study_name FROM studies").all().map((one) => one["study_name"]);
  const insert = (name: string) => db.connection.prepare("INSERT INTO studies (study_name) VALUES (?)").run(name);
  transaction(db, () => {
    insert("kept");
    assert.throws(() =>
      transaction(db, () => {
        insert("undone");
        throw new Error("inner");
      }), /inner/);
    transaction(db, () => insert("kept too"));
  });
  assert.deepEqual(names(), ["kept", "kept too"]);
  assert.throws(() =>
    transaction(db, () => {
      transaction(db, () => insert("gone"));
      throw new Error("outer");
    }), /outer/);
  assert.deepEqual(names(), ["kept", "kept too"]);
});
