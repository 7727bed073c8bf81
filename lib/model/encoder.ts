/**
 * The BERT encoder (Devlin et al. 2019), post-LayerNorm, as `transformers.BertModel` without its pooler; RoBERTa (Liu et
 * al. 2019) and DistilBERT (Sanh et al. 2019) differ from it in positions, token types and names. Parameters are named
 * by BERT's path in Hugging Face and by the family's own in checkpoints; query, key and value stand fused so that one
 * GEMM projects all three.
 */
import type { Graph } from "../graph/graph.ts";
import { attention } from "../graph/ops/attention.ts";
import { embedding, type Segments, type WordPerturbation } from "../graph/ops/embedding.ts";
import { activate, dropout } from "../graph/ops/elementwise.ts";
import { layerNorm } from "../graph/ops/layer_norm.ts";
import { feedForward, linear } from "../graph/ops/linear.ts";
import type { ParameterSpec } from "../graph/parameters.ts";
import { linearParameters, normParameters } from "./layers.ts";
import type { Tensor } from "../graph/tensor.ts";
import { inputError } from "../support/errors.ts";
import { ACTIVATIONS, type EncoderConfig } from "../weights/encoder_config.ts";
import { familyName } from "../weights/encoder_names.ts";
import { adapters, type LoraOptions } from "./lora.ts";

export type { EncoderConfig } from "../weights/encoder_config.ts";

/** What an encoder reads of a batch. */
export interface EncoderInputs {
  /** [B, T] each. */
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly types: Tensor;
  readonly mask: Tensor;
  /** [B]: 1 + the last real token of each text. */
  readonly limits: Tensor;
  readonly wordSegments: Segments;
  readonly positionSegments: Segments;
  /** Moves the word embeddings; see `adversarial.ts`. */
  readonly perturbation?: WordPerturbation;
}

/**
 * Refuses what there is no kernel for.
 *
 * @throws an input error that names the model, the key and what is supported
 */
export function checkEncoder(config: EncoderConfig, model: string): void {
  const { hidden_size, num_attention_heads } = config;
  const headSize = hidden_size / num_attention_heads;
  if (headSize % 4 !== 0) {
    throw inputError(
      `${model}: hidden_size ${hidden_size} over num_attention_heads ${num_attention_heads} gives heads of ${headSize}`,
      "Choose a model whose heads are a multiple of 4 wide",
    );
  }
}

const table = (name: string, shape: readonly number[]): ParameterSpec => ({
  name: `${name}.weight`,
  shape,
  initialisation: "normal",
  decay: true,
});

/** A parameter under the name that the family's checkpoints have for it. */
function inFamily({ model_type }: EncoderConfig, spec: ParameterSpec): ParameterSpec {
  const parts = (spec.parts ?? [spec.name]).map((name) => familyName(model_type, name));
  return parts.length === 1 && parts[0] === spec.name ? spec : { ...spec, parts };
}

/** The parameters of an encoder, in the order of its forward pass. */
export function encoderParameters(config: EncoderConfig): ParameterSpec[] {
  const hidden = config.hidden_size;
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => {
    const layer = `encoder.layer.${i}`;
    const self = `${layer}.attention.self`;
    return [
      ...linearParameters(`${self}.qkv`, 3 * hidden, hidden, [`${self}.query`, `${self}.key`, `${self}.value`]),
      ...linearParameters(`${layer}.attention.output.dense`, hidden, hidden),
      ...normParameters(`${layer}.attention.output.LayerNorm`, hidden),
      ...linearParameters(`${layer}.intermediate.dense`, config.intermediate_size, hidden),
      ...linearParameters(`${layer}.output.dense`, hidden, config.intermediate_size),
      ...normParameters(`${layer}.output.LayerNorm`, hidden),
    ];
  });
  return [
    table("embeddings.word_embeddings", [config.vocab_size, hidden]),
    table("embeddings.position_embeddings", [config.max_position_embeddings, hidden]),
    ...(config.type_vocab_size > 0
      ? [table("embeddings.token_type_embeddings", [config.type_vocab_size, hidden])]
      : []),
    ...normParameters("embeddings.LayerNorm", hidden),
    ...layers.flat(),
  ].map((spec) => inFamily(config, spec));
}

