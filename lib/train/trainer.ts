/**
 * The training loop: epochs of shuffled batches, validation after each, checkpoints, early stopping. It knows neither
 * search nor reports; whoever calls it decides what to do with the epochs' metrics.
 */
import { lengthBuckets, materialise, planBatches, type PlannedBatch } from "../data/batches.ts";
import type { EncodedInput } from "../data/encoding.ts";
import { type Checkpoint, latestValid, publishCheckpoint } from "../storage/checkpoint.ts";
import type { TrialKeeper } from "../storage/keeper.ts";
import { isTrained } from "../graph/parameters.ts";
import { type Background, createBackground } from "../support/background.ts";
import { storageError, WinnowError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem } from "../support/file_system.ts";
import type { PostPredictions } from "./aggregation.ts";
import type { Engine, StepMetrics } from "./engine.ts";
import { calibratePosts, type EvaluateOptions, evaluateSplit } from "./evaluator.ts";
import { createPace } from "./pace.ts";
import { learningRateAt, type Schedule, warmupSteps } from "./schedule.ts";
import {
  checkSignature,
  copyState,
  type EpochRecord,
  initialState,
  loadArrays,
  type ModelFiles,
  readState,
  type Signature,
  type TrainerState,
  writeCopy,
} from "./state.ts";
import type { Calibration } from "./thresholds.ts";
import { THRESHOLDS_FILE, thresholdsText } from "./thresholds_file.ts";

/** Settings of a run; names and meanings are the configuration's. */
export interface TrainingOptions {
  readonly epochs: number;
  readonly max_steps: number | null;
  readonly accumulation_steps: number;
  readonly learning_rate: number;
  readonly warmup_ratio: number;
  readonly schedule: Schedule;
  readonly early_stopping: { readonly patience: number; readonly min_delta: number } | null;
  readonly log_every: number;
}

/** What a run reports while it goes on. */
export interface TrainingProgress {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly steps: number;
  /** Of the heads, in the step that `metrics` are of; the encoder's are scaled by its parameter groups. */
  readonly learningRate: number;
  readonly metrics: StepMetrics;
}

/** A run. */
export interface FitOptions {
  readonly engine: Engine;
  readonly train: readonly EncodedInput[];
  readonly validation: readonly EncodedInput[];
  readonly training: TrainingOptions;
  readonly evaluation: EvaluateOptions;
  /** How the thresholds of each epoch's checkpoint are chosen, on the validation split. */
  readonly calibration: Calibration;
  readonly seed: number;
  /** The validation metric that decides best checkpoint and early stopping. */
  readonly metric: string;
  readonly direction: "maximize" | "minimize";
  readonly signature: Signature;
  readonly files: ModelFiles;
  /** Folder of the run's checkpoints. */
  readonly checkpoints: string;
  /** When checkpoints are saved, and what saves and prunes them. */
  readonly retention: {
    readonly save_every_steps: number | null;
    readonly min_interval_epochs: number;
    readonly keep_best_k: number;
  };
  readonly keeper: TrialKeeper;
  /** Whether earlier checkpoints are continued. */
  readonly resume: boolean;
  readonly signal: AbortSignal;
  /** Fills the parameters of a run that starts anew. */
  initialise(): void;
  onProgress?(progress: TrainingProgress): void;
  /** Called when this process's first step is queued. */
  onFirstStep?(): void;
  /** Where checkpoints are written; the disk if not given. */
  readonly fs?: FileSystem;
  /** Called with each epoch's record before its checkpoint is published. */
  onEpoch?(record: EpochRecord): void;
  /** Awaited before a checkpoint is published: what was reported up to its step is not reported again after a resume. */
  beforeCheckpoint?(): Promise<void>;
  /** Called when a checkpoint is published, `seconds` after its copy was begun; training has gone on since. */
  onCheckpoint?(checkpoint: Checkpoint, seconds: number): void;
  onWarning?(message: string): void;
}

