/**
 * A distribution as TPE computes with it: a parameter's axis in the units of its kernels, which are ln for a logarithmic
 * scale, and the index for a category.
 */
import type { Category, Distribution } from "../space.ts";

/** An axis without an order: indices from 0 to `choices` − 1. */
export interface CategoricalAxis {
  readonly kind: "categorical";
  readonly choices: number;
}

/** An axis of numbers. */
export interface NumericalAxis {
  readonly kind: "numerical";
  readonly log: boolean;
  /** Distance of the values, or 0 where every real number is one. */
  readonly step: number;
  readonly low: number;
  readonly high: number;
  /** The kernels' bounds: half a step wider than the values, and in ln for a logarithmic scale. */
  readonly from: number;
  readonly to: number;
}

/** An axis of a joint distribution. */
export type Axis = CategoricalAxis | NumericalAxis;

/** The axis of a distribution. */
export function axisOf(distribution: Distribution): Axis {
  if (distribution.type === "categorical") return { kind: "categorical", choices: distribution.choices.length };
  const { type, low, high } = distribution;
  const log = distribution.log ?? false;
  const step = type === "int" ? (log ? 1 : distribution.step ?? 1) : distribution.step ?? 0;
  const from = low - step / 2, to = high + step / 2;
  return { kind: "numerical", log, step, low, high, from: log ? Math.log(from) : from, to: log ? Math.log(to) : to };
}

/** Whether a distribution has one value only: nothing is to be drawn. */
export function isSingle(distribution: Distribution): boolean {
  if (distribution.type === "categorical") return distribution.choices.length === 1;
  const { type, low, high, log } = distribution;
  const step = type === "int" ? (log ? 1 : distribution.step ?? 1) : distribution.step ?? 0;
  return low === high || high - low < step * (1 - 1e-9);
}

/** The position of a value on the axis of its distribution; NaN where the distribution has no such value. */
export function positionOf(distribution: Distribution, value: unknown): number {
  if (distribution.type === "categorical") {
    const index = (distribution.choices as readonly unknown[]).indexOf(value);
    return index < 0 ? NaN : index;
  }
  if (typeof value !== "number") return NaN;
  return distribution.log ? Math.log(value) : value; // the ln of a number below 0 is NaN
}

/** The parameter at a value in Optuna's internal representation, moved to the nearest one that the distribution has. */
export function valueNear(distribution: Distribution, internal: number): Category {
  if (distribution.type === "categorical") return distribution.choices[internal]!;
  const { type, low, high } = distribution;
  const step = type === "int" ? distribution.log ? 1 : distribution.step ?? 1 : distribution.step ?? 0;
  const clip = (x: number) => Math.min(Math.max(x, low), high);
  if (step === 0) return clip(internal);
  const last = Math.floor((high - low) / step + 1e-9);
  const index = Math.min(Math.max(Math.round((internal - low) / step), 0), last);
  const value = low + index * step;
  // To 15 digits, so that 0.1 + 2 × 0.1 is 0.3.
  return type === "int" ? value : clip(Number(value.toPrecision(15)));
}

/** A distribution in one string: equal for equal distributions and for no others. */
export function signatureOf(distribution: Distribution): string {
  if (distribution.type === "categorical") return JSON.stringify(distribution.choices);
  const { type, low, high, log } = distribution;
  return `${type} ${low} ${high} ${log ? "log" : distribution.step ?? (type === "int" ? 1 : 0)}`;
}

/** Like `signatureOf`, but for what `positionOf` depends on alone, so that a changed range is no other axis. */
export function unitsOf(distribution: Distribution): string {
  if (distribution.type === "categorical") return JSON.stringify(distribution.choices);
  return distribution.log ? "log" : "linear";
}
