/**
 * The normal distribution cut off at both ends, in logarithms, so that intervals far out in a tail keep their digits. The
 * formulas are those of Optuna's `_truncnorm.py`, which has them of SciPy.
 */
import { erfc } from "./error_function.ts";

const LOG_SQRT_2_PI = 0.5 * Math.log(2 * Math.PI);

/** Φ(x), the standard normal distribution function. */
export const ndtr = (x: number): number => 0.5 * erfc(-x * Math.SQRT1_2);

/** ln Φ(x). */
export function logNdtr(x: number): number {
  if (x > 6) return -ndtr(-x);
  if (x > -20) return Math.log(ndtr(x));
  // The asymptotic series of the tail: φ(x)/|x| · (1 − 1/x² + 3/x⁴ − 15/x⁶ + …).
  const inverseSquare = 1 / (x * x);
  let sum = 1, term = 1, last = 0;
  for (let i = 1; Math.abs(last - sum) > Number.EPSILON; i++) {
    last = sum;
    term *= -(2 * i - 1) * inverseSquare;
    sum += term;
  }
  return -0.5 * x * x - Math.log(-x) - LOG_SQRT_2_PI + Math.log(sum);
}

/** ln(exp(p) − exp(q)) for p ≥ q. */
const logDifference = (p: number, q: number): number => p + Math.log1p(-Math.exp(q - p));

/** ln(exp(p) + exp(q)). */
function logSum(p: number, q: number): number {
  const high = Math.max(p, q), low = Math.min(p, q);
  return low === -Infinity ? high : high + Math.log1p(Math.exp(low - high));
}

/** ln(Φ(b) − Φ(a)): the log of the mass between a and b, a ≤ b. */
export function logGaussMass(a: number, b: number): number {
  if (b <= 0) return logDifference(logNdtr(b), logNdtr(a));
  if (a > 0) return logDifference(logNdtr(-a), logNdtr(-b)); // the left tail is the exact one
  return Math.log1p(-ndtr(a) - ndtr(-b));
}

/** The x with ln Φ(x) = y, y ≤ 0, by Newton's method on ln Φ. */
function inverseLogNdtr(y: number): number {
  // Close to 0 the upper tail tells more: Φ(−x) = 1 − exp(y).
  const flipped = y > -1e-2;
  const z = flipped ? Math.log(-Math.expm1(y)) : y;
  let x = z < -5 ? -Math.sqrt(-2 * (z + LOG_SQRT_2_PI)) : -Math.sqrt(3) / Math.PI * Math.log(Math.expm1(-z));
  for (let i = 0; i < 100; i++) {
    const logPhi = logNdtr(x);
    const step = (logPhi - z) * Math.exp(logPhi + 0.5 * x * x + LOG_SQRT_2_PI);
    x -= step;
    if (!(Math.abs(step) >= 1e-8 * Math.abs(x))) break;
  }
  return flipped ? -x : x;
}

/**
 * The quantile `q` in [0, 1] of the standard normal distribution cut off at `a` and `b`, a < b (the percent point function
 * of `scipy.stats.truncnorm`); always within [a, b].
 */
export function truncatedNormalQuantile(q: number, a: number, b: number): number {
  if (q <= 0) return a;
  if (q >= 1) return b;
  const logMass = logGaussMass(a, b);
  const x = a < 0
    ? inverseLogNdtr(logSum(logNdtr(a), Math.log(q) + logMass))
    : -inverseLogNdtr(logSum(logNdtr(-b), Math.log1p(-q) + logMass));
  return Math.min(Math.max(x, a), b);
}
