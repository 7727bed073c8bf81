/** `deno task evaluate` on studies that are not as they should be: it does what can be done, and says what it did. */
import assert from "node:assert/strict";
import { basename, join, relative } from "node:path";
import { z } from "zod";
import { copyFolder, flipByte } from "../support/damage.ts";
import {
  type Finished,
  resultOf,
  ROOT,
  runCommand,
  startCommand,
  storedTrials,
  type StudyOutput,
  testMetrics,
  TINY,
  trialFolders,
  withFolder,
} from "../support/commands.ts";

const place = (experiments: string) => ["--json", `paths.experiments=${experiments}`];
/** Two trials that both keep their checkpoints; the loss tells every two checkpoints apart. */
const TWO = [
  ...TINY,
  ...["study.metric=validation_loss", "study.direction=minimize", "study.n_trials=2", "retention.keep_best_k=2"],
  "search_space={training.learning_rate: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}}",
  "study.enqueue=[{training.learning_rate: 3.0e-3}, {training.learning_rate: 1.0e-3}]",
];

const readJson = (path: string) => JSON.parse(Deno.readTextFileSync(path));
const weightsOf = (checkpoint: string) => join(checkpoint, "model.safetensors");

function summaryOf(result: StudyOutput) {
  const contract = readJson(join(ROOT, "contracts/summary_report.schema.json"));
  // deno-lint-ignore no-explicit-any -- checked against its contract
  return z.fromJSONSchema(contract).parse(readJson(result.summary_report)) as any;
}

function refused({ code, stdout, stderr }: Finished, expected: number, message: RegExp, remedy: RegExp) {
  assert.deepEqual([code, stdout], [expected, ""], stderr);
  assert.match(stderr, message);
  assert.match(stderr.slice(stderr.indexOf("remedy: ")), remedy);
  assert.doesNotMatch(stderr, /^\s+at /m, "no stack trace");
}

