/**
 * Search spaces: what values a parameter may take, how a number in [0, 1) becomes one, and how Optuna writes both down.
 *
 * The three distributions are Optuna's: its database holds their JSON, and each value as a float ("internal
 * representation": a number as it is, a category as its index).
 */
import { contains, gridStep } from "../config/distributions.ts";
import { inputError } from "../support/errors.ts";
import { parseAttribute, writeAttribute } from "./optuna_values.ts";

export { contains };

/** What a category may be. */
export type Category = string | number | boolean | null;

/** Real numbers from `low` to `high`, both included; on a logarithmic scale, or in steps from `low`. */
export interface FloatDistribution {
  type: "float";
  low: number;
  high: number;
  log?: boolean | undefined;
  step?: number | null | undefined;
}

/** Integers from `low` to `high`, both included; on a logarithmic scale, or in steps from `low` (1 if not given). */
export interface IntDistribution {
  type: "int";
  low: number;
  high: number;
  log?: boolean | undefined;
  step?: number | null | undefined;
}

/** One of several values without an order. */
export interface CategoricalDistribution {
  type: "categorical";
  choices: readonly Category[];
}

/** The values that one parameter may take. */
export type Distribution = FloatDistribution | IntDistribution | CategoricalDistribution;

/** Parameters by name: the keys of the configuration that a trial overrides, such as "training.learning_rate". */
export type SearchSpace = Record<string, Distribution>;

/** One trial's values by parameter name. */
export type Params = Record<string, Category>;

/**
 * The space with each distribution checked, and `high` moved down to the last step, as Optuna does.
 *
 * @throws an input error that names the parameter, what was found and what is allowed.
 */
export function checkSpace(space: SearchSpace): SearchSpace {
  return Object.fromEntries(
    Object.entries(space).map((
      [name, distribution],
    ) => [name, checkDistribution(`search_space.${name}`, distribution)]),
  );
}

/**
 * A distribution, checked, with `high` moved down to the last step.
 *
 * @param where What the message begins with.
 * @throws an input error that says what was found and what is allowed.
 */
export function checkDistribution(
  where: string,
  distribution: Distribution,
  remedy = "Correct the search space in the configuration.",
): Distribution {
  const refuse = (expected: string) =>
    inputError(`${where}: expected ${expected} but found ${JSON.stringify(distribution)}`, remedy);
  if (distribution.type === "categorical") {
    const { choices } = distribution;
    if (choices.length === 0) throw refuse("at least one choice");
    if (new Set(choices).size < choices.length) throw refuse("distinct choices");
    if (choices.some((choice) => typeof choice === "number" && !Number.isFinite(choice))) {
      throw refuse("finite choices");
    }
    return distribution;
  }
  const { type, low, high, log, step } = distribution;
  const isNumber = type === "int" ? Number.isSafeInteger : Number.isFinite;
  if (!isNumber(low) || !isNumber(high) || low > high) throw refuse("numbers low <= high");
  if (log && low <= 0) throw refuse("low above 0 for a logarithmic scale");
  if (log && typeof step === "number" && !(type === "int" && step === 1)) {
    throw refuse("no step on a logarithmic scale");
  }
  if (typeof step !== "number") return distribution;
  if (!isNumber(step) || step <= 0) throw refuse("a step above 0");
  return { ...distribution, high: atStep(low, step, Math.floor((high - low) / step + 1e-9)) };
}

/** low + index × step, to 15 digits, so that 0.1 + 2 × 0.1 is 0.3. */
const atStep = (low: number, step: number, index: number) => Number((low + index * step).toPrecision(15));

/**
 * The value at position `u` in [0, 1) of a distribution: each category or grid point has an equal share; a logarithmic
 * scale is even in ln; integers on a logarithmic scale have the share of [k - ½, k + ½), as in Optuna's random sampler.
 */
export function valueAt(distribution: Distribution, u: number): Category {
  if (distribution.type === "categorical") {
    return distribution.choices[Math.floor(u * distribution.choices.length)]!;
  }
  const { type, low, high, log } = distribution;
  const clip = (value: number) => Math.min(Math.max(value, low), high);
  if (log) {
    const half = type === "int" ? 0.5 : 0;
    const [from, to] = [Math.log(low - half), Math.log(high + half)];
    const value = Math.exp(from + u * (to - from));
    return clip(type === "int" ? Math.round(value) : value);
  }
  const step = gridStep(distribution);
  if (step === null) return clip(low + u * (high - low));
  const points = Math.floor((high - low) / step + 1e-9) + 1;
  return atStep(low, step, Math.floor(u * points));
}

/** How many values a distribution has; Infinity where every real number of a range is one. */
export function valueCount(distribution: Distribution): number {
  if (distribution.type === "categorical") return distribution.choices.length;
  const step = gridStep(distribution);
  return step === null ? Infinity : Math.floor((distribution.high - distribution.low) / step + 1e-9) + 1;
}

