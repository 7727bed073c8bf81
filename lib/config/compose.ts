/**
 * The configuration of a run, composed the way Hydra does it: a YAML file with a defaults list, then `key=value`
 * overrides, then the schema.
 *
 * ```yaml
 * defaults:
 *   - base # configs/base.yaml, at the root
 *   - model: bert_base # configs/model/bert_base.yaml, under the key model
 *   - retention_policy@retention: default # configs/retention_policy/default.yaml, under the key retention
 *   - _self_ # the rest of this file; last where it is not named
 * training: { epochs: 4 }
 * ```
 *
 * Later entries win. Mappings are merged; lists, values and the entries of `search_space` are replaced; a null entry of
 * `search_space` takes the key out. The override `model=bert_base` chooses another file for a group of the list.
 */

import { dirname, join, relative, resolve } from "node:path";
import { stringify } from "yaml";
import { inputError } from "../support/errors.ts";
import { nearest } from "../support/text_distance.ts";
import { isMapping, joinPath, type Path, schemaAt, splitKey } from "./fields.ts";
import type { Config, ParamValue } from "./schema.ts";
import { checkMetric, problemsError, type SourceOf, unknownKey, validateConfig } from "./validate.ts";
import { isTree, parseYaml, readYamlFile, type Tree } from "./yaml_file.ts";

/** Groups that a user's own file may name without a copy of them beside it. */
const PROJECT_CONFIGS = resolve(import.meta.dirname ?? ".", "../../configs");
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]*$/;
const COMMAND_LINE = "command line";

/** The tree so far, where each value came from, and the groups chosen on the command line. */
interface Composition {
  tree: Tree;
  sources: Map<string, string>;
  choices: ReadonlyMap<string, string>;
  /** The choices for which a defaults list had an entry. */
  chosen: Set<string>;
}

/** The source of the value at a path, or of the nearest mapping around it. */
function sourceLookup(sources: ReadonlyMap<string, string>, fallback: string): SourceOf {
  return (path) => {
    for (let length = path.length; length > 0; length--) {
      const source = sources.get(joinPath(path.slice(0, length)));
      if (source !== undefined) return source;
    }
    return fallback;
  };
}

/** Sets a value, making the mappings on the way. */
function setValue({ tree, sources }: Composition, path: Path, value: unknown, source: string): void {
  const [last, ...parents] = path.toReversed() as [string, ...string[]];
  let node = tree;
  for (const key of parents.reverse()) {
    if (!isTree(node[key])) node[key] = {};
    node = node[key] as Tree;
  }
  const key = joinPath(path);
  for (const known of [...sources.keys()]) if (known.startsWith(`${key}.`)) sources.delete(known);
  sources.set(key, source);
  if (value === null && path.length === 2 && path[0] === "search_space") delete node[last];
  else node[last] = value;
}

function merge(composition: Composition, from: Tree, path: Path, source: string): void {
  for (const [key, value] of Object.entries(from)) {
    const inside = [...path, key];
    if (isTree(value) && Object.keys(value).length > 0 && path[0] !== "search_space") {
      merge(composition, value, inside, source);
    } else if (!(isTree(value) && isTree(valueAt(composition.tree, inside)))) {
      setValue(composition, inside, value, source);
    }
  }
}

function valueAt(tree: unknown, path: Path): unknown {
  return path.reduce<unknown>((node, key) => isTree(node) && Object.hasOwn(node, key) ? node[key] : undefined, tree);
}

/** A path as messages show it: relative where that is shorter. */
function showPath(path: string): string {
  const shown = relative(Deno.cwd(), path);
  return shown.startsWith("..") ? path : shown;
}

/** `NAME.yaml` in a folder beside the including file, or else in the project's configs. */
function findFile(folder: string, group: string, name: string, source: string): string {
  const places = [...new Set([join(folder, group), join(PROJECT_CONFIGS, group)])];
  for (const place of places) {
    const file = join(place, `${name}.yaml`);
    if (exists(file)) return file;
  }
  const present = places.flatMap(listNames);
  const near = nearest(name, present);
  throw inputError(
    `there is no ${join(group, name)}.yaml for the defaults list (${source})` +
      (near === undefined ? "" : `; did you mean "${near}"?`),
    present.length > 0 ? `Choose one of ${[...new Set(present)].join(", ")}.` : `Add it in ${places[0]}.`,
  );
}

