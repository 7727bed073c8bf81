/**
 * The same seed gives the same bits: twice in a row, and however often a study was killed or stopped on its way. Each
 * test interrupts real processes at moments that it reads from the trial's log and folder.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { listCheckpoints } from "../../lib/storage/checkpoint.ts";
import {
  loggedEvents,
  resultOf,
  runCommand,
  startCommand,
  storedTrials,
  type StudyOutput,
  TINY,
  trialFolders,
  withFolder,
} from "../support/commands.ts";

/** Two epochs of 11 steps, the first of which is the better one by this metric. */
const RUN = [
  ...TINY,
  "training.batch_size=4",
  "training.learning_rate=3e-3",
  "training.log_every=1",
  "study.metric=criteria_macro_pr_auc",
];
const STEPS = 11;

/** What a study came to, without ids, times and places. */
interface Outcome {
  value: number;
  test: unknown;
  trials: {
    state: string;
    value: number | null;
    /** SHA-256 of model.safetensors by checkpoint. */
    weights: Record<string, string>;
    best: string;
    epochs: unknown;
    validation: unknown;
  }[];
}

const readJson = (path: string) => JSON.parse(Deno.readTextFileSync(path));

function outcome(experiments: string, result: StudyOutput): Outcome {
  return {
    value: result.best_value,
    test: result.test,
    trials: result.trials.map(({ trial_id, state, value, checkpoint }) => {
      const trial = join(experiments, `trial_${trial_id}`);
      const checkpoints = [...Deno.readDirSync(join(trial, "checkpoints"))].map(({ name }) => name).sort();
      const digest = (name: string) =>
        createHash("sha256").update(Deno.readFileSync(join(trial, "checkpoints", name, "model.safetensors")))
          .digest("hex");
      const report = readJson(join(trial, "evaluation_report.json"));
      return {
        state,
        value,
        weights: Object.fromEntries(checkpoints.map((name) => [name, digest(name)])),
        best: basename(checkpoint!),
        epochs: report.epochs.map(({ seconds: _, ...rest }: Record<string, unknown>) => rest),
        validation: report.validation,
      };
    }),
  };
}

const train = (experiments: string, ...more: string[]) => [
  "--json",
  `paths.experiments=${experiments}`,
  ...RUN,
  ...more,
];
const resume = (experiments: string) => ["--json", `paths.experiments=${experiments}`];

/** When a command is interrupted, and how. */
interface Moment {
  signal: "SIGKILL" | "SIGINT";
  what: string;
  when(experiments: string): boolean;
}

/** The trial's optimizer steps logged so far; a step that was run again counts again. */
const stepsLogged = (experiments: string, wanted: number) =>
  loggedEvents(experiments).filter(({ message, step }) => message === "step" && step! >= wanted).length;

const at = (signal: Moment["signal"], step: number): Moment => ({
  signal,
  what: `step ${step}`,
  when: (experiments) => stepsLogged(experiments, step) > 0,
});

const saving = (step: number): Moment => ({
  signal: "SIGKILL",
  what: `saving the checkpoint of step ${step}`,
  when: (experiments) =>
    trialFolders(experiments).some((trial) => {
      const folder = join(trial, "checkpoints");
      try {
        const prefix = `.step_${String(step).padStart(8, "0")}.partial-`;
        const partial = [...Deno.readDirSync(folder)].find(({ name }) => name.startsWith(prefix));
        return partial !== undefined && [...Deno.readDirSync(join(folder, partial.name))].length > 0;
      } catch {
        return false;
      }
    }),
});

