import assert from "node:assert/strict";
import { type RunningTrial, runStudy, type StudyRun, TrialPruned } from "../../lib/hpo/executor.ts";
import { conditionalSpace } from "../../lib/hpo/conditional_space.ts";
import { medianPruner } from "../../lib/hpo/pruners/percentile.ts";
import { gridSampler } from "../../lib/hpo/samplers/grid.ts";
import { quasiRandomSampler } from "../../lib/hpo/samplers/quasi_random.ts";
import { createStudy } from "../../lib/hpo/study.ts";
import type { Direction, StudyDatabase } from "../../lib/hpo/study_db.ts";
import type { Pruner } from "../../lib/hpo/pruners/pruner.ts";
import type { StudyEvent } from "../../lib/hpo/study_progress.ts";
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

Deno.test("events tell what happens, the phases of a trial, and how far the search is", async () => {
  await withDatabase(async (db) => {
    const seen: string[] = [];
    const run = search(db, [(trial) => {
      trial.enter("running");
      trial.report(0.4, 1);
      trial.setAttribute("adapter", "llvmpipe");
      trial.enter("finishing");
      return 0.5;
    }, new Error("broken")], {
      onEvent: (event) => {
        const { type, trial, progress } = event;
        const what = type === "trial_phase" ? event.phase : type;
        const best = progress.bestValue, { trialIndex, ended, nTrials, completionRate } = progress;
        seen.push(`${trial.number} ${what} ${trialIndex}: ${ended}/${nTrials} ${completionRate} best ${best}`);
        assert.equal(progress.etaSeconds === null, ended === 0);
      },
    });
    await runStudy(run);
    assert.deepEqual(seen, [
      "0 queued 1: 0/2 0 best null",
      "0 trial_started 1: 0/2 0 best null",
      "0 preparing 1: 0/2 0 best null",
      "0 running 1: 0/2 0 best null",
      "0 trial_reported 1: 0/2 0 best null",
      "0 finishing 1: 0/2 0 best null",
      "0 trial_completed 1: 1/2 0.5 best 0.5",
      "1 queued 2: 1/2 0.5 best 0.5",
      "1 trial_started 2: 1/2 0.5 best 0.5",
      "1 preparing 2: 1/2 0.5 best 0.5",
      "1 trial_failed 2: 2/2 1 best 0.5",
    ]);
    assert.equal(run.study.trials[0]!.userAttributes["adapter"], "llvmpipe");
  });
});

Deno.test("a conditional space: each trial has the parameters whose conditions hold, and its budget", async () => {
  await withDatabase(async (db) => {
    const budgets: number[] = [];
    const run = search(db, Array(12).fill(1), {
      space: conditionalSpace({
        depth: { type: "int", low: 1, high: 4, when: { kind: "deep" } },
        kind: { type: "categorical", choices: ["deep", "flat"] },
      }),
      budgetOf: (params) => params["kind"] === "deep" ? 30 : 10,
    });
    await runStudy({
      ...run,
      runTrial: (trial) => {
        budgets.push(trial.budget);
        return run.runTrial(trial);
      },
    });
    const drawn = run.study.trials.map(({ params }) => params);
    assert.ok(new Set(drawn.map(({ kind }) => kind)).size === 2);
    drawn.forEach((params, i) => {
      assert.equal("depth" in params, params["kind"] === "deep");
      assert.equal(budgets[i], params["kind"] === "deep" ? 30 : 10);
    });
  });
});

Deno.test("what waits in the queue comes first, with its values", async () => {
  await withDatabase(async (db) => {
    const run = search(db, [1, 2, 3]);
    run.study.enqueueTrial({ "model.layers": 5, "training.learning_rate": 2e-5 });
    run.study.enqueueTrial({ "model.pooling": "mean" });
    const { trials } = await runStudy(run);
    assert.deepEqual([trials[0]!.params["model.layers"], trials[0]!.params["training.learning_rate"]], [5, 2e-5]);
    assert.equal(trials[1]!.params["model.pooling"], "mean");
    assert.deepEqual(trials.map(({ number, state }) => [number, state]), [0, 1, 2].map((n) => [n, "COMPLETE"]));
    assert.ok(trials.every(({ params }) => Object.keys(params).length === 4));
  });
});

Deno.test("a pruned trial counts, is no best one, and is told apart; what it leaves may be cleaned up", async () => {
  await withDatabase(async (db) => {
    const events: StudyEvent[] = [], ended: string[] = [];
    const descending = (values: number[]) => (trial: RunningTrial) => {
      values.forEach((value, i) => {
        trial.report(value, i + 1);
        if (trial.shouldPrune()) throw new TrialPruned({ f1: value });
      });
      return values.at(-1)!;
    };
    const run = search(db, [descending([0.5, 0.6]), descending([0.7, 0.8]), descending([0.1, 0.99]), 0.2], {
      pruner: medianPruner({ nStartupTrials: 2 }),
      onEvent: (event) => events.push(event),
      afterTrial: ({ number, state }) => Promise.resolve(void ended.push(`${number} ${state}`)),
    });
    const { trials, best } = await runStudy(run);
    assert.deepEqual(trials.map(({ state }) => state), ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]);
    assert.deepEqual([trials[2]!.value, trials[2]!.metrics, best.number], [null, { f1: 0.1 }, 1]);
    assert.deepEqual(run.study.trials[2]!.values, [0.1]);
    const pruned = events.find(({ type }) => type === "trial_pruned")!;
    assert.ok(pruned.type === "trial_pruned" && pruned.epoch === 1 && pruned.value === 0.1);
    assert.deepEqual([pruned.progress.ended, pruned.progress.bestValue], [3, 0.8]);
    assert.deepEqual(ended, ["0 COMPLETE", "1 COMPLETE", "2 PRUNED", "3 COMPLETE"]);
  });
});

