/** The command lines of train, resume, evaluate, report, predict, export, data, translate, cleanup and catalog. Unknown options and missing values are input errors. */

import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import type { Config } from "../config/schema.ts";
import type { StudyChanges } from "../study/study.ts";
import { inputError } from "../support/errors.ts";
import { nearest } from "../support/text_distance.ts";

/** The configuration of `train` where none is named. */
export const DEFAULT_CONFIG = "configs/quickstart.yaml";
/** Trials that a dry run shows where it is not told how many. */
const DEFAULT_SAMPLES = 3;
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

/** `cleanup` */
export interface CleanupOptions extends CommonOptions {
  config?: string;
  studyId?: string;
  execute: boolean;
  data: boolean;
  /** Ids of posts; only what is of them goes then. */
  posts?: string[];
}

const COMMON_HELP = `  --json         progress to stderr, the result as one JSON object on the last line of stdout
  -h, --help     this text
  key=value      a configuration key, e.g. training.epochs=4; configs/base.yaml lists them all. model=minilm chooses a
                 group's file, +model=minilm adds a group, ~search_space.training.epochs takes an entry out

exit codes: 0 done, 1 failed, 2 bad input or configuration, 3 storage, 130 interrupted and saved`;

/** The text of `train --help`. */
export const TRAIN_HELP =
  `usage: deno task train [--config FILE] [--mode single|hpo|dry-run] [--cfg] [--json] [key=value ...]

Trains on the GPU and searches hyperparameters, one trial at a time; evaluates the best trial on the test split.

  --config FILE  the configuration (default ${DEFAULT_CONFIG})
  --mode MODE    hpo: a study over search_space (default); single: one trial with the configuration as it is;
                 dry-run: checks configuration, data, GPU memory and disk, counts the search space, and trains nothing
  --samples N    with --mode dry-run: show N trials drawn from the search space (default ${DEFAULT_SAMPLES})
  --cfg          show the resolved configuration as YAML (with --json as JSON) and do nothing else
${COMMON_HELP}`;

/** The text of `translate --help`. */
export const TRANSLATE_HELP = `usage: deno task translate [--config FILE] [--json] [key=value ...]

Translates the evidence of the training split to another language and back, for the augmentation back_translation. The
models are those of augmentation.back_translation; what is translated stays in the experiments folder. The one task that
may run native code (onnxruntime).

  --config FILE  the configuration (default ${DEFAULT_CONFIG})
${COMMON_HELP}`;

/** The text of `resume --help`. */
export const RESUME_HELP = `usage: deno task resume [--study-id ID] [--config FILE] [--json] [key=value ...]

Continues an interrupted study, mid-trial where a checkpoint is there.

  --study-id ID  the study (default: the latest unfinished one)
  --config FILE  names the experiments folder (paths.experiments); the study keeps its own configuration
  study.n_trials=N, study.time_limit_hours=H, study.max_consecutive_failures=N, study.heartbeat_seconds=S
                 change how long the study goes on; of other keys the study keeps its own
${COMMON_HELP}`;

/** The text of `evaluate --help`. */
export const EVALUATE_HELP =
  `usage: deno task evaluate --study-id ID | --trial-id ID [--split test|validation] [--config FILE] [--json] [key=value ...]

Evaluates the best checkpoint, and those that tie with it, on the test split again and rewrites the report. Of a study that
is not finished the best trial so far is evaluated. Where the best checkpoint is damaged, one that ties with it or the next
best takes its place; the report says so.

  --study-id ID  the best trial of this study
  --trial-id ID  this trial
  --split NAME   test (default), or validation: shows the figures and leaves the reports as they are
  --config FILE  names the experiments folder (paths.experiments)
${COMMON_HELP}`;

