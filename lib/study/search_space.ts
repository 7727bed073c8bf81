/** What a configuration searches and how: its space, counted and shown with trials drawn from it, its sampler and pruner. */
import { conditionValue } from "../config/conditions.ts";
import type { Config } from "../config/schema.ts";
import {
  conditionalSize,
  type ConditionalSpace,
  conditionalSpace,
  distributionsOf,
  randomParams,
} from "../hpo/conditional_space.ts";
import type { Pruner } from "../hpo/pruners/pruner.ts";
import { type PrunerEntry, PRUNERS } from "../hpo/pruners/registry.ts";
import { type SamplerEntry, SAMPLERS } from "../hpo/samplers/registry.ts";
import type { Sampler } from "../hpo/samplers/sampler.ts";
import { type Category, contains, type Params } from "../hpo/space.ts";
import { alignColumns, formatParameter } from "../report/study_table.ts";

/** The configuration's own value at a dotted key. */
export function ownValue(config: Config, key: string): unknown {
  return key.split(".").reduce<unknown>((value, part) => (value as Record<string, unknown> | null)?.[part], config);
}

/** What a configuration searches. @throws an input error for distributions or conditions that cannot be */
export function searchSpaceOf(config: Config): ConditionalSpace {
  return conditionalSpace(config.search_space, (key) => ownValue(config, key));
}

/** The sampler of a configuration. @throws an input error for a grid over a space that has none */
export function samplerOf({ seed, study }: Config, space: ConditionalSpace): Sampler {
  // The schema has checked that the options are those of the sampler.
  const entry: SamplerEntry<object> = SAMPLERS[study.sampler];
  return entry.create({ seed, space: distributionsOf(space) }, study.sampler_options);
}

/** The pruner of a configuration. */
export function prunerOf({ study }: Config): Pruner {
  const entry: PrunerEntry<object> = PRUNERS[study.pruner];
  return entry.create(study.pruner_options);
}

/** The settings that a study tries first: those that are asked for, or the configuration's own values as far as it has them. */
export function firstSettings(config: Config, { parameters }: ConditionalSpace): Params[] {
  if (config.study.enqueue !== null) return config.study.enqueue;
  const own = parameters.flatMap(({ name, distribution }) => {
    const value = ownValue(config, name);
    return contains(distribution, value) ? [[name, value as Category] as const] : [];
  });
  return own.length === 0 ? [] : [Object.fromEntries(own)];
}

/** What a dry run tells of the search space. */
export interface SearchSpaceReport {
  /** Parameters that a trial may draw, in the order in which it does. */
  readonly parameters: readonly string[];
  /** How many of them are drawn under a condition only. */
  readonly conditional: number;
  /** Different choices of all that can be counted, exactly, as digits: the number may be too large for JSON's readers. */
  readonly combinations: string;
  /** Parameters of which every real number of a range is a value. */
  readonly continuous: readonly string[];
  /** Parameters that no trial draws, since what their condition names has another value and is not searched. */
  readonly never_drawn: readonly { readonly parameter: string; readonly key: string; readonly value: unknown }[];
  /** Trials drawn at random. */
  readonly samples: readonly Params[];
}

/** Counts the search space of a configuration and draws trials from it, by the configuration's seed. */
export function reportSearchSpace(config: Config, samples: number): SearchSpaceReport {
  const space = searchSpaceOf(config);
  const { combinations, continuous } = conditionalSize(space);
  return {
    parameters: space.parameters.map(({ name }) => name),
    conditional: space.parameters.filter(({ when }) => when.length > 0).length,
    combinations: String(combinations),
    continuous,
    never_drawn: space.idle.map(({ name, key }) => ({
      parameter: name,
      key,
      value: conditionValue(ownValue(config, key)),
    })),
    samples: space.parameters.length === 0
      ? []
      : Array.from({ length: samples }, (_, i) => randomParams(space, config.seed, i)),
  };
}

/** Samples side by side: more of them would not fit a terminal. */
const COLUMNS = 4;

/** A number with commas, and as a power of ten where it is long. */
function formatCount(digits: string): string {
  const commas = BigInt(digits).toLocaleString("en-US");
  const power = digits.length - 1;
  return power < 9 ? commas : `${commas} (${Number(digits.slice(0, 3)) / 100}·10^${power})`;
}

/** The search space in a few lines for people, and its samples as a table. There is no final newline. */
export function describeSearchSpace(report: SearchSpaceReport): string {
  const { parameters, conditional, combinations, continuous, never_drawn, samples } = report;
  if (parameters.length === 0) return "search space empty: every trial has the configuration's own values";
  const idle = never_drawn.map(({ parameter, key, value }) => `${parameter} (${key} is ${JSON.stringify(value)})`);
  const names = parameters.filter((name) => samples.some((params) => Object.hasOwn(params, name)));
  const blocks = Array.from({ length: Math.ceil(samples.length / COLUMNS) }, (_, block) => {
    const first = block * COLUMNS, shown = samples.slice(first, first + COLUMNS);
    return alignColumns(
      ["parameter", ...shown.map((_, i) => `sample ${first + i + 1}`)],
      names.map((name) => [
        name,
        ...shown.map((params) => Object.hasOwn(params, name) ? formatParameter(params[name] ?? "null") : "-"),
      ]),
    );
  });
  return [
    `search space ${formatCount(combinations)} combinations of ${parameters.length - continuous.length} parameters` +
    (continuous.length > 0 ? `, beside ${continuous.length} continuous ones: ${continuous.join(", ")}` : ""),
    ...(conditional > 0 ? [`             ${conditional} parameters are drawn under a condition only`] : []),
    ...(idle.length > 0 ? [`             never drawn: ${idle.join(", ")}`] : []),
    ...blocks.flatMap((block) => ["", block]),
  ].join("\n");
}
