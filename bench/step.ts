/**
 * Time of a training step (forward, losses, backward, clipping, AdamW) of the two agents on a BERT encoder of any shape:
 * `deno task bench:step --layers 12 --hidden 768 --heads 12 --ffn 3072 --batch 16 --length 128 --steps 20 --json`.
 * `--tuning lora --rank 8 --targets query,value`, `--tuning bitfit` or `--tuning freeze --freeze-layers 6` trains a part of it;
 * `--plan` prints the planned memory and stops. `--autotune on` or `off` instead of `auto`: whether matrix products are tried
 * first, as in training.
 * The last line with --json is one object. The floating-point rate counts the matrix products alone, backward as twice
 * the forward.
 */
import { parseArgs } from "node:util";
import { type Batch, NO_SENTENCE } from "../lib/data/batches.ts";
import { loadConfig } from "../lib/config/compose.ts";
import type { Config } from "../lib/config/schema.ts";
import { openGpu, type Preset } from "../lib/gpu/device.ts";
import { BCE } from "../lib/graph/ops/losses.ts";
import { isTrained } from "../lib/graph/parameters.ts";
import { elementCount } from "../lib/graph/tensor.ts";
import { openAutotuner, plannedProducts } from "../lib/study/autotune.ts";
import { tuningOf } from "../lib/study/tuning.ts";
import { randomStream } from "../lib/support/rng.ts";
import { openEngine } from "../lib/train/engine.ts";
import { checkpointTensors } from "../lib/train/parameter_arrays.ts";
import { type EngineOptions, planEngine } from "../lib/train/engine_plan.ts";

