/**
 * The tuning modes against `peft` and PyTorch's `requires_grad`: gradients, ten losses and the weights after them, with
 * every frozen bit as it was; and what is made of a checkpoint, read by `transformers` and `peft`.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Batch } from "../../lib/data/batches.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { type Target, targetOf } from "../../lib/graph/graph.ts";
import { LORA_TARGETS, type LoraOptions, type LoraTarget } from "../../lib/model/lora.ts";
import type { Tuning } from "../../lib/model/tuning.ts";
import { elementCount } from "../../lib/graph/tensor.ts";
import { exportAdapter, mergeTuned } from "../../lib/study/merge.ts";
import { openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { type EncoderFamily, parseEncoderConfig, readEncoderConfig } from "../../lib/weights/encoder_config.ts";
import { resolveEncoderNames } from "../../lib/weights/encoder_names.ts";
import { writeSafetensors } from "../../lib/weights/safetensors.ts";
import { openWeights } from "../../lib/weights/weights_file.ts";
import { firstSpans, linearAgents } from "../support/agents.ts";
import { resultOf, runCommand, withFolder } from "../support/commands.ts";
import {
  cosine,
  type GoldenTensor,
  largestDifference,
  norm,
  parseTensors,
  relativeDifference,
} from "../support/golden.ts";
import { askPython } from "../support/python.ts";
import { randomBatch, readArray } from "../support/small_engine.ts";

/** What a Python model missed in a file, and did not expect there. */
interface Account {
  readonly missing: string[];
  readonly unexpected: string[];
}

const CRITERIA = 3;
const gpu = await openGpu();

/** Small and odd, as in encoder_families_test.ts. */
const SIZES = { hidden_size: 48, num_hidden_layers: 3, num_attention_heads: 3, intermediate_size: 80, vocab_size: 999 };
const CONFIGS: Record<EncoderFamily, Record<string, unknown>> = {
  bert: { ...SIZES, max_position_embeddings: 64 },
  roberta: { ...SIZES, max_position_embeddings: 66, type_vocab_size: 1, pad_token_id: 1 },
  distilbert: {
    ...{ dim: 48, n_layers: 3, n_heads: 3, hidden_dim: 80, vocab_size: 999, max_position_embeddings: 64 },
  },
};

const lora = (options: Partial<LoraOptions> = {}): Tuning => ({
  mode: "lora",
  freeze_layers: 0,
  lora_rank: 4,
  lora_alpha: 6,
  lora_dropout: 0,
  lora_targets: ["query", "value"],
  ...options,
});
const ALL_TARGETS = Object.keys(LORA_TARGETS) as LoraTarget[];

/** Mode, and where the kernels of other adapters are tried, those. */
interface Case {
  readonly tuning: Tuning;
  readonly target?: Partial<Target>;
}

const CASES: [EncoderFamily, string, Case][] = [
  ["bert", "lora on query and value", { tuning: lora() }],
  ["bert", "lora on query and value, kernels of NVIDIA", { tuning: lora(), target: { preset: "tiled" } }],
  ["bert", "lora on every projection, rank 3", { tuning: lora({ lora_rank: 3, lora_targets: ALL_TARGETS }) }],
  ["bert", "lora above 1 layer", { tuning: lora({ freeze_layers: 1, lora_targets: ["key", "output"], lora_rank: 1 }) }],
  ["bert", "bitfit", { tuning: { mode: "bitfit", freeze_layers: 0 } }],
  ["bert", "bitfit above 1 layer", { tuning: { mode: "bitfit", freeze_layers: 1 } }],
  ["bert", "freeze 1 layer", { tuning: { mode: "freeze", freeze_layers: 1 } }],
  ["bert", "heads alone", { tuning: { mode: "freeze", freeze_layers: 3 } }],
  ["roberta", "lora on three projections", {
    tuning: lora({ lora_targets: ["key", "attention_output", "intermediate"] }),
  }],
  ["roberta", "bitfit", { tuning: { mode: "bitfit", freeze_layers: 0 } }],
  ["distilbert", "lora on every projection", { tuning: lora({ lora_rank: 8, lora_targets: ALL_TARGETS }) }],
  ["distilbert", "freeze embeddings", { tuning: { mode: "freeze", freeze_layers: 0 } }],
];

const OPTIMIZER = { learningRate: 1e-3, weightDecay: 0.05, betas: [0.9, 0.999], eps: 1e-8, maxGradNorm: 1 };
const LAMBDAS = { lambdaClass: 1, lambdaSpan: 0.7 };

