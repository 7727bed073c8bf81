/** A small model with random weights, and random batches for it. */
import type { Batch } from "../../lib/data/batches.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { type RecomputeLevel, type Target, targetOf } from "../../lib/graph/graph.ts";
import { elementCount } from "../../lib/graph/tensor.ts";
import { linearAgents, noSpans, spanTags } from "./agents.ts";
import type { DualAgentConfig } from "../../lib/model/dual_agent.ts";
import type { EncoderConfig } from "../../lib/model/encoder.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { type Engine, openEngine } from "../../lib/train/engine.ts";
import type { ParameterArray } from "../../lib/train/parameter_arrays.ts";
import { type EngineOptions, type EnginePlan, planEngine } from "../../lib/train/engine_plan.ts";

/** What may differ from the small model: everything has a default. */
export interface SmallOptions {
  readonly encoder?: Partial<EncoderConfig>;
  readonly model?: Partial<Omit<DualAgentConfig, "encoder">>;
  readonly optimizer?: Partial<EngineOptions["optimizer"]>;
  readonly learningRates?: EngineOptions["learningRates"];
  readonly adversarialEpsilon?: number;
  readonly batchSize?: number;
  readonly lengths?: readonly number[];
  readonly target?: Partial<Target>;
  /** Keeps hidden states and evidence logits readable. */
  readonly keepStates?: boolean;
  /** Probability of every dropout. */
  readonly dropout?: number;
  readonly recompute?: RecomputeLevel;
  readonly precision?: "f32" | "f16";
  readonly growthInterval?: number;
}

/** Two layers of 32, three criteria, batches of 4 texts of 8 or 13 tokens. */
export function planSmall(gpu: Gpu, options: SmallOptions = {}): EnginePlan {
  const { dropout = 0 } = options;
  return planEngine(gpu, {
    model: {
      ...linearAgents({
        criteria: 3,
        dropout,
        encoder: {
          model_type: "bert",
          vocab_size: 60,
          hidden_size: 32,
          num_hidden_layers: 2,
          num_attention_heads: 2,
          intermediate_size: 48,
          max_position_embeddings: 64,
          type_vocab_size: 2,
          layer_norm_eps: 1e-12,
          hidden_act: "gelu",
          hidden_dropout_prob: dropout,
          attention_probs_dropout_prob: dropout,
          pad_token_id: 0,
          ...options.encoder,
        },
      }),
      ...options.model,
    },
    optimizer: {
      name: "adamw",
      weightDecay: 0.01,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      maxGradNorm: 1,
      ...options.optimizer,
    },
    ...(options.learningRates ? { learningRates: options.learningRates } : {}),
    adversarialEpsilon: options.adversarialEpsilon ?? 0,
    batchSize: options.batchSize ?? 4,
    lengths: options.lengths ?? [8, 13],
    recompute: options.recompute ?? "none",
    precision: options.precision ?? "f32",
    ...(options.growthInterval === undefined ? {} : { growthInterval: options.growthInterval }),
    keepStates: options.keepStates ?? false,
  }, { ...targetOf(gpu), ...options.target });
}

/** Opens a small model, fills its activations with NaN and its parameters with numbers that depend on `seed` alone. */
export const openSmall = (gpu: Gpu, options: SmallOptions = {}, seed = 1): Promise<Engine> =>
  openFilled(gpu, planSmall(gpu, options), seed);

/** The same of a plan. */
export async function openFilled(gpu: Gpu, plan: EnginePlan, seed = 1): Promise<Engine> {
  const engine = await openEngine(gpu, plan);
  for (const chunk of engine.arenas.activation.buffers) {
    gpu.device.queue.writeBuffer(chunk, 0, new Float32Array(chunk.size / 4).fill(NaN));
  }
  engine.load("parameter", (name, shape) => {
    const random = randomStream(seed, name);
    const [mean, deviation] = name.endsWith("LayerNorm.weight") ? [1, 0.1] : [0, 0.2];
    return Float32Array.from({ length: elementCount(shape) }, () => mean + deviation * random.normal());
  });
  return engine;
}

/** A batch of `rows` random texts, the last `filler` of them filler, of the options' criteria and vocabulary. */
export function randomBatch(
  label: string,
  { rows = 4, length = 8, filler = 0, criteria = 3, vocabulary = 60 } = {},
): Batch {
  const random = randomStream(2, "batch", label);
  const count = rows * length, pairs = rows * criteria;
  const batch: Batch = {
    size: rows,
    length,
    ids: new Uint32Array(count),
    mask: new Uint32Array(count),
    types: new Uint32Array(count),
    labels: new Float32Array(pairs),
    sampleWeight: new Float32Array(rows),
    ...noSpans(rows, length, criteria),
    inputs: Array.from({ length: rows }, (_, row) => row < rows - filler ? row : -1),
  };
  const start = new Uint32Array(pairs), end = new Uint32Array(pairs);
  for (let row = 0; row < rows - filler; row++) {
    const tokens = row === 0 ? length : 3 + random.integer(length - 3);
    batch.sampleWeight[row] = 1;
    for (let token = 0; token < tokens; token++) {
      batch.ids[row * length + token] = 1 + random.integer(vocabulary - 1);
      batch.types[row * length + token] = Number(token > 4);
      batch.mask[row * length + token] = 1;
    }
    for (let pair = row * criteria; pair < (row + 1) * criteria; pair++) {
      batch.labels[pair] = random.integer(2);
      start[pair] = batch.labels[pair] ? 1 + random.integer(tokens - 1) : 0;
      end[pair] = batch.labels[pair] ? Math.min(tokens - 1, start[pair]! + random.integer(3)) : 0;
      batch.spanWeight[pair] = Number(random.integer(5) > 0);
    }
  }
  batch.tags = spanTags(batch, start, end);
  return batch;
}

/** Rows [from, to) of a batch as a batch of their own. */
export function rowsOf(batch: Batch, from: number, to: number): Batch {
  const criteria = batch.labels.length / batch.size;
  const cut = <T extends Uint32Array | Float32Array | Uint8Array>(values: T, each: number) =>
    values.slice(from * each, to * each) as T;
  return {
    size: to - from,
    length: batch.length,
    ids: cut(batch.ids, batch.length),
    mask: cut(batch.mask, batch.length),
    types: cut(batch.types, batch.length),
    labels: cut(batch.labels, criteria),
    sampleWeight: cut(batch.sampleWeight, 1),
    tags: cut(batch.tags, batch.length * criteria),
    begins: cut(batch.begins, 1),
    sentences: cut(batch.sentences, batch.length),
    spanWeight: cut(batch.spanWeight, criteria),
    inputs: batch.inputs.slice(from, to),
  };
}

/** Scalars of a step; the step's own number is also its first draw. */
export const stepOptions = (step: number, learningRate = 1e-3) => ({
  seed: 9,
  step,
  learningRate,
  draw: step,
  lambdaClass: 1,
  lambdaSpan: 0.5,
});

/** All tensors of an array by name. */
export async function readArray(engine: Engine, array: ParameterArray): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const { name, data } of engine.tensors(array)) values.set(name, await data());
  return values;
}
