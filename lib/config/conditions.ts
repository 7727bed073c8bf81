/**
 * Conditions of a search space: the entry `when` of a parameter says under which values of other keys it is drawn at all.
 *
 * ```yaml
 * model.criteria_hidden_dim: { type: int, low: 128, high: 1024, step: 128,
 *   when: { model.criteria_head_type: [mlp, mlp_residual, gated] } } # one of them
 * augmentation.prob: { type: float, low: 0, high: 0.5, when: { augmentation.methods: { not: none } } }
 * ```
 *
 * Of several keys all must hold. A parameter that is not drawn keeps the configuration's own value, and conditions on it
 * do not hold: what depends on it is not drawn either.
 */

/** What a hyperparameter can be; Optuna's categories. */
export type Scalar = string | number | boolean | null;

/** What `when` says of one key: a value, several, or `not` one or several. */
export type ConditionValue = Scalar | readonly Scalar[] | { readonly not: Scalar | readonly Scalar[] };

/** The entry `when` of a parameter. */
export type When = Readonly<Record<string, ConditionValue>>;

/** One key of a condition, in one form. */
export interface Clause {
  readonly key: string;
  readonly values: readonly Scalar[];
  /** Whether the values are those for which it does not hold. */
  readonly negated: boolean;
}

const listOf = (value: Scalar | readonly Scalar[]): readonly Scalar[] =>
  Array.isArray(value) ? value as readonly Scalar[] : [value as Scalar];

/** The clauses of a condition; none where there is none. */
export function clausesOf(when: When | undefined): Clause[] {
  return Object.entries(when ?? {}).map(([key, value]) => {
    const negated = typeof value === "object" && value !== null && !Array.isArray(value);
    return { key, negated, values: listOf(negated ? (value as { not: Scalar }).not : value as Scalar) };
  });
}

/** Whether a clause holds for a value of its key. */
export const holds = ({ values, negated }: Clause, value: unknown): boolean =>
  values.includes(value as Scalar) !== negated;

/**
 * A value of the configuration as conditions see it: lists are no choices of a search, so what takes a list takes a text
 * too, names with commas between them and `none` for no name.
 */
export function conditionValue(value: unknown): unknown {
  return Array.isArray(value) ? value.join(",") || "none" : value;
}

/** Parameters in an order in which each stands behind those that its condition names, or the names along a circle. */
export type ConditionOrder = { readonly order: readonly string[] } | { readonly cycle: readonly string[] };

/** Orders parameters by their conditions, otherwise as they are declared. */
export function orderByConditions(
  space: Readonly<Record<string, { readonly when?: When | undefined }>>,
): ConditionOrder {
  const order: string[] = [], placed = new Set<string>();
  const visit = (name: string, path: readonly string[]): string[] | undefined => {
    if (placed.has(name)) return undefined;
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    for (const { key } of clausesOf(space[name]!.when)) {
      const cycle = Object.hasOwn(space, key) ? visit(key, [...path, name]) : undefined;
      if (cycle) return cycle;
    }
    placed.add(name);
    order.push(name);
    return undefined;
  };
  for (const name of Object.keys(space)) {
    const cycle = visit(name, []);
    if (cycle) return { cycle };
  }
  return { order };
}
