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
 * `search_space` takes the key out. `- override model: bert_base` chooses another file for a group of an included list. A
 * group's file may have a list of its own: `- bert_base` is a file beside it, `- /data: redsm5` one of another group.
 *
 * On the command line: `model=bert_base` chooses another file for a group of the list, `+model=bert_base` adds a group that
 * the list does not have, `group@key=name` names the key where it is not the group's, `key=value` and `++key=value` set a
 * key, `+key=value` one that is not there yet, and `~key` takes an entry out of a mapping that may have any.
 */

import { dirname, join, relative, resolve } from "node:path";
import { stringify } from "yaml";
import { inputError } from "../support/errors.ts";
import { nearest } from "../support/text_distance.ts";
import { isMapping, isOptional, joinPath, type Path, schemaAt, splitKey } from "./fields.ts";
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
  choices: Map<string, { readonly name: string; readonly source: string }>;
  /** The choices for which a defaults list had an entry. */
  chosen: Set<string>;
  /** The keys of all groups that defaults lists named. */
  listed: Set<string>;
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
type Default =
  | { kind: "self" }
  | { kind: "root"; name: string }
  | { kind: "group"; group: string; key: string; name: string; absolute: boolean; override: boolean };

/** `group`, `group@key`, `/group` and `override group` in their parts; undefined where it is none of them. */
function readGroup(text: string) {
  const [, override, slash, group, key] =
    /^(override )?(\/)?([A-Za-z0-9][\w-]*)(?:@([A-Za-z0-9][\w-]*))?$/.exec(text) ?? [];
  if (group === undefined) return undefined;
  return { group, key: key ?? group, absolute: slash !== undefined, override: override !== undefined };
}

function readDefault(entry: unknown, source: string): Default {
  if (entry === "_self_") return { kind: "self" };
  if (typeof entry === "string" && NAME.test(entry)) return { kind: "root", name: entry };
  if (isTree(entry) && Object.keys(entry).length === 1) {
    const [[left, name]] = Object.entries(entry) as [[string, unknown]];
    const parts = readGroup(left);
    if (parts && typeof name === "string" && NAME.test(name)) return { kind: "group", ...parts, name };
  }
  throw inputError(
    `expected an entry of defaults to be a name, "group: name", "group@key: name" or "override group: name" but found ` +
      `${JSON.stringify(entry)} (${source})`,
    "Name files without folder and ending: `- base`, `- model: bert_base`.",
  );
}

/** A file's defaults list and the rest of it. */
function readComposed(file: string, source: string): { entries: Default[]; self: Tree } {
  const { defaults = [], ...self } = readYamlFile(file, source);
  if (!Array.isArray(defaults)) {
    throw inputError(
      `expected defaults to be a list but found ${JSON.stringify(defaults)} (${source})`,
      "Write a list.",
    );
  }
  const entries = defaults.map((entry) => readDefault(entry, source));
  if (!entries.some((entry) => entry.kind === "self")) entries.push({ kind: "self" });
  return { entries, self };
}

/** Where a file stands: at the root, or as a member of a group under a key. */
interface Place {
  /** The folder that holds the groups. */
  readonly folder: string;
  readonly group?: string;
  readonly key?: string;
}

/** Merges a file after what its defaults list names. `including` are the files that led here. */
function mergeFile(composition: Composition, file: string, place: Place, including: readonly string[]): void {
  const source = showPath(file);
  if (including.includes(file)) {
    const circle = [...including.slice(including.indexOf(file)), file].map(showPath).join(" -> ");
    throw inputError(`the defaults lists include ${source} in a circle: ${circle}`, "Take one of the entries out.");
  }
  const { entries, self } = readComposed(file, source);
  const { folder, group = "", key } = place;
  const inside = [...including, file];
  const overrides = entries.filter((entry) => entry.kind === "group" && entry.override) as {
    key: string;
    name: string;
  }[];
  for (const { key, name } of overrides) {
    // What includes this file, and the command line, has chosen before.
    if (!composition.choices.has(key)) composition.choices.set(key, { name, source });
  }
  for (const entry of entries) {
    if (entry.kind === "self") {
      merge(composition, key === undefined ? self : { [key]: self }, [], source);
    } else if (entry.kind === "root") {
      mergeFile(composition, findFile(folder, group, entry.name, source), place, inside);
    } else if (!entry.override) {
      if (key !== undefined && !entry.absolute) {
        throw inputError(
          `the defaults list of ${source}, a file of a group, names the group "${entry.group}" (${source})`,
          `Write "/${entry.group}: ${entry.name}" to take a file of another group.`,
        );
      }
      composition.listed.add(entry.key);
      const choice = composition.choices.get(entry.key);
      if (choice !== undefined) composition.chosen.add(entry.key);
      const found = findFile(folder, entry.group, choice?.name ?? entry.name, choice?.source ?? source);
      mergeFile(composition, found, { folder, group: entry.group, key: entry.key }, inside);
    }
  }
  for (const { key, name } of overrides) {
    if (!composition.chosen.has(key)) throw noGroup(source, key, name, `override ${key}: ${name}`);
  }
}

