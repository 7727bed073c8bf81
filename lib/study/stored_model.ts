/**
 * Models to predict with, opened without their data: a trial's checkpoint as it lies in the experiments folder, or a folder
 * that `deno task export` made.
 */
import { join } from "node:path";
import { z } from "zod";
import type { Config } from "../config/schema.ts";
import type { EncodingOptions } from "../data/input_frame.ts";
import type { Gpu } from "../gpu/device.ts";
import { type DualAgentConfig, dualAgentParameters } from "../model/dual_agent.ts";
import { checkEncoder, type EncoderConfig } from "../model/encoder.ts";
import { CRITERIA_LOSSES } from "../model/losses/registry.ts";
import { FULL_TUNING, type Tuning } from "../model/tuning.ts";
import {
  architectureSchema,
  inputSettingsSchema,
  type ModelRecord,
  modelRecordSchema,
  type PredictionSettings,
} from "../report/model_schema.ts";
import type { Checkpoint } from "../storage/checkpoint.ts";
import { hashFile, MANIFEST_FILE, readManifest } from "../storage/manifest.ts";
import { inputError, storageError } from "../support/errors.ts";
import { isThere } from "../support/file_system.ts";
import { loadTokenizer } from "../text/load_tokenizer.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { checkpointTensors } from "../train/parameter_arrays.ts";
import { openPredictor, type Predictor } from "../train/predictor.ts";
import { CONFIG_FILE, STATE_FILE, WEIGHTS_FILE } from "../train/state.ts";
import { loadThresholds } from "../train/thresholds_file.ts";
import { readEncoderConfig, usablePositions } from "../weights/encoder_config.ts";
import { offlineEnv } from "../weights/hub_environment.ts";
import { openSafetensors } from "../weights/safetensors.ts";
import { openBase } from "./base_weights.ts";
import { findBase, readPartial } from "./merge.ts";

/** What an exported model says of itself. */
export const RECORD_FILE = "winnow.json";

/** A model with all that prediction needs; its weights are read when they are uploaded. */
export interface StoredModel {
  /** Its folder. */
  readonly folder: string;
  readonly settings: PredictionSettings;
  readonly encoder: EncoderConfig;
  readonly tokenizer: Tokenizer;
  /** Uploads it. @throws an input error when the weights do not fit the architecture or the GPU refuses the memory */
  open(gpu: Gpu): Promise<Predictor>;
}

/** What a checkpoint's `config.json` says under `winnow`, as far as prediction reads it. */
const checkpointRecordSchema = inputSettingsSchema.extend({ criteria: z.array(z.string()).min(1) });

/** The agents that settings describe, as they are when nothing is trained: without dropout, and with no loss to speak of. */
function agentsOf(
  { criteria, architecture, input }: PredictionSettings,
  encoder: EncoderConfig,
  tuning: Tuning,
): DualAgentConfig {
  const noForm = CRITERIA_LOSSES.bce.form({ gamma: 0, alpha: 0, smoothing: 0 });
  return {
    encoder: { ...encoder, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 },
    criteria: input.input_format === "binary_pairs" ? 1 : criteria.length,
    activation: architecture.activation,
    pooling: architecture.criteria_pooling,
    criteriaHead: {
      type: architecture.criteria_head_type,
      hidden: architecture.criteria_hidden_dim,
      dropout: 0,
    },
    evidenceHead: {
      type: architecture.evidence_head_type,
      hidden: architecture.evidence_hidden_dim,
      dropout: 0,
      maxSpanTokens: architecture.max_span_tokens,
      maxSpans: architecture.max_spans_per_doc,
    },
    coupling: architecture.task_coupling === "independent" ? null : {
      method: architecture.coupling_method,
      pooling: architecture.coupling_pooling,
      poolBeforeCombination: architecture.pool_before_combination,
    },
    loss: { form: noForm, weighted: false, adaptive: false },
    tuning,
  };
}

/** How a model's settings encode texts. */
export function encodingOf({ criteria, input }: PredictionSettings): EncodingOptions {
  return {
    format: input.input_format,
    maxLength: input.max_length,
    docStride: input.doc_stride,
    aggregation: input.window_aggregation ?? "max",
    criteria: criteria.map((name, k) => ({ name, text: input.criterion_texts?.[k] ?? name })),
  };
}

/**
 * What prediction needs of a trial's checkpoint.
 *
 * @param config the trial's
 * @throws a storage error when its record or its thresholds cannot be read
 */
export async function checkpointSettings(checkpoint: Checkpoint, config: Config): Promise<PredictionSettings> {
  const path = join(checkpoint.folder, CONFIG_FILE);
  const found = checkpointRecordSchema.safeParse(JSON.parse(await Deno.readTextFile(path)).winnow);
  if (!found.success) {
    throw storageError(`${path} cannot be read: ${z.prettifyError(found.error)}`, "Use another checkpoint");
  }
  const { criteria, ...input } = found.data;
  const keys = Object.keys(architectureSchema.shape) as (keyof PredictionSettings["architecture"])[];
  const thresholds = await loadThresholds(checkpoint.folder, criteria);
  return {
    criteria,
    architecture: architectureSchema.parse(Object.fromEntries(keys.map((key) => [key, config.model[key]]))),
    input,
    batch_size: config.training.batch_size,
    thresholds: { ...thresholds.criteria },
    evidence_thresholds: { ...thresholds.evidence },
  };
}

/**
 * Opens a trial's checkpoint. What was trained on top of a base is run as it was trained; the base must be on this machine.
 *
 * @param checkpoint verified
 * @param config the trial's
 * @throws a storage error when the checkpoint cannot be read, an input error when its base is missing or has changed
 */