/** The text of `predict --help`. */
export const PREDICT_HELP =
  `usage: deno task predict [--study-id ID | --trial-id ID | --model DIR] [--input FILE] [--json | --text] [key=value ...]

Says which criteria texts meet, with probabilities, and where in them the evidence stands, as UTF-16 offsets. Texts are
predicted as they come, in any number, and leave in their order. Makes no request and writes no file.

  --study-id ID  the best trial of this study (default: of the latest finished one)
  --trial-id ID  this trial
  --model DIR    a folder that deno task export made
  --input FILE   .jsonl: an object a line with text and, if wanted, id; .txt: one text. Of other names, and of stdin, which
                 is read without --input, what begins with { is JSON lines and all else is one text
  --json         a line of JSON for each text (contracts/prediction.schema.json): the default where stdout is no terminal
  --text         for people: the default in a terminal
  --with-text    puts the passages themselves beside their offsets in the JSON
  --config FILE  names the experiments folder (paths.experiments)
  -h, --help     this text

exit codes: 0 done, 1 failed, 2 bad input or configuration, 3 storage, 130 interrupted`;

/** The text of `export --help`. */
export const EXPORT_HELP =
  `usage: deno task export --trial-id ID | --study-id ID --to DIR [--force] [--config FILE] [--json] [key=value ...]

Writes a trial's best checkpoint as a folder that Python's transformers loads (AutoModel, AutoTokenizer): whole weights with
what was trained in part merged into its base, the heads beside the encoder, tokenizer, winnow.json with all that
deno task predict --model needs, and a model card (README.md) with the figures. No text of a post is in it.

  --study-id ID  the best trial of this study
  --trial-id ID  this trial
  --to DIR       the folder to make
  --force        replaces an earlier export in that folder
  --config FILE  names the experiments folder (paths.experiments)
${COMMON_HELP}`;

/** The text of `report --help`. */
export const REPORT_HELP =
  `usage: deno task report [--study-id ID] [--with-text] [--config FILE] [--json] [key=value ...]

Writes a study's page, study_ID/report.html: one file with all charts and tables, which loads nothing from anywhere. Also
while the study runs.

  --study-id ID  the study (default: the latest one)
  --with-text    adds evidence examples in the text of posts of the validation split; the file is data/reports/study_ID.html
  --config FILE  names the experiments folder (paths.experiments)
${COMMON_HELP}`;

/** The text of `data --help`. */
export const DATA_HELP = `usage: deno task data [--config FILE] [--json] [key=value ...]

Reports on a dataset: files, labels, splits, which evidence sentences were found in their posts, lengths in tokens, what
data.max_length would cut off, and what keeps training from starting. No text of a post is shown.

  --config FILE  the configuration (default ${DEFAULT_CONFIG})
${COMMON_HELP}`;

/** The text of `cleanup --help`. */
export const CLEANUP_HELP =
  `usage: deno task cleanup [--execute] [--study-id ID] [--data] [--config FILE] [--json] [key=value ...]
       deno task cleanup --post ID [--post ID ...] [--execute] [--config FILE] [--json] [key=value ...]

Lists what can go from the experiments folder, with sizes and reasons: checkpoints that retention does not keep, those of
failed and pruned trials, and what crashes have left. Never what a resume or the best trials need.

  --execute      deletes what is listed; without it nothing is changed
  --study-id ID  only this study (default: all, and what belongs to none)
  --data         also text of posts in the experiments folder (data/): back-translations, generated samples
  --post ID      only what is of this post, and all of it: in samples, back-translations, logs, reports and MLflow's copies
                 of them; says what holds it and cannot be changed (the dataset, weights)
  --config FILE  names the experiments folder (paths.experiments); with --post its dataset is looked into as well
${COMMON_HELP}`;

/** The text of `catalog --help`. */
export const CATALOG_HELP = `usage: deno task catalog [--json]

Lists what a configuration can choose from by name, a line each: encoders, heads, poolings, couplings, losses, activations,
input formats, augmentation methods, optimizers, schedules. Above each list stands the key that takes the names.

  --json         the list as one JSON object on the last line of stdout
  -h, --help     this text`;

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
