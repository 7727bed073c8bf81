/** One trial: its configuration becomes an engine, a training run, checkpoints and an evaluation report. */
import { createHash } from "node:crypto";
import { join, relative, resolve } from "node:path";
import { configToYaml, withParams } from "../config/compose.ts";
import type { Config } from "../config/schema.ts";
import { type RunningTrial, TrialPruned, type TrialResult } from "../hpo/executor.ts";
import type { Params } from "../hpo/space.ts";
import { writeEvaluationReport } from "../report/report_file.ts";
import { makeFolder, writeFileAtomic } from "../storage/atomic_file.ts";
import { type Checkpoint, cleanPartials, cleanTemporaries } from "../storage/checkpoint.ts";
import { checkpointsFolder, trialFolder } from "../storage/layout.ts";
import type { Logger } from "../support/logging.ts";
import { VERSION } from "../support/version.ts";
import { parameterGroups } from "../model/parameter_groups.ts";
import type { Engine } from "../train/engine.ts";
import type { EnginePlan } from "../train/engine_plan.ts";
import type { PostPredictions } from "../train/aggregation.ts";
import { evaluateSplit } from "../train/evaluator.ts";
import { type EpochRecord, loadArrays, type ModelFiles, WEIGHTS_FILE } from "../train/state.ts";
import { fit, type TrainingProgress } from "../train/trainer.ts";
import { augmentationReport, encodeAugmented, trainingAugmentation } from "./augmentation.ts";
import { plannedProducts } from "./autotune.ts";
import { checkpointDetails, thresholdFields } from "./checkpoint_details.ts";
import { inputRecord, shortestLength } from "./inputs.ts";
import { agentConfig, architectureRecord, initialiseParameters } from "./model_source.ts";
import { preflight } from "./preflight.ts";
import type { StudyStorage } from "./study_storage.ts";
import {
  dataReference,
  encodedSplits,
  engineOptions,
  evaluateOptions,
  signatureOf,
  type StudyContext,
  trialContext,
} from "./trial_context.ts";
import { encoderRecord } from "./tuning.ts";

/** What a trial tells while it runs. */
export interface TrialEvents {
  onProgress(progress: TrainingProgress): void;
  /** The study's configuration with the trial's parameters in it. */
  onConfig?(config: Config): void;
  onEpoch?(record: EpochRecord): void;
  beforeCheckpoint?(): Promise<void>;
  /** What takes its time before the first step. */
  onNotice?(message: string): void;
  /** What the log has as a warning too. */
  onWarning?(message: string): void;
}

/** Where a training checkpoint's signature has the hash of the augmented copies; a model is the same without them. */
export const AUGMENTATION_KEY = "augmentation";

/** The files beside the weights of a checkpoint. */
function modelFiles(context: StudyContext): ModelFiles {
  const { config } = context;
  const { encoder } = agentConfig(config, context.model, context.data.dataset.criteria.length);
  const { plain, winnow } = encoderRecord(config, context.model, encoder);
  return {
    config: {
      ...plain,
      winnow: {
        version: VERSION,
        ...winnow,
        criteria: context.data.dataset.criteria,
        ...architectureRecord(config),
        ...inputRecord(config, context.data),
      },
    },
    tokenizer: context.model.tokenizer.files(),
  };
}

/** A checkpoint as the reports name it. */
export function checkpointReference(experiments: string, checkpoint: Checkpoint) {
  return {
    folder: relative(experiments, checkpoint.folder),
    step: checkpoint.info.step,
    epoch: checkpoint.info.epoch,
    bytes: checkpoint.bytes,
    weights_sha256: checkpoint.files[WEIGHTS_FILE]!.sha256,
  };
}

/** The absolute form of the experiments folder: checkpoint folders are absolute too. */
export const experimentsFolder = (config: Config): string => resolve(config.paths.experiments);

/** Epochs of a trial with these parameters: what it may run in all. */
export const budgetOf = (config: Config, params: Params): number => withParams(config, params).training.epochs;

