/** Studies of every input format: pairs, windows, both at once, and a search over them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openSafetensors } from "../../lib/weights/safetensors.ts";
import {
  loggedEvents,
  resultOf,
  runCommand,
  startAll,
  startCommand,
  type StudyOutput,
  testMetrics,
  TINY,
  withFolder,
} from "../support/commands.ts";
import { writeNeedleDataset } from "../support/needle_dataset.ts";
import { assertRefused } from "../support/refusals.ts";

const readJson = (path: string) => JSON.parse(Deno.readTextFileSync(path));

/** Arguments of one trial on a dataset of SLEEP and FOOD. */
const single = (experiments: string, data: string, ...more: string[]) => [
  ...["--json", "--mode", "single", `paths.experiments=${experiments}`, `data.id=${data}`, "data.criteria=auto"],
  ...["training.early_stopping=null", "training.lambda_class=1", ...more],
];

Deno.test("inputs that learn", async (t) => {
  await withFolder(async (folder) => {
    const long = join(folder, "long"), short = join(folder, "short");
    // Nine sentences before the one that counts are more than 32 tokens.
    await writeNeedleDataset(long, { posts: 300, before: 9, behind: 4 });
    await writeNeedleDataset(short, { posts: 300, before: 0, behind: 1 });
    const small = ["model.encoder.hidden_size=32", "data.max_length=32", "training.epochs=5"];
    const pairs = [
      ...["data.input_format=binary_pairs", "data.max_length=24", "training.epochs=14"],
      ...["training.learning_rate=1.5e-3", "training.schedule=constant", "model.criteria_pooling=cls"],
    ];
    const place = (name: string) => join(folder, "experiments", name);
    const run = async (name: string, ...settings: string[]) =>
      testMetrics(
        resultOf(await runCommand("train", single(place(name), name === "pairs" ? short : long, ...settings))),
      );
    const runs = startAll({
      pairs: () => run("pairs", ...pairs),
      cut: () => run("cut", ...small),
      windows: () => run("windows", ...small, "data.doc_stride=12"),
    }, 2);

    await t.step("windows find the evidence that cutting posts off loses, and the criteria with it", async () => {
      const cut = await runs.cut, windows = await runs.windows;
      assert.equal(cut.test.evidence_token_f1, 0);
      assert.ok(cut.test.criteria_macro_f1! < 0.6, "what is not read can only be guessed");
      assert.ok(windows.test.criteria_macro_f1! > 0.8, JSON.stringify(windows));
      assert.ok(windows.test.evidence_token_f1! > windows.baseline.evidence_token_f1! + 0.2, JSON.stringify(windows));
    });

    await t.step("pairs answer the question that they are asked", async () => {
      const { test, baseline } = await runs.pairs;
      // Who ignores the criterion says the same of both: an F1 of two thirds at best.
      assert.ok(test.criteria_macro_f1! > 0.8, JSON.stringify(test));
      assert.ok(test.evidence_token_f1! > baseline.evidence_token_f1! + 0.1, JSON.stringify({ test, baseline }));
      assert.ok(test.evidence_null_accuracy! > 0.8, JSON.stringify(test));
    });
  });
});

/** Weights of a study's best checkpoint, and its metrics: what must be the same bits. */
function outcome(experiments: string, result: StudyOutput) {
  const { checkpoint } = readJson(join(experiments, `trial_${result.best_trial_id}`, "evaluation_report.json"));
  return { value: result.best_value, weights: checkpoint.weights_sha256, test: testMetrics(result).test };
}

Deno.test("pairs in windows: killed in an epoch and resumed, the same bits; other inputs are refused", async (t) => {
  await withFolder(async (folder) => {
    const data = join(folder, "data");
    await writeNeedleDataset(data, { posts: 40, before: 2, behind: 3 });
    const settings = [
      ...TINY,
      ...["data.input_format=binary_pairs", "data.max_length=24", "data.doc_stride=6", "data.window_aggregation=mean"],
      ...["training.log_every=1", "training.batch_size=4", "retention.save_every_steps=5"],
    ];
    const whole = join(folder, "whole"), killed = join(folder, "killed");
    const expected = resultOf(await runCommand("train", single(whole, data, ...settings)));
    const steps = () => loggedEvents(killed).filter(({ message }) => message === "step").map(({ step }) => step!);
    const run = startCommand("train", single(killed, data, ...settings));
    await run.until("step 12", () => steps().includes(12));
    run.child.kill("SIGKILL");
    await run.done;

    await t.step("the same weights and metrics as without the interruption", async () => {
      const result = resultOf(await runCommand("resume", ["--json", `paths.experiments=${killed}`]));
      assert.deepEqual(outcome(killed, result), outcome(whole, expected));
      assert.ok(steps().filter((step) => step <= 5).length < 10, "it went on from a checkpoint");
    });

    await t.step("a checkpoint says how its inputs were made", () => {
      const { winnow } = readJson(join(expected.trials[0]!.checkpoint!, "config.json"));
      const { input_format, max_length, doc_stride, window_aggregation, criterion_texts } = winnow;
      assert.deepEqual({ input_format, max_length, doc_stride, window_aggregation, criterion_texts }, {
        input_format: "binary_pairs",
        max_length: 24,
        doc_stride: 6,
        window_aggregation: "mean",
        criterion_texts: ["food", "sleep"],
      });
    });

    await t.step("it is not taken for other inputs, and what differs is named", async () => {
      const change = (data: Record<string, unknown>) => {
        const db = new DatabaseSync(join(whole, "study.db"));
        const [row] = db.prepare("SELECT value_json FROM study_user_attributes WHERE key = 'winnow:config'").all();
        const config = JSON.parse(String(row!["value_json"]));
        const changed = JSON.stringify({ ...config, data: { ...config.data, ...data } });
        db.prepare("UPDATE study_user_attributes SET value_json = ? WHERE key = 'winnow:config'").run(changed);
        db.close();
      };
      const evaluate = () =>
        runCommand("evaluate", ["--json", "--study-id", expected.study_id, `paths.experiments=${whole}`]);
      change({ doc_stride: null, criterion_texts: { SLEEP: "insomnia" } });
      assertRefused(await evaluate(), {
        error: new RegExp(
          "made by another model or on other data: " + [
            '(vocab_size is \\d+, not \\d+; )?doc_stride is 6, not null; window_aggregation is "mean", not null; ',
            'criterion_texts is \\["food","sleep"\\], not \\["food","insomnia"\\]$',
          ].join(""),
        ),
        remedy: /Use the configuration that the checkpoint was made with/,
      });
      change({ doc_stride: 6, criterion_texts: null });
      assert.equal(resultOf(await evaluate()).best_value, expected.best_value);
    });
  });
});

