/** What the trials of a study hand on to one another, so that nothing is made twice. */
import type { TokenisedText } from "../data/encoding.ts";
import type { EncodedSplits } from "./data_source.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { TrainingAugmentation } from "./augmentation.ts";
import { keepBase, KEPT_BASE_BYTES, type KeptBase } from "./base_weights.ts";
import { keepEngine, type KeptEngine } from "./kept_engine.ts";
import type { ModelSource } from "./model_source.ts";
import { createGapClock, type GapClock } from "./trial_gap.ts";

/** Shared by the trials of a study in one process. */
export interface TrialCache {
  /** Models by `modelKey`. */
  readonly models: Map<string, ModelSource>;
  /** Texts of the posts as each tokenizer cuts them, where that is kept on disk. */
  readonly tokens: Map<Tokenizer, ReadonlyMap<string, TokenisedText>>;
  /** Encoded splits by tokenizer and what `encodedSplits` depends on in the configuration. */
  readonly encoded: Map<Tokenizer, Map<string, EncodedSplits>>;
  /** Augmented copies of the training split by all that they depend on. */
  readonly augmented: Map<string, TrainingAugmentation>;
  /** First values of the model that the latest trial began from. */
  readonly base: KeptBase;
  /** The latest trial's engine. */
  readonly engine: KeptEngine;
  readonly gap: GapClock;
}

/** Nothing yet. */
export function createTrialCache(): TrialCache {
  return {
    models: new Map(),
    tokens: new Map(),
    encoded: new Map(),
    augmented: new Map(),
    // An eighth of the memory that is there: on a software adapter the engine takes its own from it too.
    base: keepBase(() => Math.min(KEPT_BASE_BYTES, Deno.systemMemoryInfo().available / 8)),
    engine: keepEngine(),
    gap: createGapClock(),
  };
}
