/**
 * A trial's model as a folder of its own: whole weights that `transformers` loads, the heads beside them, tokenizer,
 * `winnow.json` and a model card. It is there whole or not at all.
 */
import { basename, dirname, join, resolve } from "node:path";
import type { Config } from "../config/schema.ts";
import { catalogModel } from "../model/catalog.ts";
import { modelCard } from "../report/model_card.ts";
import { type ModelRecord, modelRecordSchema } from "../report/model_schema.ts";
import { readEvaluationReport, readSummaryReport } from "../report/report_file.ts";
import type { EvaluationReport, SummaryReport } from "../report/schema.ts";
import { type Checkpoint, OPTIMIZER_FILE, publishCheckpoint } from "../storage/checkpoint.ts";
import { MANIFEST_FILE, readManifest } from "../storage/manifest.ts";
import { inputError, WinnowError } from "../support/errors.ts";
import { VERSION } from "../support/version.ts";
import { CONFIG_FILE, STATE_FILE, WEIGHTS_FILE } from "../train/state.ts";
import { THRESHOLDS_FILE } from "../train/thresholds_file.ts";
import type { PassedOver } from "./choose_checkpoints.ts";
import { findModel, type FoundModel, type ModelChoice } from "./find_model.ts";
import { findBase, readPartial, writeMerged } from "./merge.ts";
import { CARD_FILE, checkpointSettings, RECORD_FILE } from "./stored_model.ts";

/** Where a model goes. */
export interface ExportOptions {
  /** The folder to make. */
  readonly to: string;
  /** Replaces an earlier export. */
  readonly force: boolean;
}

/** What was exported. */
export interface ExportResult {
  /** Absolute path. */
  readonly folder: string;
  readonly study_id: string;
  readonly trial_id: string;
  /** The checkpoint that it was made of, relative to the experiments folder. */
  readonly checkpoint: string;
  readonly bytes: number;
  readonly weights_sha256: string;
  /** Better checkpoints that could not be used. */
  readonly passed_over: readonly PassedOver[];
}

/**
 * Refuses a folder that holds what no export wrote, and one that holds an export unless it is to be replaced.
 *
 * @throws an input error
 */
async function checkTarget(folder: string, { to, force }: ExportOptions): Promise<void> {
  if (basename(folder).startsWith(".") || dirname(folder) === folder) {
    throw inputError(`${to} can be no model's folder`, "Name a folder whose name begins with no dot");
  }
  let names: string[];
  try {
    names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    if (error instanceof Deno.errors.NotADirectory) throw inputError(`${to} is a file`, "Name a folder with --to");
    throw error;
  }
  if (names.length === 0) return;
  const written = names.includes(RECORD_FILE)
    ? await readManifest(folder).then(({ files }) => [MANIFEST_FILE, ...Object.keys(files)], () => [])
    : [];
  const foreign = names.find((name) => !written.includes(name));
  if (foreign !== undefined) {
    throw inputError(
      `${to} is not empty: ${foreign} in it is of no export`,
      "Name another folder, or empty it: --force replaces earlier exports only",
    );
  }
  if (!force) throw inputError(`${to} holds an exported model`, "Replace it with --force, or name another folder");
}

/** A folder's name in place of its path: a card is passed on, and where things lay on this machine is nobody's business. */
const withoutPath = (id: string): string => /^[./~]|\\/.test(id) ? basename(id) : id;

/** The parts of a trial's configuration that made the model; nothing of folders, tracking or other trials. */
function modelConfig({ seed, model, loss, data, tuning, augmentation, training }: Config): Record<string, unknown> {
  return {
    ...{ seed, loss, tuning, augmentation, training },
    model: { ...model, id: withoutPath(model.id) },
    data: { ...data, id: withoutPath(data.id) },
  };
}

/** A report, or undefined where there is none or it is damaged, which is told. */
async function reportOf<T>(read: Promise<T>, say: (text: string) => void): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (!(error instanceof WinnowError)) throw error;
    say(`warning: ${error.message}; the model card goes without it`);
    return undefined;
  }
}

/** Test metrics of these very weights, from the trial's report or the study's. */
function testOf(weights: string, report?: EvaluationReport, summary?: SummaryReport): ModelRecord["metrics"]["test"] {
  const own = (report?.test_checkpoint ?? report?.checkpoint)?.weights_sha256 === weights ? report?.test : undefined;
  const tested = summary?.co_best.find(({ checkpoint }) => checkpoint.weights_sha256 === weights);
  return own ?? tested?.test ?? null;
}

