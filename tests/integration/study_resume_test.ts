/**
 * The same seed gives the same bits: twice in a row, and however often a study was killed or stopped on its way. Each
 * test interrupts real processes at moments that it reads from the trial's log and folder.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { writeSyntheticDataset } from "../../lib/data/synthetic.ts";
import { listCheckpoints } from "../../lib/storage/checkpoint.ts";
import {
  loggedEvents,
  resultOf,
  runCommand,
  startAll,
  startCommand,
  storedTrials,
  type StudyOutput,
  testMetrics,
  TINY,
  trialFolders,
  withFolder,
} from "../support/commands.ts";
import { assertRefused } from "../support/refusals.ts";

/** Two epochs of 21 steps, the first of which is the better one by this metric. */
const RUN = [
  ...TINY,
  "training.batch_size=2",
  "training.learning_rate=3e-3",
  "training.log_every=1",
  "study.metric=criteria_macro_pr_auc",
  "seed=4",
];
const STEPS = 21;

/** What a study came to, without ids, times and places. */
interface Outcome {
  value: number;
  test: unknown;
  trials: {
    state: string;
    value: number | null;
    /** SHA-256 of model.safetensors by checkpoint. */
    weights: Record<string, string>;
    /** The name of the best checkpoint; null where another trial's is better. */
    best: string | null;
    epochs: unknown;
    validation: unknown;
  }[];
}

const readJson = (path: string) => JSON.parse(Deno.readTextFileSync(path));

