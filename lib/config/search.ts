/** The keys of `study` that say how its trials are chosen, ended and counted. */
import { z } from "zod";
import { PRUNERS } from "../hpo/pruners/registry.ts";
import { SAMPLERS } from "../hpo/samplers/registry.ts";
import { choice } from "./choices.ts";

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const count = z.int().min(0).max(100_000);
const resource = z.union([z.literal("auto"), z.int().min(1)]);

const samplerOptions = {
  n_startup_trials: count.describe("Random trials before the first that is learnt from earlier ones"),
  n_ei_candidates: z.int().min(1).max(10_000).describe("Candidates of which the most promising is taken"),
  multivariate: z.boolean().nullable().describe("Draw parameters together, not one by one"),
  group: z.boolean().describe("With multivariate: together those that occur together, for spaces with conditions"),
  constant_liar: z.boolean().describe("Count running trials of other programs as bad ones"),
  startup: z.enum(["random", "quasi_random"]).describe("How the first trials are drawn"),
};

const prunerOptions = {
  n_startup_trials: count.describe("Completed trials before the first is pruned"),
  n_warmup_steps: count.describe("Epochs of each trial before it may be pruned"),
  interval_steps: z.int().min(1).describe("Epochs between two decisions"),
  n_min_trials: z.int().min(1).describe("Trials that have reported at an epoch, at least, to compare with"),
  percentile: z.number().min(0).max(100).describe("The share, in percent, of the best trials that go on"),
  min_resource: resource.describe("Epochs that every trial gets"),
  max_resource: resource.describe("Epochs of the longest trial"),
  reduction_factor: z.int().min(2).describe("One of so many trials is promoted to the next rung"),
  min_early_stopping_rate: count.describe("Rungs that every trial passes"),
  bootstrap_count: count.describe("Trials that a rung needs before it promotes one"),
  patience: z.int().min(0).max(100_000).describe("Reports without improvement before a trial ends"),
  min_delta: z.number().min(0).describe("What counts as an improvement"),
  lower: z.number().nullable().describe("A trial ends below it"),
  upper: z.number().nullable().describe("A trial ends above it"),
};

/** The options that each sampler reads. */
export const SAMPLER_OPTIONS = readOptions(SAMPLERS);

function readOptions<Name extends string>(
  registry: Readonly<Record<Name, { readonly defaults: object }>>,
): Readonly<Record<Name, readonly string[]>> {
  const names = Object.entries<{ readonly defaults: object }>(registry)
    .map(([name, { defaults }]) => [name, Object.keys(defaults)]);
  return Object.fromEntries(names);
}

/** The options that each pruner reads. */
export const PRUNER_OPTIONS = readOptions(PRUNERS);

/** The schemas of these keys; `search_checks.ts` has what they must agree on. */
export const searchKeys = {
  sampler: choice(SAMPLERS).describe("How the parameters of a trial are proposed"),
  sampler_options: z.strictObject(samplerOptions).partial().describe("What is left out is as in Optuna"),
  pruner: choice(PRUNERS).describe("Whether trials that look hopeless after an epoch end early"),
  pruner_options: z.strictObject(prunerOptions).partial().describe("What is left out is as in Optuna"),
  max_consecutive_failures: z.int().min(1).nullable()
    .describe("The study stops after so many failed trials in a row; null: never"),
  time_limit_hours: z.number().gt(0).nullable()
    .describe("No trial is begun, and the running one is paused, after so many hours of all runs together"),
  enqueue: z.array(z.record(z.string(), scalar)).meta({
    title: "a list of mappings, each from searched keys to values",
  })
    .nullable()
    .describe("Settings of searched keys that are tried first; null: the configuration's own values; []: none"),
  warm_start: z.union([
    // A text cannot begin as a mapping does, so that `study.warm_start={path: …}` on the command line is one.
    z.string().min(1).regex(/^[^{]/),
    z.strictObject({ path: z.string().min(1), study_id: z.string().min(1) }),
  ]).nullable().describe(
    "An earlier study whose trials are learnt from: its id, or {path: a study.db, study_id: its id}",
  ),
  heartbeat_seconds: z.number().gt(0).max(86_400).nullable()
    .describe("How often a running trial says that it lives; null: not at all"),
};
