/** From predictions for input rows (windows, and pairs of a criterion and a post) to predictions for posts. */
import type { CharacterSpan, Example } from "../data/dataset.ts";
import type { EncodedInput } from "../data/encoding.ts";
import type { EncodingOptions } from "../data/input_frame.ts";
import type { DecodedSpan } from "./span_decoding.ts";

/** What the model said of one input with K' outputs. */
export interface InputPrediction {
  /** [K'] */
  readonly probabilities: ArrayLike<number>;
  /** [K'] */
  readonly spans: readonly DecodedSpan[];
}

/** Predictions for N posts and K criteria. */
export interface PostPredictions {
  /** [N] in the order of their first inputs. */
  examples: Example[];
  /** [N, K] */
  probabilities: Float32Array;
  /** [N, K] */
  spans: (CharacterSpan | null)[];
}

/** How much a window prefers its best span to none. */
const margin = ({ score, nullScore }: DecodedSpan) => score - nullScore;

/**
 * The decision of the window that is surest of a span; null where that one gives none. What neighbouring windows both
 * see is thereby given once. Of equally sure windows the one with the earlier, then the shorter span wins.
 */
function surest(spans: readonly DecodedSpan[]): CharacterSpan | null {
  const place = ({ span }: DecodedSpan) => span ?? { start: Infinity, end: Infinity };
  return spans.reduce((best, one) => {
    const difference = margin(one) - margin(best);
    if (difference !== 0 && !Number.isNaN(difference)) return difference > 0 ? one : best;
    const [a, b] = [place(one), place(best)];
    return a.start < b.start || (a.start === b.start && a.end < b.end) ? one : best;
  }).span;
}

function combined(probabilities: readonly number[], aggregation: EncodingOptions["aggregation"]): number {
  if (aggregation === "max") return Math.max(...probabilities);
  return probabilities.reduce((sum, one) => sum + one, 0) / probabilities.length;
}

/**
 * Brings the predictions for inputs back to their posts: per (post, criterion) the largest or the mean probability of
 * its windows, and the evidence of the window that is surest of its span. A post of one window keeps what was said of
 * it.
 *
 * @param predictions [inputs.length]
 * @param criteria K
 * @throws RangeError when an input has no prediction
 */
export function aggregateWindows(
  inputs: readonly EncodedInput[],
  predictions: readonly (InputPrediction | undefined)[],
  { criteria, aggregation }: { criteria: number; aggregation: EncodingOptions["aggregation"] },
): PostPredictions {
  const examples = [...new Set(inputs.map(({ example }) => example))];
  const rowOf = new Map(examples.map((example, row) => [example, row]));
  const said = Array.from({ length: examples.length * criteria }, () => ({
    probabilities: [] as number[],
    spans: [] as DecodedSpan[],
  }));
  inputs.forEach(({ example, criterion, labels }, input) => {
    const prediction = predictions[input];
    if (!prediction) throw new RangeError(`Expected a prediction for every input but found none for input ${input}`);
    labels.forEach((_, output) => {
      const pair = said[rowOf.get(example)! * criteria + (criterion ?? output)]!;
      pair.probabilities.push(prediction.probabilities[output]!);
      pair.spans.push(prediction.spans[output]!);
    });
  });
  return {
    examples,
    probabilities: Float32Array.from(said, ({ probabilities }) => combined(probabilities, aggregation)),
    spans: said.map(({ spans }) => surest(spans)),
  };
}