/** Trains with an interruption at each moment, resuming after each, and returns what it came to. */
async function interrupted(
  experiments: string,
  more: string[],
  moments: (Moment & { then(): void | Promise<void> })[],
): Promise<Outcome> {
  let running = startCommand("train", train(experiments, ...more));
  for (const { signal, what, when, then } of moments) {
    await running.until(what, () => when(experiments));
    running.child.kill(signal);
    const { code, stdout, stderr } = await running.done;
    assert.equal(stdout, "", `nothing on stdout after ${signal} at ${what}`);
    assert.equal(code, signal === "SIGINT" ? 130 : 137, stderr);
    if (signal === "SIGINT") assert.match(stderr, /^ {2}remedy: .*deno task resume/m);
    assert.equal(storedTrials(experiments).at(-1)!.state, "RUNNING");
    await then();
    running = startCommand("resume", resume(experiments));
  }
  const result = resultOf(await running.done);
  assertNothingDoubled(experiments);
  return outcome(experiments, result);
}

function assertNothingDoubled(experiments: string) {
  for (const { number, state, values, reports } of storedTrials(experiments)) {
    assert.deepEqual([state, values, reports.map(({ step }) => step)], ["COMPLETE", 1, [1, 2]], `trial ${number}`);
  }
}

const savedSteps = async (experiments: string) => {
  const checkpoints = await listCheckpoints(join(trialFolders(experiments)[0]!, "checkpoints"));
  return checkpoints.map(({ info }) => [info.kind, info.step]);
};

Deno.test("a trial ends in the same bits however it was interrupted", async (t) => {
  await withFolder(async (folder) => {
    const place = (name: string) => join(folder, name);
    const run = async (name: string) => {
      const finished = await runCommand("train", train(place(name), "--mode", "single"));
      const result = resultOf(finished);
      return { result, outcome: outcome(place(name), result) };
    };
    const [first, second] = await Promise.all([run("first"), run("second")]);
    const expected = first.outcome;
    assertNothingDoubled(place("first"));

    await t.step("the same seed twice: the same SHA-256 of the weights, the same metrics", () => {
      assert.deepEqual(Object.keys(expected.trials[0]!.weights), ["step_00000011", "step_00000022"]);
      assert.equal(expected.trials[0]!.best, "step_00000011", "the best epoch is not the last one");
      assert.deepEqual(second.outcome, expected);
    });

    await t.step("another seed: other weights", async () => {
      const other = resultOf(await runCommand("train", train(place("other"), "--mode", "single", "seed=43")));
      assert.notEqual(
        outcome(place("other"), other).trials[0]!.weights["step_00000022"],
        expected.trials[0]!.weights["step_00000022"],
      );
    });

    await t.step("killed before any checkpoint, and again in the second epoch", async () => {
      const experiments = place("early");
      const moments = [
        { ...at("SIGKILL", 3), then: async () => assert.deepEqual(await savedSteps(experiments), []) },
        {
          ...at("SIGKILL", STEPS + 4),
          then: async () => assert.deepEqual(await savedSteps(experiments), [["epoch", STEPS]]),
        },
      ];
      assert.deepEqual(await interrupted(experiments, ["--mode", "single"], moments), expected);
      const resumes = loggedEvents(experiments).filter(({ message }) => message === "trial started");
      assert.deepEqual(resumes.map(({ context }) => context.resume), [false, true, true]);
    });

    await t.step("killed while a checkpoint is being saved, in the first epoch and in the second", async () => {
      const experiments = place("saving");
      const moments = [
        {
          ...saving(STEPS),
          signal: "SIGKILL" as const,
          then: async () => assert.deepEqual(await savedSteps(experiments), []),
        },
        {
          ...saving(2 * STEPS),
          signal: "SIGKILL" as const,
          then: async () => assert.deepEqual(await savedSteps(experiments), [["epoch", STEPS]]),
        },
      ];
      assert.deepEqual(await interrupted(experiments, ["--mode", "single"], moments), expected);
      const names = [...Deno.readDirSync(join(trialFolders(experiments)[0]!, "checkpoints"))].map(({ name }) => name);
      assert.ok(names.every((name) => !name.startsWith(".")), `nothing unfinished is left: ${names}`);
    });

    await t.step("killed with retention.save_every_steps: goes on from within the epoch", async () => {
      const experiments = place("steps");
      const more = ["--mode", "single", "retention.save_every_steps=7"];
      const moments = [
        { ...at("SIGKILL", 9), then: async () => assert.deepEqual(await savedSteps(experiments), [["step", 7]]) },
      ];
      assert.deepEqual(await interrupted(experiments, more, moments), expected);
      assert.equal(
        stepsLogged(experiments, 1),
        22 + 2 + (await reran(experiments)),
        "steps before the save are not run again",
      );
    });

    await t.step("stopped by SIGINT in an epoch: saved, continued from that step", async () => {
      const experiments = place("stopped");
      let saved = 0;
      const moments = [{
        ...at("SIGINT", 4),
        then: async () => {
          const [[kind, step], ...others] = await savedSteps(experiments) as [[string, number]];
          assert.deepEqual([kind, others], ["interrupted", []]);
          saved = step;
          assert.ok(step >= 4 && step < STEPS, String(step));
        },
      }];
      assert.deepEqual(await interrupted(experiments, ["--mode", "single"], moments), expected);
      assert.equal(stepsLogged(experiments, 1), 2 * STEPS, `nothing is run twice after step ${saved}`);
    });

    await t.step("stopped by SIGINT after an epoch: its checkpoint keeps its metrics and stays the best", async () => {
      const experiments = place("between");
      const epochEnded: Moment = {
        signal: "SIGINT",
        what: "the end of epoch 1",
        when: () => loggedEvents(experiments).some(({ message }) => message === "epoch"),
      };
      const moments = [{
        ...epochEnded,
        then: async () => assert.deepEqual(await savedSteps(experiments), [["epoch", STEPS]]),
      }];
      assert.deepEqual(await interrupted(experiments, ["--mode", "single"], moments), expected);
    });

    await t.step("killed after its last checkpoint, before it was noted as complete: not trained again", async () => {
      const experiments = place("second");
      const db = new DatabaseSync(join(experiments, "study.db"));
      db.exec("DELETE FROM trial_values; UPDATE trials SET state = 'RUNNING', datetime_complete = NULL;");
      db.close();
      const result = resultOf(await runCommand("resume", resume(experiments)));
      assert.deepEqual(outcome(experiments, result), expected);
      assert.equal(stepsLogged(experiments, 1), 2 * STEPS);
      assertNothingDoubled(experiments);
    });

    await t.step("a finished study is not changed by resume, which prints its result", async () => {
      const experiments = place("first");
      const before = storedTrials(experiments);
      for (const more of [[], ["--study-id", first.result.study_id]]) {
        const again = resultOf(await runCommand("resume", [...resume(experiments), ...more]));
        assert.deepEqual(again, first.result);
      }
      assert.deepEqual(storedTrials(experiments), before);
      assert.equal(stepsLogged(experiments, 1), 2 * STEPS);
    });
  });
});

