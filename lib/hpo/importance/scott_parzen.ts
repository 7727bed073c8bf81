/**
 * One parameter's density on a grid, as PED-ANOVA compares densities: a Parzen estimator with bandwidths by Scott's rule
 * (D. W. Scott, "Multivariate Density Estimation", 1992) and a broad prior. All details are those of Optuna's
 * `scott_parzen_estimator.py`, so that importances are equal to its own.
 */
import { positionOf } from "../samplers/axis.ts";
import { logGaussMass } from "../samplers/truncated_normal.ts";
import type { Category, Distribution } from "../space.ts";

/** Grid points of a continuous parameter. */
const MAX_STEPS = 50;
/** 1.64 standard deviations of the narrowest kernel fill half a grid step. */
const MIN_SIGMA = 0.5 / 1.64;

/** How many grid points a distribution has. */
function gridSize(distribution: Distribution): number {
  if (distribution.type === "categorical") return distribution.choices.length;
  const { type, low, high, log, step } = distribution;
  if (type === "int" && log) return Math.min(Math.ceil(Math.log(high - low + 1) / Math.log(2)) + 1, MAX_STEPS);
  const width = step ?? (type === "int" ? 1 : null);
  return width === null ? MAX_STEPS : Math.min(Math.round((high - low) / width) + 1, MAX_STEPS);
}

/** How many values fall to each grid point; the middle between two falls to the lower one. */
function countOnGrid(distribution: Distribution, values: readonly Category[]): Float64Array {
  const size = gridSize(distribution);
  const counts = new Float64Array(size);
  for (const value of values) {
    const position = positionOf(distribution, value);
    if (distribution.type === "categorical") {
      counts[position]! += 1;
      continue;
    }
    const low = positionOf(distribution, distribution.low), high = positionOf(distribution, distribution.high);
    const index = Math.ceil((position - low) / ((high - low) / (size - 1)) - 0.5);
    counts[Math.min(Math.max(index, 0), size - 1)]! += 1;
  }
  return counts;
}

/**
 * The probability of each grid point of a distribution with more than one value.
 *
 * @param values what was observed, at least one
 * @returns as many probabilities as there are choices, or grid points along a number; their sum is 1
 */
export function gridDensity(distribution: Distribution, values: readonly Category[]): Float64Array {
  const counts = countOnGrid(distribution, values);
  const density = distribution.type === "categorical" ? categoricalDensity(counts) : numericalDensity(counts);
  const total = values.length + 1; // the prior counts as one observation
  return density.map((sum) => sum / total);
}

/** Sums of kernels: a category that was seen has one that is 1/K everywhere and 1 more at itself. */
function categoricalDensity(counts: Float64Array): Float64Array {
  const share = 1 / (counts.filter((count) => count > 0).length + 1);
  const sum = share * counts.length + 1;
  const observed = counts.reduce((total, count) => total + count, 0);
  return counts.map((count) => (observed * share + count) / sum + 1 / counts.length);
}

/** Sums of truncated normal kernels around the grid points that were seen, and the prior's over the whole grid. */
function numericalDensity(counts: Float64Array): Float64Array {
  const size = counts.length;
  const seen = Array.from(counts.keys()).filter((index) => counts[index]! > 0);
  const sigma = scottBandwidth(seen, seen.map((index) => counts[index]!));
  const density = new Float64Array(size);
  const add = (weight: number, mu: number, s: number) => {
    const mass = logGaussMass((-0.5 - mu) / s, (size - 0.5 - mu) / s);
    for (let x = 0; x < size; x++) {
      density[x]! += weight * Math.exp(logGaussMass((x - 0.5 - mu) / s, (x + 0.5 - mu) / s) - mass);
    }
  };
  for (const index of seen) add(counts[index]!, index, sigma);
  add(1, (size - 1) / 2, size);
  return density;
}

/** The kernels' width by Scott's rule from weighted observations in ascending order. */
function scottBandwidth(observations: readonly number[], weights: readonly number[]): number {
  const cumulative: number[] = [];
  let sum = 0;
  for (const weight of weights) cumulative.push(sum += weight);
  const mean = observations.reduce((total, x, i) => total + x * weights[i]!, 0) / sum;
  const squares = observations.reduce((total, x, i) => total + (x - mean) ** 2 * weights[i]!, 0);
  const deviation = Math.sqrt(squares / Math.max(1, sum - 1));
  const quarter = Math.floor(sum / 4), threeQuarters = Math.floor(sum * 3 / 4);
  // The first whose cumulative weight reaches a quarter, and the first that exceeds three.
  const lower = cumulative.findIndex((weight) => weight >= quarter);
  const above = cumulative.findIndex((weight) => weight > threeQuarters);
  const upper = above < 0 ? observations.length - 1 : above;
  const range = observations[upper]! - observations[lower]!;
  return Math.max(1.059 * Math.min(range / 1.34, deviation) * sum ** -0.2, MIN_SIGMA);
}