function noGroup(source: string, key: string, name: string, written: string) {
  return inputError(
    `the defaults list of ${source} has no group "${key}" for ${written}`,
    `Add "- ${key}: ${name}" to the list, add it with +${key}=${name}, or set single keys: ${key}.KEY=VALUE.`,
  );
}

/** What a text on the command line asks for. */
interface Override {
  readonly text: string;
  readonly key: string;
  /** Undefined where the key is taken out. */
  readonly value: string | undefined;
  /** Whether the key or group must not be there yet. */
  readonly adds: boolean;
}

/** `key=value`, `+key=value`, `++key=value` or `~key` in parts. @throws inputError for anything else */
function readOverride(text: string): Override {
  const [, sign, key, value] = /^(\+\+?|~)?([^=+~][^=]*)(?:=([^]*))?$/.exec(text.trim()) ?? [];
  if (key !== undefined && sign === "~" && value === undefined) {
    return { text, key: key.trim(), value, adds: false };
  }
  if (key === undefined || sign === "~" || value === undefined || value.trim() === "") {
    throw inputError(
      `expected an override to be key=value but found ${JSON.stringify(text)}`,
      "Write for example training.epochs=4, key=null for no value, or ~key to take an entry out.",
    );
  }
  return { text, key: key.trim(), value: value.trim(), adds: sign === "+" };
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

/** The group, key and file that an override chooses; undefined where it sets a key. */
function groupChoice({ key, value }: Override) {
  const parts = readGroup(key);
  if (value === undefined || !parts || parts.override || parts.absolute) return undefined;
  const schema = schemaAt([parts.key]);
  if (schema === undefined || !isMapping(schema) || !NAME.test(value) || value === "null") return undefined;
  return { group: parts.group, key: parts.key, name: value };
}

/** Applies the overrides that set keys, add them or take them out. */
function applySettings(composition: Composition, overrides: readonly Override[]): void {
  const { tree } = composition;
  const settings = overrides.map((override) => ({ ...override, path: splitKey(override.key) }));
  const unknown = settings.filter(({ path }) => schemaAt(path, tree) === undefined);
  if (unknown.length > 0) throw problemsError(unknown.map(({ path }) => unknownKey(path)), () => COMMAND_LINE);
  for (const { path, key, value, adds } of settings) {
    const there = valueAt(tree, path) !== undefined;
    if (value === undefined) takeOut(composition, path);
    else if (adds && there) {
      throw inputError(`${key} is there already (+${key}=${value})`, `Set it with ${key}=${value}.`);
    } else setValue(composition, path, overrideValue(path, value, tree), COMMAND_LINE);
  }
}

/** Takes an entry out of a mapping that may do without it. */
function takeOut({ tree }: Composition, path: Path): void {
  const key = joinPath(path), parent = valueAt(tree, path.slice(0, -1));
  if (!isTree(parent) || !Object.hasOwn(parent, path.at(-1)!)) {
    const near = nearest(
      key,
      isTree(parent) ? Object.keys(parent).map((one) => joinPath([...path.slice(0, -1), one])) : [],
    );
    throw inputError(
      `there is no ${key} to take out (~${key})` + (near === undefined ? "" : `; did you mean "${near}"?`),
      "Leave it away: it is not there.",
    );
  }
  if (!isOptional(path)) {
    throw inputError(
      `every configuration has ${key}, so that ~${key} cannot take it out`,
      `Set it to another value, such as ${key}=null where it takes null; entries of search_space can be taken out.`,
    );
  }
  delete parent[path.at(-1)!];
}

/** What to read and which metrics there are. */
export interface LoadOptions {
  /** The YAML file. */
  file: string;
  /** `key=value` texts and their kin (see above), applied in order. */
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
  const asked = overrides.map(readOverride);
  const groups = asked.flatMap((override) => {
    const choice = groupChoice(override);
    return choice === undefined ? [] : [{ ...choice, adds: override.adds, text: override.text }];
  });
  const choices = new Map(
    groups.filter(({ adds }) => !adds).map(({ key, name }) => [key, { name, source: COMMAND_LINE }]),
  );
  const composition: Composition = { tree: {}, sources: new Map(), choices, chosen: new Set(), listed: new Set() };
  const path = resolve(file), source = showPath(path), folder = dirname(path);
  mergeFile(composition, path, { folder }, []);
  for (const { group, key, name, adds, text } of groups) {
    if (adds && composition.listed.has(key)) {
      throw inputError(
        `the defaults list of ${source} has the group "${key}" already (${text})`,
        `Choose ${key}=${name}.`,
      );
    } else if (adds) {
      const added = findFile(folder, group, name, COMMAND_LINE);
      mergeFile(composition, added, { folder, group, key }, []);
    } else if (!composition.chosen.has(key)) throw noGroup(source, key, name, text);
  }
  applySettings(composition, asked.filter((override) => groupChoice(override) === undefined));
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
    listed: new Set(),
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
