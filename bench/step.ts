/**
 * Time of a training step (forward, losses, backward, clipping, AdamW) of the two agents on a BERT encoder of any shape:
 * `deno task bench:step --layers 12 --hidden 768 --heads 12 --ffn 3072 --batch 16 --length 128 --steps 20 --json`.
 * `--tuning lora --rank 8 --targets query,value`, `--tuning bitfit` or `--tuning freeze --freeze-layers 6` trains a part of it;
 * `--plan` prints the planned memory and stops. `--autotune on` or `off` instead of `auto`: whether matrix products are tried
 * first, as in training.
 * `--peers jax-js,tfjs,torch,onnx` compares with the same model there, without dropout, each engine in a process of its
 * own; `--forward` compares the forward pass with its losses alone (without peers: times Winnow's); then `--steps` are
 * those of one of `--repetitions` turns. torch and onnx need WINNOW_PYTHON or scripts/setup.sh --peers, and have
 * `--threads`; `--torch-device cuda` puts torch on the GPU. Only training steps without peers take the options of tuning,
 * dropout and preset.
 * The last line with --json is one object. The floating-point rate counts the matrix products alone, backward as twice
 * the forward. `gemm_ms` is the GPU time of the GEMM kernels in a step and `step_over_gemm` that of the step over it, medians
 * of --profile-steps steps (0 for none) that take turns; null where the adapter has no timestamps.
 */
import { parseArgs } from "node:util";
import { loadConfig } from "../lib/config/compose.ts";
import { openGpu } from "../lib/gpu/device.ts";
import { isTrained } from "../lib/graph/parameters.ts";
import { elementCount } from "../lib/graph/tensor.ts";
import { openAutotuner, plannedProducts } from "../lib/study/autotune.ts";
import { tuningOf } from "../lib/study/tuning.ts";
import { planEngine } from "../lib/train/engine_plan.ts";
import { productShare, profileStep } from "../lib/train/profile.ts";
import { compare, type Peer, PEERS } from "./peers/compare.ts";
import { median } from "../lib/support/median.ts";
import { forwardFlops, winnowBatch } from "./peers/encoder_model.ts";
import { openWithWeights, stepEngineOptions } from "./step_engine.ts";

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
    dropout: { type: "string" },
    steps: { type: "string" },
    preset: { type: "string" },
    tuning: { type: "string" },
    "freeze-layers": { type: "string" },
    rank: { type: "string" },
    targets: { type: "string" },
    "lora-dropout": { type: "string" },
    "profile-steps": { type: "string" },
    autotune: { type: "string" },
    peers: { type: "string" },
    forward: { type: "boolean", default: false },
    repetitions: { type: "string" },
    threads: { type: "string" },
    "torch-device": { type: "string" },
    plan: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

function refuse(message: string): never {
  console.error(`error: ${message}`);
  Deno.exit(2);
}

function count(
  name:
    | "layers"
    | "hidden"
    | "heads"
    | "ffn"
    | "vocab"
    | "batch"
    | "length"
    | "criteria"
    | "steps"
    | "repetitions"
    | "threads",
  fallback?: number,
): number {
  const value = Number(values[name] ?? fallback);
  if (!Number.isInteger(value) || value < 1) {
    refuse(`Expected --${name} to be an integer above 0 but found ${JSON.stringify(values[name])}`);
  }
  return value;
}

/** Ends with an error where an option is given that what is run does not have. */
function refuseOptions(names: readonly (keyof typeof values)[], why: string): void {
  const given = names.find((name) => values[name] !== undefined && values[name] !== false);
  if (given) refuse(`--${given} is not for ${why}`);
}

const layers = count("layers"), hidden = count("hidden"), heads = count("heads"), ffn = count("ffn");
const vocab = count("vocab"), batch = count("batch"), length = count("length"), criteria = count("criteria");
if (hidden % heads !== 0 || (hidden / heads) % 4 !== 0) {
  refuse(`Expected --hidden to be a multiple of 4 × --heads but found ${hidden} and ${heads}`);
}

const shape = { layers, hidden, heads, ffn, vocab, batch, length, criteria };

