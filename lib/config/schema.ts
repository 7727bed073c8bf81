/**
 * The resolved configuration of a study: every key, its type and its range.
 *
 * The defaults stand in `configs/base.yaml`, not here, so that a reader finds every value in one file; what depends on
 * several keys at once stands in `checks.ts`. `contracts/config.schema.json` is generated from this schema. What can be
 * chosen of heads, poolings, couplings, losses and tuning modes comes from their registries.
 */

import { z } from "zod";
import { INPUT_FORMATS, WINDOW_AGGREGATIONS } from "../data/input_frame.ts";
import { RECOMPUTATIONS } from "../graph/graph.ts";
import { OPTIMIZERS } from "../graph/optimizer.ts";
import { ACTIVATIONS } from "../graph/ops/activation.ts";
import { PRECISIONS } from "../graph/tensor.ts";
import { COUPLING_POOLINGS } from "../model/couplings/couple.ts";
import { COUPLINGS, TASK_COUPLINGS } from "../model/couplings/registry.ts";
import { CRITERIA_HEADS } from "../model/criteria_heads/registry.ts";
import { EVIDENCE_HEADS } from "../model/evidence_heads/registry.ts";
import { LORA_TARGETS } from "../model/lora.ts";
import { CLASS_WEIGHTS, CRITERIA_LOSSES } from "../model/losses/registry.ts";
import { POOLINGS } from "../model/poolings/registry.ts";
import { TUNING_MODES } from "../model/tuning.ts";
import { PRUNING_STRATEGIES } from "../storage/retention_decision.ts";
import { BYTE_SIZE_PATTERN } from "../support/byte_size.ts";
import { TRACKING_STORES } from "../tracking/stores.ts";
import { SCHEDULES } from "../train/schedule.ts";
import { CALIBRATIONS } from "../train/thresholds.ts";
import { augmentationSchema } from "./augmentation.ts";
import { choice } from "./choices.ts";
import type { Scalar } from "./conditions.ts";
import { searchKeys } from "./search.ts";

