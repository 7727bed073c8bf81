/** Thresholds and details of a study as a user runs it: chosen on validation, kept with the weights, applied at test. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { formatCsv } from "../../lib/data/csv_format.ts";
import { readEvaluationReport, readSummaryReport } from "../../lib/report/report_file.ts";
import { verifyCheckpoint } from "../../lib/storage/checkpoint.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { defaultThresholds } from "../../lib/train/thresholds.ts";
import { loadThresholds, THRESHOLDS_FILE } from "../../lib/train/thresholds_file.ts";
import { resultOf, runCommand, TINY, withFolder } from "../support/commands.ts";

const CRITERIA = ["SLEEP", "FOOD"];
const SENTENCES: Record<string, string> = { SLEEP: "I lie awake all night.", FOOD: "I eat almost nothing." };

/**
 * Posts in declared splits, of which the test split's labels may be permuted: each label goes to the evidence of another
 * one. One sentence in four is of the other criterion, so that no model is right about all.
 */
async function writeDataset(folder: string, { permuted }: { permuted: boolean }): Promise<void> {
  const random = randomStream(9, "thresholds");
  const posts: string[][] = [["post_id", "text", "split"]];
  const annotations = [["post_id", "sentence_id", "sentence_text", "DSM5_symptom", "status", "explanation"]];
  for (let i = 0; i < 120; i++) {
    const split = i < 60 ? "train" : i < 90 ? "validation" : "test";
    const criterion = random.pick(CRITERIA), other = CRITERIA.find((one) => one !== criterion)!;
    const sentence = SENTENCES[random.uniform() < 0.25 ? other : criterion]!;
    posts.push([`p${i}`, `It rained. ${sentence} Work is work, number ${i}.`, split]);
    if (random.uniform() < 0.3) continue;
    const label = permuted && split === "test" ? other : criterion;
    annotations.push([`p${i}`, `p${i}_1`, sentence, label, "1", ""]);
  }
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "posts.csv"), formatCsv(posts));
  await Deno.writeTextFile(join(folder, "annotations.csv"), formatCsv(annotations));
}

async function train(root: string, name: string, permuted: boolean) {
  const data = join(root, `${name}-data`), experiments = join(root, name);
  await writeDataset(data, { permuted });
  const finished = await runCommand("train", [
    ...["--mode", "single", "--json", ...TINY, `paths.experiments=${experiments}`, `data.id=${data}`],
    ...[`data.criteria=[${CRITERIA}]`, "training.learning_rate=2.0e-3", "training.batch_size=8", "training.epochs=3"],
    ...["evaluation.bootstrap_samples=100", "tracking.store=none"],
  ]);
  const result = resultOf(finished);
  const checkpoint = result.trials[0]!.checkpoint!;
  return {
    experiments,
    result,
    checkpoint,
    stderr: finished.stderr,
    thresholds: await loadThresholds(checkpoint, CRITERIA),
    report: await readEvaluationReport(experiments, result.best_trial_id),
    summary: await readSummaryReport(experiments, result.study_id),
  };
}

Deno.test("thresholds come from the validation split, stay with the checkpoint, and decide at test", async (t) => {
  await withFolder(async (root) => {
    const study = await train(root, "study", false);
    const { experiments, result, checkpoint, thresholds, report, summary } = study;

    await t.step("the best checkpoint holds them, in its manifest too, and they are not all one half", async () => {
      const { files } = await verifyCheckpoint(checkpoint);
      assert.ok(THRESHOLDS_FILE in files);
      assert.equal(thresholds.calibration, "per_class");
      assert.notDeepEqual(thresholds, { ...defaultThresholds(CRITERIA), calibration: "per_class" });
    });

    await t.step("reports name them, and have details at them beside those at one half", () => {
      for (const one of [report, summary, summary.co_best[0]!]) {
        assert.deepEqual(one.thresholds, thresholds.criteria);
        assert.deepEqual(one.evidence_thresholds, thresholds.evidence);
        assert.equal(one.threshold_calibration, "per_class");
      }
      const { validation_details: details } = report;
      const { validation_loss: _, ...measured } = report.validation;
      assert.deepEqual(details.metrics_at_default, measured, "the checkpoint's metrics are those that chose it");
      assert.ok(details.metrics["criteria_macro_f1"]! >= details.metrics_at_default["criteria_macro_f1"]!);
      assert.equal(details.criteria.macro_f1, details.metrics["criteria_macro_f1"]);
      assert.deepEqual([details.posts, summary.test_details.posts], [30, 30]);
      assert.deepEqual(Object.keys(details.criteria.per_criterion), CRITERIA);
      for (const [name, { threshold, confusion_matrix, pr_curve }] of Object.entries(details.criteria.per_criterion)) {
        assert.equal(threshold, thresholds.criteria[name]);
        assert.equal(confusion_matrix.flat().reduce((sum, count) => sum + count), 30);
        assert.equal(pr_curve!.recall.at(-1), 1);
      }
      const { low, high } = details.intervals.metrics["criteria_macro_f1"]!;
      assert.ok(low < high && details.intervals.samples === 100);
      const { loss, ...test } = summary.test;
      assert.ok(loss! > 0);
      assert.deepEqual(test, summary.test_details.metrics);
    });

    await t.step("test labels permuted: the same weights and thresholds, other test metrics", async () => {
      const permuted = await train(root, "permuted", true);
      assert.deepEqual(permuted.thresholds, thresholds);
      const text = (folder: string) => Deno.readTextFile(join(folder, THRESHOLDS_FILE));
      assert.equal(await text(permuted.checkpoint), await text(checkpoint));
      assert.equal(permuted.report.checkpoint!.weights_sha256, report.checkpoint!.weights_sha256);
      assert.deepEqual(permuted.report.validation_details, report.validation_details);
      assert.deepEqual(permuted.summary.thresholds, summary.thresholds);
      assert.notDeepEqual(permuted.summary.test, summary.test);
    });

    await t.step("every look at the test split is recorded; a repeat is told to be one", async () => {
      assert.deepEqual(summary.test_evaluations.map(({ repeat }) => repeat), [false]);
      assert.deepEqual(
        summary.test_evaluations[0]!.checkpoints,
        summary.co_best.map((one) => one.checkpoint.weights_sha256),
      );
      assert.ok(!study.stderr.includes("this is a repeat"));
      await Deno.remove(join(experiments, `study_${result.study_id}`, "summary_report.json"));
      const evaluate = (...choice: string[]) =>
        runCommand("evaluate", [...choice, "--json", `paths.experiments=${experiments}`]);
      const again = await evaluate("--study-id", result.study_id);
      assert.match(
        again.stderr,
        /note: the test split of this study was evaluated before \(1 time, first at 20.*repeat/,
      );
      const { test_evaluations, test } = await readSummaryReport(experiments, result.study_id);
      assert.deepEqual(test_evaluations.map(({ repeat }) => repeat), [false, true]);
      assert.deepEqual(test_evaluations[0], summary.test_evaluations[0]);
      assert.deepEqual(test, summary.test);
      const one = await evaluate("--trial-id", result.best_trial_id);
      assert.match(one.stderr, /evaluated before \(2 times/);
      const { test_details } = await readEvaluationReport(experiments, result.best_trial_id);
      assert.deepEqual(test_details, summary.test_details);
    });
  });
});
