/** The command lines of the commands. Unknown options and missing values are input errors. */

import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import type { Config } from "../config/schema.ts";
import type { StudyChanges } from "../study/study.ts";
import { inputError } from "../support/errors.ts";
import { nearest } from "../support/text_distance.ts";

/** The configuration of `train` where none is named. */
export const DEFAULT_CONFIG = "configs/quickstart.yaml";
/** Steps that `profile` times where it is not told how many. */
export const DEFAULT_PROFILE_STEPS = 5;
/** Trials that a dry run shows where it is not told how many. */
export const DEFAULT_SAMPLES = 3;
const MODES = ["single", "hpo", "dry-run"] as const;

/** What every command understands. */
export interface CommonOptions {
  json: boolean;
  /** `key=value` texts in the order given. */
  overrides: string[];
}

/** `train` */
export interface TrainOptions extends CommonOptions {
  config: string;
  /** hpo: a study over the search space; single: one trial of the configuration as it is; dry-run: the checks only. */
  mode: typeof MODES[number];
  /** Show the resolved configuration and do nothing else. */
  cfg: boolean;
  /** Trials that a dry run draws from the search space and shows. */
  samples: number;
}

/** `resume`; without a study the latest unfinished one is meant. */
export interface ResumeOptions extends CommonOptions {
  studyId?: string;
  config?: string;
}

/** `evaluate`, of a study's best trial or of one trial. */
export type EvaluateOptions =
  & CommonOptions
  & { config?: string; split: typeof EVALUATED_SPLITS[number] }
  & ({ studyId: string } | { trialId: string });

const EVALUATED_SPLITS = ["test", "validation"] as const;

/** Which model a command takes: a trial's, a study's best, the latest finished study's best, or an exported folder. */
export interface ModelOptions extends CommonOptions {
  config?: string;
  studyId?: string;
  trialId?: string;
}

/** `predict` */
export interface PredictOptions extends ModelOptions {
  /** A folder that `export` made. */
  model?: string;
  /** Where the texts are; stdin unless given. */
  input?: string;
  withText: boolean;
}

/** `export` */
export interface ExportOptions extends ModelOptions {
  to: string;
  force: boolean;
}

/** `report`; without a study the latest one is meant. */
export interface ReportOptions extends CommonOptions {
  studyId?: string;
  config?: string;
  /** Evidence examples with the text of their posts. */
  withText: boolean;
}

/** `data` */
export interface DataOptions extends CommonOptions {
  config: string;
}

/** `profile` */
export interface ProfileCommandOptions extends CommonOptions {
  config: string;
  /** Timed steps. */
  steps: number;
  /** Tokens of the batches to take. */
  length?: number;
  /** A file for the trace. */
  trace?: string;
}

/** `cleanup` */
export interface CleanupOptions extends CommonOptions {
  config?: string;
  studyId?: string;
  execute: boolean;
  data: boolean;
  /** Ids of posts; only what is of them goes then. */
  posts?: string[];
}

/** parseArgs with errors that name the option, and positionals checked to be overrides. */
function parse(
  args: readonly string[],
  names: readonly string[],
  command: string,
  flags: readonly string[] = [],
  lists: readonly string[] = [],
) {
  const remedy = `deno task ${command} --help lists the options.`;
  const options: ParseArgsOptionsConfig = { json: { type: "boolean" }, help: { type: "boolean", short: "h" } };
  for (const name of names) options[name] = { type: "string" };
  for (const name of flags) options[name] = { type: "boolean" };
  for (const name of lists) options[name] = { type: "string", multiple: true };
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    const option = /'(-[^\s']*)/.exec(message)?.[1];
    if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION" && option !== undefined) {
      const near = nearest(option, Object.keys(options).map((name) => `--${name}`));
      throw inputError(`unknown option ${option}${near === undefined ? "" : `; did you mean ${near}?`}`, remedy);
    }
    throw inputError(message.split("\n")[0]!.replace(" argument missing", " needs a value"), remedy);
  }
  const values = parsed.values as Record<string, string | boolean | string[] | undefined>;
  for (const name of [...names, ...lists]) {
    if ([values[name]].flat().includes("")) throw inputError(`option --${name} needs a value`, remedy);
  }
  for (const argument of parsed.positionals) {
    if (!/^[^=\s]+=|^~[^=\s]+$/.test(argument)) {
      throw inputError(
        `unexpected argument ${JSON.stringify(argument)}`,
        `Settings are key=value, for example training.epochs=4; ${remedy}`,
      );
    }
  }
  return {
    json: values.json === true,
    overrides: parsed.positionals,
    flag: (name: string) => values[name] === true,
    text: (name: string) => values[name] as string | undefined,
    list: (name: string) => values[name] as string[] | undefined,
    id: (name: string) => checkId(values[name] as string | undefined, name, remedy),
  };
}

