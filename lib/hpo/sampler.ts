/**
 * Samplers propose a trial's parameters. A strategy is one function behind one interface, so that a model-based one can
 * take the place of this one.
 */
import { randomStream } from "../support/rng.ts";
import { contains, type Params, type SearchSpace, valueAt } from "./space.ts";

/** What a sampler may learn from an earlier trial; `value` is null unless it completed. */
export interface PastTrial {
  number: number;
  params: Params;
  state: "RUNNING" | "COMPLETE" | "PRUNED" | "FAIL" | "WAITING";
  value: number | null;
}

/** A strategy to propose parameters. */
export interface Sampler {
  /** The parameters of trial `trialNumber` (from 0), one for each in the space. */
  suggest(space: SearchSpace, trialNumber: number, history: readonly PastTrial[]): Params;
}

/** Options of a sampler. */
export interface SamplerOptions {
  seed: number;
  /**
   * The configuration's own values. Trial 0 takes each of them that lies within the space, so that a search begins with
   * what the user would have trained without one; the others are sampled.
   */
  initial?: Readonly<Record<string, unknown>>;
}

/** The values of a space at one position in [0, 1) for each parameter, or the initial ones in trial 0. */
function build(
  space: SearchSpace,
  trialNumber: number,
  { initial = {} }: SamplerOptions,
  position: (name: string, index: number) => number,
): Params {
  const names = Object.keys(space);
  return Object.fromEntries(names.map((name, index) => {
    // Drawn in any case, so that the other parameters do not depend on whether this one is given.
    const sampled = valueAt(space[name]!, position(name, index));
    const own = initial[name];
    return [name, trialNumber === 0 && contains(space[name]!, own) ? own : sampled];
  }));
}

/** The root above 1 of x^(d+1) = x + 1: the golden ratio for d = 1, and its kin in d dimensions. */
function generalisedGoldenRatio(dimensions: number): number {
  let x = 2;
  for (let i = 0; i < 60; i++) x = (1 + x) ** (1 / (dimensions + 1));
  return x;
}

/**
 * A low-discrepancy sequence: any first n trials are spread more evenly over the space than random ones, which matters
 * where n is small. Trial n stands at (shift + n·α) mod 1 with α_j = φ^-j, φ the generalised golden ratio (the R_d
 * sequence: M. Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018), randomly shifted by the seed
 * (Cranley and Patterson, 1976). Trial n depends on the seed, n and the space alone.
 */
export function quasiRandomSampler(options: SamplerOptions): Sampler {
  return {
    suggest: (space, trialNumber) => {
      const ratio = generalisedGoldenRatio(Object.keys(space).length);
      return build(space, trialNumber, options, (name, index) => {
        const shift = randomStream(options.seed, "shift", name).uniform();
        return (shift + trialNumber * ratio ** -(index + 1)) % 1;
      });
    },
  };
}