/**
 * Appends an encoder to a graph. By the graph's recompute level the backward pass finds in memory of each layer: `none`,
 * everything it needs; `feed_forward`, all but the block's inner activations, half of the whole, for one more GEMM;
 * `layer`, the layer's input alone, for one more forward pass; of the last, whose turn comes first, everything.
 *
 * @param parameter the tensor of a named parameter
 * @param lora the adapters beside its projections, if any
 * @returns the hidden states [B, T, C] after the embeddings and after each layer
 */
export function encoder(
  g: Graph,
  config: EncoderConfig,
  parameter: (name: string) => Tensor,
  inputs: EncoderInputs,
  lora?: LoraOptions,
): Tensor[] {
  const { hidden_dropout_prob, attention_probs_dropout_prob, layer_norm_eps: epsilon } = config;
  const { mask, limits } = inputs;
  const activation = ACTIVATIONS[config.hidden_act];
  const affine = (name: string) => ({ weight: parameter(`${name}.weight`), bias: parameter(`${name}.bias`) });
  const { has, adapt } = adapters(g, parameter, lora);
  const gain = (name: string) => ({ gamma: parameter(`${name}.weight`), beta: parameter(`${name}.bias`) });

  const embedded = embedding(g, {
    word: parameter("embeddings.word_embeddings.weight"),
    position: parameter("embeddings.position_embeddings.weight"),
    ...(config.type_vocab_size > 0 ? { tokenType: parameter("embeddings.token_type_embeddings.weight") } : {}),
  }, inputs);
  const normal = layerNorm(g, { x: embedded, ...gain("embeddings.LayerNorm") }, { epsilon });
  const states = [dropout(g, normal, hidden_dropout_prob)];

  const layer = (i: number, x: Tensor): Tensor => { //                                           x [B, T, C]
    const layer = `encoder.layer.${i}`;
    // Adapters are added in 32 bits.
    const adapted = has(i, ["query", "key", "value"]);
    const projected = linear(g, { x, ...affine(`${layer}.attention.self.qkv`) }, { compact: !adapted });
    const qkv = adapt(i, ["query", "key", "value"], x, projected); //                            [B, T, 3C]
    const context = attention(g, qkv, {
      heads: config.num_attention_heads,
      mask,
      limits,
      dropout: attention_probs_dropout_prob,
    }); //                                                                                       [B, T, C]
    const attended = layerNorm(g, {
      x: adapt(
        i,
        ["attention_output"],
        context,
        linear(g, { x: context, ...affine(`${layer}.attention.output.dense`) }),
      ),
      residual: x,
      ...gain(`${layer}.attention.output.LayerNorm`),
    }, { epsilon, dropout: hidden_dropout_prob });
    const inner = affine(`${layer}.intermediate.dense`);
    const outer = affine(`${layer}.output.dense`);
    const unfused = () => {
      const u = adapt(i, ["intermediate"], attended, linear(g, { x: attended, ...inner })); //   [B, T, F]
      const h = activate(g, u, activation);
      return adapt(i, ["output"], h, linear(g, { x: h, ...outer }));
    };
    return layerNorm(g, {
      x: has(i, ["intermediate", "output"])
        ? g.recompute === "feed_forward" ? g.recomputed(`${layer}.feed_forward`, unfused) : unfused()
        : feedForward(g, { x: attended, ...inner, outputWeight: outer.weight, outputBias: outer.bias }, activation),
      residual: attended,
      ...gain(`${layer}.output.LayerNorm`),
    }, { epsilon, dropout: hidden_dropout_prob });
  };
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const x = states[i]!;
    // The backward pass begins with the last layer: to make it again would spare nothing.
    const again = g.recompute === "layer" && i + 1 < config.num_hidden_layers;
    states.push(again ? g.recomputed(`encoder.layer.${i}`, () => layer(i, x)) : layer(i, x));
  }
  return states;
}