export async function openCheckpointModel(checkpoint: Checkpoint, config: Config): Promise<StoredModel> {
  const { folder } = checkpoint;
  const settings = await checkpointSettings(checkpoint, config);
  const tokenizer = await loadTokenizer(folder);
  const partial = await readPartial(checkpoint);
  if (!partial) return whole(folder, settings, await readEncoderConfig(folder), tokenizer);
  const { encoder, record: { tuning } } = partial;
  // Nothing is fetched: what reads posts makes no request.
  const { source, seed } = await findBase(partial, undefined, { env: offlineEnv });
  const agents = agentsOf(settings, encoder, tuning);
  const kinds = new Map(
    dualAgentParameters(agents).flatMap((spec) =>
      checkpointTensors(spec).map(({ name }) => [name, spec.initialisation] as const)
    ),
  );
  return {
    ...{ folder, settings, encoder, tokenizer },
    async open(gpu) {
      using base = openBase(source, seed);
      using trained = openSafetensors(join(folder, WEIGHTS_FILE));
      return await openPredictor(
        gpu,
        agents,
        (name, shape) =>
          trained.tensors.has(name) ? trained.readFloat32(name) : base.read(name, shape, kinds.get(name)!),
      );
    },
  };
}

/** A model whose folder has all of its weights. */
function whole(
  folder: string,
  settings: PredictionSettings,
  encoder: EncoderConfig,
  tokenizer: Tokenizer,
): StoredModel {
  const agents = agentsOf(settings, encoder, FULL_TUNING);
  return {
    ...{ folder, settings, encoder, tokenizer },
    async open(gpu) {
      using weights = openSafetensors(join(folder, WEIGHTS_FILE));
      // Before any memory is taken for what the files only claim.
      for (const { name, shape } of dualAgentParameters(agents).flatMap(checkpointTensors)) {
        const found = weights.tensors.get(name);
        if (found?.shape.join() === shape.join()) continue;
        throw inputError(
          `${join(folder, WEIGHTS_FILE)}: expected ${name} of shape [${shape}] but found ` +
            (found ? `shape [${found.shape}]` : "no such tensor"),
          "Export the model again",
        );
      }
      return await openPredictor(gpu, agents, (name) => weights.readFloat32(name));
    },
  };
}

/** An exported model with the record of where it comes from. */
export type ExportedModel = StoredModel & { readonly record: ModelRecord };

/** What may be edited after the export: the card, and the thresholds, which the record's schema checks. */
export const CARD_FILE = "README.md";
const EDITABLE: readonly string[] = [CARD_FILE, RECORD_FILE];

/** Compares an export's weights, configuration and tokenizer with what was written. */
async function verifyExport(folder: string): Promise<void> {
  const { files } = await readManifest(folder);
  for (const [name, { sha256 }] of Object.entries(files).filter(([name]) => !EDITABLE.includes(name))) {
    const found = await hashFile(join(folder, name)).catch(() => null);
    if (found?.sha256 === sha256) continue;
    throw storageError(
      `${join(folder, name)} ${found === null ? "cannot be read" : "is not as it was exported: its SHA-256 differs"}`,
      "Export the model again, or restore the file",
    );
  }
}

/**
 * Opens a folder that `deno task export` made, checking weights, configuration and tokenizer against its manifest.
 *
 * @throws an input error when it is no such folder or its parts do not go together, a storage error when it is damaged
 */
export async function openExportedModel(folder: string): Promise<ExportedModel> {
  const record = await readRecord(folder);
  if (await isThere(join(folder, MANIFEST_FILE))) await verifyExport(folder);
  const encoder = await readEncoderConfig(folder);
  checkEncoder(encoder, folder);
  const tokenizer = await loadTokenizer(folder);
  const refuse = (what: string) => inputError(`${folder}: ${what}`, "Export the model again");
  if (tokenizer.vocabSize > encoder.vocab_size) {
    throw refuse(`the tokenizer knows ${tokenizer.vocabSize} tokens but the embedding table has ${encoder.vocab_size}`);
  }
  const { criteria, input, thresholds } = record;
  if (input.max_length > usablePositions(encoder)) {
    throw refuse(`inputs have ${input.max_length} tokens but the model ${usablePositions(encoder)} positions`);
  }
  if (input.input_format === "binary_pairs" && input.criterion_texts?.length !== criteria.length) {
    throw refuse(`${RECORD_FILE} has no text for each of the ${criteria.length} criteria`);
  }
  const without = criteria.find((criterion) => !Object.hasOwn(thresholds, criterion));
  if (without !== undefined) throw refuse(`${RECORD_FILE} has no threshold for ${without}`);
  return { ...whole(folder, record, encoder, tokenizer), record };
}

async function readRecord(folder: string): Promise<ModelRecord> {
  const path = join(folder, RECORD_FILE);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory)) throw cause;
    const remedy = await isThere(join(folder, STATE_FILE))
      ? "It is a trial's checkpoint: name the trial with --trial-id, or export it"
      : "Name a folder that `deno task export` made";
    throw inputError(`${folder} is no exported model: it has no ${RECORD_FILE}`, remedy, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw inputError(`${path} is no JSON: ${(cause as Error).message}`, "Export the model again", { cause });
  }
  const found = modelRecordSchema.safeParse(value);
  if (found.success) return found.data;
  throw inputError(`${path}: ${z.prettifyError(found.error)}`, "Export the model again with this version");
}
