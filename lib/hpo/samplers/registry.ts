/** Every sampler by the name that configurations have for it. A new one is one file and one entry here. */
import type { SearchSpace } from "../space.ts";
import { gridOf, gridSampler } from "./grid.ts";
import { quasiRandomSampler } from "./quasi_random.ts";
import { randomSampler } from "./random.ts";
import type { Sampler } from "./sampler.ts";
import { tpeSampler } from "./tpe.ts";

/** What a sampler is made of besides its own options. */
export interface SamplerContext {
  readonly seed: number;
  /** What the study searches; a grid is all of its combinations. */
  readonly space: SearchSpace;
}

/** A sampler, its options with what they are if not given, and how it is made of them. */
export interface SamplerEntry<Options extends object> {
  readonly summary: string;
  readonly defaults: Options;
  create(context: SamplerContext, options?: Partial<Options>): Sampler;
}

const define = <Options extends object>(entry: SamplerEntry<Options>): SamplerEntry<Options> => entry;

/** Options of TPE in a configuration; `multivariate: null` is Optuna's rule: no only with several objectives and no group. */
interface TpeSettings {
  readonly n_startup_trials: number;
  readonly n_ei_candidates: number;
  readonly multivariate: boolean | null;
  readonly group: boolean;
  readonly constant_liar: boolean;
  readonly startup: "random" | "quasi_random";
}

/** Groups are on, since without conditional parameters they change nothing. */
const TPE_DEFAULTS: TpeSettings = {
  ...{ n_startup_trials: 10, n_ei_candidates: 24, multivariate: null, group: true, constant_liar: true },
  startup: "random",
};

/** The samplers. */
export const SAMPLERS = {
  tpe: define<TpeSettings>({
    summary: "tree-structured Parzen estimator with joint kernels, by the rule of Optuna 5",
    defaults: TPE_DEFAULTS,
    create({ seed }, options = {}) {
      const chosen = { ...TPE_DEFAULTS, ...options };
      return tpeSampler({
        seed,
        nStartupTrials: chosen.n_startup_trials,
        nEiCandidates: chosen.n_ei_candidates,
        ...(chosen.multivariate === null ? {} : { multivariate: chosen.multivariate }),
        group: chosen.group && chosen.multivariate !== false,
        constantLiar: chosen.constant_liar,
        startup: chosen.startup,
      });
    },
  }),
  random: define<Record<never, never>>({
    summary: "every value of a parameter, or every part of its range, equally often",
    defaults: {},
    create: ({ seed }) => randomSampler({ seed }),
  }),
  quasi_random: define<Record<never, never>>({
    summary: "a low-discrepancy sequence: the first trials are spread more evenly than random ones",
    defaults: {},
    create: ({ seed, space }) => quasiRandomSampler({ seed, names: Object.keys(space) }),
  }),
  grid: define<Record<never, never>>({
    summary: "every combination once; for small spaces without continuous ranges",
    defaults: {},
    create: ({ seed, space }) => gridSampler({ seed, grid: gridOf(space) }),
  }),
};

/** The name of a sampler. */
export type SamplerName = keyof typeof SAMPLERS;
