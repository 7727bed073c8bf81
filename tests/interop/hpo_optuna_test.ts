import assert from "node:assert/strict";
import { runStudy } from "../../lib/hpo/executor.ts";
import { conditionalSpace } from "../../lib/hpo/conditional_space.ts";
import { quasiRandomSampler } from "../../lib/hpo/samplers/quasi_random.ts";
import { createStudy } from "../../lib/hpo/study.ts";
import { BUDGET } from "../../lib/hpo/trial_summary.ts";
import { smallSpace, withDatabase } from "../unit/hpo_scenario.ts";

/** Runs a Python script of tests/peers and returns the JSON that it prints. */
// deno-lint-ignore no-explicit-any
function peer(script: string, ...args: string[]): any {
  const python = Deno.env.get("WINNOW_PYTHON");
  assert.ok(python, "set WINNOW_PYTHON to a Python that has optuna installed");
  const path = new URL(`../peers/${script}`, import.meta.url).pathname;
  const { success, stdout, stderr } = new Deno.Command(python, { args: [path, ...args] }).outputSync();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.ok(success, decode(stderr));
  return JSON.parse(decode(stdout));
}

Deno.test("Optuna reads our study as we do, continues it with TPE, and we read its trial", async () => {
  await withDatabase(async (db) => {
    const study = createStudy({
      storage: db,
      direction: "maximize",
      userAttributes: { config: { seed: 1, name: "é😀" } },
      sampler: quasiRandomSampler({ seed: 1 }),
    });
    const run = {
      ...{ study, space: conditionalSpace(smallSpace), nTrials: 6 },
      runTrial: ({ number, report }: { number: number; report: (value: number, epoch: number) => void }) => {
        report(number / 10, 1);
        report([NaN, Infinity, -Infinity][number] ?? number / 9, 2);
        if (number === 3) throw new Error("broken");
        return Promise.resolve({ value: number / 7, checkpoint: `epoch_${number}`, metrics: { f1: number / 7 } });
      },
    };
    await runStudy(run);
    const running = study.ask(smallSpace); // stays RUNNING
    running.setUserAttribute(BUDGET, 1);
    const ours = study.trials;

    const theirs = peer("optuna_read.py", db.path, study.studyName);
    assert.deepEqual([theirs.direction, theirs.best], ["MAXIMIZE", 5]);
    assert.deepEqual(theirs.attributes, study.userAttributes);
    const finiteOrText = (value: number) =>
      Number.isFinite(value) ? value : { NaN: "nan", Infinity: "inf", "-Infinity": "-inf" }[String(value)];
    assert.deepEqual(
      // deno-lint-ignore no-explicit-any
      theirs.trials.map((trial: any) => ({ ...trial, distributions: undefined, seconds: undefined })),
      ours.map((trial) => ({
        ...{ number: trial.number, state: trial.state, value: trial.values?.[0] ?? null, params: trial.params },
        ...{ attributes: trial.userAttributes, has_start: true, distributions: undefined, seconds: undefined },
        intermediate: Object.fromEntries(trial.intermediate.map((one) => [one.step, finiteOrText(one.value)])),
      })),
    );
    assert.deepEqual(theirs.trials[0].distributions, {
      "training.learning_rate": "FloatDistribution(high=0.001, log=True, low=1e-05, step=None)",
      "model.dropout": "FloatDistribution(high=0.5, log=False, low=0.0, step=0.1)",
      "model.layers": "IntDistribution(high=6, log=False, low=1, step=1)",
      "model.pooling": "CategoricalDistribution(choices=('cls', 'mean'))",
    });
    for (const trial of theirs.trials.slice(0, 6)) assert.ok(trial.seconds >= 0 && trial.seconds < 60);

    const after = study.trials;
    assert.deepEqual(after.slice(0, 7), ours);
    const added = after[7]!;
    assert.deepEqual([added.number, added.id, added.state], [7, null, "COMPLETE"]);
    assert.deepEqual([added.params, added.values?.[0]], [theirs.added.params, theirs.added.value]);
    assert.deepEqual(added.intermediate, [{ step: 1, value: added.params["training.learning_rate"] }, {
      step: 2,
      value: NaN,
    }]);
    assert.deepEqual(added.userAttributes["odd"], [NaN, Infinity]);
    assert.ok(Math.abs(Date.parse(added.completed!) - Date.now()) < 60_000, "its times are not UTC");
    assert.equal(theirs.best_after, 7);

    // And on: our running trial ends, Optuna's counts, and ours with a checkpoint is the best.
    const result = await runStudy({ ...run, nTrials: 9 });
    assert.deepEqual(result.trials.map((trial) => trial.number), [0, 1, 2, 3, 4, 5, 6, 8]);
    assert.equal(result.best.number, 8);
  });
});
