import assert from "node:assert/strict";
import { type RunningTrial, runStudy, type StudyEvent, type StudyRun } from "../../lib/hpo/executor.ts";
import { conditionalSpace } from "../../lib/hpo/conditional_space.ts";
import { quasiRandomSampler } from "../../lib/hpo/samplers/quasi_random.ts";
import { createStudy } from "../../lib/hpo/study.ts";
import type { Direction, StudyDatabase } from "../../lib/hpo/study_db.ts";
import type { Pruner } from "../../lib/hpo/pruners/pruner.ts";
import { exitCode, inputError, storageError, WinnowError } from "../../lib/support/errors.ts";
import { smallSpace, withDatabase } from "./hpo_scenario.ts";

/** A search whose trial `number` does what `trials[number]` says: ends with a value, or throws. */
function search(
  db: StudyDatabase,
  trials: (number | Error | ((trial: RunningTrial) => number))[],
  options: Partial<StudyRun> & { direction?: Direction; pruner?: Pruner } = {},
): StudyRun & { ran: string[] } {
  const ran: string[] = [];
  return {
    study: createStudy({
      storage: db,
      direction: options.direction ?? "maximize",
      sampler: quasiRandomSampler({ seed: 1, names: Object.keys(smallSpace) }),
      ...(options.pruner ? { pruner: options.pruner } : {}),
    }),
    space: conditionalSpace(smallSpace),
    nTrials: trials.length,
    ran,
    runTrial: (trial) => {
      ran.push(`${trial.number}${trial.resume ? " resumed" : ""}`);
      const outcome = trials[trial.number]!;
      if (outcome instanceof Error) return Promise.reject(outcome);
      try {
        const value = typeof outcome === "function" ? outcome(trial) : outcome;
        return Promise.resolve({ value, checkpoint: `checkpoints/${trial.number}`, metrics: { value } });
      } catch (error) {
        return Promise.reject(error);
      }
    },
    ...options,
  };
}

const states = (run: StudyRun) => run.study.trials.map((trial) => trial.state);

Deno.test("a failed trial is recorded with its reason and the search goes on to the best of the others", async () => {
  await withDatabase(async (db) => {
    const run = search(db, [
      0.3,
      new TypeError("x is not a function"),
      0.7,
      NaN,
      0.5,
      inputError("too long", "shorten"),
    ]);
    const result = await runStudy(run);
    assert.deepEqual(states(run), ["COMPLETE", "FAIL", "COMPLETE", "FAIL", "COMPLETE", "FAIL"]);
    assert.deepEqual(result.trials.map((trial) => trial.failure), [
      null,
      "TypeError: x is not a function",
      null,
      "the objective is NaN",
      null,
      "too long",
    ]);
    assert.deepEqual([result.best.number, result.best.value, result.best.checkpoint], [2, 0.7, "checkpoints/2"]);
    assert.deepEqual(result.best.metrics, { value: 0.7 });
    assert.deepEqual(run.ran, ["0", "1", "2", "3", "4", "5"]);
    // Run again it has nothing to do, and gives the same.
    assert.deepEqual(await runStudy(run), result);
    assert.equal(run.ran.length, 6);
  });
});

Deno.test("minimising, the smallest value is the best", async () => {
  await withDatabase(async (db) => {
    assert.equal((await runStudy(search(db, [0.3, 0.1, 0.2], { direction: "minimize" }))).best.number, 1);
  });
});

Deno.test("n_trials is a total: a longer search continues the same sequence of parameters", async () => {
  await withDatabase(async (db) => {
    const whole = search(db, [1, 2, 3, 4]);
    await runStudy(whole);
    const parts = search(db, [1, 2, 3, 4]);
    await runStudy({ ...parts, nTrials: 2 });
    await runStudy({ ...parts, nTrials: 4 });
    assert.deepEqual(
      parts.study.trials.map((trial) => trial.params),
      whole.study.trials.map((trial) => trial.params),
    );
  });
});

Deno.test("interrupted, a trial stays RUNNING and the same trial is continued", async () => {
  await withDatabase(async (db) => {
    const abort = new AbortController();
    const run = search(db, [0.1, (trial) => {
      trial.report(0.2, 1);
      abort.abort();
      throw new DOMException("aborted", "AbortError");
    }, 0.3]);
    await assert.rejects(runStudy({ ...run, signal: abort.signal }), (error: WinnowError) => exitCode(error) === 130);
    assert.deepEqual(states(run), ["COMPLETE", "RUNNING"]);
    const before = run.study.trials[1]!;
    const resumed: RunningTrial[] = [];
    const result = await runStudy({
      ...run,
      runTrial: (trial) => {
        resumed.push(trial);
        return Promise.resolve({ value: 0.9, checkpoint: null, metrics: {} });
      },
    });
    assert.deepEqual(resumed.map((trial) => [trial.number, trial.resume]), [[1, true], [2, false]]);
    assert.deepEqual([resumed[0]!.id, resumed[0]!.params], [before.id, before.params]);
    assert.deepEqual(result.trials.map((trial) => trial.state), ["COMPLETE", "COMPLETE", "COMPLETE"]);
    assert.deepEqual(run.study.trials[1]!.intermediate, [{ step: 1, value: 0.2 }]);
  });
});

