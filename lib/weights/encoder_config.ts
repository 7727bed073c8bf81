/**
 * The shape of an encoder, from the config.json beside its weights. Three families, one architecture: post-LayerNorm
 * transformers that differ in names, defaults, position ids and token types.
 */
import { join } from "node:path";
import { z } from "zod";
import { inputError } from "../support/errors.ts";

/** The families of encoders, by their `model_type`. */
export const ENCODER_FAMILIES = ["bert", "roberta", "distilbert"] as const;
/** One of the families. */
export type EncoderFamily = typeof ENCODER_FAMILIES[number];

/** The functions of the feed-forward blocks: Hugging Face's names, and the kernel variant that computes each. */
export const ACTIVATIONS = {
  gelu: "gelu_erf",
  gelu_python: "gelu_erf",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  relu: "relu",
} as const;
/** A function of feed-forward blocks by its name in config.json. */
export type Activation = keyof typeof ACTIVATIONS;

/** Architecture of an encoder of any family, with the names of BERT's `config.json`. */
export interface EncoderConfig {
  readonly model_type: EncoderFamily;
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly intermediate_size: number;
  /** Rows of the position table; `usablePositions` says how many tokens a text may have. */
  readonly max_position_embeddings: number;
  /** Rows of the token-type table; 0 where the family has none. */
  readonly type_vocab_size: number;
  readonly layer_norm_eps: number;
  readonly hidden_act: Activation;
  readonly hidden_dropout_prob: number;
  readonly attention_probs_dropout_prob: number;
  /** The id whose row of the word table is not trained; in RoBERTa also what positions are counted from. */
  readonly pad_token_id: number;
}

/** The `model_type` of checkpoints that hold no whole model, so that nothing takes one for it. */
export const PARTIAL_MODEL_TYPE = "winnow_trained_tensors";

const positive = z.int().min(1).max(2 ** 24);
const probability = z.number().min(0).max(1);
const activation = z.enum(Object.keys(ACTIVATIONS) as Activation[]).default("gelu");
/** null leaves every row of the word table trainable in PyTorch; no text holds the padding token, so the default does. */
const padding = (id: number) => z.int().min(0).nullish().transform((value) => value ?? id);

/** The keys that BERT and RoBERTa share, with the defaults of `transformers`. */
const bertKeys = {
  hidden_size: positive.default(768),
  num_hidden_layers: positive.default(12),
  num_attention_heads: positive.default(12),
  intermediate_size: positive.default(3072),
  max_position_embeddings: positive.default(512),
  type_vocab_size: positive.default(2),
  layer_norm_eps: z.number().positive().max(1).default(1e-12),
  hidden_act: activation,
  hidden_dropout_prob: probability.default(0.1),
  attention_probs_dropout_prob: probability.default(0.1),
};

/** config.json of each family; names, defaults and meanings are those of `transformers`. Other keys are let pass. */
const SCHEMAS = {
  bert: z.object({ vocab_size: positive.default(30522), ...bertKeys, pad_token_id: padding(0) }),
  roberta: z.object({ vocab_size: positive.default(50265), ...bertKeys, pad_token_id: padding(1) }),
  distilbert: z.object({
    vocab_size: positive.default(30522),
    dim: positive.default(768),
    n_layers: positive.default(6),
    n_heads: positive.default(12),
    hidden_dim: positive.default(3072),
    max_position_embeddings: positive.default(512),
    activation,
    dropout: probability.default(0.1),
    attention_dropout: probability.default(0.1),
    pad_token_id: padding(0),
  }),
} as const;

/** What DistilBERT's keys are called in an `EncoderConfig`. Its epsilon is fixed and it has no token types. */
const DISTILBERT_KEYS = {
  hidden_size: "dim",
  num_hidden_layers: "n_layers",
  num_attention_heads: "n_heads",
  intermediate_size: "hidden_dim",
  hidden_act: "activation",
  hidden_dropout_prob: "dropout",
  attention_probs_dropout_prob: "attention_dropout",
} as const;

const BASE_MODELS: Record<EncoderFamily, string> = {
  bert: "BertModel",
  roberta: "RobertaModel",
  distilbert: "DistilBertModel",
};

/** Keys of config.json that ask for another architecture than the one supported, with the value that does not. */
const UNSUPPORTED = z.looseObject({
  position_embedding_type: z.string().nullish(),
  is_decoder: z.boolean().nullish(),
  add_cross_attention: z.boolean().nullish(),
});

/** Tokens that a text may have, special tokens included: RoBERTa's positions begin behind that of padding. */
export function usablePositions(
  { model_type, max_position_embeddings, pad_token_id }: Pick<
    EncoderConfig,
    "model_type" | "max_position_embeddings" | "pad_token_id"
  >,
): number {
  return model_type === "roberta" ? max_position_embeddings - pad_token_id - 1 : max_position_embeddings;
}

/**
 * The configuration in a model's folder.
 *
 * @throws an input error when config.json is missing, damaged, of another model family, or asks for a decoder, relative
 * positions or an activation without a kernel
 */
