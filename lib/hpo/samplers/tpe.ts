/**
 * The tree-structured Parzen estimator: candidates are drawn from where good trials lie, and the one is taken at which good
 * trials are densest in proportion to the others (J. Bergstra et al., NeurIPS 2011). Defaults and rules are those of
 * Optuna 5, so that a study may change hands between the two.
 */
import { inputError } from "../../support/errors.ts";
import { type RandomStream, randomStream } from "../../support/rng.ts";
import type { Params, SearchSpace } from "../space.ts";
import type { FrozenTrial, StudyHistory } from "../trial.ts";
import { axisOf, isSingle, positionOf, valueNear } from "./axis.ts";
import { logDensity, type Observations, parzenEstimator, sampleParzen } from "./parzen.ts";
import { quasiRandomSampler } from "./quasi_random.ts";
import { randomSampler } from "./random.ts";
import type { Sampler } from "./sampler.ts";
import { jointSpaces } from "./search_space_groups.ts";
import { isLearnt, type Split, splitTrials } from "./split.ts";
import { createTrialTable, insertSorted, type TrialTable } from "./trial_table.ts";

/** Options of TPE; Optuna's names in camelCase. */
export interface TpeOptions {
  readonly seed: number;
  /** Completed and pruned trials before which parameters are drawn at random. 10 if not given. */
  readonly nStartupTrials?: number;
  /** Points drawn from the good side, of which the best is taken. 24 if not given. */
  readonly nEiCandidates?: number;
  /** Draw parameters together. If not given: with one objective yes, with several no. */
  readonly multivariate?: boolean;
  /** Draw together what always comes together: for conditional spaces. Off if not given. */
  readonly group?: boolean;
  /** Count running trials as bad ones, so that the next one keeps away from them. On if not given. */
  readonly constantLiar?: boolean;
  /** How the first trials are drawn. At random if not given. */
  readonly startup?: "random" | "quasi_random";
}

/** Optuna's note of what a running trial was given jointly, in pieces. */
const RELATIVE_PARAMS = "tpe:relative_params";

/** A trial's parameters; of a running one also those that it will have once it asks for them. */
function paramsOf(trial: FrozenTrial): Params {
  if (trial.state !== "RUNNING") return trial.params;
  let json = "";
  for (let i = 0;; i++) {
    const piece = trial.systemAttributes[`${RELATIVE_PARAMS}:${i}`];
    if (typeof piece !== "string") break;
    json += piece;
  }
  try {
    return json === "" ? trial.params : { ...JSON.parse(json), ...trial.params };
  } catch {
    return trial.params; // a process ended between two pieces
  }
}

/** What trials that have all of a space's parameters had there, oldest first; one entry per parameter. */
export function observe(space: SearchSpace, trials: readonly FrozenTrial[], table: TrialTable): Observations[] {
  const names = Object.keys(space);
  const columns = names.map((name) => table.column(name, space[name]!));
  const known = new Map<FrozenTrial, number[]>(); // of running trials
  const members = trials.filter((trial) => {
    if (isLearnt(trial)) return columns.every(({ values }) => !Number.isNaN(values[trial.number]));
    const params = paramsOf(trial);
    const positions = names.map((name) => positionOf(space[name]!, params[name]));
    known.set(trial, positions);
    return !positions.some(Number.isNaN);
  });
  const indexOf = new Int32Array(columns[0]!.values.length).fill(-1); // by number, of finished trials
  members.forEach((trial, i) => {
    if (!known.has(trial)) indexOf[trial.number] = i;
  });
  const running = members.flatMap((trial, i) => known.has(trial) ? [i] : []);
  return names.map((name, d) => {
    const { values: column, order: sorted, count } = columns[d]!;
    const axis = axisOf(space[name]!);
    const values = new Float64Array(members.length);
    for (let i = 0; i < values.length; i++) values[i] = column[members[i]!.number]!;
    for (const at of running) values[at] = known.get(members[at]!)![d]!;
    const order = new Int32Array(axis.kind === "numerical" ? members.length : 0);
    if (members.length < 64) {
      for (let i = 0; i < order.length; i++) order[i] = i;
      order.sort((a, b) => values[a]! - values[b]! || a - b);
    } else if (axis.kind === "numerical") {
      let placed = 0;
      for (let i = 0; i < count; i++) {
        const at = indexOf[sorted[i]!]!;
        if (at >= 0) order[placed++] = at;
      }
      for (const at of running) insertSorted(order, placed++, at, values);
    }
    return { axis, values, order };
  });
}