const text = z.string().min(1);
const seed = z.int().min(0);
const positive = z.number().gt(0);
const probability = z.number().min(0).lt(1);
const hiddenDim = z.int().min(4).max(8192).multipleOf(4);
const share = z.number().gt(0).lt(1);
const ratio = z.number().gt(0).max(1);
/** A path cannot begin as a list does, so that `data.files.posts=[a.csv, b.csv]` is one. */
const tableFiles = z.union([z.string().min(1).regex(/^[^[]/), z.array(text).min(1)]).nullable();

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const scalars = z.union([scalar, z.array(scalar).min(1)]);

/** The entry `when` of a parameter; conditions.ts says what it means. */
const when = z.record(
  z.string(),
  z.union([scalars, z.strictObject({ not: scalars })]).meta({ title: "a value, a list of values, or {not: of these}" }),
).optional();

const floatDistribution = z.strictObject({
  type: z.literal("float"),
  low: z.number(),
  high: z.number(),
  step: positive.optional(),
  log: z.boolean().optional(),
  when,
});

const intDistribution = z.strictObject({
  type: z.literal("int"),
  low: z.int(),
  high: z.int(),
  step: z.int().min(1).optional(),
  log: z.boolean().optional(),
  when,
});

const categoricalDistribution = z.strictObject({
  type: z.literal("categorical"),
  choices: z.array(scalar).min(1),
  when,
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

const loraTarget = choice(LORA_TARGETS);
const loraTargetNames = `(${loraTarget.options.join("|")})`;

/** What is trained; see `lib/model/tuning.ts`. A list cannot be a choice of `search_space`, so targets may be one text. */
const tuningSchema = z.strictObject({
  mode: choice(TUNING_MODES).describe("What of the encoder is trained; the heads always are"),
  freeze_layers: z.int().min(0).max(96)
    .describe("Lowest layers, with the embeddings, in which nothing is trained; not read with mode full"),
  lora_rank: z.int().min(1).max(1024),
  lora_alpha: positive.max(4096).describe("The adapters' share is scaled by lora_alpha / lora_rank"),
  lora_dropout: probability.describe("Of the adapters' input alone"),
  lora_targets: z.union([
    z.array(loraTarget).min(1),
    z.string().regex(new RegExp(`^${loraTargetNames}(,${loraTargetNames})*$`)),
  ]).describe("Projections with an adapter: a list, or their names with commas and no spaces between them"),
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
    n_trials: z.int().min(1).max(100_000).describe("In all, resumed ones and failed ones included"),
    ...searchKeys,
  }),
  search_space: z.record(z.string(), distributionSchema)
    .describe("Dotted configuration key to distribution, `when` with a condition on other keys; {} searches nothing"),
  model: z.strictObject({
    id: text.describe("Hub id, local folder, or `random`: random initialisation, architecture from model.encoder"),
    revision: text.nullable(),
    encoder: encoderSchema.nullable().describe("Read with id `random` only, null otherwise"),
    activation: choice(ACTIVATIONS).describe("Activation of the hidden layers of heads and coupling"),
    criteria_head_type: choice(CRITERIA_HEADS),
    criteria_hidden_dim: hiddenDim.describe("Columns of the criteria head's hidden layer, where it has one"),
    criteria_pooling: choice(POOLINGS).describe("How the tokens of a text become one vector"),
    criteria_dropout: probability,
    evidence_head_type: choice(EVIDENCE_HEADS),
    evidence_hidden_dim: hiddenDim.describe("Columns of the evidence head's hidden layer, where it has one"),
    evidence_dropout: probability,
    task_coupling: choice(TASK_COUPLINGS).describe("Whether the two agents see each other"),
    coupling_method: choice(COUPLINGS).describe("How the agents' representations are combined, where they are coupled"),
    coupling_pooling: choice(COUPLING_POOLINGS).describe(
      "How the evidence agent's tokens become one vector",
    ),
    pool_before_combination: z.boolean().describe("Pool the evidence agent's tokens before they are combined"),
    hidden_dropout: probability.nullable().describe("null keeps the model's own value"),
    attention_dropout: probability.nullable().describe("null keeps the model's own value"),
    max_span_tokens: z.int().min(1).max(4096).describe("Longest evidence span that is scored or given, in tokens"),
    max_spans_per_doc: z.int().min(1).max(32).describe("Evidence spans of a text and criterion at most"),
  }),
  loss: z.strictObject({
    loss_function: choice(CRITERIA_LOSSES).describe("Loss of the criteria agent"),
    focal_gamma: z.number().min(0).max(10).describe("Focusing factor of focal, adaptive_focal and hybrid"),
    hybrid_weight_alpha: z.number().min(0).max(1).describe("Share of cross-entropy in hybrid"),
    label_smoothing: z.number().min(0).lt(1),
    class_weights: choice(CLASS_WEIGHTS)
      .describe(
        "balanced weights positive labels by how rare they are in the training split; weighted_bce always does",
      ),
    max_class_weight: positive.max(1e6).describe("Largest weight of a positive label"),
  }),
  data: z.strictObject({
    id: text.describe("Hub id, local folder, or `synthetic`: a generated sample"),
    revision: text.nullable(),
    criteria: z.union([z.literal("auto"), z.array(text).min(1)])
      .describe("Label names in the order of the outputs; auto takes the labels present"),
    files: z.strictObject({ posts: tableFiles, annotations: tableFiles })
      .describe("Paths of the tables within the dataset; null finds them by their names"),
    input_format: choice(INPUT_FORMATS)
      .describe("multi_label: the post once, a label per criterion; binary_pairs: each criterion's text and the post"),
    criterion_texts: z.record(text, text).nullable()
      .describe("Label to the text that binary_pairs puts before the post; null and left out take the built-in ones"),
    max_length: z.int().min(4).max(65_536).describe("Tokens of one input, special tokens and criterion text included"),
    doc_stride: z.int().min(0).max(65_535).nullable()
      .describe("Tokens that neighbouring windows of a long post share; null cuts long posts off"),
    window_aggregation: choice(WINDOW_AGGREGATIONS)
      .describe("How a post's probabilities come from those of its windows"),
    splits: z.strictObject({
      declared: z.boolean().describe("Use the splits that the dataset declares, where it does"),
      validation: share.describe("Share of the posts, where splits are made"),
      test: share.describe("Share of the posts, where splits are made"),
      seed,
    }),
    alignment: z.strictObject({
      min_score: z.number().gt(0).max(1).describe("Least similarity of a passage that is taken for the sentence"),
      min_aligned: z.number().min(0).max(1).describe("Training needs so much of the evidence sentences found"),
    }),
    max_posts: z.int().min(1).nullable().describe("Take at most so many posts, a deterministic sample"),
    synthetic: z.strictObject({ posts: z.int().min(10).max(1_000_000), seed }),
  }),
  tuning: tuningSchema,
  augmentation: augmentationSchema,
  training: z.strictObject({
    epochs: z.int().min(1).max(10_000),
    max_steps: z.int().min(1).nullable().describe("Stop after so many optimizer steps"),
    batch_size: z.int().min(1).max(1024).describe("Inputs (posts, pairs or windows) of one forward and backward pass"),
    accumulation_steps: z.int().min(1).max(1024).describe("Batches of one optimizer step"),
    precision: choice(PRECISIONS)
      .describe("Storage of activations kept for the backward pass: f16 halves most of them and scales the loss"),
    recompute: choice(RECOMPUTATIONS)
      .describe("What the backward pass computes again instead of keeping it: less memory, same results, more time"),
    optimizer: choice(OPTIMIZERS)
      .describe("lion wants a learning rate 3 to 10 times smaller than adamw, and weight decay larger by as much"),
    learning_rate: positive.max(1).describe("Of the heads after warmup"),
    differential_lr_ratio: ratio.describe("The encoder's learning rate over the heads'; 1 for one rate"),
    layer_wise_lr_decay: ratio
      .describe("Factor on the learning rate from each encoder layer to the one below it, embeddings last; 1 for none"),
    weight_decay: z.number().min(0).max(1).describe(
      "Spares biases and LayerNorm; decoupled in adamw and lion, else L2",
    ),
    momentum: probability.describe("Of sgd"),
    adam_beta1: probability
      .describe("Decay of the first moment in adamw and adam; of lion, the weight of its momentum in the step"),
    adam_beta2: probability
      .describe("Decay of the second moment in adamw and adam; of lion, the decay of its momentum, 0.99 in its paper"),
    adam_epsilon: positive.max(0.1).describe("Of adamw and adam"),
    warmup_ratio: z.number().min(0).max(1).describe("Share of the optimizer steps with a rising learning rate"),
    schedule: choice(SCHEDULES),
    max_grad_norm: positive.describe("Global norm to which gradients are clipped"),
    ema_decay: share.nullable().describe(
      "Decay of a moving average of the weights per optimizer step, which is evaluated and saved in their place; null for none",
    ),
    adversarial_epsilon: z.number().min(0).max(10).describe(
      "Size of the word embeddings' perturbation in adversarial training (FGM), at twice the time of a step; 0 for none",
    ),
    lambda_class: z.number().min(0).max(1000).describe("Weight of the criteria loss"),
    lambda_span: z.number().min(0).max(1000).describe("Weight of the evidence loss"),
    early_stopping: z.strictObject({
      patience: z.int().min(1).describe("Epochs without improvement"),
      min_delta: z.number().min(0),
    }).nullable(),
    log_every: z.int().min(1).describe("Optimizer steps between loss readbacks"),
  }),
  evaluation: z.strictObject({
    thresholds: choice(CALIBRATIONS)
      .describe(
        "How decision thresholds are chosen; they apply to the test split and to predictions, not to the objective",
      ),
    bootstrap_samples: z.int().min(0).max(100_000)
      .describe("Resamples of the posts for the intervals in the reports; 0 for none"),
  }),
  retention: z.strictObject({
    keep_last_n: z.int().min(0).describe("Newest checkpoints of a trial that stay; while it runs at least one does"),
    keep_best_k: z.int().min(0).describe("Best checkpoints of a trial, and best trials of a study, that stay"),
    keep_best_k_max: z.int().min(1)
      .describe("The most that ties with the k-th add up to; those that tie with the best stay in any number"),
    max_total_size: z.union([positive, z.string().regex(BYTE_SIZE_PATTERN)])
      .describe("Bytes that all checkpoints of a study may take: a number, or a text such as 10 GB"),
    min_interval_epochs: z.int().min(1)
      .describe("Save every so many epochs; the best epochs and the last one are always saved"),
    save_every_steps: z.int().min(1).nullable().describe("Also save a resume point inside an epoch"),
    disk_space_threshold_percent: z.number().min(0).lt(100)
      .describe("Free share of the disk below which a warning is logged and checkpoints are kept to the least"),
    pruning_strategy: choice(PRUNING_STRATEGIES).describe(
      "Which go first where only some have to, under disk pressure",
    ),
    monitor_interval_seconds: z.number().min(0.01).max(86_400)
      .describe("How often the storage monitor looks at the free space"),
  }),
  tracking: z.strictObject({
    store: choice(TRACKING_STORES).describe("Where runs, metrics and reports are tracked"),
    uri: text.nullable().describe(
      "File of mlflow_db, null for mlflow.db in the experiments folder; address of mlflow_rest, null for MLFLOW_TRACKING_URI",
    ),
    experiment: text.max(250).describe("MLflow's experiment, made where it is missing"),
    token_file: text.nullable().describe(
      "File with the bearer token of mlflow_rest, read again when the token expires",
    ),
    token_command: z.array(text).min(1).nullable()
      .describe("Program and arguments that print the bearer token of mlflow_rest, run again when the token expires"),
  }),
  gpu: z.strictObject({
    memory_limit_gb: positive.nullable().describe("Refuse a model that needs more, in GB of 10^9 bytes"),
    preset: z.enum(["auto", "broadcast", "tiled"]).describe("Matrix multiplication kernels"),
    autotune: z.enum(["auto", "on", "off"]).describe(
      "Try variants of each matrix product before training and take the fastest, same bits; auto: on GPUs",
    ),
  }),
});

/** The resolved configuration. */
export type Config = z.infer<typeof configSchema>;
/** One entry of `search_space`. */
export type Distribution = z.infer<typeof distributionSchema>;
/** What a hyperparameter can be: what Optuna stores as a categorical choice, and numbers. */
export type ParamValue = Scalar;