/** An id becomes part of a folder's name: letters, digits, dots, dashes and underscores only. */
function checkId(id: string | undefined, option: string, remedy: string): string | undefined {
  if (id !== undefined && !/^\w[\w.-]*$/.test(id)) {
    throw inputError(`Expected --${option} to be an id but found ${JSON.stringify(id)}`, remedy);
  }
  return id;
}

/** The command line of `train`. @throws inputError */
export function parseTrainOptions(args: readonly string[]): TrainOptions {
  const { json, overrides, text, flag } = parse(args, ["config", "mode", "samples"], "train", ["cfg"]);
  const mode = text("mode") ?? "hpo";
  if (!MODES.includes(mode as TrainOptions["mode"])) {
    throw inputError(
      `Expected --mode to be one of ${MODES.join(", ")} but found ${JSON.stringify(mode)}`,
      "deno task train --help says what each does.",
    );
  }
  return {
    json,
    overrides,
    config: text("config") ?? DEFAULT_CONFIG,
    mode: mode as TrainOptions["mode"],
    cfg: flag("cfg"),
    samples: sampleCount(text("samples"), mode),
  };
}

function sampleCount(samples: string | undefined, mode: string): number {
  if (samples === undefined) return DEFAULT_SAMPLES;
  if (!/^\d{1,4}$/.test(samples)) {
    throw inputError(
      `Expected --samples to be an integer from 0 to 9999 but found ${JSON.stringify(samples)}`,
      "deno task train --help says what it does.",
    );
  }
  if (mode !== "dry-run") {
    throw inputError(`--samples is for --mode dry-run but the mode is ${mode}`, "Add --mode dry-run, or leave it out.");
  }
  return Number(samples);
}

/** The command line of `translate`. @throws inputError */
export function parseTranslateOptions(args: readonly string[]): CommonOptions & { config: string } {
  const { json, overrides, text } = parse(args, ["config"], "translate");
  return { json, overrides, config: text("config") ?? DEFAULT_CONFIG };
}

/** The command line of `resume`. @throws inputError */
export function parseResumeOptions(args: readonly string[]): ResumeOptions {
  const { json, overrides, text, id } = parse(args, ["study-id", "config"], "resume");
  const studyId = id("study-id"), config = text("config");
  return {
    json,
    overrides,
    ...(studyId === undefined ? {} : { studyId }),
    ...(config === undefined ? {} : { config }),
  };
}

/** The command line of `evaluate`. @throws inputError */
export function parseEvaluateOptions(args: readonly string[]): EvaluateOptions {
  const { json, overrides, text, id } = parse(args, ["study-id", "trial-id", "split", "config"], "evaluate");
  const config = text("config"), split = text("split") ?? "test";
  const model = oneModel(id("study-id"), id("trial-id"), "what to evaluate");
  if (!EVALUATED_SPLITS.includes(split as EvaluateOptions["split"])) {
    throw inputError(
      `Expected --split to be one of ${EVALUATED_SPLITS.join(", ")} but found ${JSON.stringify(split)}`,
      "deno task evaluate --help says what each does.",
    );
  }
  const common = { json, overrides, split: split as EvaluateOptions["split"] };
  return { ...common, ...(config === undefined ? {} : { config }), ...model };
}

/** Exactly one of a study's and a trial's id. */
function oneModel(studyId: string | undefined, trialId: string | undefined, what: string) {
  if (studyId !== undefined && trialId === undefined) return { studyId };
  if (trialId !== undefined && studyId === undefined) return { trialId };
  throw inputError(
    `Expected one of --study-id and --trial-id but found ${studyId === undefined ? "neither" : "both"}`,
    `Name ${what}; the ids stand in the names of the folders in experiments/.`,
  );
}

/** The command line of `report`. @throws inputError */
export function parseReportOptions(args: readonly string[]): ReportOptions {
  const { json, overrides, text, id, flag } = parse(args, ["study-id", "config"], "report", ["with-text"]);
  const studyId = id("study-id"), config = text("config");
  return {
    json,
    overrides,
    withText: flag("with-text"),
    ...(studyId === undefined ? {} : { studyId }),
    ...(config === undefined ? {} : { config }),
  };
}

/**
 * The command line of `predict`; `json` is also set where stdout is no terminal.
 *
 * @throws inputError
 */