/**
 * How large a space is whose parameters are all drawn: the combinations of its choices and grid points, and the names of
 * the axes beside them, along which every real number of a range is a value.
 */
export function spaceSize(space: SearchSpace): { combinations: bigint; continuous: string[] } {
  const counts = Object.entries(space).map(([name, distribution]) => ({ name, count: valueCount(distribution) }));
  return {
    combinations: counts.reduce((product, { count }) => count === Infinity ? product : product * BigInt(count), 1n),
    continuous: counts.filter(({ count }) => count === Infinity).map(({ name }) => name),
  };
}

/**
 * Whether Optuna can write a value down as one of a distribution: one of the choices, or a number of the kind. It may lie
 * outside the range, as an enqueued trial's may.
 */
export function isRepresentable(distribution: Distribution, value: Category): boolean {
  if (distribution.type === "categorical") return distribution.choices.some((choice) => isSame(choice, value));
  return distribution.type === "int" ? Number.isSafeInteger(value) : Number.isFinite(value);
}

/** Equality of categories: NaN, which Optuna's choices may hold, is itself. */
const isSame = (a: Category | undefined, b: Category | undefined): boolean => a === b || Object.is(a, b);

/**
 * Optuna's internal representation of a value: the number itself, or the index of the category.
 *
 * @throws a RangeError for a value that is not representable
 */
export function toInternal(distribution: Distribution, value: Category): number {
  if (!isRepresentable(distribution, value)) {
    throw new RangeError(`Expected a value of ${JSON.stringify(distribution)} but found ${JSON.stringify(value)}`);
  }
  if (distribution.type !== "categorical") return value as number;
  return distribution.choices.findIndex((choice) => isSame(choice, value));
}

/** The value that Optuna's internal representation stands for. */
export function fromInternal(distribution: Distribution, internal: number): Category {
  if (distribution.type === "int") return Math.round(internal);
  if (distribution.type === "float") return internal;
  const choice = distribution.choices[internal];
  if (choice === undefined) {
    throw new RangeError(`Expected an index below ${distribution.choices.length} but found ${internal}`);
  }
  return choice;
}

/** Optuna's `distribution_json`. */
export function toOptunaJson(distribution: Distribution): string {
  if (distribution.type === "categorical") {
    return writeAttribute({ name: "CategoricalDistribution", attributes: { choices: distribution.choices } });
  }
  const { type, low, high, log } = distribution;
  const name = type === "int" ? "IntDistribution" : "FloatDistribution";
  return JSON.stringify({ name, attributes: { step: gridStep(distribution), low, high, log: log ?? false } });
}

/** Optuna's names of distributions: today's, those before version 3, and those of its short form. */
const OPTUNA_NAMES: Readonly<Record<string, { type: "float" | "int"; log?: boolean }>> = {
  FloatDistribution: { type: "float" },
  IntDistribution: { type: "int" },
  UniformDistribution: { type: "float", log: false },
  LogUniformDistribution: { type: "float", log: true },
  DiscreteUniformDistribution: { type: "float", log: false },
  IntUniformDistribution: { type: "int", log: false },
  IntLogUniformDistribution: { type: "int", log: true },
  float: { type: "float" },
  int: { type: "int" },
};

/** The distribution that Optuna's `distribution_json` describes, of any of its versions. */
export function fromOptunaJson(json: string): Distribution {
  const found = parseAttribute(json) as { name?: string; type?: string; attributes?: Record<string, unknown> };
  const { name = found.type ?? "", attributes = found as Record<string, unknown> } = found;
  if (name === "CategoricalDistribution" || name === "categorical") {
    return { type: "categorical", choices: attributes["choices"] as Category[] };
  }
  const kind = Object.hasOwn(OPTUNA_NAMES, name) ? OPTUNA_NAMES[name] : undefined;
  if (kind === undefined) throw new RangeError(`Expected one of Optuna's distributions but found ${json}`);
  const { low, high, log, step, q } = attributes as Partial<FloatDistribution> & { q?: number };
  const isLog = kind.log ?? log ?? false;
  const defaultStep = kind.type === "int" ? 1 : null;
  return { type: kind.type, low: low!, high: high!, log: isLog, step: isLog ? defaultStep : step ?? q ?? defaultStep };
}

/** Whether two distributions may belong to one parameter of a study: Optuna's rule. Ranges may differ. */
export function areCompatible(one: Distribution, other: Distribution): boolean {
  if (one.type === "categorical" && other.type === "categorical") {
    const { choices } = other;
    return one.choices.length === choices.length &&
      one.choices.every((choice, i) => isSame(choice, choices[i]));
  }
  if (one.type === "categorical" || other.type === "categorical") return false;
  return one.type === other.type && (one.log ?? false) === (other.log ?? false);
}
