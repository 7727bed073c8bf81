/** What a trial comes to, and what a trial must be to be added: Optuna's rules. */
import { inputError } from "../support/errors.ts";
import { areCompatible, type Category, contains, type Distribution, type Params } from "./space.ts";
import type { TrialTemplate, TrialUpdate } from "./study_db.ts";
import { type Direction, FINISHED, type FrozenTrial } from "./trial.ts";
import { TRIAL_ID } from "./trial_reader.ts";

/** What came of a trial: its objective, its objectives, or how it ended (COMPLETE needs values). */
export type Told = number | readonly number[] | { state: "PRUNED" | "FAIL" } | {
  state: "COMPLETE";
  values: number | readonly number[];
};

/** The state and the values that a trial ends with: Optuna's rules. */
export function endOf(
  told: Told,
  trial: FrozenTrial,
  directions: readonly Direction[],
  warn: (message: string) => void,
): Pick<TrialUpdate, "state" | "values"> {
  if (typeof told === "object" && "state" in told && told.state !== "COMPLETE") {
    const last = trial.intermediate.at(-1)?.value;
    const hasValue = told.state === "PRUNED" && last !== undefined && !Number.isNaN(last) && directions.length === 1;
    return { state: told.state, values: hasValue ? [last] : [] };
  }
  const given = typeof told === "object" && "state" in told ? told.values : told;
  const values = typeof given === "number" ? [given] : given;
  const wrong = refusalOf(values, directions);
  if (wrong === undefined) return { state: "COMPLETE", values };
  if (typeof told === "object" && "state" in told) {
    throw inputError(`trial ${trial.number}: ${wrong}`, "Give the values, or the state FAIL.");
  }
  warn(wrong);
  return { state: "FAIL" };
}

/** What is wrong with the values of a COMPLETE trial, or undefined. */
function refusalOf(values: readonly number[] | null | undefined, directions: readonly Direction[]): string | undefined {
  if (!Array.isArray(values) || values.some((value) => typeof value !== "number")) {
    return `expected numbers but found ${JSON.stringify(values)}`;
  }
  if (values.some((value) => Number.isNaN(value))) return "the objective is NaN";
  if (values.length === directions.length) return undefined;
  return `expected ${directions.length} values, one per objective, but found ${values.length}`;
}

/**
 * A trial to add as it is to be stored.
 *
 * @param known The distribution that the study has had for a parameter.
 * @throws an input error for one that could not have been
 */
export function checkTemplate(
  trial: TrialTemplate,
  directions: readonly Direction[],
  known: (name: string) => Distribution | undefined,
): TrialTemplate {
  const refuse = (what: string) => inputError(`trial to add: ${what}`, "Correct it, or leave it out.");
  const { state, params = {}, distributions = {}, values } = trial;
  if (state === "COMPLETE") {
    const wrong = refusalOf(values, directions);
    if (wrong !== undefined) throw refuse(wrong);
  } else if (values?.length && (state === "FAIL" || refusalOf(values, directions) !== undefined)) {
    throw refuse(`a ${state} trial with values ${values.join(", ")}`);
  }
  for (const [name, value] of Object.entries(params)) {
    const distribution = Object.hasOwn(distributions, name) ? distributions[name] : undefined;
    if (distribution === undefined) throw refuse(`parameter ${name} has no distribution`);
    if (!contains(distribution, value)) {
      throw refuse(
        `parameter ${name}: expected one of ${JSON.stringify(distribution)} but found ${JSON.stringify(value)}`,
      );
    }
    const before = known(name);
    if (before !== undefined && !areCompatible(before, distribution)) {
      throw refuse(`parameter ${name} of ${JSON.stringify(distribution)}, in this study ${JSON.stringify(before)}`);
    }
  }
  const now = new Date().toISOString();
  const { [TRIAL_ID]: _elsewhere, ...userAttributes } = trial.userAttributes ?? {};
  return {
    ...trial,
    userAttributes,
    started: trial.started ?? (state === "WAITING" ? null : now),
    completed: FINISHED.has(state) ? trial.completed ?? now : null,
  };
}

/** Whether a trial has these parameters and no others; numbers to within 1e-5 of their size, as Optuna compares them. */
export function hasParams(trial: FrozenTrial, params: Params): boolean {
  const own = (trial.systemAttributes["fixed_params"] ?? trial.params) as Params;
  const names = Object.keys(params);
  return names.length === Object.keys(own).length &&
    names.every((name) => Object.hasOwn(own, name) && isSame(params[name]!, own[name]!));
}

function isSame(a: Category, b: Category): boolean {
  if (typeof a !== "number" || typeof b !== "number") return a === b;
  return Object.is(a, b) || a === b || Math.abs(a - b) <= 1e-5 * Math.abs(b);
}
