/** What the schema of one key cannot say: rules over several keys, and the search space against the schema. */

import { nearest } from "../support/text_distance.ts";
import { augmentationChecks } from "./augmentation.ts";
import { describeAllowed, isMapping, joinPath, nameHint, nearestKey, schemaAt, splitKey } from "./fields.ts";
import { type Problem, showValue } from "./problems.ts";
import type { Config, Distribution, ParamValue } from "./schema.ts";
import { searchChecks } from "./search_checks.ts";

/** Problems between keys of a configuration whose single keys are valid. */
export function crossChecks(config: Config): Problem[] {
  return [
    ...modelChecks(config),
    ...dataChecks(config),
    ...augmentationChecks(config),
    ...trainingChecks(config),
    ...trackingChecks(config),
    ...searchSpaceChecks(config),
    ...searchChecks(config),
  ];
}

function modelChecks({ model, data }: Config): Problem[] {
  const { id, encoder } = model;
  if (id === "random" && encoder === null) {
    return [{
      path: ["model", "encoder"],
      message: "Expected model.encoder to describe an architecture, since model.id is random, but found null",
    }];
  }
  if (encoder === null) return [];
  const problems: Problem[] = [];
  if (encoder.hidden_size % encoder.num_attention_heads !== 0) {
    problems.push({
      path: ["model", "encoder", "num_attention_heads"],
      message: `Expected model.encoder.num_attention_heads to divide model.encoder.hidden_size ` +
        `${encoder.hidden_size} but found ${encoder.num_attention_heads}`,
    });
  }
  if (data.max_length > encoder.max_position_embeddings) {
    problems.push({
      path: ["data", "max_length"],
      message: `Expected data.max_length to be at most model.encoder.max_position_embeddings ` +
        `${encoder.max_position_embeddings} but found ${data.max_length}`,
    });
  }
  return problems;
}

function dataChecks({ data }: Config): Problem[] {
  const problems: Problem[] = [];
  const { validation, test } = data.splits;
  if (validation + test >= 1) {
    problems.push({
      path: ["data", "splits"],
      message: `Expected data.splits.validation + data.splits.test to be less than 1 but found ${validation} + ${test}`,
    });
  }
  if (data.criteria !== "auto") {
    const twice = data.criteria.find((name, i, all) => all.indexOf(name) !== i);
    if (twice !== undefined) {
      problems.push({
        path: ["data", "criteria"],
        message: `Expected data.criteria to name each criterion once but found ${showValue(twice)} twice`,
      });
    }
  }
  return [...problems, ...windowChecks(data), ...criterionTextChecks(data)];
}

/** What can be said before the tokens of the criteria's texts are counted: one each, at least. */
function windowChecks({ input_format, max_length, doc_stride }: Config["data"]): Problem[] {
  const [frame, taken] = input_format === "multi_label"
    ? ["special tokens", 2]
    : ["special tokens and the text of a criterion", 4];
  const problem = (key: string, message: string) => [{ path: ["data", key], message }];
  if (max_length <= taken) {
    return problem(
      "max_length",
      `Expected data.max_length to leave room for a post beside ${frame} but found ${max_length}`,
    );
  }
  if (doc_stride === null || doc_stride < max_length - taken) return [];
  return problem(
    "doc_stride",
    `Expected data.doc_stride to be less than the tokens of a post in a window, at most ${max_length - taken} of ` +
      `data.max_length ${max_length} beside ${frame}, but found ${doc_stride}`,
  );
}

function criterionTextChecks({ criteria, criterion_texts }: Config["data"]): Problem[] {
  return Object.entries(criterion_texts ?? {}).flatMap(([label, text]) => {
    const path = ["data", "criterion_texts", label];
    if (text.trim() === "") {
      return [{ path, message: `Expected data.criterion_texts.${label} to be a text but found ${showValue(text)}` }];
    }
    if (criteria === "auto" || criteria.includes(label)) return [];
    const near = nearest(label, criteria);
    return [{
      path,
      message: `Expected data.criterion_texts to have texts for labels of data.criteria but found ${showValue(label)}`,
      ...(near === undefined ? {} : { hint: `; did you mean "${near}"?` }),
    }];
  });
}

function trainingChecks({ training, retention }: Config): Problem[] {
  const problems: Problem[] = [];
  if (training.lambda_class === 0 && training.lambda_span === 0) {
    problems.push({
      path: ["training", "lambda_class"],
      message: "Expected training.lambda_class or training.lambda_span to be greater than 0 but found 0 and 0",
    });
  }
  if (retention.keep_last_n + retention.keep_best_k < 1) {
    problems.push({
      path: ["retention", "keep_last_n"],
      message:
        "Expected retention.keep_last_n + retention.keep_best_k to be at least 1, so that a checkpoint remains, but found 0",
    });
  }
  if (retention.keep_best_k > retention.keep_best_k_max) {
    problems.push({
      path: ["retention", "keep_best_k_max"],
      message: `Expected retention.keep_best_k_max to be at least retention.keep_best_k ${retention.keep_best_k} but ` +
        `found ${retention.keep_best_k_max}`,
    });
  }
  return problems;
}

