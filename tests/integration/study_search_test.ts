/** How a study searches, as a user runs it: pruning, a warm start, limits that a resume changes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { readJsonLines } from "../../lib/support/json_lines.ts";
import {
  type LoggedEvent,
  resultOf,
  runCommand,
  storedTrials,
  type StudyOutput,
  TINY,
  trialFolders,
  withFolder,
} from "../support/commands.ts";

const rate = "search_space={training.learning_rate: {type: float, low: 1.0e-7, high: 1.0e-2, log: true}}";
/** Three good learning rates, then two with which nothing is learnt. */
const first = [3e-3, 5e-3, 4e-3, 1e-7, 1.1e-7].map((one) => `{training.learning_rate: ${one}}`).join(", ");

const has = (path: string): boolean => {
  try {
    return Deno.statSync(path).size >= 0;
  } catch {
    return false;
  }
};

Deno.test("hopeless trials are pruned and leave no checkpoint; a later study learns from all; a resume may go on longer", async (t) => {
  await withFolder(async (experiments) => {
    const settings = [
      ...["--json", `paths.experiments=${experiments}`, ...TINY, "training.epochs=4", "study.metric=validation_loss"],
      ...["study.direction=minimize", rate],
    ];
    const result = resultOf(
      await runCommand("train", [
        ...settings,
        ...["study.n_trials=5", "study.pruner=median", "study.pruner_options={n_startup_trials: 3, n_warmup_steps: 2}"],
        `study.enqueue=[${first}]`,
      ]),
    );
    const pruned = result.trials.filter(({ state }) => state === "PRUNED");

    await t.step("pruned: in the result, the database, the log and on the disk", () => {
      assert.deepEqual(result.trials.map(({ state }) => state), [
        "COMPLETE",
        "COMPLETE",
        "COMPLETE",
        "PRUNED",
        "PRUNED",
      ]);
      for (const { trial_id, checkpoint, value } of pruned) {
        assert.deepEqual([checkpoint, value], [null, null]);
        assert.deepEqual([...Deno.readDirSync(join(experiments, `trial_${trial_id}`, "checkpoints"))], []);
        assert.ok(has(join(experiments, `trial_${trial_id}`, "config.yaml")));
      }
      const stored = storedTrials(experiments)[3]!;
      assert.ok(stored.reports.length < 4 && stored.value === stored.reports.at(-1)!.value);
      const log = join(experiments, `study_${result.study_id}`, "logs", "training.jsonl");
      const events = readJsonLines(log) as LoggedEvent[];
      const phases = events.filter(({ trial, message }) =>
        trial === result.trials[0]!.trial_id && message === "trial_phase"
      )
        .map(({ context }) => context["phase"]);
      assert.deepEqual(phases, ["queued", "preparing", "running", "finishing"]);
      assert.equal(events.filter(({ message }) => message === "trial_pruned").length, pruned.length);
      const { context } = events.findLast((event) => event.context["trial_index"] !== undefined)!;
      assert.deepEqual([context["trial_index"], context["n_trials"], context["completion_rate"]], [5, 5, 1]);
      assert.equal(context["best_so_far"], result.best_value);
    });

    await t.step("a warm start has the earlier trials, which count for nothing else", async () => {
      const warm = [...settings, "training.epochs=1", "study.enqueue=[]", "study.n_trials=2"];
      const from = `study.warm_start=${result.study_id}`;
      const next = resultOf(await runCommand("train", [...warm, from]));
      assert.deepEqual(next.trials.map(({ number, state }) => [number, state]), [[5, "COMPLETE"], [6, "COMPLETE"]]);
      using db = new DatabaseSync(join(experiments, "study.db"), { readOnly: true });
      const copied = db.prepare("SELECT count(*) AS n FROM trial_user_attributes WHERE key = 'winnow:warm_start'")
        .get()!;
      assert.equal(copied["n"], 5);
      const other = await runCommand("train", [
        ...warm,
        from,
        "study.metric=criteria_macro_f1",
        "study.direction=maximize",
      ]);
      assert.equal(other.code, 2);
      assert.match(
        other.stderr,
        /study\.warm_start: study .* optimises validation_loss \(minimize\), not criteria_macro_f1/,
      );
    });

    await t.step("resume takes another n_trials, and keeps it", async () => {
      const place = `paths.experiments=${experiments}`;
      const longer = await runCommand("resume", ["--study-id", result.study_id, "--json", place, "study.n_trials=6"]);
      const grown = resultOf<StudyOutput>(longer);
      assert.equal(grown.trials.length, 6);
      assert.deepEqual(grown.trials.slice(0, 5), result.trials);
      const again = resultOf(await runCommand("resume", ["--study-id", result.study_id, "--json", place]));
      assert.deepEqual(again.trials, grown.trials);
      assert.equal(trialFolders(experiments).length, 8);
    });
  });
});
