/** Evaluation of one split: batches through the engine, spans decoded, windows made posts, metrics of both agents. */
import { type Batch, lengthBuckets, materialise, planBatches } from "../data/batches.ts";
import type { EncodedInput } from "../data/encoding.ts";
import type { EncodingOptions } from "../data/input_frame.ts";
import { aggregateWindows, type InputPrediction } from "./aggregation.ts";
import type { BatchPrediction, Engine } from "./engine.ts";
import {
  type CriteriaMetrics,
  criteriaMetrics,
  type EvidenceMetrics,
  evidenceMetrics,
  evidencePairs,
  flatMetrics,
} from "./metrics.ts";
import { decodeSpan } from "./span_decoding.ts";

/** How a split is evaluated. */
export interface EvaluateOptions {
  readonly criteria: readonly string[];
  readonly maxLength: number;
  readonly padId: number;
  /** How a post's probabilities come from those of its windows. */
  readonly windowAggregation: EncodingOptions["aggregation"];
  /** Longest evidence span in tokens. */
  readonly maxSpanTokens: number;
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

/** Decodes spans and scores posts, whichever engine made the predictions. */
export function scorePredictions(
  inputs: readonly EncodedInput[],
  predictions: readonly Pick<BatchPrediction, "batch" | "probabilities" | "evidenceLogits">[],
  { criteria, maxSpanTokens, windowAggregation }: Pick<
    EvaluateOptions,
    "criteria" | "maxSpanTokens" | "windowAggregation"
  >,
): Pick<SplitEvaluation, "criteria" | "evidence"> {
  const perInput: InputPrediction[] = new Array(inputs.length);
  for (const { batch, probabilities, evidenceLogits } of predictions) {
    const outputs = batch.labels.length / batch.size;
    batch.inputs.forEach((input, row) => {
      if (input < 0) return;
      const { ids, firstToken, offsets } = inputs[input]!;
      const column = (index: number) =>
        Float32Array.from(ids, (_, token) => evidenceLogits[(row * batch.length + token) * 2 * outputs + index]!);
      perInput[input] = {
        probabilities: probabilities.subarray(row * outputs, (row + 1) * outputs),
        spans: Array.from({ length: outputs }, (_, output) => {
          const logits = { start: column(2 * output), end: column(2 * output + 1), firstToken, offsets };
          return decodeSpan(logits, { maxTokens: maxSpanTokens });
        }),
      };
    });
  }
  const posts = aggregateWindows(inputs, perInput, { criteria: criteria.length, aggregation: windowAggregation });
  const labels = Uint8Array.from(posts.examples.flatMap((example) => [...example.labels]));
  return {
    criteria: criteriaMetrics({ criteria, probabilities: posts.probabilities, labels }),
    evidence: evidenceMetrics(evidencePairs(posts.examples, posts.spans)),
  };
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
