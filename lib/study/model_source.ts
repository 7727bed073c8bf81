/** From configuration to a model: architecture, tokenizer, and where the first values of its parameters come from. */
import type { Config } from "../config/schema.ts";
import type { DualAgentConfig } from "../model/dual_agent.ts";
import type { CriteriaLossDefinition } from "../model/losses/criteria_loss.ts";
import { CRITERIA_LOSSES } from "../model/losses/registry.ts";
import { catalogModel } from "../model/catalog.ts";
import { checkTuning } from "../model/tuning.ts";
import { checkEncoder, type EncoderConfig, encoderParameters } from "../model/encoder.ts";
import { inputError } from "../support/errors.ts";
import { loadTokenizer } from "../text/load_tokenizer.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { buildWordPieceVocabulary } from "../text/vocabulary.ts";
import { wordPieceTokenizer } from "../text/word_piece_tokenizer.ts";
import type { Engine } from "../train/engine.ts";
import { checkpointTensors } from "../train/parameter_arrays.ts";
import { readEncoderConfig, usablePositions } from "../weights/encoder_config.ts";
import { missing, resolveEncoderNames } from "../weights/encoder_names.ts";
import { isFolder, type PretrainedOptions, resolvePretrained } from "../weights/pretrained.ts";
import { openWeights } from "../weights/weights_file.ts";
import { type KeptBase, openBase } from "./base_weights.ts";
import { tuningOf } from "./tuning.ts";

/** A model before training. */
export interface ModelSource {
  /** Hub id, folder, or `random`. */
  readonly id: string;
  /** The commit of a hub model, `local` for a folder, `random` for none. */
  readonly revision: string;
  /** Architecture in Hugging Face's terms. */
  readonly encoder: EncoderConfig;
  readonly tokenizer: Tokenizer;
  /** Folder of the pretrained weights; undefined for random initialisation. */
  readonly folder: string | undefined;
}

/** What names a model: configurations with one key have one model. */
export function modelKey({ model: { id, revision, encoder }, data }: Config): string {
  // A random model has its vocabulary from the texts that it reads, which the format decides.
  return JSON.stringify([id, revision, encoder, id === "random" ? data.input_format : null]);
}

/** With which environment the hub is asked, and what ends that; the process's, and nothing, unless given. */
export type HubOptions = Pick<PretrainedOptions, "env" | "signal">;

/**
 * Finds the model that the configuration names; a random one gets a vocabulary built from `texts`.
 *
 * @throws an input error when it does not exist, is of another family, or its files do not go together
 */
export async function openModel(config: Config, texts: Iterable<string>, hub: HubOptions = {}): Promise<ModelSource> {
  const source = config.model.id === "random" ? randomModel(config, texts) : await pretrainedModel(config, hub);
  checkEncoder(source.encoder, source.id);
  checkWeights(source);
  return source;
}

/**
 * Checks that a model has as many positions as texts may have tokens, and what its tuning asks for.
 *
 * @throws an input error
 */
export function checkModel(config: Config, { id, encoder }: ModelSource): void {
  checkTuning(encoder, tuningOf(config), id === "random" ? "the model" : id);
  const positions = usablePositions(encoder);
  if (config.data.max_length > positions) {
    throw inputError(
      `data.max_length is ${config.data.max_length} but ${id} has ${positions} positions`,
      `Set data.max_length to at most ${positions}`,
    );
  }
}

function randomModel(config: Config, texts: Iterable<string>): ModelSource {
  const architecture = config.model.encoder;
  if (!architecture) {
    throw inputError(
      "model.id is random but model.encoder is null",
      "Set model.encoder, or choose a model by model.id",
    );
  }
  const vocabulary = buildWordPieceVocabulary(texts, architecture.vocab_size);
  const tokenizer = wordPieceTokenizer(vocabulary, { lowercase: true });
  const { hidden_act, ...sizes } = architecture;
  const encoder: EncoderConfig = {
    model_type: "bert",
    ...sizes,
    vocab_size: tokenizer.vocabSize,
    hidden_act: hidden_act === "gelu_tanh" ? "gelu_pytorch_tanh" : hidden_act,
    type_vocab_size: 2,
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    pad_token_id: tokenizer.padId,
  };
  return { id: "random", revision: "random", encoder, tokenizer, folder: undefined };
}

/**
 * The model that `model.id` names: a folder, else a model of the catalog by short name or hub id, at the catalog's
 * revision unless `model.revision` names one, else a hub id.
 */
async function namedModel({ model: { id, revision } }: Config): Promise<{ id: string; revision: string | null }> {
  const known = await isFolder(id) ? undefined : catalogModel(id);
  return known ? { id: known.id, revision: revision ?? known.revision } : { id, revision };
}

