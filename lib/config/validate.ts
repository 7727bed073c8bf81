/** From a composed tree to a Config, or to one line for each thing that is wrong with it. */

import type { z } from "zod";
import { inputError, type WinnowError } from "../support/errors.ts";
import { nearest } from "../support/text_distance.ts";
import { crossChecks } from "./checks.ts";
import { describeAllowed, joinPath, nameHint, nearestKey, type Path, schemaAt } from "./fields.ts";
import { type Problem, showValue } from "./problems.ts";
import { type Config, configSchema } from "./schema.ts";
import { isTree, type Tree } from "./yaml_file.ts";

/** Where a value came from (a file, "command line"), by path. */
export type SourceOf = (path: Path) => string;

const REMEDY = "Correct the configuration; contracts/config.schema.json lists every key.";

/** The error of one or several problems, a line each. */
export function problemsError(problems: readonly Problem[], sourceOf: SourceOf): WinnowError {
  const lines = problems.map(({ path, message, hint = "" }) => `${message} (${sourceOf(path)})${hint}`);
  return inputError([...new Set(lines)].join("\n"), REMEDY);
}

/** The problem of a key that is not in the schema. */
export function unknownKey(path: Path): Problem {
  const key = joinPath(path);
  const near = nearestKey(key);
  return {
    path,
    message: `unknown key "${key}"`,
    ...(near === undefined ? {} : { hint: `; did you mean "${near}"?` }),
  };
}

function valueAt(tree: unknown, path: Path): unknown {
  return path.reduce<unknown>((node, key) => (node as Record<string | number, unknown> | undefined)?.[key], tree);
}

/** Rewrites one zod issue in terms of the key that the person wrote. */
function issueProblems(issue: z.core.$ZodIssue, tree: Tree): Problem[] {
  let path = issue.path.map((key) => typeof key === "symbol" ? String(key) : key);
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey([...path, key]));
  if (issue.code === "invalid_union" && "discriminator" in issue) path = [...path, "type"];
  // An element of a list is told by its list, which is what the schema names.
  while (path.length > 0 && schemaAt(path, tree) === undefined) path = path.slice(0, -1);
  const schema = schemaAt(path, tree)!;
  const allowed = describeAllowed(schema);
  const found = valueAt(tree, path);
  const key = joinPath(path);
  return found === undefined
    ? [{ path, message: `missing key "${key}", ${allowed}` }]
    : [{ path, message: `Expected ${key} to be ${allowed} but found ${showValue(found)}`, ...nameHint(schema, found) }];
}

/** A file with no defaults list misses nearly everything: one line then, not one for each key. */
function withoutManyMissing(problems: Problem[]): Problem[] {
  const missing = problems.filter((problem) => problem.message.startsWith("missing key"));
  if (missing.length < 5) return problems;
  const rest = problems.filter((problem) => !missing.includes(problem));
  return [...rest, {
    path: missing[0]!.path,
    message: `${missing.length} keys are missing, "${joinPath(missing[0]!.path)}" the first`,
    hint: `; add "defaults: [base]" to take them from configs/base.yaml`,
  }];
}

/**
 * Checks a composed tree: every key known, every value in its range, the keys in agreement with one another.
 *
 * `model.encoder` describes what is initialised at random, so that with any other `model.id` it becomes null and the
 * resolved configuration says nothing that is not so.
 *
 * @throws inputError with one line for each problem
 */
export function validateConfig(tree: Tree, sourceOf: SourceOf): Config {
  const model = tree.model;
  if (isTree(model) && typeof model.id === "string" && model.id !== "random") {
    tree = { ...tree, model: { ...model, encoder: null } };
  }
  const parsed = configSchema.safeParse(tree);
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) => issueProblems(issue, tree));
    throw problemsError(withoutManyMissing(problems), sourceOf);
  }
  const problems = crossChecks(parsed.data);
  if (problems.length > 0) throw problemsError(problems, sourceOf);
  return parsed.data;
}

/** Checks that the metric to optimise is one that the evaluation reports. @throws inputError */
export function checkMetric(config: Config, knownMetrics: readonly string[], sourceOf: SourceOf): void {
  const { metric } = config.study;
  if (knownMetrics.includes(metric)) return;
  const near = nearest(metric, knownMetrics);
  throw problemsError([{
    path: ["study", "metric"],
    message: `Expected study.metric to be one of ${knownMetrics.join(", ")} but found ${showValue(metric)}`,
    ...(near === undefined ? {} : { hint: `; did you mean "${near}"?` }),
  }], sourceOf);
}