/** What a run came to. */
export interface FitResult {
  readonly history: readonly EpochRecord[];
  /** The epoch with the best objective, of those whose checkpoints are there. */
  readonly best: EpochRecord;
  readonly checkpoint: Checkpoint;
  /** What the best epoch predicted for the validation split; undefined where an earlier process trained it. */
  readonly posts: PostPredictions | undefined;
  /** Whether early stopping ended the run. */
  readonly stoppedEarly: boolean;
}

/** Batches in groups of `size`: one optimizer step each. */
function stepGroups(plan: readonly PlannedBatch[], size: number): PlannedBatch[][] {
  return Array.from({ length: Math.ceil(plan.length / size) }, (_, i) => plan.slice(i * size, (i + 1) * size));
}

/** The name of the checkpoint of an optimizer step. */
const checkpointName = (step: number) => `step_${String(step).padStart(8, "0")}`;

/** To begin anew without a word would throw away what was trained. */
const noneLeft = (folder: string, damages: readonly string[]) =>
  storageError(
    `no checkpoint is left to resume from in ${folder}: ${damages.at(-1)!.replace(/; going back to .*$/, "")}`,
    "Restore one from a copy, or delete that folder to train the trial from its beginning",
  );

/**
 * The state of the newest checkpoint that training can go on from, its arrays loaded; or that of a run which `isOver`,
 * whose optimizer state is gone and not needed any more. Undefined where none was saved yet.
 *
 * @throws a storage error where some were saved and none is sound
 */
async function restore(
  options: FitOptions,
  isOver: (state: TrainerState) => boolean,
): Promise<TrainerState | undefined> {
  const { engine, checkpoints, signature, onWarning = () => {} } = options;
  const read = async (checkpoint: Checkpoint) => {
    const state = await readState(checkpoint);
    checkSignature(state.signature, signature, `Checkpoint ${checkpoint.folder}`);
    return state;
  };
  const damages = new Set<string>();
  const warn = (message: string) => {
    if (!damages.has(message)) onWarning(message);
    damages.add(message);
  };
  const newest = await latestValid(checkpoints, { onWarning: warn });
  if (newest && !newest.resumable) {
    const state = await read(newest);
    if (isOver(state)) return state;
  }
  const checkpoint = newest?.resumable ? newest : await latestValid(checkpoints, { resumable: true, onWarning: warn });
  if (!checkpoint) {
    if (damages.size > 0) throw noneLeft(checkpoints, [...damages]);
    return undefined;
  }
  const state = await read(checkpoint);
  // A checkpoint holds what is trained; what is frozen is as it was in the beginning.
  if (!engine.plan.parameters.specs.every(isTrained)) options.initialise();
  loadArrays(checkpoint.folder, engine, { moments: true });
  const scaling = state.loss_scale;
  if (scaling) engine.setLossScale({ scale: scaling.scale, goodSteps: scaling.good_steps });
  return state;
}

/**
 * Trains to the end, to early stopping, or to the signal. Checkpoints are written while the next steps run, from a copy of
 * the state; a save waits for the one before it, and the end of the run for the last. A save that failed ends the run.
 *
 * @throws {WinnowError} of kind `interrupted` after saving, when the signal is aborted; of kind `failure` when the loss
 * is no longer finite; what storage throws
 */
export async function fit(options: FitOptions): Promise<FitResult> {
  const saves = createBackground();
  try {
    return await train(options, saves);
  } catch (error) {
    // Nothing is written any more when this returns: the folder's lock may go.
    await saves.settle().catch((other) => options.onWarning?.(`the last checkpoint was not saved: ${other}`));
    throw error;
  }
}

