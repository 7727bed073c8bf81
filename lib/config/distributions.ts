/** What the distributions of a search space hold; the names and meanings are Optuna's. */
import type { Scalar } from "./conditions.ts";

/** A distribution as far as its values go. */
type Values =
  | { readonly type: "categorical"; readonly choices: readonly Scalar[] }
  | {
    readonly type: "float" | "int";
    readonly low: number;
    readonly high: number;
    readonly log?: boolean | undefined;
    readonly step?: number | null | undefined;
  };

/** The step of a grid: 1 for integers without one and on a logarithmic scale; null where every real number is allowed. */
export function gridStep({ type, log, step }: Exclude<Values, { type: "categorical" }>): number | null {
  return log && type === "int" ? 1 : step ?? (type === "int" ? 1 : null);
}

/** Whether a distribution can yield this value (grid points to within 1e-8 of a step, as in Optuna). */
export function contains(distribution: Values, value: unknown): value is Scalar {
  if (distribution.type === "categorical") return (distribution.choices as unknown[]).includes(value);
  if (typeof value !== "number" || !(value >= distribution.low && value <= distribution.high)) return false;
  const step = gridStep(distribution);
  if (step === null) return true;
  const steps = (value - distribution.low) / step;
  return Math.abs(steps - Math.round(steps)) < 1e-8;
}

/** What a distribution allows, in words that follow "to be". */
export function describeValues(distribution: Values): string {
  if (distribution.type === "categorical") return `one of ${distribution.choices.join(", ")}`;
  const { type, low, high } = distribution;
  const step = gridStep(distribution);
  const grid = step === null || (type === "int" && step === 1) ? "" : ` in steps of ${step}`;
  return `${type === "int" ? "an integer" : "a number"} from ${low} to ${high}${grid}`;
}
