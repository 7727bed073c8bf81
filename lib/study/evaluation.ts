/** A split looked at with checkpoints of a trial, and the majority baseline beside them. */
import type { TrialSummary } from "../hpo/trial_summary.ts";
import type { Checkpoint } from "../storage/checkpoint.ts";
import { openEngine } from "../train/engine.ts";
import { planEngine } from "../train/engine_plan.ts";
import { evaluateSplit, type SplitEvaluation } from "../train/evaluator.ts";
import { flatMetrics, majorityBaseline, wholeTextBaseline } from "../train/metrics.ts";
import { checkSignature, loadArrays, readState } from "../train/state.ts";
import { type CheckpointDetails, checkpointDetails } from "./checkpoint_details.ts";
import { initialiseParameters } from "./model_source.ts";
import { AUGMENTATION_KEY } from "./trial.ts";
import {
  encodedSplits,
  engineOptions,
  evaluateOptions,
  signatureOf,
  type StudyContext,
  trialContext,
} from "./trial_context.ts";

/** The splits that are evaluated. */
export type EvaluatedSplit = "test" | "validation";

/** A checkpoint with its metrics on a split. */
export interface EvaluatedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** At the checkpoint's thresholds; those of validation under the names of training, at one half as training had them. */
  readonly metrics: Record<string, number>;
  readonly details: CheckpointDetails["details"];
  readonly thresholds: CheckpointDetails["thresholds"];
}

/** Metrics on a split of always giving the training split's majority answer, and the whole text as evidence. */
export function baselineMetrics({ data }: StudyContext, split: EvaluatedSplit = "test"): Record<string, number> {
  const labels = (examples: typeof data.splits.train) => examples.flatMap((example) => [...example.labels]);
  const { train, [split]: evaluated } = data.splits;
  const criteria = majorityBaseline(data.dataset.criteria, labels(train), labels(evaluated));
  return flatMetrics(criteria, wholeTextBaseline(evaluated));
}

/** What a checkpoint predicts for a split. */
export interface CheckpointPredictions extends SplitEvaluation {
  readonly checkpoint: Checkpoint;
}

/**
 * Predicts a split with checkpoints of a trial, one after the other.
 *
 * @param context the trial's
 * @param checkpoints verified
 * @throws an input error when one was made by another model or on other data
 */
export async function* predictSplit(
  context: StudyContext,
  checkpoints: readonly Checkpoint[],
  split: EvaluatedSplit,
): AsyncGenerator<CheckpointPredictions> {
  const { config } = context;
  const engine = await openEngine(context.gpu, planEngine(context.gpu, engineOptions(context)));
  try {
    // A checkpoint holds what was trained; what is frozen is as it was in the beginning.
    if (config.tuning.mode !== "full") initialiseParameters(engine, context.model, config.seed);
    for (const checkpoint of checkpoints) {
      const state = await readState(checkpoint);
      const { [AUGMENTATION_KEY]: _training, ...signature } = state.signature;
      checkSignature(signature, signatureOf(context), `Checkpoint ${checkpoint.folder}`);
      loadArrays(checkpoint.folder, engine, { moments: false });
      if (state.confidence) engine.loadConfidence(Float32Array.from(state.confidence));
      const inputs = encodedSplits(context).splits[split];
      yield { checkpoint, ...await evaluateSplit(engine, inputs, evaluateOptions(context)) };
    }
  } finally {
    engine.close();
  }
}

/**
 * Evaluates checkpoints of a trial on a split, in their order.
 *
 * @param checkpoints verified
 * @throws an input error when one was made by another model or on other data
 */
export async function evaluateCheckpoints(
  study: StudyContext,
  trial: TrialSummary,
  checkpoints: readonly Checkpoint[],
  split: EvaluatedSplit,
): Promise<EvaluatedCheckpoint[]> {
  const context = await trialContext(study, trial.params);
  const evaluated: EvaluatedCheckpoint[] = [];
  for await (const { checkpoint, metrics, posts } of predictSplit(context, checkpoints, split)) {
    const found = await checkpointDetails(context, checkpoint.folder, posts);
    // Under the names of the study's metrics, but the loss of the test split is not the validation's.
    const atThresholds = { ...found.details.metrics, loss: metrics["validation_loss"]! };
    evaluated.push({ checkpoint, metrics: split === "validation" ? metrics : atThresholds, ...found });
  }
  return evaluated;
}