const { values } = parseArgs({
  options: {
    layers: { type: "string", default: "6" },
    hidden: { type: "string", default: "384" },
    heads: { type: "string", default: "12" },
    ffn: { type: "string", default: "1536" },
    vocab: { type: "string", default: "30522" },
    batch: { type: "string", default: "8" },
    length: { type: "string", default: "64" },
    criteria: { type: "string", default: "9" },
    dropout: { type: "string", default: "0.1" },
    steps: { type: "string", default: "10" },
    preset: { type: "string", default: "auto" },
    tuning: { type: "string", default: "full" },
    "freeze-layers": { type: "string", default: "0" },
    rank: { type: "string", default: "8" },
    targets: { type: "string", default: "query,value" },
    "lora-dropout": { type: "string", default: "0" },
    autotune: { type: "string", default: "auto" },
    plan: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

function count(
  name: "layers" | "hidden" | "heads" | "ffn" | "vocab" | "batch" | "length" | "criteria" | "steps",
): number {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 1) {
    console.error(`error: Expected --${name} to be an integer above 0 but found ${JSON.stringify(values[name])}`);
    Deno.exit(2);
  }
  return value;
}

const layers = count("layers"), hidden = count("hidden"), heads = count("heads"), ffn = count("ffn");
const vocab = count("vocab"), batch = count("batch"), length = count("length"), steps = count("steps");
const criteria = count("criteria"), dropout = Number(values.dropout);
if (hidden % heads !== 0 || (hidden / heads) % 4 !== 0) {
  console.error(`error: Expected --hidden to be a multiple of 4 × --heads but found ${hidden} and ${heads}`);
  Deno.exit(2);
}

const overrides = [
  `tuning.mode=${values.tuning}`,
  `tuning.freeze_layers=${values["freeze-layers"]}`,
  `tuning.lora_rank=${values.rank}`,
  `tuning.lora_targets=${values.targets}`,
  `tuning.lora_dropout=${values["lora-dropout"]}`,
];
const tuning = tuningOf(loadConfig({ file: "configs/quickstart.yaml", overrides }));

const gpu = await openGpu(values.preset as Preset | "auto");
const engineOptions: EngineOptions = {
  model: {
    encoder: {
      model_type: "bert",
      vocab_size: vocab,
      hidden_size: hidden,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      intermediate_size: ffn,
      max_position_embeddings: Math.max(512, length),
      type_vocab_size: 2,
      layer_norm_eps: 1e-12,
      hidden_act: "gelu",
      hidden_dropout_prob: dropout,
      attention_probs_dropout_prob: dropout,
      pad_token_id: 0,
    },
    criteria,
    activation: "gelu",
    pooling: "cls",
    criteriaHead: { type: "linear", hidden: 256, dropout },
    evidenceHead: { type: "start_end_linear", hidden: 128, dropout, maxSpanTokens: 64, maxSpans: 3 },
    coupling: null,
    loss: { form: BCE, weighted: false, adaptive: false },
    tuning,
  },
  optimizer: { name: "adamw", weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
  batchSize: batch,
  lengths: [length],
};
let plan = planEngine(gpu, engineOptions);
if (values.plan) {
  const trained = plan.parameters.specs.filter(isTrained).reduce((sum, { shape }) => sum + elementCount(shape), 0);
  console.log(JSON.stringify({ bench: "plan", tuning, trained, memory: plan.memory }));
  Deno.exit(0);
}
const autotune = values.autotune as Config["gpu"]["autotune"];
const autotuner = await openAutotuner({ gpu: { autotune, preset: "auto", memory_limit_gb: null } }, gpu);
if (autotuner) {
  // Benchmarks write nothing: what is found is not kept.
  await autotuner.tune(plannedProducts(plan), new AbortController().signal);
  plan = planEngine(gpu, { ...engineOptions, variantOf: autotuner.variantOf });
}
const engine = await openEngine(gpu, plan);
const kinds = new Map(
  plan.parameters.specs.flatMap((spec) => checkpointTensors(spec).map(({ name }) => [name, spec.initialisation])),
);
engine.load("parameter", (name, shape) => {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  if (kinds.get(name) === "ones") return data.fill(1);
  // Any small numbers do: the time does not depend on them, and normal ones are slow to make for a large table.
  if (kinds.get(name) === "normal") data.forEach((_, i) => data[i] = 0.04 * (((i * 2654435761) >>> 8) / 2 ** 24 - 0.5));
  return data;
});

const stream = randomStream(1, "bench");
const tokens = batch * length;
const input: Batch = {
  size: batch,
  length,
  ids: Uint32Array.from({ length: tokens }, () => 1 + stream.integer(vocab - 1)),
  mask: new Uint32Array(tokens).fill(1),
  types: new Uint32Array(tokens),
  labels: Float32Array.from({ length: batch * criteria }, () => stream.integer(2)),
  sampleWeight: new Float32Array(batch).fill(1),
  tags: Uint8Array.from({ length: tokens * criteria }, (_, i) => Math.floor(i / criteria) % length === 3 ? 1 : 0),
  begins: new Uint32Array(batch).fill(1),
  sentences: new Uint32Array(tokens).fill(NO_SENTENCE),
  spanWeight: new Float32Array(batch * criteria).fill(1),
  inputs: Array.from({ length: batch }, (_, i) => i),
};

let step = 0;
const run = async () => {
  const started = performance.now();
  engine.step([input], { seed: 1, step: step + 1, learningRate: 1e-5, draw: step, lambdaClass: 1, lambdaSpan: 1 });
  step++;
  const [metrics] = await engine.drain();
  return { milliseconds: performance.now() - started, loss: metrics!.loss };
};
const first = await run();
const times: number[] = [];
let loss = first.loss;
for (let i = 0; i < steps; i++) {
  const one = await run();
  times.push(one.milliseconds);
  loss = one.loss;
}
times.sort((a, b) => a - b);
const median = times[times.length >> 1]!;
const perToken = layers * (8 * hidden * hidden + 4 * hidden * ffn + 4 * length * hidden);
const gflops = (3 * perToken * tokens) / median / 1e6;
const result = {
  bench: "step",
  adapter: gpu.name,
  preset: gpu.preset,
  autotuned: autotuner !== undefined,
  tuning,
  shape: { layers, hidden, heads, ffn, vocab, batch, length, criteria, dropout },
  steps,
  step_ms: Number(median.toFixed(2)),
  step_ms_min: Number(times[0]!.toFixed(2)),
  first_step_ms: Number(first.milliseconds.toFixed(1)),
  tokens_per_second: Math.round((tokens / median) * 1000),
  gflops: Number(gflops.toFixed(2)),
  dispatches: plan.training.get(length)!.graph.calls.length + plan.optimizer.graph.calls.length,
  gpu_bytes: gpu.allocatedBytes,
  predicted_gpu_bytes: plan.memory.total,
  loss: Number(loss.toFixed(5)),
};
engine.close();
if (values.json) console.log(JSON.stringify(result));
else {
  console.log(
    `${gpu.name}: ${result.step_ms} ms per step (median of ${steps}), ${result.tokens_per_second} tokens/s, ` +
      `${result.gflops} GFLOP/s in matrix products, ${result.dispatches} dispatches`,
  );
}
Deno.exit(0);
