/** What a study stands on, and what its configuration, or a trial's, asks of data, engine, evaluation and checkpoints. */
import { withParams } from "../config/compose.ts";
import type { Config } from "../config/schema.ts";
import { lengthBuckets } from "../data/batches.ts";
import { positiveWeights } from "../data/class_weights.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Params } from "../hpo/space.ts";
import type { EngineOptions } from "../train/engine_plan.ts";
import type { EvaluateOptions } from "../train/evaluator.ts";
import type { Signature } from "../train/state.ts";
import type { Autotuner } from "./autotune.ts";
import { type EncodedSplits, encodeSplits, encodingOptions, type SplitDataset, trainingTexts } from "./data_source.ts";
import { askHub, type HubPause } from "./hub_pause.ts";
import { inputRecord } from "./inputs.ts";
import {
  agentConfig,
  architectureRecord,
  checkModel,
  type HubOptions,
  modelKey,
  type ModelSource,
  openModel,
} from "./model_source.ts";
import { keepTokens } from "./token_cache.ts";
import type { TrialCache } from "./trial_cache.ts";
import { tuningSignature } from "./tuning.ts";

/** What a study stands on: its configuration, or in `trialContext` a trial's, with the model that it names. */
export interface StudyContext {
  readonly config: Config;
  readonly studyId: string;
  readonly gpu: Gpu;
  /** Not given where matrix products run as the preset cuts them. */
  readonly autotuner?: Autotuner | undefined;
  readonly data: SplitDataset;
  readonly model: ModelSource;
  readonly signal: AbortSignal;
  /** Waits where the hub refuses the token. Not given where a command has just begun: that is an error at once. */
  readonly hubPause?: HubPause | undefined;
  /** What the trials of a study share once it is made. */
  readonly cache: TrialCache;
}

/**
 * The study's context with a trial's parameters in its configuration, and the model that they ask for: a search may
 * vary the model too.
 *
 * @throws an input error when the parameters, or they and the model, do not go together
 */
export async function trialContext(study: StudyContext, params: Params): Promise<StudyContext> {
  const config = withParams(study.config, params);
  const key = modelKey(config);
  const open = (hub: HubOptions) => openModel(config, trainingTexts(config, study.data), hub);
  const model = study.cache.models.get(key) ?? await askHub(study, open);
  study.cache.models.set(key, model);
  checkModel(config, model);
  await keepTokens(study.cache.tokens, config, study.data, model.tokenizer);
  return { ...study, config, model };
}

/** The splits as the configuration encodes them, tokenised once per study. */
export function encodedSplits({ config, data, model, cache }: StudyContext): EncodedSplits {
  const { tokenizer } = model;
  const known = cache.encoded.get(tokenizer) ?? new Map<string, EncodedSplits>();
  cache.encoded.set(tokenizer, known);
  const key = JSON.stringify(inputRecord(config, data));
  const encoded = known.get(key) ??
    encodeSplits(data, tokenizer, encodingOptions(config, data.dataset.criteria), cache.tokens.get(tokenizer));
  known.set(key, encoded);
  return encoded;
}

/** The engine that the configuration asks for. */
export function engineOptions(context: StudyContext): EngineOptions {
  const { config } = context;
  const { training, data } = config;
  const model = agentConfig(config, context.model, context.data.dataset.criteria.length);
  return {
    model,
    ...(model.loss.weighted
      ? { positiveWeight: positiveWeights(encodedSplits(context).splits.train, config.loss.max_class_weight) }
      : {}),
    optimizer: {
      name: training.optimizer,
      weightDecay: training.weight_decay,
      beta1: training.optimizer === "sgd" ? training.momentum : training.adam_beta1,
      beta2: training.adam_beta2,
      epsilon: training.adam_epsilon,
      maxGradNorm: training.max_grad_norm,
      averageDecay: training.ema_decay ?? undefined,
    },
    learningRates: {
      differentialRatio: training.differential_lr_ratio,
      layerDecay: training.layer_wise_lr_decay,
    },
    adversarialEpsilon: training.adversarial_epsilon,
    batchSize: training.batch_size,
    lengths: lengthBuckets(data.max_length),
    recompute: training.recompute,
    precision: training.precision,
    variantOf: context.autotuner?.variantOf,
  };
}

/** How the configuration is evaluated. */
export function evaluateOptions(context: StudyContext): EvaluateOptions {
  const { config } = context;
  return {
    criteria: context.data.dataset.criteria,
    maxLength: config.data.max_length,
    padId: context.model.tokenizer.padId,
    windowAggregation: config.data.window_aggregation,
    maxSpans: config.model.max_spans_per_doc,
    lambdaClass: config.training.lambda_class,
    lambdaSpan: config.training.lambda_span,
  };
}

/** What must agree between a checkpoint and the configuration that loads it. */
export function signatureOf(context: StudyContext): Signature {
  const { config } = context;
  const { encoder, criteria } = agentConfig(config, context.model, context.data.dataset.criteria.length);
  return {
    model: context.model.id,
    revision: context.model.revision,
    ...Object.fromEntries(Object.entries(encoder)),
    ...tuningSignature(config, context.model),
    ...architectureRecord(config),
    criteria: context.data.dataset.criteria,
    outputs: criteria,
    batch_size: config.training.batch_size,
    // Left out where it is f32, so that checkpoints from before there was a choice go on.
    ...(config.training.precision === "f32" ? {} : { precision: config.training.precision }),
    accumulation_steps: config.training.accumulation_steps,
    optimizer: config.training.optimizer,
    ema_decay: config.training.ema_decay,
    ...inputRecord(config, context.data),
    dataset: context.data.dataset.hash,
    split: context.data.splitHash,
  };
}

/** What the reports say of the data. */
export function dataReference({ data }: StudyContext) {
  const { train, validation, test } = data.splits;
  return {
    id: data.id,
    revision: data.dataset.revision,
    files: data.dataset.files.map(({ path, bytes, sha256 }) => ({ path, bytes, sha256 })),
    sha256: data.dataset.hash,
    splits: data.splitSource,
    split_sha256: data.splitHash,
    posts: { train: train.length, validation: validation.length, test: test.length },
  };
}
