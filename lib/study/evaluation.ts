/** The test split, looked at once per study: the best trial's checkpoints, and the majority baseline beside them. */
import { join } from "node:path";
import type { TrialSummary } from "../hpo/trial_summary.ts";
import { type Checkpoint, listCheckpoints, verifyCheckpoint } from "../storage/checkpoint.ts";
import { checkpointsFolder } from "../storage/layout.ts";
import { inputError } from "../support/errors.ts";
import { openEngine } from "../train/engine.ts";
import { planEngine } from "../train/engine_plan.ts";
import { evaluateSplit } from "../train/evaluator.ts";
import { flatMetrics, majorityBaseline, wholeTextBaseline } from "../train/metrics.ts";
import { checkSignature, loadArrays, readState } from "../train/state.ts";
import { type CheckpointDetails, checkpointDetails } from "./checkpoint_details.ts";
import { initialiseParameters } from "./model_source.ts";
import {
  AUGMENTATION_KEY,
  encodedSplits,
  engineOptions,
  evaluateOptions,
  signatureOf,
  type StudyContext,
  trialContext,
} from "./trial.ts";

/** A checkpoint with its test metrics. */
export interface TestedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** At the checkpoint's thresholds. */
  readonly test: Record<string, number>;
  readonly details: CheckpointDetails["details"];
  readonly thresholds: CheckpointDetails["thresholds"];
}

/** Test metrics of always giving the majority's answer, and the whole text as evidence. */
export function baselineMetrics({ data }: StudyContext): Record<string, number> {
  const labels = (examples: typeof data.splits.train) => examples.flatMap((example) => [...example.labels]);
  const { train, test } = data.splits;
  const criteria = majorityBaseline(data.dataset.criteria, labels(train), labels(test));
  return flatMetrics(criteria, wholeTextBaseline(test));
}

/**
 * Evaluates a trial's best checkpoint on the test split, and those that tie with it on validation.
 *
 * @throws an input error when the trial has no checkpoint, a storage error when it is damaged
 */
export async function evaluateTrial(study: StudyContext, trial: TrialSummary): Promise<TestedCheckpoint[]> {
  if (trial.checkpoint === null) {
    throw trial.state === "COMPLETE"
      ? inputError(
        `trial ${trial.trial_id} has no checkpoint any more: others were better`,
        "Evaluate the study's best trial with --study-id; retention.keep_best_k says how many a study keeps",
      )
      : inputError(`trial ${trial.trial_id} has no checkpoint: it is ${trial.state}`, "Evaluate a COMPLETE trial");
  }
  const context = await trialContext(study, trial.params);
  const { config } = context;
  const { experiments } = config.paths;
  const best = await verifyCheckpoint(join(experiments, trial.checkpoint));
  const value = best.info.metrics[config.study.metric];
  const others = (await listCheckpoints(checkpointsFolder(experiments, trial.trial_id)))
    .filter((one) => one.name !== best.name && value !== undefined && one.info.metrics[config.study.metric] === value);
  const engine = await openEngine(context.gpu, planEngine(context.gpu, engineOptions(context)));
  try {
    // A checkpoint holds what was trained; what is frozen is as it was in the beginning.
    if (config.tuning.mode !== "full") initialiseParameters(engine, context.model, config.seed);
    const tested: TestedCheckpoint[] = [];
    for (const checkpoint of [best, ...others]) {
      const state = await readState(checkpoint);
      const { [AUGMENTATION_KEY]: _training, ...signature } = state.signature;
      checkSignature(signature, signatureOf(context), `Checkpoint ${checkpoint.folder}`);
      loadArrays(checkpoint.folder, engine, { moments: false });
      if (state.confidence) engine.loadConfidence(Float32Array.from(state.confidence));
      const { test } = encodedSplits(context).splits;
      const { metrics, posts } = await evaluateSplit(engine, test, evaluateOptions(context));
      const found = await checkpointDetails(context, checkpoint.folder, posts);
      // Under the names of the study's metrics, but the loss is not the validation's here.
      tested.push({ checkpoint, test: { ...found.details.metrics, loss: metrics["validation_loss"]! }, ...found });
    }
    return tested;
  } finally {
    engine.close();
  }
}
