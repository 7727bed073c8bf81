/** Studies that train a part of a model: what their checkpoints hold, resume, evaluation, the base's hash, and merging. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { loadConfig } from "../../lib/config/compose.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { encoderParameters } from "../../lib/model/encoder.ts";
import { FULL_TUNING, type Tuning } from "../../lib/model/tuning.ts";
import { publishCheckpoint, verifyCheckpoint } from "../../lib/storage/checkpoint.ts";
import { baseHash } from "../../lib/study/base_weights.ts";
import { openContext } from "../../lib/study/context.ts";
import { encodedSplits, engineOptions, evaluateOptions } from "../../lib/study/trial_context.ts";
import { evaluateSplit } from "../../lib/train/evaluator.ts";
import { exportAdapter, mergeTuned } from "../../lib/study/merge.ts";
import { initialiseParameters } from "../../lib/study/model_source.ts";
import { openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { checkpointTensors, resumeArrays } from "../../lib/train/parameter_arrays.ts";
import { initialState, loadArrays } from "../../lib/train/state.ts";
import { type EncoderConfig, parseEncoderConfig } from "../../lib/weights/encoder_config.ts";
import { openSafetensors, writeSafetensors } from "../../lib/weights/safetensors.ts";
import { linearAgents } from "../support/agents.ts";
import {
  loggedEvents,
  resultOf,
  runCommand,
  startCommand,
  type StudyOutput,
  testMetrics,
  TINY,
  trialFolders,
  withFolder,
} from "../support/commands.ts";
import { largestDifference } from "../support/golden.ts";
import { assertRefused } from "../support/refusals.ts";
import { randomBatch } from "../support/small_engine.ts";
import { writeState } from "../support/write_state.ts";

const LORA = [
  "tuning.mode=lora",
  "tuning.lora_rank=4",
  "tuning.lora_dropout=0.1",
  "tuning.lora_targets=[query, value, output]",
];
const RUN = [...TINY, "training.batch_size=4", "training.learning_rate=1e-2", "training.log_every=1"];
const gpu = await openGpu();

const digest = (path: string) => createHash("sha256").update(Deno.readFileSync(path)).digest("hex");
const readJson = (path: string) => JSON.parse(Deno.readTextFileSync(path));
const place = (experiments: string) => ["--json", `paths.experiments=${experiments}`];
const train = async (experiments: string, ...settings: string[]) => {
  const result = resultOf(
    await runCommand("train", ["--mode", "single", ...RUN, ...settings, ...place(experiments)]),
  );
  return { result, checkpoint: result.trials[0]!.checkpoint! };
};

/** The tensors of a checkpoint's weights. */
function stored(folder: string): Map<string, Float32Array<ArrayBuffer>> {
  using file = openSafetensors(join(folder, "model.safetensors"));
  return new Map([...file.tensors.keys()].map((name) => [name, file.readFloat32(name)]));
}