/** Steps after the last "step" checkpoint that the killed process had done: they are run again. */
function reran(experiments: string): Promise<number> {
  const events = loggedEvents(experiments);
  const second = events.findLastIndex(({ message }) => message === "trial started");
  const done = events.slice(0, second).filter(({ message }) => message === "step").length;
  return Promise.resolve(done - 7 - 2);
}

Deno.test("a study killed in a later trial keeps the trials before it and draws the same parameters", async () => {
  await withFolder(async (folder) => {
    const expected = join(folder, "expected"), killed = join(folder, "killed");
    const more = ["study.n_trials=2"];
    const second: Moment = {
      signal: "SIGKILL",
      what: "step 2 of the second trial",
      when: (experiments) => {
        const trials = Map.groupBy(loggedEvents(experiments), ({ trial }) => trial).values();
        return storedTrials(experiments).length === 2 &&
          [...trials].every((events) => events.filter(({ message }) => message === "step").length >= 2);
      },
    };
    const [result, found] = await Promise.all([
      runCommand("train", train(expected, ...more)).then(resultOf<StudyOutput>),
      interrupted(killed, more, [{
        ...second,
        then: () => assert.deepEqual(storedTrials(killed).map(({ state }) => state), ["COMPLETE", "RUNNING"]),
      }]),
    ]);
    assert.deepEqual(found, outcome(expected, result));
  });
});
