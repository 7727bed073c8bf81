/** Every pruner by the name that configurations have for it. A new one is one file and one entry here. */
import { hyperbandPruner } from "./hyperband.ts";
import { patientPruner } from "./patient.ts";
import { medianPruner, percentilePruner } from "./percentile.ts";
import type { Pruner } from "./pruner.ts";
import { successiveHalvingPruner } from "./successive_halving.ts";
import { thresholdPruner } from "./threshold.ts";

/** A pruner, its options with what they are if not given, and how it is made of them. */
export interface PrunerEntry<Options extends object> {
  readonly summary: string;
  readonly defaults: Options;
  create(options?: Partial<Options>): Pruner;
}

/** An entry whose options in a configuration, in snake case, become those of a function. */
function define<Options extends object>(
  summary: string,
  defaults: Options,
  create: (options: Options) => Pruner,
): PrunerEntry<Options> {
  return { summary, defaults, create: (options = {}) => create({ ...defaults, ...options }) };
}

const EVERY_STEP = { n_warmup_steps: 0, interval_steps: 1 };
const AMONG_OTHERS = { n_startup_trials: 5, ...EVERY_STEP, n_min_trials: 1 };

const among = (options: typeof AMONG_OTHERS) => ({
  nStartupTrials: options.n_startup_trials,
  nWarmupSteps: options.n_warmup_steps,
  intervalSteps: options.interval_steps,
  nMinTrials: options.n_min_trials,
});

/** The pruners. */
export const PRUNERS = {
  none: define("no trial ends early", {}, () => ({ decide: () => ({ prune: false }) })),
  median: define(
    "a trial ends whose best value so far is worse than the median of completed trials at the same step",
    AMONG_OTHERS,
    (options) => medianPruner(among(options)),
  ),
  percentile: define(
    "as median, with another percentile: 25 keeps the best quarter",
    { percentile: 25, ...AMONG_OTHERS },
    (options) => percentilePruner({ percentile: options.percentile, ...among(options) }),
  ),
  successive_halving: define(
    "at steps a constant factor apart, one of so many trials goes on (ASHA)",
    {
      min_resource: "auto" as number | "auto",
      reduction_factor: 4,
      min_early_stopping_rate: 0,
      bootstrap_count: 0,
    },
    (options) =>
      successiveHalvingPruner({
        minResource: options.min_resource,
        reductionFactor: options.reduction_factor,
        minEarlyStoppingRate: options.min_early_stopping_rate,
        bootstrapCount: options.bootstrap_count,
      }),
  ),
  hyperband: define(
    "brackets of successive halving that prune more or less early; each learns from its own trials",
    { min_resource: 1, max_resource: "auto" as number | "auto", reduction_factor: 3, bootstrap_count: 0 },
    (options) =>
      hyperbandPruner({
        minResource: options.min_resource,
        maxResource: options.max_resource,
        reductionFactor: options.reduction_factor,
        bootstrapCount: options.bootstrap_count,
      }),
  ),
  patient: define(
    "a trial ends that has not improved for some reports",
    { patience: 3, min_delta: 0 },
    (options) => patientPruner({ patience: options.patience, minDelta: options.min_delta }),
  ),
  threshold: define(
    "a trial ends whose value is NaN or outside of fixed limits",
    { lower: null as number | null, upper: null as number | null, ...EVERY_STEP },
    (options) =>
      thresholdPruner({
        lower: options.lower,
        upper: options.upper,
        nWarmupSteps: options.n_warmup_steps,
        intervalSteps: options.interval_steps,
      }),
  ),
};

/** The name of a pruner. */
export type PrunerName = keyof typeof PRUNERS;