/** Draws the parameters of a space together. */
function draw(
  space: SearchSpace,
  { below, above }: Split,
  table: TrialTable,
  stream: RandomStream,
  candidates: number,
  objectives: number,
): Params {
  const good = observe(space, below, table);
  // With several objectives the good trials are as good as one another, and none of them fades.
  const l = parzenEstimator(good, objectives === 1 ? undefined : new Float64Array(good[0]!.values.length).fill(1));
  const g = parzenEstimator(observe(space, above, table));
  const samples = sampleParzen(l, stream, candidates);
  const inGood = logDensity(l, samples), inOthers = logDensity(g, samples);
  let best = 0, highest = -Infinity;
  for (let c = 0; c < candidates; c++) {
    const score = inGood[c]! - inOthers[c]!;
    if (score > highest) [best, highest] = [c, score];
  }
  return Object.fromEntries(Object.keys(space).map((name, d) => [name, valueNear(space[name]!, samples[d]![best]!)]));
}

/**
 * The tree-structured Parzen estimator. Before `nStartupTrials` have completed or been pruned it draws at random.
 *
 * A draw depends on the options, the history and the trial's number alone; what it keeps of finished trials between two
 * draws changes how long a draw takes, and nothing else.
 *
 * @throws an input error for an option out of its range, or for `group` without `multivariate`.
 */
export function tpeSampler(options: TpeOptions): Sampler {
  const { seed, nStartupTrials = 10, nEiCandidates = 24, group = false, constantLiar = true } = options;
  const atLeast = (name: string, value: number, least: number) => {
    if (Number.isSafeInteger(value) && value >= least) return;
    throw inputError(
      `the TPE sampler's ${name} is ${value}, expected an integer of at least ${least}`,
      "Correct the sampler's options.",
    );
  };
  atLeast("nStartupTrials", nStartupTrials, 0);
  atLeast("nEiCandidates", nEiCandidates, 1);
  if (group && options.multivariate === false) {
    throw inputError("the TPE sampler has group without multivariate", "Leave one of the two options out.");
  }
  const startup = options.startup === "quasi_random" ? quasiRandomSampler({ seed }) : randomSampler({ seed });
  const table = createTrialTable();
  const spacesOf = jointSpaces(group);

  /** The table holds the history after this; null while there are too few trials to learn from. */
  const learn = (history: StudyHistory, trialNumber: number): Split | null => {
    let learnt = 0;
    for (const trial of history.trials) if (isLearnt(trial)) learnt++;
    if (learnt < nStartupTrials) return null;
    table.update(history.trials);
    return splitTrials(history, trialNumber, constantLiar, table);
  };
  const drawFrom = (space: SearchSpace, split: Split, { directions }: StudyHistory, trialNumber: number): Params => {
    const stream = randomStream(seed, "tpe", trialNumber, ...Object.keys(space));
    return draw(space, split, table, stream, nEiCandidates, directions.length);
  };

  return {
    sampleRelative: (history, trialNumber) => {
      const multivariate = options.multivariate ?? (group || history.directions.length === 1);
      const split = multivariate ? learn(history, trialNumber) : null;
      if (split === null) return { space: {}, params: {} };
      const space: SearchSpace = {}, params: Params = {};
      for (const found of spacesOf(history, table)) {
        const joint = Object.fromEntries(Object.entries(found).filter(([, distribution]) => !isSingle(distribution)));
        if (Object.keys(joint).length === 0) continue;
        Object.assign(space, joint);
        Object.assign(params, drawFrom(joint, split, history, trialNumber));
      }
      return { space, params };
    },
    sampleIndependent: (history, trialNumber, name, distribution) => {
      const split = isSingle(distribution) ? null : learn(history, trialNumber);
      if (split === null) return startup.sampleIndependent(history, trialNumber, name, distribution);
      return drawFrom({ [name]: distribution }, split, history, trialNumber)[name]!;
    },
  };
}
