/** From configuration to what is trained, and what a checkpoint of only that must say about the rest. */
import type { Config } from "../config/schema.ts";
import type { LoraTarget } from "../model/lora.ts";
import { FULL_TUNING, type Tuning } from "../model/tuning.ts";
import { BASE_HASH, type Signature } from "../train/state.ts";
import { encoderConfigJson, PARTIAL_MODEL_TYPE } from "../weights/encoder_config.ts";
import { baseHash } from "./base_weights.ts";
import type { ModelSource } from "./model_source.ts";

/** What the configuration trains. */
export function tuningOf({ tuning }: Config): Tuning {
  const { mode, freeze_layers, lora_targets, ...lora } = tuning;
  if (mode === "full") return FULL_TUNING;
  if (mode !== "lora") return { mode, freeze_layers };
  // The schema has checked the names.
  const targets = (typeof lora_targets === "string" ? lora_targets.split(",") : lora_targets) as LoraTarget[];
  return { mode, freeze_layers, ...lora, lora_targets: [...new Set(targets)] };
}

/** What a checkpoint's signature says of tuning: nothing where it holds the whole model. */
export function tuningSignature(config: Config, source: ModelSource): Signature {
  const tuning = tuningOf(config);
  return tuning.mode === "full"
    ? {}
    : { tuning: { ...tuning } as Signature, [BASE_HASH]: baseHash(source, config.seed) };
}

/**
 * What `config.json` says of the encoder. Of a whole model it is what `transformers` reads; of trained tensors alone it
 * is a type that no reader knows, with the architecture, the tuning and the base under `winnow`.
 */
export function encoderRecord(config: Config, source: ModelSource, encoder: ModelSource["encoder"]) {
  const tuning = tuningOf(config);
  const { id, revision } = source;
  if (tuning.mode === "full") {
    return { plain: { ...encoderConfigJson(encoder), torch_dtype: "float32" }, winnow: { base: { id, revision } } };
  }
  const seed = source.folder === undefined ? { seed: config.seed } : {};
  return {
    plain: { model_type: PARTIAL_MODEL_TYPE },
    winnow: {
      base: { id, revision, ...seed, sha256: baseHash(source, config.seed) },
      tuning,
      encoder: encoderConfigJson(encoder),
    },
  };
}
