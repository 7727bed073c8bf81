/** From predictions for input rows (windows, and pairs of a criterion and a post) to predictions for posts. */
import type { CharacterSpan, Example } from "../data/dataset.ts";
import type { EncodedInput } from "../data/encoding.ts";
import type { EncodingOptions } from "../data/input_frame.ts";

/** Evidence with how much more likely than none it is held to be. */
export interface ScoredEvidence extends CharacterSpan {
  score: number;
}

/** What the model said of one input with K' outputs. */
export interface InputPrediction {
  /** [K'] */
  readonly probabilities: ArrayLike<number>;
  /** [K'] the spans of each, whatever their score. */
  readonly spans: readonly (readonly ScoredEvidence[])[];
}

/** Predictions for N posts and K criteria. */
export interface PostPredictions {
  /** [N] in the order of their first inputs. */
  examples: Example[];
  /** [N, K] */
  probabilities: Float32Array;
  /** [N, K] best first; none: no evidence. */
  spans: ScoredEvidence[][];
}

/** How the spans of a post's windows are brought together. */
export interface SpanLimits {
  /** Spans per (post, criterion) at most. */
  maxSpans: number;
  /** A span is given when its score is larger; 0 by default. */
  nullThreshold?: number;
}

/**
 * The best spans of all windows, no two of which share a character (greedy non-maximum suppression): what neighbouring
 * windows both see is given once. Of equal scores the earlier, then the shorter span wins.
 */
function bestSpans(spans: readonly ScoredEvidence[], { maxSpans, nullThreshold = 0 }: SpanLimits): ScoredEvidence[] {
  const chosen: ScoredEvidence[] = [];
  for (
    const span of spans.filter(({ score }) => score > nullThreshold)
      .toSorted((a, b) => b.score - a.score || a.start - b.start || a.end - b.end)
  ) {
    if (chosen.length === maxSpans) break;
    if (chosen.every(({ start, end }) => span.end <= start || end <= span.start)) chosen.push(span);
  }
  return chosen;
}

function combined(probabilities: readonly number[], aggregation: EncodingOptions["aggregation"]): number {
  if (aggregation === "max") return Math.max(...probabilities);
  return probabilities.reduce((sum, one) => sum + one, 0) / probabilities.length;
}

/**
 * Brings the predictions for inputs back to their posts: per (post, criterion) the largest or the mean probability of
 * its windows, and the best spans of all of them. A post of one window keeps what was said of it.
 *
 * @param predictions [inputs.length]
 * @param criteria K
 * @throws RangeError when an input has no prediction
 */
export function aggregateWindows(
  inputs: readonly EncodedInput[],
  predictions: readonly (InputPrediction | undefined)[],
  { criteria, aggregation, ...limits }: { criteria: number; aggregation: EncodingOptions["aggregation"] } & SpanLimits,
): PostPredictions {
  const examples = [...new Set(inputs.map(({ example }) => example))];
  const rowOf = new Map(examples.map((example, row) => [example, row]));
  const said = Array.from({ length: examples.length * criteria }, () => ({
    probabilities: [] as number[],
    spans: [] as ScoredEvidence[],
  }));
  inputs.forEach(({ example, criterion, labels }, input) => {
    const prediction = predictions[input];
    if (!prediction) throw new RangeError(`Expected a prediction for every input but found none for input ${input}`);
    labels.forEach((_, output) => {
      const pair = said[rowOf.get(example)! * criteria + (criterion ?? output)]!;
      pair.probabilities.push(prediction.probabilities[output]!);
      pair.spans.push(...prediction.spans[output]!);
    });
  });
  return {
    examples,
    probabilities: Float32Array.from(said, ({ probabilities }) => combined(probabilities, aggregation)),
    spans: said.map(({ spans }) => bestSpans(spans, limits)),
  };
}