function exists(file: string): boolean {
  try {
    return Deno.statSync(file).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

function listNames(folder: string): string[] {
  try {
    const files = [...Deno.readDirSync(folder)].map((entry) => entry.name).filter((name) => name.endsWith(".yaml"));
    return files.map((name) => name.slice(0, -".yaml".length)).sort();
  } catch {
    return []; // only for the advice of a message
  }
}

/** One entry of a defaults list. */
type Default = { kind: "self" } | { kind: "root"; name: string } | {
  kind: "group";
  group: string;
  key: string;
  name: string;
};

function readDefault(entry: unknown, source: string): Default {
  if (entry === "_self_") return { kind: "self" };
  if (typeof entry === "string" && NAME.test(entry)) return { kind: "root", name: entry };
  if (isTree(entry) && Object.keys(entry).length === 1) {
    const [[left, name]] = Object.entries(entry) as [[string, unknown]];
    const [group, key = group, ...more] = left.split("@") as [string, ...string[]];
    if (more.length === 0 && NAME.test(group) && NAME.test(key) && typeof name === "string" && NAME.test(name)) {
      return { kind: "group", group, key, name };
    }
  }
  throw inputError(
    `expected an entry of defaults to be a name, "group: name" or "group@key: name" but found ` +
      `${JSON.stringify(entry)} (${source})`,
    "Name files without folder and ending: `- base`, `- model: bert_base`.",
  );
}

/** Merges a file after what its defaults list names. `including` are the files that led here. */
function mergeFile(composition: Composition, file: string, including: readonly string[]): void {
  const source = showPath(file);
  if (including.includes(file)) {
    throw inputError(`the defaults lists include ${source} in a circle`, "Take one of the entries out.");
  }
  const { defaults = [], ...self } = readYamlFile(file, source);
  if (!Array.isArray(defaults)) {
    throw inputError(
      `expected defaults to be a list but found ${JSON.stringify(defaults)} (${source})`,
      "Write a list.",
    );
  }
  const entries = defaults.map((entry) => readDefault(entry, source));
  if (!entries.some((entry) => entry.kind === "self")) entries.push({ kind: "self" });
  for (const entry of entries) {
    if (entry.kind === "self") {
      merge(composition, self, [], source);
    } else if (entry.kind === "root") {
      mergeFile(composition, findFile(dirname(file), "", entry.name, source), [...including, file]);
    } else {
      const choice = composition.choices.get(entry.key);
      if (choice !== undefined) composition.chosen.add(entry.key);
      const place = choice === undefined ? source : COMMAND_LINE;
      const groupFile = findFile(dirname(file), entry.group, choice ?? entry.name, place);
      const groupSource = showPath(groupFile);
      merge(composition, { [entry.key]: readYamlFile(groupFile, groupSource) }, [], groupSource);
    }
  }
}

/** `key=value` in two. @throws inputError where there is no value */
function splitOverride(override: string): [key: string, value: string] {
  const at = override.indexOf("=");
  const value = override.slice(at + 1).trim();
  if (at < 1 || value === "") {
    throw inputError(
      `expected an override to be key=value but found ${JSON.stringify(override)}`,
      "Write for example training.epochs=4, or key=null for no value.",
    );
  }
  return [override.slice(0, at).trim(), value];
}

/**
 * The value of an override: the text as it stands where the key takes a text (a path may hold ` #` or be `007`), YAML
 * otherwise. Quotes make YAML of it in any case.
 */
function overrideValue(path: Path, value: string, tree: Tree): unknown {
  const schema = schemaAt(path, tree)!;
  const literal = !/^["']/.test(value) && value !== "null" && value !== "~";
  if (literal && schema.safeParse(value).success) return value;
  return parseYaml(value, `${COMMAND_LINE}, ${joinPath(path)}`);
}

function groupChoice(key: string, value: string): boolean {
  const schema = schemaAt([key]);
  return schema !== undefined && isMapping(schema) && NAME.test(value) && value !== "null";
}

/** What to read and which metrics there are. */
export interface LoadOptions {
  /** The YAML file. */
  file: string;
  /** `key=value` texts, applied in order. */
  overrides?: readonly string[];
  /** Names that `study.metric` may have; without the list it is not checked. */
  knownMetrics?: readonly string[];
}

/**
 * Reads, composes and checks a configuration.
 *
 * @throws inputError with one line for each problem: the key, what was found, what is allowed, and where it stands
 *
 * @example
 * ```ts
 * import { loadConfig } from "./compose.ts";
 * import assert from "node:assert/strict";
 * const config = loadConfig({ file: "configs/quickstart.yaml", overrides: ["training.epochs=2"] });
 * assert.equal(config.training.epochs, 2);
 * ```
 */
export function loadConfig({ file, overrides = [], knownMetrics }: LoadOptions): Config {
  const pairs = overrides.map(splitOverride);
  const choices = new Map(pairs.filter(([key, value]) => groupChoice(key, value)));
  const composition: Composition = { tree: {}, sources: new Map(), choices, chosen: new Set() };
  const source = showPath(resolve(file));
  mergeFile(composition, resolve(file), []);
  for (const [key, name] of choices) {
    if (composition.chosen.has(key)) continue;
    throw inputError(
      `the defaults list of ${source} has no group "${key}" for ${key}=${name}`,
      `Add "- ${key}: ${name}" to the list, or set single keys: ${key}.KEY=VALUE.`,
    );
  }
  const settings = pairs.filter(([key, value]) => !groupChoice(key, value))
    .map(([key, value]) => ({ path: splitKey(key), value }));
  const unknown = settings.filter(({ path }) => schemaAt(path) === undefined);
  if (unknown.length > 0) throw problemsError(unknown.map(({ path }) => unknownKey(path)), () => COMMAND_LINE);
  for (const { path, value } of settings) {
    setValue(composition, path, overrideValue(path, value, composition.tree), COMMAND_LINE);
  }
  const sourceOf = sourceLookup(composition.sources, source);
  const config = validateConfig(composition.tree, sourceOf);
  if (knownMetrics) checkMetric(config, knownMetrics, sourceOf);
  return config;
}

/**
 * The configuration of one trial: a copy with the drawn hyperparameters set.
 *
 * @param params dotted key to value
 * @throws inputError where a key is unknown or the values do not go together
 */
export function withParams(config: Config, params: Readonly<Record<string, ParamValue>>): Config {
  const composition: Composition = {
    tree: structuredClone(config),
    sources: new Map(),
    choices: new Map(),
    chosen: new Set(),
  };
  const source = "trial parameters";
  for (const [key, value] of Object.entries(params)) {
    const path = splitKey(key);
    if (schemaAt(path) === undefined) throw problemsError([unknownKey(path)], () => source);
    setValue(composition, path, value, source);
  }
  return validateConfig(composition.tree, sourceLookup(composition.sources, source));
}

/** The resolved configuration as a YAML file that `loadConfig` reads back unchanged. */
export function configToYaml(config: Config): string {
  return stringify(config, { version: "1.2", aliasDuplicateObjects: false, lineWidth: 0 });
}
