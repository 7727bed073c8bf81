/** What searches where nothing is chosen: the sampler and the pruner of a study that names none; Optuna's defaults. */
import { randomStream } from "../support/rng.ts";
import { medianPruner } from "./pruners/percentile.ts";
import type { Pruner } from "./pruners/pruner.ts";
import type { Sampler } from "./samplers/sampler.ts";
import { tpeSampler } from "./samplers/tpe.ts";

/**
 * The sampler of a study that names none: TPE. Its seed is the study's name, so that a search that is resumed goes on as it
 * would have, and two searches differ.
 */
export function defaultSampler(studyName: string): Sampler {
  return tpeSampler({ seed: randomStream(0, "study", studyName).uint32() });
}

/** The pruner of a study that names none: a trial below the median of the others at its step is hopeless. */
export function defaultPruner(): Pruner {
  return medianPruner();
}