function outcome(experiments: string, result: StudyOutput): Outcome {
  return {
    value: result.best_value,
    test: testMetrics(result).test,
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
        best: checkpoint === null ? null : basename(checkpoint),
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

/** The optimizer steps logged so far; a step that was run again is there again. */
const loggedSteps = (experiments: string) =>
  loggedEvents(experiments).filter(({ message }) => message === "step").map(({ step }) => step!);

/** Behind a step, and behind the end of a save: steps go on while a checkpoint is written. */
const at = (signal: Moment["signal"], step: number, saved?: number): Moment => ({
  signal,
  what: `step ${step}`,
  when: (experiments) =>
    loggedSteps(experiments).some((one) => one >= step) &&
    (saved === undefined ||
      loggedEvents(experiments).some((one) => one.message === "checkpoint saved" && one.step === saved)),
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

const epochEnded: Moment = {
  signal: "SIGINT",
  what: "the end of epoch 1",
  when: (experiments) => loggedEvents(experiments).some(({ message }) => message === "epoch"),
};

/** Kind and step of the running trial's checkpoints; or of any step before the epoch's end, by its kind. */
type Saved = [string, number][] | "interrupted";

/** Trains with an interruption at each moment, resuming after each, and returns what it came to. */
async function interrupted(
  experiments: string,
  more: string[],
  moments: (Moment & { saved: Saved })[],
): Promise<Outcome> {
  let running = startCommand("train", train(experiments, ...more));
  for (const { signal, what, when, saved } of moments) {
    await running.until(what, () => when(experiments));
    running.child.kill(signal);
    const { code, stdout, stderr } = await running.done;
    assert.equal(stdout, "", `nothing on stdout after ${signal} at ${what}`);
    assert.equal(code, signal === "SIGINT" ? 130 : 137, stderr);
    if (signal === "SIGINT") {
      const command = /^ {2}remedy: Continue with `deno task resume --study-id \S+ (\S+)`$/m.exec(stderr);
      assert.equal(command?.[1], `paths.experiments=${experiments}`, stderr);
    }
    assert.equal(storedTrials(experiments).at(-1)!.state, "RUNNING");
    const found = await savedSteps(experiments);
    if (saved === "interrupted") {
      assert.deepEqual(found.map(([kind, step]) => [kind, step > 0 && step < STEPS]), [[saved, true]]);
    } else assert.deepEqual(found, saved, `checkpoints after ${signal} at ${what}`);
    running = startCommand("resume", resume(experiments));
  }
  const finished = await running.done;
  const result = resultOf(finished);
  assert.match(
    finished.stderr,
    /^trial \d: criteria_macro_pr_auc 0\.\d{4} \(best /m,
    "progress names the study's metric",
  );
  assertNothingDoubled(experiments);
  return outcome(experiments, result);
}

function assertNothingDoubled(experiments: string) {
  for (const { number, state, values, reports } of storedTrials(experiments)) {
    assert.deepEqual([state, values, reports.map(({ step }) => step)], ["COMPLETE", 1, [1, 2]], `trial ${number}`);
  }
}

async function savedSteps(experiments: string): Promise<[kind: string, step: number][]> {
  const trial = loggedEvents(experiments).findLast(({ message }) => message === "trial started")!.trial;
  const checkpoints = await listCheckpoints(join(experiments, `trial_${trial}`, "checkpoints"));
  return checkpoints.map(({ info }) => [info.kind, info.step]);
}

Deno.test("a trial ends in the same bits however it was interrupted", async (t) => {
  await withFolder(async (folder) => {
    const place = (name: string) => join(folder, name);
    const single = async (name: string, ...more: string[]) => {
      const finished = await runCommand("train", train(place(name), "--mode", "single", ...more));
      const result = resultOf(finished);
      return { result, outcome: outcome(place(name), result) };
    };
    const broken = (name: string, moments: (Moment & { saved: Saved })[], ...more: string[]) => () =>
      interrupted(place(name), ["--mode", "single", ...more], moments);
    const epoch: Saved = [["epoch", STEPS]];

    const runs = startAll({
      first: () => single("first"),
      second: () => single("second"),
      other: () => single("other", "seed=5"),
      early: broken("early", [
        { ...at("SIGKILL", 3), saved: [] },
        { ...at("SIGKILL", STEPS + 4, STEPS), saved: epoch },
      ]),
      saving: broken("saving", [
        { ...saving(STEPS), saved: [] },
        { ...saving(2 * STEPS), saved: epoch },
      ]),
      steps: broken("steps", [{ ...at("SIGKILL", 13, 12), saved: [["step", 12]] }], "retention.save_every_steps=12"),
      stopped: broken("stopped", [{ ...at("SIGINT", 4), saved: "interrupted" }]),
      between: broken("between", [{ ...epochEnded, saved: epoch }]),
    }, 3);
    const first = await runs.first;
    const expected = first.outcome;

    await t.step("the same seed twice: the same SHA-256 of the weights, the same metrics", async () => {
      const { weights, best } = expected.trials[0]!;
      assert.deepEqual(Object.keys(weights), ["step_00000021", "step_00000042"]);
      assert.equal(best, "step_00000021", "the best epoch is not the last one");
      assertNothingDoubled(place("first"));
      assert.deepEqual((await runs.second).outcome, expected);
    });

    await t.step("another seed: other weights", async () => {
      const last = (one: Outcome) => one.trials[0]!.weights["step_00000042"];
      assert.notEqual(last((await runs.other).outcome), last(expected));
    });

    await t.step("killed before any checkpoint, and again in the second epoch", async () => {
      assert.deepEqual(await runs.early, expected);
      const starts = loggedEvents(place("early")).filter(({ message }) => message === "trial started");
      assert.deepEqual(starts.map(({ context }) => context.resume), [false, true, true]);
    });

    await t.step("killed while a checkpoint is being saved, in the first epoch and in the second", async () => {
      assert.deepEqual(await runs.saving, expected);
      const names = [...Deno.readDirSync(join(trialFolders(place("saving"))[0]!, "checkpoints"))];
      assert.ok(names.every(({ name }) => !name.startsWith(".")), "nothing unfinished is left");
    });

    await t.step("killed with retention.save_every_steps: goes on from within the epoch", async () => {
      assert.deepEqual(await runs.steps, expected);
      const events = loggedEvents(place("steps"));
      const resumed = events.slice(events.findLastIndex(({ message }) => message === "trial started"));
      assert.equal(resumed.find(({ message }) => message === "step")!.step, 13);
    });

    await t.step("stopped by SIGINT in an epoch: saved, and no step is run twice", async () => {
      assert.deepEqual(await runs.stopped, expected);
      assert.deepEqual(loggedSteps(place("stopped")), Array.from({ length: 2 * STEPS }, (_, i) => i + 1));
    });

    await t.step("stopped by SIGINT after an epoch: its checkpoint keeps its metrics and stays the best", async () => {
      assert.deepEqual(await runs.between, expected);
    });

    await t.step("killed after its last checkpoint, before it was noted as complete: not trained again", async () => {
      const experiments = place("second");
      const db = new DatabaseSync(join(experiments, "study.db"));
      db.exec("DELETE FROM trial_values; UPDATE trials SET state = 'RUNNING', datetime_complete = NULL;");
      db.close();
      const result = resultOf(await runCommand("resume", resume(experiments)));
      assert.deepEqual(outcome(experiments, result), expected);
      assert.equal(loggedSteps(experiments).length, 2 * STEPS);
      assertNothingDoubled(experiments);
    });

    await t.step("a finished study is not changed by resume, which prints its result", async () => {
      const experiments = place("first");
      // A newer study in the same database that Optuna made is not ours to continue.
      const db = new DatabaseSync(join(experiments, "study.db"));
      db.exec("INSERT INTO studies (study_name) VALUES ('theirs')");
      db.exec("INSERT INTO study_directions (study_id, direction, objective) VALUES (2, 'MAXIMIZE', 0)");
      db.close();
      const before = storedTrials(experiments);
      for (const more of [[], ["--study-id", first.result.study_id]]) {
        const again = resultOf(await runCommand("resume", [...resume(experiments), ...more]));
        assert.deepEqual(again, first.result);
      }
      assert.deepEqual(storedTrials(experiments), before);
      assert.equal(loggedSteps(experiments).length, 2 * STEPS);
    });
  });
});

Deno.test("with activations in 16 bits a killed trial ends in the same bits, and its loss scale goes on", async () => {
  await withFolder(async (folder) => {
    const settings = ["--mode", "single", "training.precision=f16", "training.recompute=feed_forward"];
    const [whole, killed] = [join(folder, "whole"), join(folder, "killed")];
    const result = resultOf(await runCommand("train", train(whole, ...settings)));
    const moments = [{ ...at("SIGKILL", STEPS + 3, STEPS), saved: [["epoch", STEPS]] as Saved }];
    assert.deepEqual(await interrupted(killed, settings, moments), outcome(whole, result));
    for (const experiments of [whole, killed]) {
      const last = join(trialFolders(experiments)[0]!, "checkpoints", "step_00000042", "trainer_state.json");
      // Steps of both processes, none of which overflowed.
      assert.deepEqual(readJson(last).loss_scale, { scale: 65536, good_steps: 2 * STEPS });
    }
  });
});

Deno.test("so does one with Lion, rates by depth, an average of the weights and attacked words", async () => {
  await withFolder(async (folder) => {
    const expected = join(folder, "expected"), broken = join(folder, "broken");
    const more = [
      "--mode",
      "single",
      "training.optimizer=lion",
      "training.learning_rate=1e-3",
      "training.layer_wise_lr_decay=0.9",
      "training.differential_lr_ratio=0.5",
      "training.ema_decay=0.9",
      "training.adversarial_epsilon=0.01",
      "retention.save_every_steps=12",
    ];
    const [result, found] = await Promise.all([
      runCommand("train", train(expected, ...more)).then(resultOf<StudyOutput>),
      interrupted(broken, more, [
        { ...at("SIGKILL", 13, 12), saved: [["step", 12]] },
        { ...at("SIGKILL", STEPS + 2, STEPS), saved: [["epoch", STEPS]] },
      ]),
    ]);
    assert.deepEqual(found, outcome(expected, result));
    const groups = loggedEvents(expected).find(({ message }) => message === "trial started")!.context.parameter_groups;
    assert.deepEqual(groups.map(({ learning_rate_scale }: Record<string, number>) => learning_rate_scale), [
      ...[1, 1],
      ...[0.45, 0.45],
      ...[0.5 * 0.9 ** 2, 0.5 * 0.9 ** 2],
    ]);
    const rates = loggedEvents(expected).filter(({ message }) => message === "step")
      .map(({ context }) => context.learning_rate);
    // 5 of 42 steps of warmup.
    assert.deepEqual([rates.length, rates[0], rates[5], rates[42 - 1]], [42, 0, 1e-3, 1e-3 * (1 - 36 / 37)]);
  });
});

Deno.test("a study killed in a later trial keeps the trials before it and draws the same parameters", async () => {
  await withFolder(async (folder) => {
    const expected = join(folder, "expected"), killed = join(folder, "killed");
    const more = ["study.n_trials=2"];
    const second: Moment = {
      signal: "SIGKILL",
      what: "step 2 of the second trial",
      when: (experiments) => {
        const trials = [...Map.groupBy(loggedEvents(experiments), ({ trial }) => trial).values()];
        return trials.length === 2 &&
          trials.every((events) => events.filter(({ message }) => message === "step").length >= 2);
      },
    };
    const [result, found] = await Promise.all([
      runCommand("train", train(expected, ...more)).then(resultOf<StudyOutput>),
      interrupted(killed, more, [{ ...second, saved: [] }]),
    ]);
    assert.deepEqual(found, outcome(expected, result));
    assert.deepEqual(storedTrials(killed).map(({ state }) => state), ["COMPLETE", "COMPLETE"]);
  });
});

Deno.test("a study is not continued on other data than it began with", async () => {
  await withFolder(async (folder) => {
    const experiments = join(folder, "experiments"), data = join(folder, "data");
    await writeSyntheticDataset(data, { posts: 60, seed: 7 });
    const started = () => loggedEvents(experiments).filter(({ message }) => message === "trial started").length;
    const run = startCommand(
      "train",
      train(experiments, `data.id=${data}`, "study.n_trials=2", "training.max_steps=2"),
    );
    await run.until("the second trial", () => started() === 2);
    run.child.kill("SIGKILL");
    await run.done;

    const posts = join(data, "redsm5_posts.csv");
    const text = await Deno.readTextFile(posts);
    await Deno.writeTextFile(posts, text + 'another,"One more post, written later."\n');
    assertRefused(await runCommand("resume", resume(experiments)), {
      error:
        /^error: the data of study \S+ have changed since it began: \S+data had 60 posts \(SHA-256 [0-9a-f]{8}…\) and has 61 \([0-9a-f]{8}…\)$/,
      remedy: /Restore them, or start a new study/,
    });
    await Deno.writeTextFile(posts, text);
    const { trials } = resultOf(await runCommand("resume", resume(experiments)));
    assert.deepEqual(trials.map(({ state }) => state), ["COMPLETE", "COMPLETE"]);
  });
});