const TUNING = [
  "dropout",
  "preset",
  "tuning",
  "freeze-layers",
  "rank",
  "targets",
  "lora-dropout",
  "profile-steps",
  "autotune",
  "plan",
] as const;
if (values.peers !== undefined || values.forward) {
  refuseOptions(TUNING, "a comparison or a forward pass");
  const peers = (values.peers ?? "").split(",").filter((name) => name !== "");
  const unknown = peers.find((name) => !PEERS.includes(name as Peer));
  if (unknown) refuse(`Expected --peers to be some of ${PEERS.join(", ")} but found ${unknown}`);
  if (peers.includes("onnx") && !values.forward) refuse("onnx has no training step: give --forward");
  const torchDevice = values["torch-device"] ?? "cpu";
  if (torchDevice !== "cpu" && torchDevice !== "cuda") {
    refuse(`Expected --torch-device to be cpu or cuda but found ${torchDevice}`);
  }
  const mode = values.forward ? "forward" : "train";
  const timing = { steps: count("steps", 2), repetitions: count("repetitions", 3), threads: count("threads", 2) };
  const say = (line: string) => values.json ? console.error(line) : console.log(line);
  const engines = await compare({ shape, mode, peers: peers as Peer[], torchDevice, ...timing }, say);
  for (const [name, { step_ms, tokens_per_second, ratio, ratio_cpu }] of Object.entries(engines)) {
    say(
      `${name}: ${step_ms} ms, ${tokens_per_second} tokens/s, ${ratio} times Winnow's time, ${ratio_cpu} times its CPU time`,
    );
  }
  if (values.json) {
    console.log(JSON.stringify({ bench: mode === "train" ? "step" : "forward", shape, ...timing, engines }));
  }
  Deno.exit(0);
}
refuseOptions(["repetitions", "threads", "torch-device"], "a training step without --peers");
const steps = count("steps", 10), dropout = Number(values.dropout ?? 0.1);
const profileSteps = Number(values["profile-steps"] ?? 3);
if (!Number.isInteger(profileSteps) || profileSteps < 0) {
  refuse(`Expected --profile-steps to be an integer from 0 but found "${values["profile-steps"]}"`);
}

const overrides = [
  `tuning.mode=${values.tuning ?? "full"}`,
  `tuning.freeze_layers=${values["freeze-layers"] ?? 0}`,
  `tuning.lora_rank=${values.rank ?? 8}`,
  `tuning.lora_targets=${values.targets ?? "query,value"}`,
  `tuning.lora_dropout=${values["lora-dropout"] ?? 0}`,
  `gpu.preset=${values.preset ?? "auto"}`,
  `gpu.autotune=${values.autotune ?? "auto"}`,
];
const config = loadConfig({ file: "configs/quickstart.yaml", overrides });
const tuning = tuningOf(config);

const gpu = await openGpu(config.gpu.preset);
const engineOptions = stepEngineOptions(shape, { dropout, tuning });
let plan = planEngine(gpu, engineOptions);
if (values.plan) {
  const trained = plan.parameters.specs.filter(isTrained).reduce((sum, { shape }) => sum + elementCount(shape), 0);
  console.log(JSON.stringify({ bench: "plan", tuning, trained, memory: plan.memory }));
  Deno.exit(0);
}
const autotuner = await openAutotuner(config, gpu);
if (autotuner) {
  // Benchmarks write nothing: what is found is not kept.
  await autotuner.tune(plannedProducts(plan), new AbortController().signal);
  plan = planEngine(gpu, { ...engineOptions, variantOf: autotuner.variantOf });
}
const engine = await openWithWeights(gpu, plan);
const input = winnowBatch(shape), tokens = batch * length;

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
const stepMs = median(times);
const gflops = 3 * forwardFlops(shape) / stepMs / 1e6;
const gpuBytes = gpu.allocatedBytes;
const products = profileSteps > 0 && gpu.features.has("timestamp-query")
  ? productShare(
    await profileStep(engine, {
      batches: () => [input],
      lambdas: { lambdaClass: 1, lambdaSpan: 1 },
      steps: profileSteps,
      warmup: 1,
    }),
  )
  : undefined;
const rounded = (value: number | undefined) => value === undefined ? null : Number(value.toFixed(3));
const result = {
  bench: "step",
  adapter: gpu.name,
  preset: gpu.preset,
  autotuned: autotuner !== undefined,
  tuning,
  shape: { ...shape, dropout },
  steps,
  step_ms: Number(stepMs.toFixed(2)),
  step_ms_min: Number(Math.min(...times).toFixed(2)),
  first_step_ms: Number(first.milliseconds.toFixed(1)),
  tokens_per_second: Math.round((tokens / stepMs) * 1000),
  gflops: Number(gflops.toFixed(2)),
  dispatches: plan.training.get(length)!.graph.calls.length + plan.optimizer.graph.calls.length,
  gemm_ms: rounded(products?.gemmMs),
  step_over_gemm: rounded(products?.stepOverGemm),
  gpu_bytes: gpuBytes,
  predicted_gpu_bytes: plan.memory.total,
  loss: Number(loss.toFixed(5)),
};
engine.close();
if (values.json) console.log(JSON.stringify(result));
else {
  console.log(
    `${gpu.name}: ${result.step_ms} ms per step (median of ${steps}), ${result.tokens_per_second} tokens/s, ` +
      `${result.gflops} GFLOP/s in matrix products, ${result.dispatches} dispatches` +
      (products ? `; a step takes ${result.step_over_gemm} times its GEMMs alone` : ""),
  );
}
Deno.exit(0);