export function parsePredictOptions(args: readonly string[], isTerminal: boolean): PredictOptions {
  const names = ["study-id", "trial-id", "model", "input", "config"];
  const { json, overrides, text, id, flag } = parse(args, names, "predict", ["text", "with-text"]);
  const studyId = id("study-id"), trialId = id("trial-id");
  const model = text("model"), input = text("input"), config = text("config");
  const named = Object.entries({ "--study-id": studyId, "--trial-id": trialId, "--model": model })
    .flatMap(([name, value]) => value === undefined ? [] : [name]);
  if (named.length > 1) {
    throw inputError(`${named.join(" and ")} name different models`, "Give one of them");
  }
  if (json && flag("text")) throw inputError("--json and --text exclude each other", "Give one of them");
  if (model !== undefined && (config !== undefined || overrides.length > 0)) {
    throw inputError(
      `${config === undefined ? overrides[0] : "--config"} says nothing about the folder of --model`,
      "Leave it out: the folder holds its own settings",
    );
  }
  return {
    json: json || (!isTerminal && !flag("text")),
    overrides,
    withText: flag("with-text"),
    ...(studyId === undefined ? {} : { studyId }),
    ...(trialId === undefined ? {} : { trialId }),
    ...(model === undefined ? {} : { model }),
    ...(input === undefined ? {} : { input }),
    ...(config === undefined ? {} : { config }),
  };
}

/** The command line of `export`. @throws inputError */
export function parseExportOptions(args: readonly string[]): ExportOptions {
  const { json, overrides, text, id, flag } = parse(args, ["study-id", "trial-id", "to", "config"], "export", [
    "force",
  ]);
  const config = text("config"), to = text("to");
  const model = oneModel(id("study-id"), id("trial-id"), "what to export");
  if (to === undefined) throw inputError("option --to is missing", "Name the folder to make with --to DIR");
  return { json, overrides, to, force: flag("force"), ...(config === undefined ? {} : { config }), ...model };
}

/** The command line of `data`. @throws inputError */
export function parseDataOptions(args: readonly string[]): DataOptions {
  const { json, overrides, text } = parse(args, ["config"], "data");
  return { json, overrides, config: text("config") ?? DEFAULT_CONFIG };
}

/** The command line of `profile`. @throws inputError */
export function parseProfileOptions(args: readonly string[]): ProfileCommandOptions {
  const { json, overrides, text } = parse(args, ["config", "steps", "length", "trace"], "profile");
  const number = (name: string) => {
    const value = text(name);
    if (value === undefined || /^[1-9]\d{0,3}$/.test(value)) return value === undefined ? undefined : Number(value);
    throw inputError(
      `Expected --${name} to be an integer from 1 to 9999 but found ${JSON.stringify(value)}`,
      "deno task profile --help says what it does.",
    );
  };
  const length = number("length"), trace = text("trace");
  return {
    json,
    overrides,
    config: text("config") ?? DEFAULT_CONFIG,
    steps: number("steps") ?? DEFAULT_PROFILE_STEPS,
    ...(length === undefined ? {} : { length }),
    ...(trace === undefined ? {} : { trace }),
  };
}

/** The command line of `cleanup`. @throws inputError */
export function parseCleanupOptions(args: readonly string[]): CleanupOptions {
  const { json, overrides, text, id, flag, list } = parse(
    args,
    ["study-id", "config"],
    "cleanup",
    ["execute", "data"],
    ["post"],
  );
  const studyId = id("study-id"), config = text("config"), posts = list("post");
  if (posts !== undefined && (studyId !== undefined || flag("data"))) {
    throw inputError(
      `--post goes with neither --study-id nor --data: a post is taken out of all that is in the folder`,
      "Run the two cleanups one after the other; deno task cleanup --help lists the options.",
    );
  }
  return {
    json,
    overrides,
    execute: flag("execute"),
    data: flag("data"),
    ...(studyId === undefined ? {} : { studyId }),
    ...(config === undefined ? {} : { config }),
    ...(posts === undefined ? {} : { posts: [...new Set(posts)] }),
  };
}

/** The command line of `catalog`: it is the same for every configuration. @throws inputError */
export function parseCatalogOptions(args: readonly string[]): { json: boolean } {
  const { json, overrides } = parse(args, [], "catalog");
  if (overrides.length > 0) {
    throw inputError(
      `unexpected argument ${JSON.stringify(overrides[0])}`,
      "The catalog is the same for every configuration; deno task catalog --help lists the options.",
    );
  }
  return { json };
}

/** The keys of a study that `resume` may change. */
const CHANGEABLE = ["n_trials", "time_limit_hours", "max_consecutive_failures", "heartbeat_seconds"] as const;

/** What the overrides of `resume` change of the study; `config` is the configuration with them. */
export function studyChanges(config: Config, overrides: readonly string[]): StudyChanges {
  const named = CHANGEABLE.filter((key) =>
    overrides.some((one) => one.replace(/^\++/, "").startsWith(`study.${key}=`))
  );
  return Object.fromEntries(named.map((key) => [key, config.study[key]]));
}
