/** Evaluation of one split: batches through the engine, spans decoded, windows made posts, metrics of both agents. */
import { type Batch, lengthBuckets, materialise, planBatches } from "../data/batches.ts";
import type { EncodedInput } from "../data/encoding.ts";
import type { EncodingOptions } from "../data/input_frame.ts";
import type { ScoredSpan } from "../model/evidence_heads/evidence_head.ts";
import {
  aggregateWindows,
  ALL_CANDIDATES,
  givenSpans,
  type InputPrediction,
  type PostPredictions,
  type ScoredEvidence,
} from "./aggregation.ts";
import type { BatchPrediction, Engine } from "./engine.ts";
import {
  type CriteriaMetrics,
  criteriaMetrics,
  type EvidenceMetrics,
  evidenceMetrics,
  type EvidencePair,
  evidencePairs,
  type EvidenceScore,
  evidenceScore,
  flatMetrics,
} from "./metrics.ts";
import { calibrate, type Calibration, defaultThresholds, thresholdList, type Thresholds } from "./thresholds.ts";

/** How a split is evaluated. */
export interface EvaluateOptions {
  readonly criteria: readonly string[];
  readonly maxLength: number;
  readonly padId: number;
  /** How a post's probabilities come from those of its windows. */
  readonly windowAggregation: EncodingOptions["aggregation"];
  /** Evidence spans of a post and criterion at most. */
  readonly maxSpans: number;
  readonly lambdaClass: number;
  readonly lambdaSpan: number;
}

/** All metrics of a split. */
export interface SplitEvaluation {
  /** The study metrics by their flat names, `validation_loss` among them. */
  readonly metrics: Record<string, number>;
  readonly criteria: CriteriaMetrics;
  readonly evidence: EvidenceMetrics;
  /** What the metrics are of: every span that was found, whatever its score. */
  readonly posts: PostPredictions;
}

/** Metrics of a split at some thresholds. */
export interface ScoredPosts extends Pick<SplitEvaluation, "criteria" | "evidence"> {
  readonly pairs: readonly EvidencePair[];
  /** One of each pair. */
  readonly scores: readonly EvidenceScore[];
}

/** The batches of an evaluation, in order; filler rows complete the last of each length. */
export function evaluationBatches(
  inputs: readonly EncodedInput[],
  batchSize: number,
  { maxLength, padId }: Pick<EvaluateOptions, "maxLength" | "padId">,
): Batch[] {
  const plan = planBatches(inputs, { batchSize, buckets: lengthBuckets(maxLength) });
  return plan.map((planned) => materialise(planned, inputs, padId));
}

/** The characters of a post behind a span of tokens; undefined where it has none of the post's tokens. */
function evidenceOf(
  { firstToken, offsets }: EncodedInput,
  { first, last, score }: ScoredSpan,
): ScoredEvidence | undefined {
  const from = Math.max(first - firstToken, 0), to = Math.min(last - firstToken, offsets.length / 2 - 1);
  return from > to ? undefined : { start: offsets[2 * from]!, end: offsets[2 * to + 1]!, score };
}

/** Labels [N, K] of the posts. */
export const labelsOf = ({ examples }: PostPredictions): Uint8Array =>
  Uint8Array.from(examples.flatMap((example) => [...example.labels]));

/** Predictions brought back to posts, with every span that was found; whichever engine made them. */
function postPredictions(
  inputs: readonly EncodedInput[],
  predictions: readonly Pick<BatchPrediction, "batch" | "probabilities" | "spans">[],
  { criteria, maxSpans, windowAggregation }: Pick<EvaluateOptions, "criteria" | "maxSpans" | "windowAggregation">,
): PostPredictions {
  const perInput: InputPrediction[] = new Array(inputs.length);
  for (const { batch, probabilities, spans } of predictions) {
    const outputs = batch.labels.length / batch.size;
    batch.inputs.forEach((index, row) => {
      const input = inputs[index];
      if (!input) return;
      perInput[index] = {
        probabilities: probabilities.subarray(row * outputs, (row + 1) * outputs),
        spans: Array.from(
          { length: outputs },
          (_, output) => spans[row * outputs + output]!.flatMap((span) => evidenceOf(input, span) ?? []),
        ),
      };
    });
  }
  return aggregateWindows(inputs, perInput, {
    criteria: criteria.length,
    aggregation: windowAggregation,
    maxSpans,
    evidence: ALL_CANDIDATES,
  });
}

/** The metrics of posts at some thresholds; at the default ones if none are given. */
export function scorePosts(
  posts: PostPredictions,
  criteria: readonly string[],
  thresholds: Thresholds = defaultThresholds(criteria),
): ScoredPosts {
  const { examples, probabilities, spans } = posts;
  const pairs = evidencePairs(examples, spans.map((candidates) => givenSpans(candidates, thresholds.evidence)));
  const scores = pairs.map(evidenceScore);
  return {
    criteria: criteriaMetrics(
      { criteria, probabilities, labels: labelsOf(posts) },
      thresholdList(thresholds, criteria),
    ),
    evidence: evidenceMetrics(pairs, scores),
    pairs,
    scores,
  };
}

/** Chooses thresholds by the predictions for the validation split. */
export function calibratePosts(
  posts: PostPredictions,
  criteria: readonly string[],
  calibration: Calibration,
): Thresholds {
  const candidates = evidencePairs(posts.examples, posts.spans)
    .map(({ criterion, gold, predicted }) => ({ criterion, gold, candidates: predicted }));
  return calibrate(calibration, { criteria, probabilities: posts.probabilities, labels: labelsOf(posts) }, candidates);
}

/** Brings predictions back to posts and scores them at the default thresholds, whichever engine made them. */
export function scorePredictions(
  inputs: readonly EncodedInput[],
  predictions: Parameters<typeof postPredictions>[1],
  options: Pick<EvaluateOptions, "criteria" | "maxSpans" | "windowAggregation">,
): Pick<SplitEvaluation, "criteria" | "evidence" | "posts"> {
  const posts = postPredictions(inputs, predictions, options);
  const { criteria, evidence } = scorePosts(posts, options.criteria);
  return { criteria, evidence, posts };
}

/** Evaluates encoded posts with the engine's present parameters, at the default thresholds. */
export async function evaluateSplit(
  engine: Engine,
  inputs: readonly EncodedInput[],
  options: EvaluateOptions,
): Promise<SplitEvaluation> {
  const batches = evaluationBatches(inputs, engine.plan.options.batchSize, options);
  const { predictions, criteriaLoss, spanLoss } = await engine.evaluate(batches, options);
  const scored = scorePredictions(inputs, predictions, options);
  return {
    ...scored,
    metrics: { ...flatMetrics(scored.criteria, scored.evidence), validation_loss: criteriaLoss + spanLoss },
  };
}
