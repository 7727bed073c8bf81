/**
 * A search space whose parameters may depend on one another: which of them a trial draws, in which order, and how many
 * different trials there are.
 */
import { type Clause, clausesOf, conditionValue, holds, orderByConditions, type When } from "../config/conditions.ts";
import { inputError } from "../support/errors.ts";
import { randomStream } from "../support/rng.ts";
import {
  type Category,
  checkSpace,
  contains,
  type Distribution,
  type Params,
  type SearchSpace,
  valueAt,
  valueCount,
} from "./space.ts";

/** A space as the configuration declares it: distributions, some with a condition. */
export type DeclaredSpace = Readonly<Record<string, Distribution & { readonly when?: When | undefined }>>;

/** A parameter of a conditional space. */
export interface SpaceParameter {
  readonly name: string;
  readonly distribution: Distribution;
  /** All must hold; those on keys that are not searched are decided and gone. */
  readonly when: readonly Clause[];
}

/** A space with its conditions. */
export interface ConditionalSpace {
  /** What trials may draw, each behind those that its condition names. */
  readonly parameters: readonly SpaceParameter[];
  /** Parameters that no trial draws, since a key that is not searched has another value, with that key. */
  readonly idle: readonly { readonly name: string; readonly key: string }[];
}

/**
 * The space of a declaration.
 *
 * @param own the configuration's own value of a key: conditions may name keys that are not searched
 * @throws an input error for a distribution that cannot be, or conditions in a circle
 */
export function conditionalSpace(declared: DeclaredSpace, own: (key: string) => unknown = () => undefined) {
  const checked = checkSpace(
    Object.fromEntries(Object.entries(declared).map(([name, { when: _, ...distribution }]) => [name, distribution])),
  );
  const found = orderByConditions(declared);
  if ("cycle" in found) {
    throw inputError(
      `search_space: conditions in a circle: ${found.cycle.join(" -> ")}`,
      "Take one of the conditions out.",
    );
  }
  const parameters: SpaceParameter[] = [], idle: { name: string; key: string }[] = [];
  for (const name of found.order) {
    const clauses = clausesOf(declared[name]!.when);
    const searched = (key: string) => Object.hasOwn(declared, key);
    const broken = clauses.find((clause) =>
      searched(clause.key)
        ? !parameters.some((other) => other.name === clause.key)
        : !holds(clause, conditionValue(own(clause.key)))
    );
    if (broken) idle.push({ name, key: broken.key });
    else parameters.push({ name, distribution: checked[name]!, when: clauses.filter(({ key }) => searched(key)) });
  }
  return { parameters, idle } satisfies ConditionalSpace;
}

/** The distributions of a space by name, without conditions. */
export const distributionsOf = ({ parameters }: ConditionalSpace): SearchSpace =>
  Object.fromEntries(parameters.map(({ name, distribution }) => [name, distribution]));

/** Whether a parameter is drawn beside those that are drawn already. */
export const isDrawn = ({ when }: SpaceParameter, drawn: Params): boolean =>
  when.every((clause) => Object.hasOwn(drawn, clause.key) && holds(clause, drawn[clause.key]));

/** The parameters of one trial: each of those whose conditions hold is suggested, the others are left out. */
export function drawParams(
  { parameters }: ConditionalSpace,
  suggest: (name: string, distribution: Distribution) => Category,
): Params {
  const drawn: Params = {};
  for (const parameter of parameters) {
    if (isDrawn(parameter, drawn)) drawn[parameter.name] = suggest(parameter.name, parameter.distribution);
  }
  return drawn;
}

/** Random parameters of a space, by a seed and a number: each evenly over its distribution. */
export function randomParams(space: ConditionalSpace, seed: number, number: number): Params {
  return drawParams(space, (name, distribution) => {
    return valueAt(distribution, randomStream(seed, "space", number, name).uniform());
  });
}

/** How large a space is. */
export interface SpaceSize {
  /** Different choices of everything that can be counted, conditions regarded. */
  readonly combinations: bigint;
  /** Parameters of which every real number of a range is a value; they stand apart. */
  readonly continuous: readonly string[];
}

/** Values of a parameter that no condition tells apart: how many there are, and one of them. */
interface ValueClass {
  readonly count: bigint;
  readonly value: Category | undefined;
}

/**
 * Counts a space exactly. Parameters are eliminated in their order: a state holds what the parameters that are still asked
 * for have drawn, in classes that the conditions tell apart, and how many trials lead there. Parts of the space that share
 * no condition are counted by themselves and multiplied.
 */
export function conditionalSize(space: ConditionalSpace): SpaceSize {
  const continuous = space.parameters.filter(({ distribution }) => valueCount(distribution) === Infinity)
    .map(({ name }) => name);
  const combinations = components(space.parameters).reduce((product, part) => product * countPart(part), 1n);
  return { combinations, continuous };
}

/** Parameters that conditions connect, in their order. */
function components(parameters: readonly SpaceParameter[]): SpaceParameter[][] {
  const part = new Map<string, string>();
  const root = (name: string): string => {
    const up = part.get(name) ?? name;
    return up === name ? name : root(up);
  };
  for (const { name, when } of parameters) {
    for (const { key } of when) part.set(root(key), root(name));
  }
  return [...Map.groupBy(parameters, ({ name }) => root(name)).values()];
}

function countPart(parameters: readonly SpaceParameter[]): bigint {
  const lastUse = new Map(parameters.flatMap(({ when }, i) => when.map(({ key }) => [key, i] as const)));
  let states = [{ drawn: {} as Params, count: 1n }];
  for (const [i, parameter] of parameters.entries()) {
    const classes = valueClasses(parameter, parameters);
    const merged = new Map<string, { drawn: Params; count: bigint }>();
    for (const { drawn, count } of states) {
      const next = isDrawn(parameter, drawn) ? classes : [{ count: 1n, value: undefined }];
      for (const one of next) {
        const all = one.value === undefined ? { ...drawn } : { ...drawn, [parameter.name]: one.value };
        const needed = Object.fromEntries(Object.entries(all).filter(([name]) => (lastUse.get(name) ?? -1) > i));
        const key = JSON.stringify(needed);
        const known = merged.get(key)?.count ?? 0n;
        merged.set(key, { drawn: needed, count: known + count * one.count });
      }
    }
    states = [...merged.values()];
  }
  return states.reduce((sum, { count }) => sum + count, 0n);
}

/** A value that stands for all those which no condition names. */
const OTHER = "\u0000other";

function valueClasses({ name, distribution }: SpaceParameter, parameters: readonly SpaceParameter[]): ValueClass[] {
  const count = valueCount(distribution);
  if (count === Infinity) return [{ count: 1n, value: undefined }];
  const clauses = parameters.flatMap(({ when }) => when.filter(({ key }) => key === name));
  if (clauses.length === 0) return [{ count: BigInt(count), value: undefined }];
  const named = [...new Set(clauses.flatMap(({ values }) => values))].filter((value) => contains(distribution, value));
  const rest = BigInt(count - named.length);
  return [...named.map((value) => ({ count: 1n, value })), ...(rest > 0n ? [{ count: rest, value: OTHER }] : [])];
}
