/**
 * Learning rates by depth: how much slower the encoder learns than the heads, and each of its layers than the one above.
 * Pretrained layers near the input hold what is general and should move least (Howard & Ruder 2018, "discriminative
 * fine-tuning"); the depths are those of BEiT's fine-tuning code (Bao et al. 2022), ELECTRA's but for the top layer,
 * which ELECTRA decays twice.
 */
import { isTrained, type ParameterSpec } from "../graph/parameters.ts";

/** How the learning rate falls from the heads to the embeddings. */
export interface LearningRateOptions {
  /** The encoder's learning rate over the heads', in (0, 1]. */
  readonly differentialRatio: number;
  /** Factor from each layer to the one below it, in (0, 1]; 1 gives all layers one rate. */
  readonly layerDecay: number;
}

/** One learning rate and one weight decay, with the parameters that have them. */
export interface ParameterGroup {
  readonly learningRateScale: number;
  readonly decay: boolean;
  /** Names of its parameters, in the order of the model. */
  readonly names: readonly string[];
}

/**
 * Layers between a parameter and the heads, the one that it is in included: 0 for heads, 1 for the encoder's top layer,
 * L for its lowest and L + 1 for the embeddings.
 *
 * @param name the parameter's name in Winnow, which is BERT's whatever the family
 */
export function depthOf(name: string, layers: number): number {
  if (name.startsWith("embeddings.")) return layers + 1;
  const layer = /^encoder\.layer\.(\d+)\./.exec(name)?.[1];
  return layer === undefined ? 0 : layers - Number(layer);
}

/** Parameters with the scale of their learning rate: ratio × decay^depth in the encoder, 1 in the heads. */
export function scaleLearningRates(
  specs: readonly ParameterSpec[],
  layers: number,
  { differentialRatio, layerDecay }: LearningRateOptions,
): ParameterSpec[] {
  return specs.map((spec) => {
    const depth = depthOf(spec.name, layers);
    return depth === 0 ? spec : { ...spec, learningRateScale: differentialRatio * layerDecay ** depth };
  });
}

/** The groups of what is trained, the fastest first, and of one rate those with weight decay first. */
export function parameterGroups(specs: readonly ParameterSpec[]): ParameterGroup[] {
  const groups = new Map<string, { learningRateScale: number; decay: boolean; names: string[] }>();
  for (const { name, decay, learningRateScale = 1 } of specs.filter(isTrained)) {
    const key = `${learningRateScale} ${decay}`;
    const group = groups.get(key) ?? { learningRateScale, decay, names: [] };
    groups.set(key, group);
    group.names.push(name);
  }
  return [...groups.values()].toSorted((a, b) =>
    b.learningRateScale - a.learningRateScale || Number(b.decay) - Number(a.decay)
  );
}
