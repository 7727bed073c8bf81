/**
 * What of a model is trained. The heads always are; of the encoder all, adapters beside it (LoRA), its biases (BitFit), or
 * the layers above the lowest. What is frozen has neither gradient nor optimizer state, and nothing is computed backwards
 * below the lowest trained tensor.
 */
import type { ParameterSpec } from "../graph/parameters.ts";
import { inputError } from "../support/errors.ts";
import type { EncoderConfig } from "../weights/encoder_config.ts";
import { encoderParameters } from "./encoder.ts";
import { type LoraOptions, loraParameters } from "./lora.ts";

/** The modes of tuning, with what of the encoder each trains. */
export const TUNING_MODES = {
  full: "everything",
  lora: "low-rank adapters beside chosen projections (Hu et al. 2022)",
  bitfit: "every bias, LayerNorm's included (Ben Zaken et al. 2022)",
  freeze: "the layers above the lowest ones; the embeddings are frozen",
} as const;

/** The name of a mode. */
export type TuningMode = keyof typeof TUNING_MODES;

/** What is trained; names and meanings are the configuration's, of which each mode has the keys that it reads. */
export type Tuning =
  | { readonly mode: "full" }
  | { readonly mode: "bitfit" | "freeze"; readonly freeze_layers: number }
  | { readonly mode: "lora" } & LoraOptions;

/** Everything is trained. */
export const FULL_TUNING: Tuning = { mode: "full" };

/** The layer that a parameter belongs to, counted from 0; -1 for the embeddings. */
const layerOf = (name: string): number => Number(/^encoder\.layer\.(\d+)\./.exec(name)?.[1] ?? -1);

/**
 * The parameters of an encoder, each marked as trained or frozen, and those of its adapters.
 *
 * `freeze_layers` = k > 0 keeps the embeddings and the k lowest layers free of anything trained, in every mode but `full`;
 * k = 0 freezes the embeddings in mode `freeze`, and in mode `bitfit` nothing further.
 */
export function tunedEncoderParameters(config: EncoderConfig, tuning: Tuning = FULL_TUNING): ParameterSpec[] {
  const specs = encoderParameters(config);
  if (tuning.mode === "full") return specs;
  const { freeze_layers } = tuning;
  const trained = {
    lora: () => false,
    bitfit: (name: string) => name.endsWith(".bias") && (freeze_layers === 0 || layerOf(name) >= freeze_layers),
    freeze: (name: string) => layerOf(name) >= freeze_layers,
  }[tuning.mode];
  const marked = specs.map((spec) => ({ ...spec, trained: trained(spec.name) }));
  return tuning.mode === "lora" ? [...marked, ...loraParameters(config, tuning)] : marked;
}

/**
 * Checks that a model has the layers and the width that its tuning asks for.
 *
 * @param model how messages call it
 * @throws an input error that names the key
 */
export function checkTuning({ hidden_size, num_hidden_layers }: EncoderConfig, tuning: Tuning, model: string): void {
  if (tuning.mode === "full") return;
  const { freeze_layers } = tuning;
  if (freeze_layers > num_hidden_layers) {
    throw inputError(
      `tuning.freeze_layers is ${freeze_layers} but ${model} has ${num_hidden_layers} layers`,
      `Set tuning.freeze_layers to at most ${num_hidden_layers}`,
    );
  }
  if (tuning.mode !== "lora") return;
  if (tuning.lora_rank > hidden_size) {
    throw inputError(
      `tuning.lora_rank is ${tuning.lora_rank} but ${model} is ${hidden_size} wide`,
      `Set tuning.lora_rank to at most ${hidden_size}; 4 to 64 are usual`,
    );
  }
  if (freeze_layers === num_hidden_layers) {
    throw inputError(
      `tuning.freeze_layers ${freeze_layers} leaves no layer of ${model} for adapters`,
      `Set tuning.freeze_layers below ${num_hidden_layers}, or tuning.mode=freeze to train the heads alone`,
    );
  }
}
