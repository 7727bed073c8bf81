/** What `--help` shows of each command. */

import { DEFAULT_CONFIG, DEFAULT_PROFILE_STEPS, DEFAULT_SAMPLES } from "./options.ts";

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

/** The text of `profile --help`. */
export const PROFILE_HELP =
  `usage: deno task profile [--config FILE] [--steps N] [--length N] [--trace FILE] [--json] [key=value ...]

Shows where the time of a training step goes: every kernel timed on the GPU, with its rates, beside the step as training runs
it. Model and batches are those that train would take; nothing is trained or saved, but for the trace.

  --config FILE  the configuration (default ${DEFAULT_CONFIG})
  --steps N      timed steps, of which medians are taken (default ${DEFAULT_PROFILE_STEPS})
  --length N     batches of this many tokens a text (default: the length that an epoch has most batches of)
  --trace FILE   also writes the timeline of GPU and CPU, for ui.perfetto.dev or chrome://tracing
${COMMON_HELP.replace("interrupted and saved", "interrupted")}`;

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