Deno.test("a damaged or missing best checkpoint: the next best takes its place, and result, report and terminal say so", async (t) => {
  await withFolder(async (folder) => {
    const whole = join(folder, "whole");
    const result = resultOf(await runCommand("train", [...place(whole), ...TWO]));
    const best = result.trials.find(({ trial_id }) => trial_id === result.best_trial_id)!;
    const other = result.trials.find(({ trial_id }) => trial_id !== result.best_trial_id)!;
    assert.ok(best.checkpoint && other.checkpoint, "both trials keep a checkpoint");
    assert.deepEqual([summaryOf(result).tested_trial_id, summaryOf(result).passed_over], [best.trial_id, []]);
    /** A copy of the study in which something has happened to some of its checkpoints. */
    const damaged = async (name: string, damage: (checkpoint: string) => Promise<void>, checkpoints: string[]) => {
      const experiments = join(folder, name);
      await copyFolder(whole, experiments);
      for (const checkpoint of checkpoints) await damage(join(experiments, relative(whole, checkpoint)));
      return experiments;
    };
    const folderOf = (checkpoint: string) => join(checkpoint, "..");
    const all = (trial: StudyOutput["trials"][0]) =>
      [...Deno.readDirSync(folderOf(trial.checkpoint!))].map(({ name }) => join(folderOf(trial.checkpoint!), name));
    const evaluate = (experiments: string, ...args: string[]) =>
      runCommand("evaluate", [...args, ...place(experiments)]);
    const flip = (checkpoint: string) => flipByte(weightsOf(checkpoint));
    const own = (checkpoint: string) => relative(whole, checkpoint);

    await t.step("a flipped bit in every checkpoint of the best trial: the other trial is tested", async () => {
      const experiments = await damaged("flipped", flip, all(best));
      const finished = await evaluate(experiments, "--study-id", result.study_id);
      const again = resultOf<StudyOutput & { tested_trial_id: string; passed_over: { reason: string }[] }>(finished);
      assert.equal(again.tested_trial_id, other.trial_id);
      assert.equal(again.best_trial_id, best.trial_id, "the best trial stays what it is");
      assert.equal(again.passed_over.length, all(best).length);
      assert.match(again.passed_over[0]!.reason, /damaged checkpoint .*model\.safetensors has SHA-256/);
      assert.match(finished.stderr, /^warning: damaged checkpoint .*SHA-256/m);
      assert.match(finished.stderr, /^warning: used in its place: .* of trial \d, the next best \(validation \d/m);
      const summary = summaryOf(again);
      assert.deepEqual(
        [summary.tested_trial_id, summary.passed_over, summary.co_best[0].checkpoint.folder],
        [other.trial_id, again.passed_over, own(other.checkpoint!)],
      );
      const alone = resultOf<{ test: unknown }>(await evaluate(whole, "--trial-id", other.trial_id));
      assert.deepEqual(summary.test, alone.test, "the figures are the other trial's");
    });

    await t.step("a best checkpoint that is gone is told as such", async () => {
      const remove = (checkpoint: string) => Deno.remove(checkpoint, { recursive: true });
      const experiments = await damaged("gone", remove, all(best));
      const finished = await evaluate(experiments, "--study-id", result.study_id);
      assert.equal(resultOf<{ tested_trial_id: string }>(finished).tested_trial_id, other.trial_id);
      assert.match(
        finished.stderr,
        /^warning: .*step_\d+ is not there any more: retention has removed it, or somebody/m,
      );
      refused(
        await evaluate(experiments, "--trial-id", best.trial_id),
        2,
        /^error: trial \S+ has no checkpoint any more: others were better$/m,
        /--study-id for its best trial/,
      );
    });

    await t.step("of one trial: its next best checkpoint is tested, and its report says so", async () => {
      const spare = all(best).filter((one) => basename(one) !== basename(best.checkpoint!));
      const experiments = await damaged("one", flip, [best.checkpoint!]);
      const finished = await evaluate(experiments, "--trial-id", best.trial_id);
      if (spare.length === 0) return refused(finished, 3, /^error: no checkpoint is left to use:$/m, /Restore/);
      const one = resultOf<{ evaluation_report: string; passed_over: unknown[] }>(finished);
      const report = readJson(one.evaluation_report);
      assert.deepEqual(report.passed_over, one.passed_over);
      assert.equal(one.passed_over.length, 1);
      assert.ok(spare.some((checkpoint) => own(checkpoint) === report.test_checkpoint.folder));
    });

    await t.step("every checkpoint damaged: each is named, exit code 3, the report stays", async () => {
      const experiments = await damaged("all", flip, [...all(best), ...all(other)]);
      const report = join(experiments, relative(whole, result.summary_report));
      const before = Deno.readTextFileSync(report);
      const finished = await evaluate(experiments, "--study-id", result.study_id);
      refused(
        finished,
        3,
        /^error: no checkpoint is left to use: damaged checkpoint /m,
        /Restore another checkpoint from a copy/,
      );
      for (const name of [...all(best), ...all(other)]) assert.ok(finished.stderr.includes(own(name)), name);
      assert.equal(Deno.readTextFileSync(report), before);
    });

    await t.step("the validation split: training's own figure, and no report is touched", async () => {
      const before = Deno.readTextFileSync(result.summary_report);
      const finished = await evaluate(whole, "--study-id", result.study_id, "--split", "validation");
      const found = resultOf<{ split: string; value: number; checkpoints: { validation: Record<string, number> }[] }>(
        finished,
      );
      assert.deepEqual([found.split, found.value], ["validation", result.best_value]);
      assert.equal(found.checkpoints[0]!.validation["validation_loss"], result.best_value, "the same bits");
      assert.match(finished.stderr, /^validation_loss is as training measured it$/m);
      assert.equal(Deno.readTextFileSync(result.summary_report), before);
    });

    await t.step(
      "ids that are none: the nearest is named, the others listed; of the other kind it is said",
      async () => {
        const near = result.study_id.slice(0, -2) + (result.study_id.endsWith("00") ? "11" : "00");
        const [typo, start, kind, otherKind, trial] = await Promise.all([
          evaluate(whole, "--study-id", near),
          evaluate(whole, "--trial-id", best.trial_id.slice(0, 8)),
          evaluate(whole, "--study-id", best.trial_id),
          evaluate(whole, "--trial-id", result.study_id),
          evaluate(whole, "--trial-id", "zzz"),
        ]);
        refused(typo, 2, /^error: no study /m, new RegExp(`Did you mean ${result.study_id}\\? Give the id`));
        refused(start, 2, /^error: no trial /m, new RegExp(`Did you mean ${best.trial_id}\\? `));
        refused(kind, 2, /is a trial of study \S+, no study$/m, new RegExp(`--trial-id ${best.trial_id}`));
        refused(otherKind, 2, /is a study, no trial$/m, new RegExp(`--study-id ${result.study_id}`));
        refused(trial, 2, /^error: no trial zzz in /m, new RegExp(`(${best.trial_id}|${other.trial_id})`));
      },
    );
  });
});

Deno.test("a damaged best checkpoint with co-best ones: those are tested", async () => {
  await withFolder(async (folder) => {
    const experiments = join(folder, "experiments");
    // With a rate this small no decision ever changes, so that all checkpoints tie.
    const settings = [...TINY, "training.epochs=3", "training.learning_rate=1e-7"];
    const result = resultOf(await runCommand("train", ["--mode", "single", ...place(experiments), ...settings]));
    const before = summaryOf(result);
    assert.equal(before.co_best.length, 3, "all epochs tie");
    const [{ trial_id, checkpoint }] = result.trials as [StudyOutput["trials"][0]];
    await flipByte(weightsOf(checkpoint!));
    const args = ["--study-id", result.study_id, ...place(experiments)];
    const finished = await runCommand("evaluate", args);
    const again = resultOf(finished);
    const summary = summaryOf(again);
    assert.match(
      finished.stderr,
      /^warning: used in its place: .* of trial 0, which ties with it \(validation 0\.\d+\)$/m,
    );
    assert.equal(summary.tested_trial_id, trial_id);
    assert.deepEqual(
      summary.passed_over.map((one: { checkpoint: string }) => one.checkpoint),
      [relative(experiments, checkpoint!)],
    );
    assert.deepEqual(summary.co_best, before.co_best.slice(1));
    assert.deepEqual(testMetrics(again).test, before.co_best[1].test);
  });
});

Deno.test("an interrupted study: the best so far is evaluated and said to be that; one without a finished trial is refused", async () => {
  await withFolder(async (experiments) => {
    const interrupted = async (what: string, states: string[]) => {
      const running = startCommand("train", [...place(experiments), ...TWO, "training.epochs=6", "study.n_trials=4"]);
      const reached = () => {
        const logged = trialFolders(experiments).length;
        if (logged === 0) return false; // the database may have no tables yet
        const stored = storedTrials(experiments).filter(({ state }) => state !== "WAITING");
        return stored.map(({ state }) => state).join() === states.join() && stored.at(-1)!.reports.length > 0;
      };
      await running.until(what, reached);
      running.child.kill("SIGINT");
      const { code, stderr } = await running.done;
      assert.equal(code, 130, stderr);
      return basename(
        [...Deno.readDirSync(experiments)].find(({ name }) => name.startsWith("study_"))!.name,
      ).slice("study_".length);
    };
    const none = await interrupted("the first trial's first epoch", ["RUNNING"]);
    const evaluate = (id: string) => runCommand("evaluate", ["--study-id", id, ...place(experiments)]);
    refused(
      await evaluate(none),
      2,
      /^error: study \S+ has no completed trial: 1 unfinished$/m,
      new RegExp(`deno task resume --study-id ${none}`),
    );
    const running = trialFolders(experiments)[0]!.split("trial_").at(-1)!;
    refused(
      await runCommand("evaluate", ["--trial-id", running, ...place(experiments)]),
      2,
      /^error: trial \S+ has no checkpoint: it is RUNNING$/m,
      /COMPLETE trial/,
    );
    await Deno.remove(experiments, { recursive: true });

    const study = await interrupted("the second trial's first epoch", ["COMPLETE", "RUNNING"]);
    const finished = await evaluate(study);
    const result = resultOf<StudyOutput & { progress: unknown }>(finished);
    const progress = { ended: 1, n_trials: 4, finished: false };
    assert.deepEqual(result.progress, progress);
    assert.deepEqual(summaryOf(result).progress, progress);
    assert.equal(result.best_trial_id, result.trials[0]!.trial_id);
    assert.match(
      finished.stderr,
      /^1 of 4 trials have ended \(1 complete, 1 unfinished\): the best so far is evaluated$/m,
    );
    // What was evaluated is none the worse for going on.
    const resumed = resultOf<StudyOutput & { progress?: unknown }>(
      await runCommand("resume", ["--study-id", study, ...place(experiments)]),
    );
    assert.deepEqual([resumed.progress, summaryOf(resumed).progress.finished], [undefined, true]);
    assert.equal(resumed.trials[0]!.value, result.best_value);
  });
});