async function pretrainedModel(config: Config, hub: HubOptions): Promise<ModelSource> {
  const { id, revision } = await namedModel(config);
  const found = await resolvePretrained(id, { ...hub, ...(revision === null ? {} : { revision }) });
  const encoder = await readEncoderConfig(found.folder);
  const tokenizer = await loadTokenizer(found.folder);
  if (tokenizer.vocabSize > encoder.vocab_size) {
    throw inputError(
      `${id}: the tokenizer knows ${tokenizer.vocabSize} tokens but the embedding table has ${encoder.vocab_size} rows`,
      "Use the tokenizer files that belong to these weights",
    );
  }
  return { id, revision: found.revision, encoder, tokenizer, folder: found.folder };
}

/** The two agents as a trial configures them on a model: for all criteria at once, or for the one that an input names. */
export function agentConfig(config: Config, source: ModelSource, criteria: number): DualAgentConfig {
  const { model, loss } = config;
  const { encoder } = source;
  const { form, balanced, adaptive }: CriteriaLossDefinition = CRITERIA_LOSSES[loss.loss_function];
  return {
    encoder: {
      ...encoder,
      hidden_dropout_prob: model.hidden_dropout ?? encoder.hidden_dropout_prob,
      attention_probs_dropout_prob: model.attention_dropout ?? encoder.attention_probs_dropout_prob,
    },
    criteria: config.data.input_format === "binary_pairs" ? 1 : criteria,
    activation: model.activation,
    pooling: model.criteria_pooling,
    criteriaHead: {
      type: model.criteria_head_type,
      hidden: model.criteria_hidden_dim,
      dropout: model.criteria_dropout,
    },
    evidenceHead: {
      type: model.evidence_head_type,
      hidden: model.evidence_hidden_dim,
      dropout: model.evidence_dropout,
      maxSpanTokens: model.max_span_tokens,
      maxSpans: model.max_spans_per_doc,
    },
    coupling: model.task_coupling === "independent" ? null : {
      method: model.coupling_method,
      pooling: model.coupling_pooling,
      poolBeforeCombination: model.pool_before_combination,
    },
    loss: {
      form: form({
        gamma: loss.focal_gamma,
        alpha: loss.hybrid_weight_alpha,
        smoothing: loss.label_smoothing,
      }),
      weighted: balanced || loss.class_weights === "balanced",
      adaptive,
    },
    tuning: tuningOf(config),
  };
}

/**
 * What is built on the encoder, as checkpoints record it: the parts of the configuration that decide which parameters
 * there are and what the outputs mean.
 */
export function architectureRecord({ model }: Config): Record<string, string | number | boolean | null> {
  const coupled = model.task_coupling === "coupled";
  return {
    activation: model.activation,
    criteria_head_type: model.criteria_head_type,
    criteria_hidden_dim: model.criteria_hidden_dim,
    criteria_pooling: model.criteria_pooling,
    evidence_head_type: model.evidence_head_type,
    evidence_hidden_dim: model.evidence_hidden_dim,
    max_span_tokens: model.max_span_tokens,
    task_coupling: model.task_coupling,
    coupling_method: coupled ? model.coupling_method : null,
    coupling_pooling: coupled ? model.coupling_pooling : null,
    pool_before_combination: coupled ? model.pool_before_combination : null,
  };
}

/** Checks that pretrained weights have every tensor of the architecture in its shape, before memory is allocated. */
function checkWeights(source: ModelSource): void {
  if (source.folder === undefined) return;
  using file = openWeights(source.folder);
  const names = resolveEncoderNames(file.tensors.keys(), source.encoder.model_type);
  const expected = encoderParameters(source.encoder).flatMap(checkpointTensors);
  const absent = missing(names, expected.map(({ name }) => name), source.folder);
  if (absent) throw absent;
  for (const { name, shape } of expected) {
    const found = file.tensors.get(names.get(name)!)!.shape;
    if (found.join() !== shape.join()) {
      throw inputError(
        `${source.folder}: ${name} has shape [${found}] where config.json says [${shape}]`,
        "Use the config.json that belongs to these weights",
      );
    }
  }
}

/**
 * Fills an engine's parameters with a trial's first values, as `openBase` has them, or `kept` where it is given. Moments
 * start at zero.
 */
export function initialiseParameters(engine: Engine, source: ModelSource, seed: number, kept?: KeptBase): void {
  using base = kept ? kept.open(source, seed) : openBase(source, seed);
  const kinds = new Map(
    engine.plan.parameters.specs.flatMap((spec) =>
      checkpointTensors(spec).map(({ name }) => [name, spec.initialisation] as const)
    ),
  );
  engine.load("parameter", (name, shape) => base.read(name, shape, kinds.get(name)!));
}
