/** Evaluation of one split: batches through the engine, spans decoded, windows made posts, metrics of both agents. */
import { type Batch, lengthBuckets, materialise, planBatches } from "../data/batches.ts";
import type { EncodedInput } from "../data/encoding.ts";
import type { EncodingOptions } from "../data/input_frame.ts";
import type { ScoredSpan } from "../model/evidence_heads/evidence_head.ts";
import { aggregateWindows, type InputPrediction, type PostPredictions, type ScoredEvidence } from "./aggregation.ts";
import type { BatchPrediction, Engine } from "./engine.ts";
import {
  type CriteriaMetrics,
  criteriaMetrics,
  type EvidenceMetrics,
  evidenceMetrics,
  evidencePairs,
  flatMetrics,
} from "./metrics.ts";

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

/** Predictions for input rows, whichever engine made them, brought back to posts. */
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
  return aggregateWindows(inputs, perInput, { criteria: criteria.length, aggregation: windowAggregation, maxSpans });
}

/** Brings predictions back to posts and scores them, whichever engine made them. */
export function scorePredictions(
  inputs: readonly EncodedInput[],
  predictions: readonly Pick<BatchPrediction, "batch" | "probabilities" | "spans">[],
  options: Pick<EvaluateOptions, "criteria" | "maxSpans" | "windowAggregation">,
): Pick<SplitEvaluation, "criteria" | "evidence"> {
  const { criteria } = options;
  const posts = postPredictions(inputs, predictions, options);
  const labels = Uint8Array.from(posts.examples.flatMap((example) => [...example.labels]));
  return {
    criteria: criteriaMetrics({ criteria, probabilities: posts.probabilities, labels }),
    evidence: evidenceMetrics(evidencePairs(posts.examples, posts.spans)),
  };
}

/** What the engine's present parameters say of encoded posts. */
export async function predictSplit(
  engine: Engine,
  inputs: readonly EncodedInput[],
  options: EvaluateOptions,
): Promise<PostPredictions> {
  const batches = evaluationBatches(inputs, engine.plan.options.batchSize, options);
  const { predictions } = await engine.evaluate(batches, options);
  return postPredictions(inputs, predictions, options);
}

/** Evaluates encoded posts with the engine's present parameters. */
export async function evaluateSplit(
  engine: Engine,
  inputs: readonly EncodedInput[],
  options: EvaluateOptions,
): Promise<SplitEvaluation> {
  const batches = evaluationBatches(inputs, engine.plan.options.batchSize, options);
  const { predictions, criteriaLoss, spanLoss } = await engine.evaluate(batches, options);
  const { criteria, evidence } = scorePredictions(inputs, predictions, options);
  return {
    metrics: { ...flatMetrics(criteria, evidence), validation_loss: criteriaLoss + spanLoss },
    criteria,
    evidence,
  };
}