async function recordOf(
  experiments: string,
  { study, trial, config, checkpoints: [checkpoint] }: FoundModel,
  base: { id: string; revision: string },
  say: (text: string) => void,
): Promise<ModelRecord> {
  const report = await reportOf(readEvaluationReport(experiments, trial.trial_id), say);
  const summary = await readSummaryReport(experiments, study.id).catch(() => undefined);
  const { metric, direction } = config.study;
  const { data } = report ?? {};
  const weights = checkpoint.files[WEIGHTS_FILE]!.sha256;
  return modelRecordSchema.parse(JSON.parse(JSON.stringify({
    format: "winnow-model/1",
    written: new Date().toISOString(),
    version: VERSION,
    ...await checkpointSettings(checkpoint, config),
    trained: {
      study_id: study.id,
      trial_id: trial.trial_id,
      trial_number: trial.number,
      epoch: checkpoint.info.epoch,
      step: checkpoint.info.step,
      base: {
        id: withoutPath(base.id),
        revision: base.revision,
        license: catalogModel(base.id)?.license ?? null,
      },
      config: modelConfig(config),
      adapter: report?.adapter.name ?? null,
    },
    metrics: {
      ...{ metric, direction },
      // At the thresholds, as the test metrics are, where the report is of these weights.
      validation: {
        ...checkpoint.info.metrics,
        ...(report?.checkpoint?.weights_sha256 === weights ? report.validation_details.metrics : {}),
      },
      test: testOf(weights, report, summary),
      baseline: summary?.baseline ?? null,
    },
    data: data
      ? {
        id: withoutPath(data.id),
        revision: data.revision,
        sha256: data.sha256,
        split_sha256: data.split_sha256,
        posts: data.posts,
      }
      : null,
  })));
}

/** What only training needs, and what winnow.json says. */
const LEFT_OUT: readonly string[] = [OPTIMIZER_FILE, STATE_FILE, THRESHOLDS_FILE];

/** Copies a checkpoint that holds a whole model. */
async function copyWhole({ folder, files }: Checkpoint, target: string): Promise<void> {
  for (const name of Object.keys(files).filter((name) => !LEFT_OUT.includes(name))) {
    await Deno.copyFile(join(folder, name), join(target, name));
  }
}

/**
 * Exports the checkpoint that a user means: of a study its best trial's, and where that is damaged the next best.
 *
 * @throws an input error when there is no such study or trial, its base is missing or the folder is not free; a storage
 * error when no checkpoint is sound or the file system refuses
 */
export async function exportModel(
  experiments: string,
  choice: ModelChoice,
  options: ExportOptions,
  say: (text: string) => void,
): Promise<ExportResult> {
  const folder = resolve(options.to);
  await checkTarget(folder, options);
  const found = await findModel(experiments, choice, say);
  const { study, trial, config, checkpoints: [checkpoint] } = found;
  const partial = await readPartial(checkpoint);
  const base = partial && await findBase(partial);
  const { winnow } = JSON.parse(await Deno.readTextFile(join(checkpoint.folder, CONFIG_FILE)));
  const record = await recordOf(experiments, found, winnow.base, say);
  const write = async (target: string) => {
    if (partial && base) await writeMerged(partial, base, target);
    else await copyWhole(checkpoint, target);
    await Deno.remove(join(target, THRESHOLDS_FILE)).catch(() => {}); // of a merged one: winnow.json has them
    const path = join(target, CONFIG_FILE);
    const json = JSON.parse(await Deno.readTextFile(path));
    json.winnow.base.id = record.trained.base.id;
    await Deno.writeTextFile(path, JSON.stringify(json, null, 2) + "\n");
    await Deno.writeTextFile(join(target, RECORD_FILE), JSON.stringify(record, null, 2) + "\n");
    const card = modelCard(record, { architecture: json.architectures[0], tuning: config.tuning.mode });
    await Deno.writeTextFile(join(target, CARD_FILE), card);
  };
  const { step, epoch, metrics } = checkpoint.info;
  const made = await publishCheckpoint(dirname(folder), basename(folder), write, {
    ...{ step, epoch, metrics },
    kind: "export",
  });
  return {
    folder,
    study_id: study.id,
    trial_id: trial.trial_id,
    checkpoint: checkpoint.folder.slice(resolve(experiments).length + 1),
    bytes: made.bytes,
    weights_sha256: made.files[WEIGHTS_FILE]!.sha256,
    passed_over: found.passedOver,
  };
}