/** What only a server has, and one source of the token. */
function trackingChecks({ tracking }: Config): Problem[] {
  const given = (["token_file", "token_command"] as const).filter((key) => tracking[key] !== null);
  const problem = (key: string, message: string) => [{ path: ["tracking", key], message }];
  if (given.length > 0 && tracking.store !== "mlflow_rest") {
    return problem(
      given[0]!,
      `Expected tracking.${given[0]} to be null, since tracking.store is ${tracking.store}, but found ` +
        showValue(tracking[given[0]!]),
    );
  }
  if (given.length < 2) return [];
  return problem("token_file", "Expected tracking.token_file or tracking.token_command to be null but found both");
}

/**
 * Keys that may differ between the trials of one study. A search over what decides the splits or the labels would
 * compare values of different validation sets.
 */
function isSearchable(path: readonly string[]): boolean {
  const key = joinPath(path);
  return key === "seed" || SEARCHABLE_GROUPS.includes(path[0]!) || SEARCHABLE_DATA.includes(key);
}

/** Groups of which every key may differ between trials. */
const SEARCHABLE_GROUPS = ["model", "loss", "tuning", "training", "augmentation"];

/** How posts are put before the model; what is measured is the same for each. */
const SEARCHABLE_DATA = ["data.input_format", "data.max_length", "data.doc_stride", "data.window_aggregation"];

function searchSpaceChecks(config: Config): Problem[] {
  return Object.entries(config.search_space).flatMap(([key, distribution]) => {
    const path = ["search_space", key];
    const problem = searchedKeyProblem(config, key) ?? rangeProblem(key, distribution) ??
      valueProblem(key, distribution);
    return problem === undefined ? [] : [{ path, ...problem }];
  });
}

type Sentence = Pick<Problem, "message" | "hint">;

function searchedKeyProblem(config: Config, key: string): Sentence | undefined {
  const path = splitKey(key);
  const schema = schemaAt(path, config);
  if (schema === undefined || isMapping(schema)) {
    const near = nearestKey(key);
    return {
      message: schema === undefined ? `unknown key "${key}" in search_space` : `search_space cannot vary all of ${key}`,
      ...(schema === undefined && near !== undefined ? { hint: `; did you mean "${near}"?` } : {}),
    };
  }
  if (!isSearchable(path)) {
    return {
      message:
        `search_space cannot vary ${key}: the trials of a study share it (${SEARCHABLE_GROUPS.join(", ")}, seed, ` +
        `${SEARCHABLE_DATA.slice(0, -1).join(", ")} and ${SEARCHABLE_DATA.at(-1)} may vary)`,
    };
  }
  const parent = path.slice(0, -1).reduce<unknown>((node, part) => (node as Record<string, unknown>)?.[part], config);
  if (parent === null) return { message: `search_space cannot vary ${key}: ${joinPath(path.slice(0, -1))} is null` };
  return undefined;
}

function rangeProblem(key: string, distribution: Distribution): Sentence | undefined {
  const of = ` of search_space.${key}`;
  if (distribution.type === "categorical") {
    const seen = distribution.choices.map((choice) => JSON.stringify(choice));
    const twice = seen.find((choice, i) => seen.indexOf(choice) !== i);
    return twice === undefined ? undefined : { message: `Expected choices${of} to differ but found ${twice} twice` };
  }
  const { low, high, step, log } = distribution;
  if (low > high) return { message: `Expected low${of} to be at most high but found ${low} and ${high}` };
  if (log && low <= 0) return { message: `Expected low${of} to be greater than 0 for log: true but found ${low}` };
  // Optuna's rule: a grid that is even in the value is not even in its logarithm.
  if (log && step !== undefined && !(distribution.type === "int" && step === 1)) {
    return { message: `Expected step or log: true${of} but found both` };
  }
  return undefined;
}

/** The ends of a range stand for what is between them, since every number key allows one interval. */
function valueProblem(key: string, distribution: Distribution): Sentence | undefined {
  const schema = schemaAt(splitKey(key))!;
  const allowed = describeAllowed(schema);
  const candidates: ParamValue[] = distribution.type === "categorical"
    ? distribution.choices
    : [distribution.low, distribution.high];
  const bad = candidates.find((value) => !schema.safeParse(value).success);
  if (bad !== undefined) {
    return {
      message: `Expected ${key} to be ${allowed} but search_space has ${showValue(bad)}`,
      ...nameHint(schema, bad),
    };
  }
  if (distribution.type === "float" && allowed.startsWith("an integer")) {
    return { message: `Expected ${key} to be ${allowed} but search_space draws it with type float` };
  }
  return undefined;
}