async function train(options: FitOptions, saves: Background): Promise<FitResult> {
  const { engine, training, evaluation, seed, metric, direction, signal, fs = diskFileSystem } = options;
  const batchSize = engine.plan.options.batchSize;
  const buckets = lengthBuckets(evaluation.maxLength);
  const epochGroups = (epoch: number) =>
    stepGroups(
      planBatches(options.train, { batchSize, buckets, shuffle: { seed, epoch } }),
      training.accumulation_steps,
    );
  // Every epoch has the same number of batches, whatever their order.
  const stepsPerEpoch = epochGroups(0).length;
  const totalSteps = Math.min(training.max_steps ?? Infinity, training.epochs * stepsPerEpoch);
  const schedule = {
    learningRate: training.learning_rate,
    schedule: training.schedule,
    warmupSteps: warmupSteps(training.warmup_ratio, totalSteps),
    totalSteps,
  };

  const patience = training.early_stopping;
  const exhausted = ({ epochs_since_best }: TrainerState) =>
    patience !== null && epochs_since_best >= patience.patience;
  const isOver = (state: TrainerState) =>
    state.epoch >= training.epochs || state.step >= totalSteps || exhausted(state);

  const restored = options.resume ? await restore(options, isOver) : undefined;
  if (!restored) options.initialise();
  const state = restored ?? initialState(seed, options.signature);
  if (state.confidence) engine.loadConfidence(Float32Array.from(state.confidence));
  const sign = direction === "maximize" ? 1 : -1;
  /** The predictions of this process's best epoch, the first of equals. */
  let foremost: { readonly step: number; readonly value: number; readonly posts: PostPredictions } | undefined;
  /** The step of the last checkpoint that can be resumed. */
  let savedStep = restored?.step;
  let isFirstStep = true;

  const pace = createPace(engine, saves);
  const drain = async () => {
    const steps = await pace.drain();
    for (const step of steps) {
      // An overflow of the scaled gradient is met by a smaller scale; at scale 1 there is none.
      const overflown = !Number.isFinite(step.gradientNorm) && step.lossScale === 1;
      if (!Number.isFinite(step.loss) || overflown) {
        throw new WinnowError(
          "failure",
          `the training diverged: loss ${step.loss}, gradient norm ${step.gradientNorm} at step ${step.step}`,
          "Lower training.learning_rate or training.max_grad_norm" +
            (engine.plan.options.precision === "f16" ? ", or set training.precision=f32" : ""),
        );
      }
      state.loss_sum += step.loss;
      state.loss_count++;
    }
    const last = steps.at(-1);
    if (last) {
      const { step } = last;
      const learningRate = learningRateAt(step - 1, schedule);
      const epoch = state.epoch + 1;
      options.onProgress?.({ epoch, epochs: training.epochs, step, steps: totalSteps, learningRate, metrics: last });
    }
  };
  const save = async (
    kind: string,
    metrics: Record<string, number | null>,
    more: ReadonlyMap<string, string> = new Map(),
  ) => {
    // First, so that there is never more than one copy.
    await saves.settle();
    const started = performance.now();
    if (engine.plan.options.model.loss.adaptive) state.confidence = [...await engine.confidence()];
    const info = { step: state.step, epoch: state.epoch, kind, metrics };
    const copy = await copyState(engine, state, options.files, more);
    savedStep = info.step;
    const publish = () =>
      publishCheckpoint(
        options.checkpoints,
        checkpointName(info.step),
        (folder, files) => writeCopy(folder, copy, files),
        info,
        { fs },
      );
    await saves.start(async () => {
      await options.beforeCheckpoint?.();
      const checkpoint = await options.keeper.save(publish);
      options.onCheckpoint?.(checkpoint, (performance.now() - started) / 1000);
    });
  };
  const interrupt = async () => {
    await drain();
    await saves.settle();
    // A checkpoint of this step would be replaced, and with it an epoch's metrics.
    if (savedStep !== state.step) await save("interrupted", {});
    await saves.settle();
    throw new WinnowError(
      "interrupted",
      `interrupted after step ${state.step} of ${totalSteps}; the state is saved`,
      "Continue with `deno task resume`",
    );
  };

  while (!isOver(state)) {
    const started = performance.now();
    const groups = epochGroups(state.epoch);
    while (state.epoch_step < groups.length && state.step < totalSteps) {
      if (signal.aborted) await interrupt();
      if (saves.hasFailed) await saves.settle();
      const group = groups[state.epoch_step]!;
      if (engine.mustDrain(group.length)) await drain();
      engine.step(group.map((planned) => materialise(planned, options.train, evaluation.padId)), {
        seed,
        step: state.step + 1,
        learningRate: learningRateAt(state.step, schedule),
        draw: state.draw,
        lambdaClass: evaluation.lambdaClass,
        lambdaSpan: evaluation.lambdaSpan,
      });
      if (isFirstStep) options.onFirstStep?.();
      isFirstStep = false;
      state.step++;
      state.epoch_step++;
      state.draw += group.length;
      await pace.queued();
      if (state.step % training.log_every === 0) await drain();
      const every = options.retention.save_every_steps;
      if (every !== null && state.step % every === 0 && state.epoch_step < groups.length && state.step < totalSteps) {
        await drain();
        await save("step", {});
      }
    }
    await drain();
    const { metrics, posts } = await evaluateSplit(engine, options.validation, evaluation);
    const value = metrics[metric];
    if (value === undefined) throw new RangeError(`Expected a validation metric named "${metric}"`);
    const record: EpochRecord = {
      epoch: state.epoch + 1,
      step: state.step,
      train_loss: state.loss_count > 0 ? state.loss_sum / state.loss_count : null,
      validation: metrics,
      seconds: (performance.now() - started) / 1000,
    };
    if (!foremost || sign * value > sign * foremost.value) foremost = { step: state.step, value, posts };
    const gain = state.best === null ? Infinity : sign * (value - state.best);
    const improved = gain > (state.best === null ? 0 : patience?.min_delta ?? 0);
    state.best = improved ? value : state.best;
    state.epochs_since_best = improved ? 0 : state.epochs_since_best + 1;
    state.history.push(record);
    state.epoch++;
    state.epoch_step = 0;
    state.loss_sum = 0;
    state.loss_count = 0;
    options.onEpoch?.(record);
    // One that is as good as the best is saved whatever the interval: without it the best would be lost.
    const isDue = state.epoch % options.retention.min_interval_epochs === 0 || gain >= 0 || isOver(state);
    if (isDue) {
      const thresholds = calibratePosts(posts, evaluation.criteria, options.calibration);
      await save("epoch", metrics, new Map([[THRESHOLDS_FILE, thresholdsText(thresholds)]]));
    }
  }

  await saves.settle();
  const kept = await options.keeper.finish();
  const objective = (record: EpochRecord) => sign * (record.validation[metric] ?? -Infinity * sign);
  const ranked = state.history.toSorted((a, b) => objective(b) - objective(a) || a.epoch - b.epoch);
  const checkpointOf = (record: EpochRecord) => kept.find((one) => one.info.step === record.step);
  // What is reported is what can be loaded: a best epoch whose checkpoint was lost to damage is the best no more.
  const best = options.retention.keep_best_k > 0 ? ranked.find(checkpointOf) ?? ranked[0] : ranked[0];
  if (best && best !== ranked[0]) {
    options.onWarning?.(
      `the checkpoint of epoch ${
        ranked[0]!.epoch
      }, the best one, is lost: the best that is left is epoch ${best.epoch}`,
    );
  }
  const checkpoint = (best && checkpointOf(best)) ?? kept.at(-1);
  if (!best || !checkpoint) {
    throw new WinnowError("failure", "the run ended without an epoch", "Raise training.epochs or training.max_steps");
  }
  const posts = foremost && foremost.step === best.step && checkpoint.info.step === best.step
    ? foremost.posts
    : undefined;
  return { history: state.history, best, checkpoint, posts, stoppedEarly: exhausted(state) };
}