Deno.test("a search over formats and windows: every trial has its own heads, and what does not fit is told", async () => {
  await withFolder(async (folder) => {
    const data = join(folder, "data"), experiments = join(folder, "experiments"), config = join(folder, "study.yaml");
    await writeNeedleDataset(data, { posts: 40, before: 2, behind: 3 });
    await Deno.writeTextFile(
      config,
      `
defaults: [base, { model: random_small }, _self_]
data: { id: ${data}, criteria: auto, max_length: 24, criterion_texts: { SLEEP: sleeps too little or too much } }
training: { epochs: 1, max_steps: 2, batch_size: 4 }
study: { n_trials: 8, sampler: grid, enqueue: [] } # four combinations: the grid ends it
search_space:
  data.input_format: { type: categorical, choices: [multi_label, binary_pairs] }
  data.doc_stride: { type: categorical, choices: [null, 16] }
`,
    );
    const tiny = TINY.filter((one) => !one.startsWith("data.") && !one.startsWith("training."));
    const finished = await runCommand("train", [
      "--config",
      config,
      "--json",
      `paths.experiments=${experiments}`,
      ...tiny,
    ]);
    const result = resultOf(finished);
    const seen = new Set<string>();
    for (const [i, { state, checkpoint }] of result.trials.entries()) {
      const { params, failure } = readJson(result.summary_report).trials[i];
      const [format, stride] = [params["data.input_format"], params["data.doc_stride"]];
      seen.add(`${format} ${stride}`);
      if (format === "binary_pairs" && stride === 16) {
        // 24 tokens less 3 special tokens and 6 of the text leave 15: neighbours cannot share 16.
        assert.equal(state, "FAIL");
        assert.match(
          failure,
          /^data\.doc_stride is 16 but a window has 15 tokens of the post: .* 6 of the text of SLEEP/,
        );
        continue;
      }
      assert.equal(state, "COMPLETE", failure);
      using weights = openSafetensors(join(checkpoint!, "model.safetensors"));
      const outputs = format === "binary_pairs" ? 1 : 2;
      assert.deepEqual(weights.tensors.get("criteria_head.weight")!.shape, [outputs, 32]);
      assert.deepEqual(weights.tensors.get("evidence_head.weight")!.shape, [2 * outputs, 32]);
    }
    assert.equal(seen.size, 4, `all combinations were drawn: ${[...seen]}`);
  });
});

Deno.test("dry-run tells rows, windows and losses; what it suggests for too little memory leaves room for them", async () => {
  await withFolder(async (folder) => {
    const data = join(folder, "data");
    await writeNeedleDataset(data, { posts: 60, before: 20, behind: 20 });
    const dryRun = (...settings: string[]) =>
      runCommand("train", [
        ...["--json", "--mode", "dry-run", `paths.experiments=${join(folder, "experiments")}`, `data.id=${data}`],
        ...["data.criteria=auto", ...TINY, ...settings],
      ]);
    const cut = await dryRun();
    assert.match(
      cut.stderr,
      /^inputs {7}multi_label of at most 48 tokens: 42 train, 9 validation, 9 test; 60 posts are cut off and lose \d+ tokens; 40 evidence spans are whole in no input$/m,
    );
    const windows = await dryRun("data.input_format=binary_pairs", "data.doc_stride=20");
    const [, train, most] =
      /^inputs {7}binary_pairs of at most 48 tokens: (\d+) train, .* test; 60 posts are read in windows, at most (\d+)$/m
        .exec(windows.stderr) ?? assert.fail(windows.stderr);
    const { inputs } = resultOf<{ inputs: { train: Record<string, unknown> } }>(windows);
    assert.equal(inputs.train.inputs, Number(train));
    assert.deepEqual(inputs.train.spans, { evidence: 28, none: 56, truncated: 0, unaligned: 0 });
    assert.ok(Number(most) >= Number(inputs.train.mostWindows));

    const sizes = ["data.max_length=512", "data.doc_stride=200", "training.batch_size=1", "gpu.memory_limit_gb=0.0085"];
    const refused = await dryRun(...sizes);
    const [setting, length] = /data\.max_length=(\d+)/.exec(refused.stderr) ?? assert.fail(refused.stderr);
    assert.equal(Number(length), 208, "200 tokens would have no room for windows that share 200");
    assert.equal((await dryRun(...sizes.slice(1, -1), setting)).code, 0);
  });
});