/** What a checkpoint's model says to a batch, from a folder's weights on top of `source`. */
async function outputs(
  folder: string,
  encoder: EncoderConfig,
  tuning: Tuning,
  base: { folder?: string; seed: number },
) {
  const { winnow } = readJson(join(folder, "config.json"));
  const batch = randomBatch("merge", { criteria: winnow.criteria.length, vocabulary: encoder.vocab_size });
  const engine = await openEngine(
    gpu,
    planEngine(gpu, {
      model: {
        ...linearAgents({ encoder, criteria: winnow.criteria.length, pooling: winnow.criteria_pooling }),
        tuning,
      },
      optimizer: { name: "adamw", weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
      batchSize: batch.size,
      lengths: [batch.length],
      keepStates: true,
    }),
  );
  const source = { id: "", revision: "", encoder, folder: base.folder, tokenizer: undefined as never };
  initialiseParameters(engine, source, base.seed);
  loadArrays(folder, engine, { moments: false });
  const { predictions } = await engine.evaluate([batch], { lambdaClass: 1, lambdaSpan: 1 });
  engine.close();
  return predictions[0]!;
}

/** Holds the merged model to the one with its adapter. */
async function assertMerged(checkpoint: string, merged: string, base: { folder?: string; seed: number }) {
  const { winnow } = readJson(join(checkpoint, "config.json"));
  const encoder = parseEncoderConfig(winnow.encoder, "config.json");
  const theirs = await outputs(checkpoint, encoder, winnow.tuning, base);
  const ours = await outputs(merged, encoder, FULL_TUNING, { folder: merged, seed: 0 });
  ours.states.forEach((state, layer) => {
    const difference = largestDifference(state, theirs.states[layer]!);
    assert.ok(difference <= 2e-6, `hidden state ${layer} differs by ${difference}`);
  });
  assert.ok(largestDifference(ours.probabilities, theirs.probabilities) <= 2e-6);
  assert.ok(largestDifference(ours.evidenceLogits!, theirs.evidenceLogits!) <= 2e-6);
}

/** The figures of a study's test split at thresholds of one half. */
function testedAtDefault(result: StudyOutput): Record<string, number | null> {
  const { test, test_details } = readJson(result.summary_report);
  return { ...test_details.metrics_at_default, loss: test.loss };
}

/** Holds the figures of a study's test split to those of the merged model, all of whose weights are in one file. */
async function assertTested(file: string, merged: string, expected: Record<string, number | null>) {
  const config = loadConfig({ file, overrides: ["tuning.mode=full"] });
  const context = await openContext(config, "merged", new AbortController().signal);
  const engine = await openEngine(context.gpu, planEngine(context.gpu, engineOptions(context)));
  loadArrays(merged, engine, { moments: false });
  const { metrics } = await evaluateSplit(engine, encodedSplits(context).splits.test, evaluateOptions(context));
  engine.close();
  const { validation_loss, ...figures } = metrics;
  assert.ok(Math.abs(validation_loss! - expected["loss"]!) <= 1e-5, `loss ${validation_loss}, not ${expected["loss"]}`);
  for (const [name, value] of Object.entries(figures)) {
    assert.ok(Math.abs(value - expected[name]!) <= 1e-3, `${name} is ${value}, not ${expected[name]}`);
  }
}

Deno.test("a LoRA trial keeps what it trains and ends in the same bits after kill -9 and resume", async (t) => {
  await withFolder(async (root) => {
    const at = (name: string) => join(root, name);
    const { result, checkpoint } = await train(at("whole"), ...LORA);
    const { winnow, ...plain } = readJson(join(checkpoint, "config.json"));

    await t.step("the checkpoint: heads and adapters, the base's hash, nothing that passes for a whole model", () => {
      const names = [...stored(checkpoint).keys()].sort();
      const layer = "base_model.model.encoder.layer.0";
      const adapters = [`${layer}.attention.self.query`, `${layer}.attention.self.value`, `${layer}.output.dense`]
        .flatMap((module) => [`${module}.lora_A.weight`, `${module}.lora_B.weight`]);
      const heads = ["criteria_head", "evidence_head"].flatMap((head) => [`${head}.bias`, `${head}.weight`]);
      assert.deepEqual(names, [...adapters, ...heads].sort());
      assert.deepEqual(plain, { model_type: "winnow_trained_tensors" });
      assert.deepEqual(winnow.tuning, {
        mode: "lora",
        freeze_layers: 0,
        lora_rank: 4,
        lora_alpha: 16,
        lora_dropout: 0.1,
        lora_targets: ["query", "value", "output"],
      });
      const encoder = parseEncoderConfig(winnow.encoder, "config.json");
      const sha256 = baseHash({ encoder, folder: undefined }, 42);
      assert.deepEqual(winnow.base, { id: "random", revision: "random", seed: 42, sha256 });
      assert.notEqual(baseHash({ encoder, folder: undefined }, 43), sha256);
    });

    await t.step("killed in the second epoch and resumed: the same bits", async () => {
      const running = startCommand("train", [
        "--mode",
        "single",
        ...RUN,
        ...LORA,
        "retention.save_every_steps=3",
        ...place(at("killed")),
      ]);
      const steps = loggedEvents(at("whole")).filter(({ message }) => message === "step").length;
      const half = steps / 2 + 5;
      await running.until(`step ${half}`, () => loggedEvents(at("killed")).some(({ step }) => (step ?? 0) >= half));
      running.child.kill("SIGKILL");
      await running.done;
      const resumed = resultOf(await runCommand("resume", place(at("killed"))));
      assert.equal(resumed.best_value, result.best_value);
      const weights = (experiments: string) => {
        const folder = join(trialFolders(experiments)[0]!, "checkpoints");
        const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
        return names.map((name) => [name, digest(join(folder, name, "model.safetensors"))]);
      };
      assert.deepEqual(weights(at("killed")), weights(at("whole")));
    });

    await t.step("evaluated again: the same figures", async () => {
      const before = testMetrics(result);
      const again = resultOf(await runCommand("evaluate", ["--study-id", result.study_id, ...place(at("whole"))]));
      assert.deepEqual(again, result);
      assert.deepEqual(testMetrics(again), before);
    });

    await t.step("merged onto the weights that its seed makes again", async () => {
      await mergeTuned({ checkpoint, out: at("merged") });
      await assertMerged(checkpoint, at("merged"), { seed: 42 });
      await assertTested(join(trialFolders(at("whole"))[0]!, "config.yaml"), at("merged"), testedAtDefault(result));
      await assert.rejects(mergeTuned({ checkpoint, out: at("merged") }), { message: `${at("merged")} exists` });
      await assert.rejects(mergeTuned({ checkpoint: join(root, "none"), out: at("other") }), { name: "WinnowError" });
    });

    await t.step("a checkpoint of trained tensors is no model to start from; the merged one is", async () => {
      const start = (id: string) => [...RUN.filter((key) => !key.startsWith("model.")), `model.id=${id}`];
      const run = (id: string, experiments: string) =>
        runCommand("train", ["--mode", "single", ...start(id), "training.max_steps=1", ...place(at(experiments))]);
      assertRefused(await run(checkpoint, "refused"), {
        error: /config\.json describes a checkpoint of only what was trained on top of another model/,
        remedy: /Merge it first/,
      });
      assert.equal(resultOf(await run(at("merged"), "continued")).trials[0]!.state, "COMPLETE");
    });
  });
});

Deno.test("checkpoints on a pretrained base load it first, and refuse another one", async (t) => {
  await withFolder(async (root) => {
    const at = (name: string) => join(root, name);
    const { checkpoint: base } = await train(at("base"));
    const onBase = ["--mode", "single", ...RUN.filter((key) => !key.startsWith("model.")), `model.id=${base}`];
    const run = async (name: string, ...settings: string[]) =>
      resultOf(await runCommand("train", [...onBase, ...settings, ...place(at(name))]));
    const whole = stored(base);
    const heads = [...whole.keys()].filter((name) => name.includes("_head."));

    for (
      const [mode, settings, trained] of [
        ["bitfit", ["tuning.mode=bitfit"], (name: string) => name.endsWith(".bias")],
        ["freeze", ["tuning.mode=freeze"], (name: string) => !name.startsWith("embeddings.")],
      ] as const
    ) {
      await t.step(`${mode}: holds what it trains, evaluates the same again, and merges`, async () => {
        const result = await run(mode, ...settings);
        const checkpoint = result.trials[0]!.checkpoint!;
        const expected = [...whole.keys()].filter((name) => heads.includes(name) || trained(name));
        const found = stored(checkpoint);
        assert.deepEqual([...found.keys()].sort(), expected.sort());
        const evaluated = await runCommand("evaluate", ["--study-id", result.study_id, ...place(at(mode))]);
        assert.deepEqual(resultOf(evaluated), result);
        await mergeTuned({ checkpoint, out: at(`${mode}_merged`) });
        for (const [name, values] of stored(at(`${mode}_merged`))) {
          assert.deepEqual(values, found.get(name) ?? whole.get(name)!, name);
        }
        await assertMerged(checkpoint, at(`${mode}_merged`), { folder: base, seed: 0 });
        await assert.rejects(exportAdapter({ checkpoint, out: at("none") }), { message: /has no adapter/ });
      });
    }

    await t.step("the hash is of the values: in another file and other names, the same", async () => {
      const encoder = parseEncoderConfig(readJson(join(base, "config.json")), "config.json");
      const other = at("renamed");
      await Deno.mkdir(other);
      const tensors = [...whole].reverse().map(([name, data]) => ({
        name: `bert.${name}`,
        shape: [data.length],
        data,
      }));
      await writeSafetensors(join(other, "model.safetensors"), tensors);
      assert.equal(baseHash({ encoder, folder: other }, 1), baseHash({ encoder, folder: base }, 2));
    });

    await t.step("another base under the same name is refused, by evaluation and by merging", async () => {
      const result = await run("lora", ...LORA, "retention.keep_best_k=0");
      const checkpoint = result.trials[0]!.checkpoint!;
      const path = join(base, "model.safetensors");
      const bytes = await Deno.readFile(path);
      const changed = bytes.slice();
      // The last value of the file belongs to a head, which is no part of the base; the middle to the encoder.
      changed[changed.length >> 1]! ^= 1;
      await Deno.writeFile(path, changed);
      const error = /holds what was trained on top of .*\/checkpoints\/step_\d+ \(revision local\), whose weights/;
      const remedy = /Restore the weights that it was trained on/;
      const evaluate = () => runCommand("evaluate", ["--study-id", result.study_id, ...place(at("lora"))]);
      assertRefused(await evaluate(), { error, remedy });
      await assert.rejects(mergeTuned({ checkpoint, out: at("wrong") }), { message: error });
      assert.ok(!await Deno.stat(at("wrong")).then(() => true, () => false));
      await Deno.writeFile(at("copy"), bytes);
      await Deno.mkdir(at("moved"));
      for (const file of ["config.json", "tokenizer.json", "vocab.txt"]) {
        await Deno.copyFile(join(base, file), join(at("moved"), file)).catch(() => {});
      }
      await Deno.rename(at("copy"), join(at("moved"), "model.safetensors"));
      await mergeTuned({ checkpoint, out: at("right"), base: at("moved") });
      await assertMerged(checkpoint, at("right"), { folder: at("moved"), seed: 0 });
      await Deno.writeFile(path, bytes);
      assert.deepEqual(resultOf(await evaluate()), result);
    });
  });
});

Deno.test("a LoRA checkpoint of BERT-base with AdamW's state is below 10 MB", async () => {
  await withFolder(async (root) => {
    const encoder = parseEncoderConfig({ model_type: "bert" }, "config.json");
    const tuning: Tuning = {
      mode: "lora",
      freeze_layers: 0,
      lora_rank: 8,
      lora_alpha: 16,
      lora_dropout: 0.1,
      lora_targets: ["query", "value"],
    };
    const parameters = encoderParameters(encoder).flatMap(checkpointTensors)
      .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
    assert.equal(parameters, 108_891_648, "BERT-base without its pooler");
    const plan = planEngine(gpu, {
      model: { ...linearAgents({ encoder, criteria: 9, dropout: 0.1 }), tuning },
      optimizer: { name: "adamw", weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
      batchSize: 1,
      lengths: [16],
    });
    const adapters = 12 * 2 * 2 * 8 * 768, heads = (9 + 18) * (768 + 1);
    const engine = await openEngine(gpu, plan);
    try {
      // Rows of moments that are zero are left out, and after a step of training none is.
      for (const array of resumeArrays(plan.options)) {
        engine.load(array, (_name, shape) => new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1));
      }
      // The vocabulary of BERT is 232 kB.
      const files = { config: {}, tokenizer: new Map([["vocab.txt", new Uint8Array(232_000)]]) };
      const write = (folder: string) => writeState(folder, engine, initialState(1, {}), files);
      await publishCheckpoint(root, "step_1", write, { step: 1, epoch: 1, kind: "epoch", metrics: {} });
    } finally {
      engine.close();
    }
    const { bytes, files, resumable } = await verifyCheckpoint(join(root, "step_1"));
    assert.ok(resumable);
    const weights = files["model.safetensors"]!.bytes, moments = files["optimizer.safetensors"]!.bytes;
    assert.ok(weights >= 4 * (adapters + heads) && weights < 4 * (adapters + heads) + 10_000, `${weights} bytes`);
    assert.ok(moments >= 8 * (adapters + heads) && moments < 8 * (adapters + heads) + 30_000, `${moments} bytes`);
    assert.ok(bytes < 10e6, `${bytes} bytes`);
  });
});