async function writeBatch(path: string, batch: Batch) {
  const tokens = [batch.size, batch.length], pairs = [batch.size, CRITERIA];
  const shapes = {
    ...{ ids: tokens, mask: tokens, types: tokens, sampleWeight: [batch.size] },
    ...{ labels: pairs, spanStart: pairs, spanEnd: pairs, spanWeight: pairs },
  };
  const names = Object.keys(shapes) as (keyof typeof shapes)[];
  const { start: spanStart, end: spanEnd } = firstSpans(batch);
  const values = { ...batch, spanStart, spanEnd };
  await writeSafetensors(
    path,
    names.map((name) => ({ name, shape: shapes[name], data: Float32Array.from(values[name]) })),
  );
}

/** Parameters whose true gradient is 0; docs/numerics.md. Adam makes full-size steps out of their noise. */
const isInvariant = (name: string) => /self\.key\.bias$|k_lin\.bias$|^evidence_head\.bias$/.test(name);

function compareGradients(actual: Map<string, Float32Array>, expected: (name: string) => Float32Array) {
  const whole = Math.sqrt([...actual.keys()].reduce((sum, name) => sum + norm(expected(name)) ** 2, 0));
  for (const [name, gradient] of actual) {
    if (isInvariant(name)) {
      assert.ok(norm(gradient) <= 1e-5 * whole, `${name}: ‖g‖ = ${norm(gradient)} of ${whole}`);
      continue;
    }
    const relative = relativeDifference(gradient, expected(name));
    assert.ok(relative <= 1e-3, `${name}: relative difference ${relative}`);
    assert.ok(cosine(gradient, expected(name)) >= 0.99999, `${name}: cosine`);
  }
}

Deno.test("every mode follows peft and PyTorch: gradients, ten losses, and no frozen bit changes", async (t) => {
  await withFolder(async (root) => {
    const batches = new Map<EncoderFamily, Batch>();
    const families = Object.keys(CONFIGS) as EncoderFamily[];
    for (const family of families) {
      const batch = randomBatch("tuning", { rows: 4, length: 17, filler: 1, criteria: CRITERIA, vocabulary: 999 });
      const { pad_token_id } = parseEncoderConfig({ model_type: family, ...CONFIGS[family] }, "config.json");
      batch.ids.forEach((_, token) => {
        if (!batch.mask[token]) batch.ids[token] = pad_token_id;
      });
      batches.set(family, batch);
      await writeBatch(join(root, `${family}.safetensors`), batch);
    }
    const folder = (family: EncoderFamily) => join(root, family);
    const make = (family: EncoderFamily) => ({
      ...{ folder: folder(family), model_type: family, config: CONFIGS[family], seed: 3, format: "safetensors" },
    });
    await askPython("encoder_families.py", [], families.map((family) => ["make", make(family)]));
    const answers = await askPython<{ trainable: string[]; losses: number[] }[]>(
      "tuning.py",
      [],
      CASES.map(([family, , { tuning }], i) => ["train", {
        folder: folder(family),
        batch: join(root, `${family}.safetensors`),
        out: join(root, `${i}.safetensors`),
        criteria: CRITERIA,
        pooling: "mean",
        tuning,
        lambdas: [LAMBDAS.lambdaClass, LAMBDAS.lambdaSpan],
        optimizer: OPTIMIZER,
      }]),
    );
    for (const [i, [family, name, { tuning, target }]] of CASES.entries()) {
      await t.step(`${family}: ${name}`, async () => {
        const { trainable, losses } = answers[i]!;
        const theirs: Map<string, GoldenTensor> = parseTensors(await Deno.readFile(join(root, `${i}.safetensors`)));
        const encoder = parseEncoderConfig({ model_type: family, ...CONFIGS[family] }, "config.json");
        const batch = batches.get(family)!;
        const { learningRate, betas, ...optimizer } = OPTIMIZER;
        const engine = await openEngine(
          gpu,
          planEngine(gpu, {
            model: {
              ...linearAgents({
                encoder: { ...encoder, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 },
                criteria: CRITERIA,
                pooling: "mean",
              }),
              tuning,
            },
            optimizer: {
              name: "adamw",
              weightDecay: optimizer.weightDecay,
              beta1: betas[0]!,
              beta2: betas[1]!,
              epsilon: optimizer.eps,
              maxGradNorm: optimizer.maxGradNorm,
            },
            batchSize: batch.size,
            lengths: [batch.length],
          }, { ...targetOf(gpu), ...target }),
        );
        try {
          using file = openWeights(folder(family));
          const stored = resolveEncoderNames(file.tensors.keys(), family);
          engine.load("parameter", (tensor) => theirs.get(tensor)?.data ?? file.readFloat32(stored.get(tensor)!));
          const before = await readArray(engine, "parameter");
          const options = (step: number) => ({ seed: 0, step, learningRate, draw: step, ...LAMBDAS });

          engine.gradient(batch, options(1));
          const gradients = await readArray(engine, "gradient");
          await engine.drain();
          assert.deepEqual([...gradients.keys()].sort(), trainable);
          compareGradients(gradients, (tensor) => theirs.get(`grad.${tensor}`)!.data);
          gpu.device.queue.writeBuffer(
            engine.arenas.gradient.buffers[0]!,
            0,
            new Uint8Array(engine.arenas.gradient.buffers[0]!.size),
          );

          for (let step = 1; step <= losses.length; step++) engine.step([batch], options(step));
          const curve = (await engine.drain()).map(({ loss }) => loss);
          curve.forEach((loss, step) => {
            assert.ok(Math.abs(loss - losses[step]!) <= 1e-4, `step ${step + 1}: loss ${loss}, not ${losses[step]}`);
          });
          assert.equal(curve.length, 10);
          assert.ok(curve.at(-1)! < curve[0]!, "the loss falls");
          for (const [tensor, values] of await readArray(engine, "parameter")) {
            if (trainable.includes(tensor)) {
              if (isInvariant(tensor)) continue;
              const relative = relativeDifference(values, theirs.get(`after.${tensor}`)!.data);
              assert.ok(relative <= 1e-4, `${tensor} after ten steps: relative difference ${relative}`);
            } else {
              assert.deepEqual(new Uint8Array(values.buffer), new Uint8Array(before.get(tensor)!.buffer), tensor);
            }
          }
        } finally {
          engine.close();
        }
      });
    }
  });
});

