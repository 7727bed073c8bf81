/** The smallest study: a sampler and a function, in memory, one trial at a time. */
import { contains, type Distribution, type Params } from "../lib/hpo/space.ts";
import type { Sampler } from "../lib/hpo/samplers/sampler.ts";
import type { FrozenTrial, StudyHistory } from "../lib/hpo/trial.ts";
import type { Suggest } from "./search_objectives.ts";

/** A completed trial; what a test needs otherwise is given. */
export function frozenTrial(number: number, given: Partial<FrozenTrial> = {}): FrozenTrial {
  return {
    ...{ row: number + 1, number, id: null, state: "COMPLETE", params: {}, distributions: {}, values: null },
    ...{ intermediate: [], userAttributes: {}, systemAttributes: {}, started: null, completed: null },
    ...given,
  };
}

/** Runs one trial, as a study does: joint draws where they fit, the others by themselves. */
export function runTrial(
  sampler: Sampler,
  history: StudyHistory,
  objective: (suggest: Suggest) => number,
): FrozenTrial {
  const number = history.trials.length;
  const params: Params = {};
  const distributions: Record<string, Distribution> = {};
  const joint = sampler.sampleRelative(history, number);
  const value = objective((name, distribution) => {
    if (name in params) return params[name]!;
    const drawn = joint.params[name];
    params[name] = drawn !== undefined && contains(distribution, drawn)
      ? drawn
      : sampler.sampleIndependent(history, number, name, distribution);
    distributions[name] = distribution;
    return params[name]!;
  });
  return frozenTrial(number, { params, distributions, values: [value] });
}

/** The trials of a search that minimises. */
export function search(sampler: Sampler, objective: (suggest: Suggest) => number, trials: number): FrozenTrial[] {
  const done: FrozenTrial[] = [];
  const history: StudyHistory = { studyName: "search", directions: ["minimize"], trials: done };
  while (done.length < trials) done.push(runTrial(sampler, history, objective));
  return done;
}

/** The best value of the first n trials, for each of `counts`. */
export const bestAfter = (trials: readonly FrozenTrial[], counts: readonly number[]): number[] =>
  counts.map((count) => Math.min(...trials.slice(0, count).map(({ values }) => values![0]!)));
