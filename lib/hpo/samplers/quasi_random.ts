/** Low-discrepancy search: the first n trials are spread more evenly than random ones, which matters where n is small. */
import { randomStream } from "../../support/rng.ts";
import { valueAt } from "../space.ts";
import type { StudyHistory } from "../trial.ts";
import type { Sampler } from "./sampler.ts";

/** Options of the quasi-random sampler. */
export interface QuasiRandomOptions {
  readonly seed: number;
  /** The parameters in the order of their dimensions. Without them, the order in which earlier trials suggested them. */
  readonly names?: readonly string[];
}

/** The first primes, as many as are asked for. */
function primes(count: number): number[] {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p !== 0)) found.push(n);
  return found;
}

/**
 * A sampler whose trial n stands at (shift + n·√p) mod 1 along each dimension, p the prime of that dimension (R. D.
 * Richtmyer's sequence, 1951), with a shift by the seed (Cranley and Patterson, 1976). A dimension more leaves the others as
 * they are, so that the parameters of a conditional space may come up one by one; the first time that one is asked for
 * without having been named, its position is a random one. A draw depends on the options, the trial's number and the
 * names that trials before it have.
 */
export function quasiRandomSampler({ seed, names }: QuasiRandomOptions): Sampler {
  const given = names && new Map(names.map((name, index) => [name, index]));
  let roots: number[] = [];
  const rootOf = (dimension: number) => {
    if (dimension >= roots.length) roots = primes(2 * dimension + 8).map(Math.sqrt);
    return roots[dimension]!;
  };
  // Remembered for the latest trial of the latest history alone: a trial asks for many parameters in a row.
  let latest: { history: StudyHistory; trialNumber: number; dimensions: Map<string, number> } | undefined;
  const dimensionsBefore = (history: StudyHistory, trialNumber: number) => {
    if (latest?.history === history && latest.trialNumber === trialNumber) return latest.dimensions;
    const dimensions = new Map<string, number>();
    for (const { number, params } of history.trials) {
      if (number >= trialNumber) continue;
      for (const name of Object.keys(params)) if (!dimensions.has(name)) dimensions.set(name, dimensions.size);
    }
    latest = { history, trialNumber, dimensions };
    return dimensions;
  };
  return {
    sampleRelative: () => ({ space: {}, params: {} }),
    sampleIndependent: (history, trialNumber, name, distribution) => {
      const dimension = (given ?? dimensionsBefore(history, trialNumber)).get(name);
      if (dimension === undefined) {
        return valueAt(distribution, randomStream(seed, "quasi-random first", trialNumber, name).uniform());
      }
      const shift = randomStream(seed, "quasi-random shift", name).uniform();
      return valueAt(distribution, (shift + trialNumber * rootOf(dimension)) % 1);
    },
  };
}
