/** What one trial leaves to the next in the same process: memory, programs and weights, and nothing that changes a bit. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  loggedEvents,
  resultOf,
  runCommand,
  startAll,
  type StudyOutput,
  TINY,
  withFolder,
} from "../support/commands.ts";

/** Another learning rate is of no concern to the engine, another dropout is; the last has the first one's back. */
const SETTINGS = [
  "{training.learning_rate: 4.0e-3, model.hidden_dropout: 0.1}",
  "{training.learning_rate: 2.0e-3, model.hidden_dropout: 0.1}",
  "{training.learning_rate: 3.0e-3, model.hidden_dropout: 0.2}",
];
const COMMON = [
  ...["--json", ...TINY, "loss.loss_function=adaptive_focal", "training.precision=f16", "study.pruner=none"],
  "search_space={training.learning_rate: {type: float, low: 1e-4, high: 1e-2}, " +
  "model.hidden_dropout: {type: float, low: 0, high: 0.3}}",
];

interface Report {
  epochs: { train_loss: number; validation: Record<string, number>; seconds: number }[];
  validation_details: unknown;
  checkpoint: { weights_sha256: string };
  timings: Record<string, number>;
}

Deno.test("a trial has the same bits behind other trials as in a process of its own; the gaps between are reported", async () => {
  await withFolder(async (folder) => {
    const run = (name: string, settings: readonly string[]) => async () => {
      const experiments = join(folder, name);
      const study = [`study.n_trials=${settings.length}`, `study.enqueue=[${settings.join(", ")}]`];
      const finished = await runCommand("train", [...COMMON, ...study, `paths.experiments=${experiments}`]);
      const result: StudyOutput = resultOf(finished);
      const reports = result.trials.map(({ trial_id }): Report =>
        JSON.parse(Deno.readTextFileSync(join(experiments, `trial_${trial_id}`, "evaluation_report.json")))
      );
      return { experiments, result, reports, stderr: finished.stderr };
    };
    const runs = startAll({
      together: run("together", SETTINGS),
      second: run("second", SETTINGS.slice(1, 2)),
      third: run("third", SETTINGS.slice(2)),
    }, 2);
    const together = await runs.together;
    for (const [number, alone] of [[1, await runs.second], [2, await runs.third]] as const) {
      const [first, found] = [together.reports[0]!, together.reports[number]!];
      const expected = alone.reports[0]!;
      const outcome = ({ epochs, validation_details, checkpoint }: Report) => ({
        epochs: epochs.map(({ seconds: _, ...rest }) => rest),
        validation_details,
        weights: checkpoint.weights_sha256,
      });
      assert.deepEqual(outcome(found), outcome(expected), `trial ${number}`);
      assert.notEqual(found.checkpoint.weights_sha256, first.checkpoint.weights_sha256);
      assert.equal(expected.timings["gap_before"], 0);
      assert.ok(found.timings["gap_before"]! > 0);
    }
    const events = loggedEvents(together.experiments);
    assert.deepEqual(
      events.filter(({ message }) => message === "trial started").map(({ context }) => context["engine"]),
      ["new", "kept", "new"],
    );
    const gaps = events.filter(({ message }) => message === "first step").map(({ context }) => context);
    assert.deepEqual(gaps[0], { gap_seconds: null });
    for (const { gap_seconds, phases } of gaps.slice(1)) {
      const sum = Object.values(phases as Record<string, number>).reduce((total, seconds) => total + seconds, 0);
      assert.ok(Math.abs(sum - gap_seconds) < 1e-6, "the phases add up to the gap");
    }
    const { trial_gaps } = JSON.parse(Deno.readTextFileSync(together.result.summary_report));
    assert.equal(trial_gaps.count, 2);
    assert.equal(trial_gaps.longest_seconds, Math.max(...gaps.slice(1).map(({ gap_seconds }) => gap_seconds)));
    assert.match(together.stderr, /^gap {10}\d+\.\d\d s between two trials \(median of 2/m);
  });
});
