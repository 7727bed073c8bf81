/**
 * The Parzen estimator of TPE: a mixture of one product of kernels per observation, and one broad prior (J. Bergstra et
 * al., "Algorithms for hyper-parameter optimization", NeurIPS 2011; joint kernels and widths as in Optuna 5, S. Watanabe,
 * "Tree-structured Parzen estimator", 2023).
 *
 * It is written for speed: plain loops over typed arrays, and nothing is allocated per candidate.
 */
import type { RandomStream } from "../../support/rng.ts";
import type { Axis, CategoricalAxis, NumericalAxis } from "./axis.ts";
import { logGaussMass, truncatedNormalQuantile } from "./truncated_normal.ts";

const LOG_SQRT_2_PI = 0.5 * Math.log(2 * Math.PI);

/** What was observed along one axis, oldest first, in the axis's units. */
export interface Observations {
  readonly axis: Axis;
  readonly values: Float64Array;
  /** The indices of `values`, ascending by value. Not needed for categories. */
  readonly order: Int32Array;
}

/** Truncated normal kernels, the prior last. */
interface NumericalKernels {
  readonly axis: NumericalAxis;
  readonly mu: Float64Array;
  readonly sigma: Float64Array;
  /** What the log density has besides −z²/2, or besides the log mass of a step. */
  readonly constant: Float64Array;
  /** For an axis with steps: the first kernel with the same mu and sigma, whose masses are this one's too. */
  readonly twin: Int32Array | null;
}

/** Kernels over categories, the prior last: three log probabilities say all. */
interface CategoricalKernels {
  readonly axis: CategoricalAxis;
  readonly observed: Float64Array;
  readonly hit: number;
  readonly miss: number;
}

/** A mixture of products of kernels. */
export interface ParzenEstimator {
  /** Mixture weights, of sum 1: one per observation, oldest first, and the prior's. */
  readonly weights: Float64Array;
  readonly dimensions: readonly (NumericalKernels | CategoricalKernels)[];
}

/** Optuna's weights of n observations, oldest first: all but the latest 25 fade linearly. */
export function ageWeights(n: number): Float64Array {
  const weights = new Float64Array(n).fill(1);
  const ramp = n - 25;
  for (let i = 0; i < ramp; i++) weights[i] = ramp === 1 ? 1 / n : 1 / n + i * ((1 - 1 / n) / (ramp - 1));
  return weights;
}

/**
 * The estimator of joint observations.
 *
 * @param observations one per axis, of the same trials
 * @param weights one per observation before normalisation; by age if not given
 */
export function parzenEstimator(
  observations: readonly Observations[],
  weights = ageWeights(observations[0]?.values.length ?? 0),
): ParzenEstimator {
  const count = weights.length;
  const mixture = new Float64Array(count + 1);
  mixture.set(weights);
  mixture[count] = 1;
  let sum = 0;
  for (const weight of mixture) sum += weight;
  for (let k = 0; k <= count; k++) mixture[k]! /= sum;
  const dimensions = observations.map(({ axis, values, order }) =>
    axis.kind === "categorical" ? categoricalKernels(axis, values) : numericalKernels(axis, values, order)
  );
  return { weights: mixture, dimensions };
}

function categoricalKernels(axis: CategoricalAxis, observed: Float64Array): CategoricalKernels {
  // A row is 1/K everywhere and 1 more at what was observed, then divided by its sum.
  const share = 1 / (observed.length + 1);
  const sum = share * axis.choices + 1;
  return { axis, observed, hit: Math.log((share + 1) / sum), miss: Math.log(share / sum) };
}

/** A kernel is as wide as the distance to its farther neighbour, or to the bound where it has one neighbour and no other. */
function numericalKernels(axis: NumericalAxis, values: Float64Array, order: Int32Array): NumericalKernels {
  const count = values.length;
  const { from, to, step } = axis;
  const range = to - from;
  const narrowest = range / Math.min(100, count + 2);
  const mu = new Float64Array(count + 1), sigma = new Float64Array(count + 1), constant = new Float64Array(count + 1);
  const twin = step === 0 ? null : new Int32Array(count + 1);
  mu.set(values);
  mu[count] = 0.5 * (from + to);
  sigma[count] = range;
  if (twin) twin[count] = count;
  let previous = -1;
  for (let i = 0; i < count; i++) {
    const k = order[i]!;
    const x = values[k]!;
    const left = i > 0 ? x - values[order[i - 1]!]! : count > 1 ? -Infinity : x - from;
    const right = i < count - 1 ? values[order[i + 1]!]! - x : count > 1 ? -Infinity : to - x;
    sigma[k] = Math.min(Math.max(left, right, narrowest), range);
    if (twin) {
      const same = previous >= 0 && mu[previous] === x && sigma[previous] === sigma[k];
      twin[k] = same ? twin[previous]! : k;
      previous = k;
    }
  }
  for (let k = 0; k <= count; k++) {
    if (twin !== null && twin[k] !== k) continue;
    const s = sigma[k]!;
    constant[k] = -logGaussMass((from - mu[k]!) / s, (to - mu[k]!) / s);
    if (twin === null) constant[k]! -= Math.log(s) + LOG_SQRT_2_PI;
  }
  if (twin) { for (let k = 0; k <= count; k++) constant[k] = constant[twin[k]!]!; }
  return { axis, mu, sigma, constant, twin };
}

