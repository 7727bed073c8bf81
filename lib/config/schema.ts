/**
 * The resolved configuration of a study: every key, its type and its range.
 *
 * The defaults stand in `configs/base.yaml`, not here, so that a reader finds every value in one file; what depends on
 * several keys at once stands in `checks.ts`. `contracts/config.schema.json` is generated from this schema.
 */

import { z } from "zod";

const text = z.string().min(1);
const seed = z.int().min(0);
const positive = z.number().gt(0);
const probability = z.number().min(0).lt(1);
const share = z.number().gt(0).lt(1);

const floatDistribution = z.strictObject({
  type: z.literal("float"),
  low: z.number(),
  high: z.number(),
  step: positive.optional(),
  log: z.boolean().optional(),
});

const intDistribution = z.strictObject({
  type: z.literal("int"),
  low: z.int(),
  high: z.int(),
  step: z.int().min(1).optional(),
  log: z.boolean().optional(),
});

const categoricalDistribution = z.strictObject({
  type: z.literal("categorical"),
  choices: z.array(z.union([z.string(), z.number(), z.boolean(), z.null()])).min(1),
});

/** From what one hyperparameter is drawn; the names and meanings are Optuna's. */
export const distributionSchema = z.discriminatedUnion("type", [
  floatDistribution,
  intDistribution,
  categoricalDistribution,
]);

/** The architecture of a randomly initialised encoder, in the words of a Hugging Face `config.json`. */
export const encoderSchema = z.strictObject({
  vocab_size: z.int().min(8).max(1_000_000),
  hidden_size: z.int().min(4).max(8192).multipleOf(4),
  num_hidden_layers: z.int().min(1).max(96),
  num_attention_heads: z.int().min(1).max(256),
  intermediate_size: z.int().min(4).max(65_536),
  max_position_embeddings: z.int().min(4).max(65_536),
  hidden_act: z.enum(["gelu", "gelu_tanh"]),
  layer_norm_eps: positive.max(0.1),
});

/** The whole configuration after composition, with no key left out. */
export const configSchema = z.strictObject({
  seed: seed.describe("Seed of every random stream but the splits and the synthetic sample"),
  paths: z.strictObject({
    experiments: text.describe("Folder of the studies, trials and checkpoints"),
  }),
  study: z.strictObject({
    name: text.nullable().describe("A name for people; null takes the study id"),
    metric: text.describe("The validation metric that the search optimises"),
    direction: z.enum(["maximize", "minimize"]),
    n_trials: z.int().min(1).max(100_000),
  }),
  search_space: z.record(z.string(), distributionSchema)
    .describe("Dotted configuration key to distribution; {} searches nothing"),
  model: z.strictObject({
    id: text.describe("Hub id, local folder, or `random`: random initialisation, architecture from model.encoder"),
    revision: text.nullable(),
    encoder: encoderSchema.nullable().describe("Read with id `random` only, null otherwise"),
    criteria_head_type: z.enum(["linear"]),
    criteria_pooling: z.enum(["cls", "mean"]),
    criteria_dropout: probability,
    evidence_head_type: z.enum(["start_end_linear"]),
    evidence_dropout: probability,
    hidden_dropout: probability.nullable().describe("null keeps the model's own value"),
    attention_dropout: probability.nullable().describe("null keeps the model's own value"),
    max_span_tokens: z.int().min(1).max(4096).describe("Longest evidence span that the decoder may emit, in tokens"),
  }),
  data: z.strictObject({
    id: text.describe("Hub id, local folder, or `synthetic`: a generated sample"),
    revision: text.nullable(),
    criteria: z.union([z.literal("auto"), z.array(text).min(1)])
      .describe("Label names in the order of the outputs; auto takes the labels present"),
    input_format: z.enum(["multi_label", "binary_pairs"])
      .describe("multi_label: the post once, a label per criterion; binary_pairs: each criterion's text and the post"),
    criterion_texts: z.record(text, text).nullable()
      .describe("Label to the text that binary_pairs puts before the post; null and left out take the built-in ones"),
    max_length: z.int().min(4).max(65_536).describe("Tokens of one input, special tokens and criterion text included"),
    doc_stride: z.int().min(0).max(65_535).nullable()
      .describe("Tokens that neighbouring windows of a long post share; null cuts long posts off"),
    window_aggregation: z.enum(["max", "mean"])
      .describe("How a post's probabilities come from those of its windows"),
    splits: z.strictObject({ validation: share, test: share, seed }),
    max_posts: z.int().min(1).nullable().describe("Take at most so many posts, a deterministic sample"),
    synthetic: z.strictObject({ posts: z.int().min(10).max(1_000_000), seed }),
  }),
  training: z.strictObject({
    epochs: z.int().min(1).max(10_000),
    max_steps: z.int().min(1).nullable().describe("Stop after so many optimizer steps"),
    batch_size: z.int().min(1).max(1024).describe("Inputs (posts, pairs or windows) of one forward and backward pass"),
    accumulation_steps: z.int().min(1).max(1024).describe("Batches of one optimizer step"),
    precision: z.enum(["f32", "f16"])
      .describe("Storage of activations kept for the backward pass: f16 halves most of them and scales the loss"),
    recompute: z.enum(["none", "feed_forward", "layer"])
      .describe("What the backward pass computes again instead of keeping it: less memory, same results, more time"),
    learning_rate: positive.max(1),
    weight_decay: z.number().min(0).max(1),
    adam_beta1: probability,
    adam_beta2: probability,
    adam_epsilon: positive.max(0.1),
    warmup_ratio: z.number().min(0).max(1).describe("Share of the optimizer steps with a rising learning rate"),
    schedule: z.enum(["linear", "cosine", "constant"]),
    max_grad_norm: positive.describe("Global norm to which gradients are clipped"),
    lambda_class: z.number().min(0).max(1000).describe("Weight of the criteria loss"),
    lambda_span: z.number().min(0).max(1000).describe("Weight of the evidence loss"),
    early_stopping: z.strictObject({
      patience: z.int().min(1).describe("Epochs without improvement"),
      min_delta: z.number().min(0),
    }).nullable(),
    log_every: z.int().min(1).describe("Optimizer steps between loss readbacks"),
  }),
  retention: z.strictObject({
    keep_last_n: z.int().min(0),
    keep_best_k: z.int().min(0),
    save_every_steps: z.int().min(1).nullable().describe("Also save a resume point inside an epoch"),
  }),
  gpu: z.strictObject({
    memory_limit_gb: positive.nullable().describe("Refuse a model that needs more, in GB of 10^9 bytes"),
    preset: z.enum(["auto", "broadcast", "tiled"]).describe("Matrix multiplication kernels"),
  }),
});

/** The resolved configuration. */
export type Config = z.infer<typeof configSchema>;
/** One entry of `search_space`. */
export type Distribution = z.infer<typeof distributionSchema>;
/** What a hyperparameter can be: what Optuna stores as a categorical choice, and numbers. */
export type ParamValue = string | number | boolean | null;