Deno.test("an abort between trials starts no other; after the last one it is too late", async () => {
  await withDatabase(async (db) => {
    const abort = new AbortController();
    const stopAfter = (number: number) => (event: StudyEvent) => {
      if (event.type === "trial_completed" && event.trial.number === number) abort.abort();
    };
    const run = search(db, [0.1, 0.2], { signal: abort.signal });
    await assert.rejects(runStudy({ ...run, onEvent: stopAfter(0) }), (error: WinnowError) => exitCode(error) === 130);
    assert.deepEqual(states(run), ["COMPLETE"]);
    const last = new AbortController();
    const result = await runStudy({ ...run, signal: last.signal, onEvent: () => last.abort() });
    assert.equal(result.best.number, 1);
  });
});

Deno.test("a storage error stops the search and leaves the trial to be resumed", async () => {
  await withDatabase(async (db) => {
    let full = true;
    const run = search(db, [0.1, () => {
      if (full) throw storageError("disk full", "free some");
      return 0.2;
    }, 0.3]);
    await assert.rejects(runStudy(run), (error: WinnowError) => exitCode(error) === 3);
    assert.deepEqual(states(run), ["COMPLETE", "RUNNING"]);
    full = false;
    await runStudy(run);
    assert.deepEqual(run.ran, ["0", "1", "1 resumed", "2"]);
  });
});

Deno.test("an input error of a new study's first trial stops the search and leaves no trial complete", async () => {
  await withDatabase(async (db) => {
    const run = search(db, [inputError("unknown model", "name another"), 0.2]);
    await assert.rejects(runStudy(run), (error: WinnowError) => exitCode(error) === 2);
    assert.deepEqual(states(run), ["FAIL"]);
  });
});

Deno.test("an input error right after a resume stops the search before it spends a trial", async () => {
  await withDatabase(async (db) => {
    const run = search(db, [0.1, inputError("no such data folder", "set data.id"), 0.3]);
    await runStudy({ ...run, nTrials: 1 });
    for (let i = 0; i < 2; i++) await assert.rejects(runStudy(run), (error: WinnowError) => exitCode(error) === 2);
    assert.deepEqual(states(run), ["COMPLETE", "RUNNING"]);
    assert.deepEqual(run.ran, ["0", "1", "1 resumed"]);
  });
});

Deno.test("a study whose trials all failed is an error that gives the last reason", async () => {
  await withDatabase(async (db) => {
    const run = search(db, [new Error("one"), new Error("two")]);
    await assert.rejects(runStudy(run), (error: WinnowError) => {
      return exitCode(error) === 1 && /all 2 trials .* failed; the last one: Error: two/.test(error.message);
    });
  });
});

Deno.test("events tell what happens and how far the search is", async () => {
  await withDatabase(async (db) => {
    const seen: string[] = [];
    const run = search(db, [(trial) => {
      trial.report(0.4, 1);
      trial.setAttribute("adapter", "llvmpipe");
      return 0.5;
    }, new Error("broken")], {
      onEvent: ({ type, trial, progress }) =>
        seen.push(`${trial.number} ${type} ${progress.ended}/${progress.nTrials} best ${progress.bestValue}`),
    });
    await runStudy(run);
    assert.deepEqual(seen, [
      "0 trial_started 0/2 best null",
      "0 trial_reported 0/2 best null",
      "0 trial_completed 1/2 best 0.5",
      "1 trial_started 1/2 best 0.5",
      "1 trial_failed 2/2 best 0.5",
    ]);
    assert.equal(run.study.trials[0]!.userAttributes["adapter"], "llvmpipe");
  });
});

Deno.test("a trial that Optuna runs is neither resumed nor counted until it has ended", async () => {
  await withDatabase(async (db) => {
    const run = search(db, [0, 0.1, 0.2]);
    const foreign = run.study.ask(smallSpace);
    db.connection.exec("DELETE FROM trial_user_attributes");
    await runStudy({ ...run, nTrials: 2 });
    assert.deepEqual(run.ran, ["1", "2"]);
    assert.equal(run.study.trials.find((trial) => trial.row === foreign.row)?.state, "RUNNING");
  });
});
