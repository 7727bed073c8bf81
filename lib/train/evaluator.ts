/** Evaluation of one split: batches through the engine, spans decoded, metrics of both agents. */
import { lengthBuckets, materialise, planBatches } from "../data/batches.ts";
import type { CharacterSpan } from "../data/dataset.ts";
import type { EncodedExample } from "../data/encoding.ts";
import type { Engine } from "./engine.ts";
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

/** Evaluates encoded examples with the engine's present parameters. */
export async function evaluateSplit(
  engine: Engine,
  encoded: readonly EncodedExample[],
  options: EvaluateOptions,
): Promise<SplitEvaluation> {
  const { criteria, padId, maxSpanTokens } = options;
  const K = criteria.length;
  const batchSize = engine.plan.options.batchSize;
  const plan = planBatches(encoded, { batchSize, buckets: lengthBuckets(options.maxLength) });
  const { predictions, criteriaLoss, spanLoss } = await engine.evaluate(
    plan.map((planned) => materialise(planned, encoded, padId)),
    options,
  );
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
  const criteriaResult = criteriaMetrics({ criteria, probabilities, labels });
  const evidenceResult = evidenceMetrics(evidencePairs(encoded.map(({ example }) => example), spans));
  return {
    metrics: { ...flatMetrics(criteriaResult, evidenceResult), validation_loss: criteriaLoss + spanLoss },
    criteria: criteriaResult,
    evidence: evidenceResult,
  };
}
