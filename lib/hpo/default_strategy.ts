/** What searches where nothing is chosen: the sampler and the pruner of a study that names none. */
import { randomStream } from "../support/rng.ts";
import type { Pruner } from "./pruners/pruner.ts";
import type { Sampler } from "./samplers/sampler.ts";
import { valueAt } from "./space.ts";

/** The sampler of a study that names none; its seed is the study's name, so that a search that is resumed goes on alike. */
export function defaultSampler(studyName: string): Sampler {
  const seed = randomStream(0, "study", studyName).uint32();
  return {
    sampleRelative: () => ({ space: {}, params: {} }),
    sampleIndependent: (_history, trialNumber, name, distribution) =>
      valueAt(distribution, randomStream(seed, "trial", trialNumber, name).uniform()),
  };
}

/** The pruner of a study that names none: it ends no trial early. */
export function defaultPruner(): Pruner {
  return { decide: () => ({ prune: false }) };
}
