/** Random search: every value of a distribution, or every part of its range, equally often. */
import { randomStream } from "../../support/rng.ts";
import { valueAt } from "../space.ts";
import type { Sampler } from "./sampler.ts";

/**
 * A sampler that draws each parameter by itself, as Optuna's `RandomSampler` does: even over the range (over its logarithm on
 * a logarithmic scale), grid points and categories with equal shares. A draw depends on the seed, the trial's number and
 * the parameter's name alone.
 */
export function randomSampler({ seed }: { readonly seed: number }): Sampler {
  return {
    sampleRelative: () => ({ space: {}, params: {} }),
    sampleIndependent: (_history, trialNumber, name, distribution) =>
      valueAt(distribution, randomStream(seed, "random sampler", trialNumber, name).uniform()),
  };
}
