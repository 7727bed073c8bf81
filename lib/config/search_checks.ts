/** What the keys of a search must agree on: conditions, options of sampler and pruner, settings that are tried first. */
import { nearest } from "../support/text_distance.ts";
import { type Clause, clausesOf, orderByConditions } from "./conditions.ts";
import { contains, describeValues, gridStep } from "./distributions.ts";
import { allowedNames, describeAllowed, isMapping, nearestKey, schemaAt, splitKey } from "./fields.ts";
import { type Problem, showValue } from "./problems.ts";
import type { Config } from "./schema.ts";
import { PRUNER_OPTIONS, SAMPLER_OPTIONS } from "./search.ts";

/** Problems of the search beside those of single axes. */
export function searchChecks(config: Config): Problem[] {
  return [...conditionChecks(config), ...optionChecks(config), ...enqueueChecks(config)];
}

const didYouMean = (near: string | undefined): Pick<Problem, "hint"> =>
  near === undefined ? {} : { hint: `; did you mean "${near}"?` };

/** The name that a wrong value most likely means, where there are names. */
const nearestValue = (value: unknown, allowed: readonly unknown[]) =>
  typeof value === "string" ? nearest(value, allowed.filter((one) => typeof one === "string")) : undefined;

function conditionChecks({ search_space }: Config): Problem[] {
  const problems = Object.entries(search_space).flatMap(([name, { when }]) =>
    clausesOf(when).flatMap((clause) => {
      const found = clauseProblem(search_space, name, clause);
      return found === undefined ? [] : [{ path: ["search_space", name, "when", clause.key], ...found }];
    })
  );
  if (problems.length > 0) return problems;
  const ordered = orderByConditions(search_space);
  if (!("cycle" in ordered)) return [];
  return [{
    path: ["search_space", ordered.cycle[0]!],
    message: `Expected the conditions of search_space to have an order but found a circle: ${
      ordered.cycle.join(" -> ")
    }`,
    hint: "; take one of them out",
  }];
}

function clauseProblem(
  space: Config["search_space"],
  name: string,
  { key, values }: Clause,
): Pick<Problem, "message" | "hint"> | undefined {
  const place = `when of search_space.${name}`;
  const schema = schemaAt(splitKey(key));
  if (schema === undefined) return { message: `unknown key "${key}" in ${place}`, ...didYouMean(nearestKey(key)) };
  if (isMapping(schema)) return { message: `${place} cannot depend on all of ${key}: name one of its keys` };
  const refuse = (allowed: string, value: unknown, names: readonly unknown[]) => ({
    message: `Expected ${key} in ${place} to be ${allowed} but found ${showValue(value)}`,
    ...didYouMean(nearestValue(value, names)),
  });
  const wrong = values.find((value) => !schema.safeParse(value).success);
  if (wrong !== undefined) return refuse(describeAllowed(schema), wrong, allowedNames(schema));
  const searched = Object.hasOwn(space, key) ? space[key]! : undefined;
  if (searched === undefined) return undefined;
  if (searched.type !== "categorical" && gridStep(searched) === null) {
    return {
      message: `${place} cannot depend on ${key}: it is drawn from every real number ` +
        `${describeValues(searched).replace("a number ", "")}, none of which can be named`,
      hint: "; give it a step, or choices",
    };
  }
  // A choice that was taken out of the search is a name still: what depends on it is not drawn.
  if (allowedNames(schema).length > 0) return undefined;
  const impossible = values.find((value) => !contains(searched, value));
  if (impossible === undefined) return undefined;
  return refuse(
    `${describeValues(searched)}, as it is searched,`,
    impossible,
    searched.type === "categorical" ? searched.choices : [],
  );
}

function optionChecks({ study }: Config): Problem[] {
  const check = (kind: "sampler" | "pruner", options: readonly string[], read: readonly string[]): Problem[] =>
    options.filter((name) => !read.includes(name)).map((name) => ({
      path: ["study", `${kind}_options`, name],
      message: `Expected study.${kind}_options of ${kind} ${study[kind]} to be ` +
        `${read.length === 0 ? "empty" : `some of ${read.join(", ")}`} but found ${name}`,
      ...didYouMean(nearest(name, read)),
    }));
  const { sampler_options, pruner_options } = study;
  const problems = [
    ...check("sampler", Object.keys(sampler_options), SAMPLER_OPTIONS[study.sampler]),
    ...check("pruner", Object.keys(pruner_options), PRUNER_OPTIONS[study.pruner]),
  ];
  if (sampler_options.group === true && sampler_options.multivariate === false) {
    problems.push({
      path: ["study", "sampler_options", "group"],
      message: "Expected study.sampler_options.multivariate to be true, since group is, but found false",
    });
  }
  return [...problems, ...prunerChecks(study)];
}

function prunerChecks({ pruner, pruner_options }: Config["study"]): Problem[] {
  const problems: Problem[] = [];
  const { min_resource: min, max_resource: max, bootstrap_count = 0, lower, upper } = pruner_options;
  if (pruner === "hyperband" && min === "auto") {
    problems.push({
      path: ["study", "pruner_options", "min_resource"],
      message: "Expected study.pruner_options.min_resource of hyperband to be an integer at least 1 but found auto",
    });
  }
  if (bootstrap_count > 0 && (pruner === "hyperband" ? typeof max !== "number" : (min ?? "auto") === "auto")) {
    const needed = pruner === "hyperband" ? "max_resource" : "min_resource";
    problems.push({
      path: ["study", "pruner_options", "bootstrap_count"],
      message:
        `Expected study.pruner_options.${needed} to be a number, since bootstrap_count is ${bootstrap_count}, but ` +
        "found auto",
    });
  }
  if (pruner === "threshold" && (lower ?? null) === null && (upper ?? null) === null) {
    problems.push({
      path: ["study", "pruner_options"],
      message: "Expected study.pruner_options of pruner threshold to have lower or upper but found neither",
    });
  }
  if (typeof lower === "number" && typeof upper === "number" && lower > upper) {
    problems.push({
      path: ["study", "pruner_options", "lower"],
      message: `Expected study.pruner_options.lower to be at most upper but found ${lower} and ${upper}`,
    });
  }
  if (typeof min === "number" && typeof max === "number" && min > max) {
    problems.push({
      path: ["study", "pruner_options", "min_resource"],
      message: `Expected study.pruner_options.min_resource to be at most max_resource but found ${min} and ${max}`,
    });
  }
  return problems;
}

function enqueueChecks({ study, search_space }: Config): Problem[] {
  return (study.enqueue ?? []).flatMap((setting, i) =>
    Object.entries(setting).flatMap(([key, value]): Problem[] => {
      const path = ["study", "enqueue", i, key];
      const distribution = Object.hasOwn(search_space, key) ? search_space[key] : undefined;
      if (distribution === undefined) {
        return [{
          path,
          message: `Expected study.enqueue to set keys of search_space but found "${key}" in setting ${i + 1}`,
          ...didYouMean(nearest(key, Object.keys(search_space))),
        }];
      }
      if (contains(distribution, value)) return [];
      return [{
        path,
        message: `Expected ${key} in setting ${i + 1} of study.enqueue to be ${describeValues(distribution)} ` +
          `but found ${showValue(value)}`,
        ...didYouMean(distribution.type === "categorical" ? nearestValue(value, distribution.choices) : undefined),
      }];
    })
  );
}
