/** Evaluation of one split: batches through the engine, spans decoded, metrics of both agents. */
import { type Batch, lengthBuckets, materialise, planBatches } from "../data/batches.ts";
import type { CharacterSpan } from "../data/dataset.ts";
import type { EncodedExample } from "../data/encoding.ts";
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
  encoded: readonly EncodedExample[],
  batchSize: number,
  { maxLength, padId }: Pick<EvaluateOptions, "maxLength" | "padId">,
): Batch[] {
  const plan = planBatches(encoded, { batchSize, buckets: lengthBuckets(maxLength) });
  return plan.map((planned) => materialise(planned, encoded, padId));
}

/** Decodes spans and scores predictions, whichever engine made them. */
export function scorePredictions(
  encoded: readonly EncodedExample[],
  predictions: readonly Pick<BatchPrediction, "batch" | "probabilities" | "evidenceLogits">[],
  { criteria, maxSpanTokens }: Pick<EvaluateOptions, "criteria" | "maxSpanTokens">,
): Pick<SplitEvaluation, "criteria" | "evidence"> {
  const K = criteria.length;
  const probabilities = new Float32Array(encoded.length * K);
  const spans: (CharacterSpan | null)[] = new Array(encoded.length * K).fill(null);
  for (const { batch, probabilities: batchProbabilities, evidenceLogits } of predictions) {
    batch.examples.forEach((example, row) => {
      if (example < 0) return;
      probabilities.set(batchProbabilities.subarray(row * K, (row + 1) * K), example * K);
      const { offsets } = encoded[example]!;
      const column = (index: number) =>
        Float32Array.from(
          { length: offsets.length / 2 },
          (_, token) => evidenceLogits[(row * batch.length + token) * 2 * K + index]!,
        );
      for (let k = 0; k < K; k++) {
        const logits = { start: column(2 * k), end: column(2 * k + 1), offsets };
        spans[example * K + k] = decodeSpan(logits, { maxTokens: maxSpanTokens }).span;
      }
    });
  }
  const labels = Uint8Array.from(encoded.flatMap((example) => [...example.labels]));
  return {
    criteria: criteriaMetrics({ criteria, probabilities, labels }),
    evidence: evidenceMetrics(evidencePairs(encoded.map(({ example }) => example), spans)),
  };
}

/** Evaluates encoded examples with the engine's present parameters. */
export async function evaluateSplit(
  engine: Engine,
  encoded: readonly EncodedExample[],
  options: EvaluateOptions,
): Promise<SplitEvaluation> {
  const batches = evaluationBatches(encoded, engine.plan.options.batchSize, options);
  const { predictions, criteriaLoss, spanLoss } = await engine.evaluate(batches, options);
  const { criteria, evidence } = scorePredictions(encoded, predictions, options);
  return {
    metrics: { ...flatMetrics(criteria, evidence), validation_loss: criteriaLoss + spanLoss },
    criteria,
    evidence,
  };
}