/**
 * Draws from the mixture.
 *
 * @returns per axis, `count` values in Optuna's internal representation (numbers themselves, indices of categories)
 */
export function sampleParzen(estimator: ParzenEstimator, stream: RandomStream, count: number): Float64Array[] {
  const { weights, dimensions } = estimator;
  const samples = dimensions.map(() => new Float64Array(count));
  for (let c = 0; c < count; c++) {
    let k = 0;
    for (let left = stream.uniform() - weights[0]!; left >= 0 && k < weights.length - 1; left -= weights[k]!) k++;
    for (let d = 0; d < dimensions.length; d++) {
      const kernels = dimensions[d]!;
      const u = stream.uniform();
      samples[d]![c] = "observed" in kernels ? drawCategory(kernels, k, u) : drawNumber(kernels, k, u);
    }
  }
  return samples;
}

function drawCategory({ axis, observed, hit, miss }: CategoricalKernels, k: number, u: number): number {
  if (k === observed.length) return Math.min(Math.floor(u * axis.choices), axis.choices - 1);
  let left = u;
  for (let i = 0; i < axis.choices - 1; i++) {
    left -= Math.exp(i === observed[k] ? hit : miss);
    if (left < 0) return i;
  }
  return axis.choices - 1;
}

function drawNumber({ axis, mu, sigma }: NumericalKernels, k: number, u: number): number {
  const { from, to, log, step, low, high } = axis;
  const m = mu[k]!, s = sigma[k]!;
  let x = truncatedNormalQuantile(u, (from - m) / s, (to - m) / s) * s + m;
  if (log) x = Math.exp(x);
  if (step !== 0) x = low + Math.round((x - low) / step) * step;
  return Math.min(Math.max(x, low), high);
}

/**
 * The log density of the mixture at points in Optuna's internal representation, [axis][point]. On an axis with steps it is
 * the log mass of the step. On a logarithmic one it is the density over ln x.
 */
export function logDensity(estimator: ParzenEstimator, points: readonly Float64Array[]): Float64Array {
  const { weights, dimensions } = estimator;
  const kernels = weights.length;
  const count = points[0]?.length ?? 0;
  const logWeights = Float64Array.from(weights, Math.log);
  const sums = new Float64Array(count * kernels);
  for (let c = 0; c < count; c++) sums.set(logWeights, c * kernels);
  dimensions.forEach((dimension, d) => {
    if ("observed" in dimension) addCategories(dimension, points[d]!, sums, kernels);
    else if (dimension.twin === null) addDensities(dimension, points[d]!, sums, kernels);
    else addMasses(dimension, dimension.twin, points[d]!, sums, kernels);
  });
  const densities = new Float64Array(count);
  for (let c = 0; c < count; c++) densities[c] = logSumExp(sums, c * kernels, (c + 1) * kernels);
  return densities;
}

function addCategories(dimension: CategoricalKernels, x: Float64Array, sums: Float64Array, kernels: number): void {
  const { observed, hit, miss, axis } = dimension;
  const prior = -Math.log(axis.choices);
  for (let c = 0; c < x.length; c++) {
    const at = c * kernels, category = x[c]!;
    for (let k = 0; k < kernels - 1; k++) sums[at + k]! += observed[k] === category ? hit : miss;
    sums[at + kernels - 1]! += prior;
  }
}

function addDensities(dimension: NumericalKernels, x: Float64Array, sums: Float64Array, kernels: number): void {
  const { mu, sigma, constant, axis } = dimension;
  for (let c = 0; c < x.length; c++) {
    const at = c * kernels;
    const position = axis.log ? Math.log(x[c]!) : x[c]!;
    const outside = position < axis.from || position > axis.to;
    for (let k = 0; k < kernels; k++) {
      const z = (position - mu[k]!) / sigma[k]!;
      sums[at + k]! += outside ? -Infinity : constant[k]! - 0.5 * z * z;
    }
  }
}

function addMasses(
  { mu, sigma, constant, axis }: NumericalKernels,
  twin: Int32Array,
  x: Float64Array,
  sums: Float64Array,
  kernels: number,
): void {
  const half = axis.step / 2;
  const masses = new Float64Array(kernels);
  for (let c = 0; c < x.length; c++) {
    const first = x.indexOf(x[c]!);
    if (first < c) continue; // added along with its first occurrence
    const left = axis.log ? Math.log(x[c]! - half) : x[c]! - half;
    const right = axis.log ? Math.log(x[c]! + half) : x[c]! + half;
    for (let k = 0; k < kernels; k++) {
      if (twin[k] === k) {
        masses[k] = constant[k]! + logGaussMass((left - mu[k]!) / sigma[k]!, (right - mu[k]!) / sigma[k]!);
      }
    }
    for (let same = c; same < x.length; same++) {
      if (x[same] !== x[c]) continue;
      const at = same * kernels;
      for (let k = 0; k < kernels; k++) sums[at + k]! += masses[twin[k]!]!;
    }
  }
}

function logSumExp(values: Float64Array, from: number, to: number): number {
  let largest = -Infinity;
  for (let i = from; i < to; i++) if (values[i]! > largest) largest = values[i]!;
  if (largest === -Infinity) return -Infinity;
  let sum = 0;
  // Terms below 1e-20 of the largest do not show in the sum.
  for (let i = from; i < to; i++) if (values[i]! > largest - 46) sum += Math.exp(values[i]! - largest);
  return Math.log(sum) + largest;
}