export async function readEncoderConfig(folder: string): Promise<EncoderConfig> {
  const path = join(folder, "config.json");
  let json: unknown;
  try {
    json = JSON.parse(await Deno.readTextFile(path));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw inputError(`${folder} has no config.json`, "Choose a model folder as `save_pretrained` writes it", {
        cause,
      });
    }
    if (!(cause instanceof SyntaxError)) throw cause;
    throw inputError(`${path} is not JSON: ${cause.message}`, "Fetch the model again", { cause });
  }
  return parseEncoderConfig(json, path);
}

/**
 * The configuration that a parsed config.json describes.
 *
 * @param path the file, for messages
 * @throws an input error as `readEncoderConfig`
 */
export function parseEncoderConfig(json: unknown, path: string): EncoderConfig {
  const supported = ENCODER_FAMILIES.map((family) => `"${family}"`).join(", ");
  const named = z.looseObject({ model_type: z.string() }).safeParse(json);
  if (!named.success) throw inputError(`${path} names no model_type`, `Choose a model of the type ${supported}`);
  if (named.data.model_type === PARTIAL_MODEL_TYPE) {
    throw inputError(
      `${path} describes a checkpoint of only what was trained on top of another model`,
      "Merge it first (docs/tuning.md)",
    );
  }
  const family = ENCODER_FAMILIES.find((family) => family === named.data.model_type);
  if (!family) {
    throw inputError(
      `${path} describes a model of the family ${JSON.stringify(named.data.model_type)}; supported are ${supported}`,
      "Choose a model of these families, such as google-bert/bert-base-uncased",
    );
  }
  const special = check(UNSUPPORTED, json, path);
  if ((special.position_embedding_type ?? "absolute") !== "absolute") {
    throw inputError(
      `${path} asks for ${
        JSON.stringify(special.position_embedding_type)
      } position embeddings; supported is "absolute"`,
      "Choose a model with absolute positions",
    );
  }
  for (const key of ["is_decoder", "add_cross_attention"] as const) {
    if (special[key]) {
      throw inputError(`${path} describes a decoder: ${key} is true`, "Choose an encoder, or set it to false");
    }
  }
  const config = family === "distilbert"
    ? fromDistilBert(check(SCHEMAS.distilbert, json, path))
    : { model_type: family, ...check(SCHEMAS[family], json, path) };
  checkNumbers(config, path);
  return config;
}

function fromDistilBert(found: z.infer<typeof SCHEMAS.distilbert>): EncoderConfig {
  const { vocab_size, max_position_embeddings, pad_token_id } = found;
  return {
    model_type: "distilbert",
    vocab_size,
    hidden_size: found[DISTILBERT_KEYS.hidden_size],
    num_hidden_layers: found[DISTILBERT_KEYS.num_hidden_layers],
    num_attention_heads: found[DISTILBERT_KEYS.num_attention_heads],
    intermediate_size: found[DISTILBERT_KEYS.intermediate_size],
    max_position_embeddings,
    type_vocab_size: 0,
    layer_norm_eps: 1e-12,
    hidden_act: found[DISTILBERT_KEYS.hidden_act],
    hidden_dropout_prob: found[DISTILBERT_KEYS.hidden_dropout_prob],
    attention_probs_dropout_prob: found[DISTILBERT_KEYS.attention_probs_dropout_prob],
    pad_token_id,
  };
}

function checkNumbers(config: EncoderConfig, path: string): void {
  const refuse = (key: string, message: string) => {
    throw inputError(`${path}: ${key}: ${message}`, "Correct config.json or fetch the model again");
  };
  const name = (key: keyof typeof DISTILBERT_KEYS) => config.model_type === "distilbert" ? DISTILBERT_KEYS[key] : key;
  if (config.hidden_size % config.num_attention_heads !== 0) {
    refuse(name("num_attention_heads"), `expected a divisor of ${name("hidden_size")}`);
  }
  if (config.pad_token_id >= config.vocab_size) refuse("pad_token_id", "expected an id below vocab_size");
  if (usablePositions(config) < 1) refuse("max_position_embeddings", "expected more than pad_token_id + 1");
}

function check<T>(schema: z.ZodType<T>, json: unknown, path: string): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw inputError(
    `${path}: ${issue.path.join(".") || "config"}: ${issue.message}`,
    "Correct config.json or fetch the model again",
  );
}

/** The config.json that makes `transformers` load an encoder: the family's own keys and its base model. */
export function encoderConfigJson(config: EncoderConfig): Record<string, unknown> {
  const { model_type, ...keys } = config;
  const head = { architectures: [BASE_MODELS[model_type]], model_type };
  if (model_type !== "distilbert") return { ...head, ...keys };
  const { type_vocab_size: _types, layer_norm_eps: _epsilon, ...kept } = keys;
  const renamed = Object.entries(kept).map(([key, value]) => [
    Object.hasOwn(DISTILBERT_KEYS, key) ? DISTILBERT_KEYS[key as keyof typeof DISTILBERT_KEYS] : key,
    value,
  ]);
  // The table of positions is among the weights, whichever way it was first filled.
  return { ...head, ...Object.fromEntries(renamed), sinusoidal_pos_embds: false };
}