/**
 * Runs or continues a trial.
 *
 * @throws what training, storage or the signal throw, and `TrialPruned`; the executor records it
 */
export async function runTrial(
  study: StudyContext,
  trial: RunningTrial,
  events: TrialEvents,
  log: Logger,
  storage: StudyStorage,
): Promise<TrialResult> {
  const started = performance.now();
  const { gap, base, engine: kept } = study.cache;
  gap.lap("study");
  const context = await trialContext(study, trial.params);
  const { config } = context;
  events.onConfig?.(config);
  const { metric, direction } = config.study;
  const experiments = config.paths.experiments;
  const folder = trialFolder(experiments, trial.id);
  const checkpoints = checkpointsFolder(experiments, trial.id);
  const yaml = configToYaml(config);
  await makeFolder(folder);
  await cleanTemporaries(folder);
  await writeFileAtomic(join(folder, "config.yaml"), yaml);
  await makeFolder(checkpoints);
  await cleanPartials(checkpoints);

  const { splits } = encodedSplits(context);
  const augmentation = await trainingAugmentation(context);
  const ownedBytes = await storage.keeper.bytes();
  const options = engineOptions(context);
  const held = kept.planFor(options);
  const check = (held: EnginePlan | undefined) =>
    preflight(config, context.gpu, options, shortestLength(context), { ownedBytes, held });
  const found = await check(held);
  // Where an engine is kept its products have been tried.
  const isTuned = held === undefined && await context.autotuner?.tune(plannedProducts(found.plan), context.signal, {
    onStart: (count) => events.onNotice?.(`${count} matrix products are tried on this adapter before training, once`),
    onTuned: (product, { variant, microseconds }) =>
      log.info("matrix product tuned", { product, variant, microseconds }),
    onWarning: (message) => {
      log.warning(message);
      events.onWarning?.(message);
    },
  });
  const { plan, memory, weightsBytes, optimizerBytes } = isTuned ? await check(undefined) : found;
  log.info("trial started", {
    resume: trial.resume,
    params: trial.params,
    seed: config.seed,
    adapter: context.gpu.name,
    predicted_gpu_bytes: memory.total,
    engine: held ? "kept" : "new",
    parameter_groups: parameterGroups(plan.parameters.specs).map(({ learningRateScale, decay, names }) => ({
      learning_rate_scale: learningRateScale,
      weight_decay: decay ? config.training.weight_decay : 0,
      parameters: names.length,
    })),
  });
  if (augmentation) log.info("augmentation", augmentationReport(augmentation));
  gap.lap("preparation");
  const engine = await kept.open(context.gpu, plan);
  gap.lap("engine");
  trial.enter("running");
  let savingSeconds = 0, gapSeconds = 0, hasEnded = false;
  try {
    const result = await fit({
      engine,
      train: augmentation ? [...splits.train, ...encodeAugmented(context, augmentation)] : splits.train,
      validation: splits.validation,
      training: { ...config.training, epochs: trial.budget },
      evaluation: evaluateOptions(context),
      calibration: config.evaluation.thresholds,
      seed: config.seed,
      metric,
      direction,
      signature: { ...signatureOf(context), ...(augmentation ? { [AUGMENTATION_KEY]: augmentation.hash } : {}) },
      files: modelFiles(context),
      checkpoints,
      retention: config.retention,
      keeper: storage.keeper.trial(trial.id, weightsBytes + optimizerBytes),
      resume: trial.resume,
      signal: context.signal,
      initialise: () => {
        gap.lap("first_step");
        initialiseParameters(engine, context.model, config.seed, base);
        gap.lap("engine");
      },
      onFirstStep: () => {
        const found = gap.end();
        gapSeconds = found?.seconds ?? 0;
        log.info("first step", { gap_seconds: found?.seconds ?? null, ...(found ? { phases: found.phases } : {}) });
      },
      onProgress: (progress) => {
        const { metrics } = progress;
        log.info("step", {
          step: metrics.step,
          learning_rate: progress.learningRate,
          loss: metrics.loss,
          criteria_loss: metrics.criteriaLoss,
          span_loss: metrics.spanLoss,
          gradient_norm: metrics.gradientNorm,
        });
        events.onProgress(progress);
      },
      onEpoch: (record) => {
        gap.begin();
        log.info("epoch", { ...record, gpu_bytes: context.gpu.allocatedBytes });
        events.onEpoch?.(record);
        trial.report(record.validation[metric]!, record.epoch);
        // Before the last epoch only: a trial that is through has cost what it costs.
        if (record.epoch < trial.budget && trial.shouldPrune()) {
          log.info("trial pruned", { epoch: record.epoch, value: record.validation[metric]! });
          hasEnded = true;
          throw new TrialPruned(record.validation);
        }
      },
      beforeCheckpoint: async () => await events.beforeCheckpoint?.(),
      onCheckpoint: (checkpoint, seconds) => {
        savingSeconds += seconds;
        log.info("checkpoint saved", {
          step: checkpoint.info.step,
          folder: relative(experimentsFolder(config), checkpoint.folder),
          bytes: checkpoint.bytes,
          seconds,
        });
      },
      onWarning: (message) => {
        log.warning(message);
        events.onWarning?.(message);
      },
    });
    gap.lap("saving");
    trial.enter("finishing");
    const value = result.best.validation[metric]!;
    const evaluated = performance.now();
    const posts = result.posts ?? await predictAgain(context, engine, result.checkpoint);
    const { thresholds, details } = await checkpointDetails(context, result.checkpoint.folder, posts);
    const evaluationSeconds = (performance.now() - evaluated) / 1000;
    gap.lap("evaluation");
    const reference = checkpointReference(experimentsFolder(config), result.checkpoint);
    await writeEvaluationReport(experiments, {
      version: VERSION,
      study_id: context.studyId,
      trial_id: trial.id,
      trial_number: trial.number,
      metric,
      direction,
      value,
      best_epoch: result.best.epoch,
      params: trial.params,
      epochs: [...result.history],
      validation: result.best.validation,
      validation_details: details,
      ...thresholdFields(thresholds),
      config: {
        path: join(relative(experiments, folder), "config.yaml"),
        sha256: createHash("sha256").update(yaml).digest("hex"),
      },
      checkpoint: reference,
      adapter: { name: context.gpu.name },
      seeds: { run: config.seed, split: config.data.splits.seed },
      data: dataReference(context),
      ...(augmentation ? { augmentation: augmentationReport(augmentation) } : {}),
      timings: {
        training: result.history.reduce((sum, { seconds }) => sum + seconds, 0),
        saving: savingSeconds,
        evaluation: evaluationSeconds,
        gap_before: gapSeconds,
        total: (performance.now() - started) / 1000,
      },
    });
    log.info("trial completed", { value, best_epoch: result.best.epoch, stopped_early: result.stoppedEarly });
    hasEnded = true;
    return { value, checkpoint: reference.folder, metrics: result.best.validation };
  } finally {
    leaveEngine(context, engine, log, hasEnded);
  }
}

/** The validation split as a checkpoint sees it that an earlier process made: its weights are in no engine. */
async function predictAgain(
  context: StudyContext,
  engine: Engine,
  { folder }: Checkpoint,
): Promise<PostPredictions> {
  const { config, model, cache } = context;
  if (config.tuning.mode !== "full") initialiseParameters(engine, model, config.seed, cache.base);
  loadArrays(folder, engine, { moments: false });
  return (await evaluateSplit(engine, encodedSplits(context).splits.validation, evaluateOptions(context))).posts;
}

/**
 * Leaves an engine to the next trial, or frees it where its own trial did not end as it should. A failure here must not
 * hide the one that ended the trial.
 */
function leaveEngine({ cache }: StudyContext, engine: Engine, log: Logger, hasEnded: boolean): void {
  try {
    if (hasEnded) {
      cache.engine.keep(engine);
      cache.gap.lap("report");
    } else {
      cache.gap.drop();
      engine.close();
    }
  } catch (error) {
    log.warning(`closing the engine failed: ${error}`);
  }
}
