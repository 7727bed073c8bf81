/**
 * LoRA (Hu et al. 2022): beside a frozen projection W a product of two small matrices is trained,
 * y = x·Wᵀ + b + (alpha / rank) · dropout(x)·Aᵀ·Bᵀ, with A [rank, K] random and B [N, rank] zero at first, so that training
 * starts from the model as it is. Names and meanings are those of Python's `peft`.
 */
import type { Graph } from "../graph/graph.ts";
import { addColumns } from "../graph/ops/columns.ts";
import { add, scale } from "../graph/ops/combine.ts";
import { dropout } from "../graph/ops/elementwise.ts";
import { linear } from "../graph/ops/linear.ts";
import type { ParameterSpec } from "../graph/parameters.ts";
import { type Tensor, width } from "../graph/tensor.ts";
import type { EncoderConfig } from "../weights/encoder_config.ts";
import { familyName } from "../weights/encoder_names.ts";

/** The projections of a layer that may have an adapter, by BERT's names for them. */
export const LORA_TARGETS = {
  query: "attention.self.query",
  key: "attention.self.key",
  value: "attention.self.value",
  attention_output: "attention.output.dense",
  intermediate: "intermediate.dense",
  output: "output.dense",
} as const;

/** The name of a projection. */
export type LoraTarget = keyof typeof LORA_TARGETS;

/** What adapters a model has; names and meanings are the configuration's. */
export interface LoraOptions {
  /** Lowest layers without adapters. */
  readonly freeze_layers: number;
  readonly lora_rank: number;
  /** The product is scaled by alpha / rank. */
  readonly lora_alpha: number;
  /** Of the input of the adapter alone. */
  readonly lora_dropout: number;
  readonly lora_targets: readonly LoraTarget[];
}

/** What stands before the names of adapters in checkpoints: `peft` wraps the model twice. */
export const PEFT_PREFIX = "base_model.model.";

/** A matrix of an adapter, as graphs name it. */
const adapterName = (layer: number, target: LoraTarget, matrix: "A" | "B"): string =>
  `encoder.layer.${layer}.${LORA_TARGETS[target]}.lora_${matrix}.weight`;

/** The name of the projection's own weight in checkpoints of the family. */
export const targetWeight = ({ model_type }: EncoderConfig, layer: number, target: LoraTarget): string =>
  familyName(model_type, `encoder.layer.${layer}.${LORA_TARGETS[target]}.weight`);

/** A matrix of an adapter, as checkpoints and `peft` name it. */
export function adapterTensor(config: EncoderConfig, layer: number, target: LoraTarget, matrix: "A" | "B"): string {
  return PEFT_PREFIX + targetWeight(config, layer, target).replace(/weight$/, `lora_${matrix}.weight`);
}

/** Inputs and outputs of a projection. */
function targetShape({ hidden_size, intermediate_size }: EncoderConfig, target: LoraTarget) {
  return {
    inputs: target === "output" ? intermediate_size : hidden_size,
    outputs: target === "intermediate" ? intermediate_size : hidden_size,
  };
}

/** Layers and projections with adapters, in the order of the forward pass. */
export function adaptedTargets(config: EncoderConfig, lora: LoraOptions): { layer: number; target: LoraTarget }[] {
  const targets = (Object.keys(LORA_TARGETS) as LoraTarget[]).filter((target) => lora.lora_targets.includes(target));
  const layers = Array.from({ length: config.num_hidden_layers }, (_, layer) => layer);
  return layers.slice(lora.freeze_layers).flatMap((layer) => targets.map((target) => ({ layer, target })));
}

/** The parameters of all adapters. */
export function loraParameters(config: EncoderConfig, lora: LoraOptions): ParameterSpec[] {
  return adaptedTargets(config, lora).flatMap(({ layer, target }): ParameterSpec[] => {
    const { inputs, outputs } = targetShape(config, target);
    const matrix = (name: "A" | "B", shape: number[], initialisation: ParameterSpec["initialisation"]) => ({
      name: adapterName(layer, target, name),
      shape,
      initialisation,
      decay: true,
      parts: [adapterTensor(config, layer, target, name)],
    });
    return [
      matrix("A", [lora.lora_rank, inputs], "kaiming_uniform"),
      matrix("B", [outputs, lora.lora_rank], "zeros"),
    ];
  });
}

/** The adapters of an encoder in a graph. */
export interface Adapters {
  /** Whether any of these projections of a layer has one. */
  has(layer: number, targets: readonly LoraTarget[]): boolean;
  /** y plus the adapters' share. x [..., K] is the projections' input, y [..., N] their outputs side by side. */
  adapt(layer: number, targets: readonly LoraTarget[], x: Tensor, y: Tensor): Tensor;
}

/** The adapters that the options ask for; without options none. */
export function adapters(g: Graph, parameter: (name: string) => Tensor, lora: LoraOptions | undefined): Adapters {
  const present = (layer: number, target: LoraTarget) =>
    lora !== undefined && layer >= lora.freeze_layers && lora.lora_targets.includes(target);
  const share = (
    layer: number,
    target: LoraTarget,
    x: Tensor,
    { lora_rank, lora_alpha, lora_dropout }: LoraOptions,
  ) => {
    const dropped = dropout(g, x, lora_dropout);
    const low = linear(g, { x: dropped, weight: parameter(adapterName(layer, target, "A")) }); //      [..., rank]
    const scaled = scale(g, low, lora_alpha / lora_rank);
    return linear(g, { x: scaled, weight: parameter(adapterName(layer, target, "B")) }); //            [..., N]
  };
  return {
    has: (layer, targets) => targets.some((target) => present(layer, target)),
    adapt(layer, targets, x, y) {
      const columns = width(y) / targets.length;
      const deltas = targets.flatMap((target, i) =>
        present(layer, target) ? [{ start: i * columns, delta: share(layer, target, x, lora!) }] : []
      );
      if (deltas.length === 0) return y;
      return targets.length === 1 ? add(g, y, deltas[0]!.delta) : addColumns(g, y, deltas);
    },
  };
}