Deno.test("a merged LoRA checkpoint is read by transformers, its adapter by peft, and the checkpoint by neither", async () => {
  await withFolder(async (root) => {
    const at = (name: string) => join(root, name);
    const family = "distilbert";
    const make = { folder: at("base"), model_type: family, config: CONFIGS[family], seed: 5, format: "pytorch" };
    await askPython("encoder_families.py", [], [["make", make]]);
    const settings = [
      ...["data.synthetic.posts=60", "data.max_length=64", "training.epochs=1", "training.learning_rate=1e-2"],
      ...["tuning.mode=lora", "tuning.lora_rank=3", "tuning.lora_targets=query,output,intermediate", "--json"],
    ];
    const place = [`model.id=${at("base")}`, `paths.experiments=${at("experiments")}`];
    const result = resultOf(await runCommand("train", ["--mode", "single", ...settings, ...place]));
    const checkpoint = result.trials[0]!.checkpoint!;
    await mergeTuned({ checkpoint, out: at("merged") });
    await exportAdapter({ checkpoint, out: at("adapter") });

    const batch = randomBatch("merged", { rows: 4, length: 17, criteria: CRITERIA, vocabulary: 999 });
    await writeBatch(at("batch.safetensors"), batch);
    const common = { batch: at("batch.safetensors") };
    const [base, merged, adapted, refusal] = await askPython<[Account, Account, Account, string | null]>(
      "tuning.py",
      [],
      [
        ["hidden", { ...common, folder: at("base"), out: at("base.safetensors") }],
        ["hidden", { ...common, folder: at("merged"), out: at("merged.safetensors") }],
        ["hidden", { ...common, folder: at("base"), adapter: at("adapter"), out: at("adapted.safetensors") }],
        ["refused", { folder: checkpoint }],
      ],
    );
    assert.deepEqual(base.missing, []);
    assert.deepEqual(merged.missing, []);
    assert.equal(merged.unexpected.length, 4, "the two heads");
    assert.deepEqual(adapted, { missing: [], unexpected: [] });
    assert.match(refusal!, /winnow_trained_tensors/);
    const hidden = async (name: string) =>
      parseTensors(await Deno.readFile(at(`${name}.safetensors`))).get("hidden")!.data;
    const adaptedState = await hidden("adapted"), largest = Math.max(...adaptedState.map(Math.abs));
    const difference = largestDifference(await hidden("merged"), adaptedState) / largest;
    assert.ok(difference <= 2e-6, `merged and adapted differ by ${difference} of the largest element`);
    assert.ok(largestDifference(await hidden("merged"), await hidden("base")) > 1e-2, "the adapter does something");

    const engine = await openEngine(
      gpu,
      planEngine(gpu, {
        model: linearAgents({
          encoder: {
            ...await readEncoderConfig(at("merged")),
            hidden_dropout_prob: 0,
            attention_probs_dropout_prob: 0,
          },
          criteria: CRITERIA,
          pooling: "cls",
        }),
        optimizer: { name: "adamw", weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
        batchSize: batch.size,
        lengths: [batch.length],
        keepStates: true,
      }),
    );
    using file = openWeights(at("merged"));
    engine.load(
      "parameter",
      (name, shape) => name.includes("_head.") ? new Float32Array(elementCount(shape)) : file.readFloat32(name),
    );
    const { predictions } = await engine.evaluate([batch], LAMBDAS);
    engine.close();
    const ours = largestDifference(predictions[0]!.states.at(-1)!, await hidden("merged"));
    assert.ok(ours <= 1e-4, `our hidden state and transformers' differ by ${ours}`);
  });
});