Deno.test("too many failures in a row stop the search; a resume counts anew", async () => {
  await withDatabase(async (db) => {
    const broken = new Error("no memory");
    const run = search(db, [0.1, broken, 0.2, broken, broken, 0.3, 0.4], { maxConsecutiveFailures: 2 });
    await assert.rejects(runStudy(run), (error: WinnowError) => {
      assert.match(error.message, /^2 trials of study .* failed in a row, .* the last one: Error: no memory$/);
      return exitCode(error) === 1 && error.remedy !== "";
    });
    assert.equal(run.study.trials.length, 5);
    assert.equal((await runStudy(run)).best.number, 6);
  });
});

Deno.test("the time limit pauses the running trial and counts the time of all runs", async () => {
  await withDatabase(async (db) => {
    const events: string[] = [];
    const run = search(db, [0.1, 0.2, 0.3], { onEvent: ({ type, trial }) => events.push(`${trial.number} ${type}`) });
    const slow: StudyRun = {
      ...run,
      timeLimitSeconds: 0.15,
      runTrial: (trial) =>
        trial.number === 0 ? run.runTrial(trial) : new Promise((_, reject) => {
          trial.signal.addEventListener("abort", () => reject(new WinnowError("interrupted", "saved", "resume")));
        }),
    };
    const first = await runStudy(slow);
    assert.deepEqual([first.ended, first.best.number, states(run)], ["time_limit", 0, ["COMPLETE", "RUNNING"]]);
    assert.ok(events.includes("1 trial_paused"));
    const spent = Number(run.study.userAttributes["winnow:time_spent_seconds"]);
    assert.ok(spent >= 0.15 && spent < 5, `${spent}`);
    // The time of the first run counts: nothing is begun.
    assert.equal((await runStudy(slow)).ended, "time_limit");
    assert.deepEqual(states(run), ["COMPLETE", "RUNNING"]);
    const whole = await runStudy({ ...run, timeLimitSeconds: spent + 60 });
    assert.deepEqual([whole.ended, run.ran], [null, ["0", "1 resumed", "2"]]);
  });
});

Deno.test("a time limit that is over before any trial has completed is an error that says so", async () => {
  await withDatabase(async (db) => {
    const run = search(db, [0.1], { timeLimitSeconds: 0.01 });
    run.study.setUserAttribute("winnow:time_spent_seconds", 1);
    await assert.rejects(runStudy(run), /the time limit was reached before a trial of study .* had completed/);
  });
});

Deno.test("a grid that is done ends the search before n_trials", async () => {
  await withDatabase(async (db) => {
    const space = { a: { type: "categorical", choices: [1, 2, 3] } } as const;
    const study = createStudy({ storage: db, sampler: gridSampler({ seed: 1, grid: { a: [1, 2, 3] } }) });
    const run = { ...search(db, Array(9).fill(1)), study, space: conditionalSpace(space) };
    const { ended, trials } = await runStudy(run);
    assert.equal(ended, "exhausted");
    assert.deepEqual(trials.map(({ params }) => params["a"]).sort(), [1, 2, 3]);
  });
});

Deno.test("a trial that another program left is marked failed once it gives no sign of life; a living one is not", async () => {
  await withDatabase(async (db) => {
    const run = search(db, [0, 0, 0.3, 0.4], { heartbeatSeconds: 10 });
    const [dead, alive] = [run.study.ask(smallSpace), run.study.ask(smallSpace)];
    dead.heartbeat();
    alive.heartbeat();
    db.connection.exec(
      `UPDATE trial_heartbeats SET heartbeat = datetime('now', '-30 seconds') WHERE trial_id = ${dead.row}`,
    );
    await runStudy({ ...run, nTrials: 3 });
    assert.deepEqual(states(run), ["FAIL", "RUNNING", "COMPLETE", "COMPLETE"]);
    assert.match(String(run.study.trials[0]!.userAttributes["winnow:failure"]), /no sign of life for over 20 seconds/);
    const beats = db.connection.prepare("SELECT count(*) AS n FROM trial_heartbeats").get()!["n"];
    assert.equal(beats, 4, "the executor's own trials have theirs");
  });
});

Deno.test("trials of an earlier study count for neither n_trials nor the best one", async () => {
  await withDatabase(async (db) => {
    const run = search(db, [0, 0, 0.3, 0.4]);
    const [params, distributions] = [{ "model.layers": 3 }, { "model.layers": smallSpace["model.layers"]! }];
    const userAttributes = { "winnow:warm_start": { study: "earlier", number: 7 } };
    const earlier = { state: "COMPLETE", values: [9], params, distributions, userAttributes } as const;
    run.study.addTrials([earlier, earlier]);
    const indices: number[] = [];
    const { trials, best } = await runStudy({
      ...run,
      nTrials: 2,
      onEvent: ({ progress }) => indices.push(progress.trialIndex),
    });
    assert.deepEqual([trials.map(({ number }) => number), best.number], [[2, 3], 3]);
    assert.deepEqual([...new Set(indices)], [1, 2]);
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
