/** Predictions for texts, a few at a time: what is held in memory does not depend on how many there are. */
import { lengthBuckets, materialise, planBatches } from "../data/batches.ts";
import type { Example } from "../data/dataset.ts";
import { encodeExamples } from "../data/encoding.ts";
import type { TextPrediction } from "../report/prediction.ts";
import { givenSpans } from "../train/aggregation.ts";
import { postPredictions } from "../train/evaluator.ts";
import type { Predictor } from "../train/predictor.ts";
import { encodingOf, type StoredModel } from "./stored_model.ts";

/** A text to be predicted. */
export interface TextToPredict {
  /** What names it in the output; null: nothing. */
  readonly id: string | number | null;
  readonly text: string;
}

/** A prediction with the text that it is about. */
export interface PredictedText {
  readonly text: string;
  readonly prediction: TextPrediction;
}

/** A text as the dataset would have it, with nothing known of it. */
const asExample = ({ text }: TextToPredict, place: number, criteria: number): Example => ({
  postId: String(place),
  text,
  labels: new Uint8Array(criteria),
  evidence: Array.from({ length: criteria }, () => null),
  allEvidence: Array.from({ length: criteria }, () => []),
});

/**
 * Predicts chunks of texts, the texts of a chunk batched by length. Predictions come in the order of the texts; which texts
 * are in one chunk makes no difference to them.
 *
 * @param predictor the model, opened
 */
export async function* predictTexts(
  model: StoredModel,
  predictor: Predictor,
  chunks: AsyncIterable<readonly TextToPredict[]>,
): AsyncGenerator<PredictedText[]> {
  const { settings, tokenizer } = model;
  const { criteria, thresholds, evidence_thresholds, batch_size: batchSize, architecture } = settings;
  const encoding = encodingOf(settings);
  const buckets = lengthBuckets(encoding.maxLength);
  for await (const texts of chunks) {
    const encoded = texts.map((one, place) =>
      encodeExamples([asExample(one, place, criteria.length)], tokenizer, encoding)
    );
    const inputs = encoded.flatMap((one) => one.inputs);
    const predictions = [];
    for (const planned of planBatches(inputs, { batchSize, buckets })) {
      predictions.push(await predictor.predict(materialise(planned, inputs, tokenizer.padId)));
    }
    const posts = postPredictions(inputs, predictions, {
      criteria,
      maxSpans: architecture.max_spans_per_doc,
      windowAggregation: encoding.aggregation,
    });
    yield texts.map(({ id, text }, place) => ({
      text,
      prediction: {
        id,
        windows: encoded[place]!.counts.mostWindows,
        truncated_tokens: encoded[place]!.counts.truncatedTokens,
        criteria: criteria.map((criterion, k) => {
          const probability = posts.probabilities[place * criteria.length + k]!;
          const threshold = thresholds[criterion]!;
          return {
            criterion,
            probability,
            threshold,
            present: probability >= threshold,
            evidence: givenSpans(posts.spans[place * criteria.length + k]!, evidence_thresholds).map((
              { start, end, score },
            ) => ({ start, end, score })),
          };
        }),
      },
    }));
  }
}
