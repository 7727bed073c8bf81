/** Grid search: every combination of given values once. */
import { inputError } from "../../support/errors.ts";
import { randomStream } from "../../support/rng.ts";
import { type Category, contains, type Distribution, type SearchSpace, spaceSize } from "../space.ts";
import type { FrozenTrial, StudyHistory } from "../trial.ts";
import { axisOf, valueNear } from "./axis.ts";
import type { Sampler } from "./sampler.ts";

/** The values of each parameter. */
export type Grid = Readonly<Record<string, readonly Category[]>>;

/** Options of the grid sampler. */
export interface GridOptions {
  readonly seed: number;
  readonly grid: Grid;
}

/** The largest grid: a trial takes seconds at the least, and the order of all combinations is kept in memory. */
export const LARGEST_GRID = 100_000;

/**
 * The grid of all values of a space.
 *
 * @throws an input error for a space with a parameter that takes every real number of a range, or with too many values.
 */
export function gridOf(space: SearchSpace): Grid {
  const { combinations, continuous } = spaceSize(space);
  if (continuous.length > 0) {
    throw inputError(
      `a grid has no values for ${continuous.join(", ")}: every real number of a range is allowed there`,
      "Give each of them a step or choices, or take another sampler.",
    );
  }
  checkSize(combinations);
  return Object.fromEntries(Object.entries(space).map(([name, distribution]) => [name, valuesOf(distribution)]));
}

function valuesOf(distribution: Distribution): readonly Category[] {
  const axis = axisOf(distribution);
  if (distribution.type === "categorical" || axis.kind === "categorical") {
    return distribution.type === "categorical" ? distribution.choices : [];
  }
  const count = Math.floor((axis.high - axis.low) / axis.step + 1e-9) + 1;
  return Array.from({ length: count }, (_, i) => valueNear(distribution, axis.low + i * axis.step));
}

function checkSize(combinations: bigint): void {
  if (combinations <= LARGEST_GRID) return;
  throw inputError(
    `the grid has ${combinations} combinations, ${LARGEST_GRID} is the most`,
    "Leave parameters or values out, or take another sampler.",
  );
}

/**
 * A sampler that goes through all combinations once, in an order by the seed. Which are done it tells from the parameters of
 * the history's trials, so that it goes on after a kill, and trials of other samplers count too. A completed or pruned trial
 * stands for all combinations that differ from it only in what it never asked for (in a conditional space); one that
 * failed or is running stands for a single one.
 *
 * @throws an input error for a grid that is empty or too large, and while drawing for a parameter or value that does not fit
 * the grid, or when all combinations are done (`exhausted` tells before).
 */
export function gridSampler({ seed, grid }: GridOptions): Sampler {
  const names = Object.keys(grid).sort();
  const choices = names.map((name) => grid[name]!);
  names.forEach((name, i) => {
    const values = choices[i]!;
    if (values.length > 0 && new Set(values).size === values.length) return;
    throw inputError(
      `the grid's values of ${name} are ${JSON.stringify(values)}, expected one or more distinct ones`,
      "Correct the grid.",
    );
  });
  if (names.length === 0) {
    throw inputError("the grid has no parameters", "Give at least one parameter with its values.");
  }
  checkSize(choices.reduce((product, values) => product * BigInt(values.length), 1n));
  const total = choices.reduce((product, values) => product * values.length, 1);
  const order = randomStream(seed, "grid order").shuffle(Array.from({ length: total }, (_, i) => i));

  /** The digits of combination `code`: an index per parameter, the last one running fastest. */
  const digitsOf = (code: number): number[] => {
    const digits = new Array<number>(names.length);
    for (let i = names.length - 1; i >= 0; i--) {
      digits[i] = code % choices[i]!.length;
      code = Math.floor(code / choices[i]!.length);
    }
    return digits;
  };
  /** What a trial has of the grid: an index, −1 for what it has not asked for; null if it has no part in the grid. */
  const digits = new WeakMap<FrozenTrial, number[] | null>();
  const readDigits = ({ params }: FrozenTrial): number[] | null => {
    const found = names.map((name, i) => Object.hasOwn(params, name) ? choices[i]!.indexOf(params[name]!) : -1);
    const foreign = names.some((name, i) => Object.hasOwn(params, name) && found[i] === -1);
    return foreign || found.every((digit) => digit === -1) ? null : found;
  };
  const digitsIn = (trial: FrozenTrial) => {
    if (trial.state === "RUNNING" || trial.state === "WAITING") return readDigits(trial);
    let found = digits.get(trial);
    if (found === undefined) digits.set(trial, found = readDigits(trial));
    return found;
  };
  const agree = (combination: readonly number[], part: readonly number[]) =>
    part.every((digit, i) => digit === -1 || digit === combination[i]);

  /** The first combination in order that is not done and agrees with `own`; −1 if there is none. */
  const next = (history: StudyHistory, except: number | null, own: readonly number[] | null): number => {
    const done = new Set<number>();
    const patterns = new Map<string, number[]>(), single: number[][] = [];
    for (const trial of history.trials) {
      if (trial.number === except || trial.state === "WAITING") continue;
      const part = digitsIn(trial);
      if (part === null) continue;
      const whole = !part.includes(-1);
      if (whole) done.add(part.reduce((code, digit, i) => code * choices[i]!.length + digit, 0));
      else if (trial.state === "COMPLETE" || trial.state === "PRUNED") patterns.set(part.join(), part);
      else single.push(part);
    }
    const parts = [...patterns.values()];
    for (const code of order) {
      if (done.has(code)) continue;
      const combination = digitsOf(code);
      if (parts.some((part) => agree(combination, part))) continue;
      const taken = single.findIndex((part) => agree(combination, part));
      if (taken >= 0) single.splice(taken, 1);
      else if (own === null || agree(combination, own)) return code;
    }
    return -1;
  };

  return {
    sampleRelative: () => ({ space: {}, params: {} }),
    sampleIndependent: (history, trialNumber, name, distribution) => {
      const at = names.indexOf(name);
      if (at < 0) {
        throw inputError(
          `the grid has no parameter ${name}; it has ${names.join(", ")}`,
          `Give the grid the values of ${name}.`,
        );
      }
      // What this trial has asked for before keeps it on its combination while others end.
      const self = history.trials.find(({ number }) => number === trialNumber);
      const code = next(history, trialNumber, self ? readDigits(self) : null);
      if (code < 0) {
        throw inputError(
          `all ${total} combinations of the grid are done`,
          "Ask for fewer trials, or enlarge the grid.",
        );
      }
      const value = choices[at]![digitsOf(code)[at]!]!;
      if (!contains(distribution, value)) {
        throw inputError(
          `the grid's value ${JSON.stringify(value)} of ${name} is not one of ${JSON.stringify(distribution)}`,
          "Correct the grid or the search space.",
        );
      }
      return value;
    },
    exhausted: (history) => next(history, null, null) < 0,
  };
}
