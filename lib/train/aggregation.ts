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

/** When the spans of a (post, criterion) are given as evidence. Scores are leads over "no evidence". */
export interface EvidenceThresholds {
  /** There is evidence where the best span's score is larger. */
  readonly null_threshold: number;
  /** Where there is evidence, further spans are given whose score is larger. */
  readonly min_span_score: number;
}

/** What leads over "no evidence" is given: nothing is calibrated. */
export const PREDICT_ABOVE_NONE: EvidenceThresholds = { null_threshold: 0, min_span_score: 0 };

/** Every span is given: to apply thresholds later, or to choose them. */
export const ALL_CANDIDATES: EvidenceThresholds = { null_threshold: -Infinity, min_span_score: -Infinity };

/** How the spans of a post's windows are brought together. */
export interface SpanLimits {
  /** Spans per (post, criterion) at most. */
  maxSpans: number;
  /** Which are given; those above 0 if not given. */
  evidence?: EvidenceThresholds;
}

/** The spans that are given of those that were found, best first: the best one, if it is above the null threshold. */
export function givenSpans<S extends { readonly score: number }>(
  candidates: readonly S[],
  { null_threshold, min_span_score }: EvidenceThresholds,
): S[] {
  const [best, ...further] = candidates;
  return best && best.score > null_threshold ? [best, ...further.filter(({ score }) => score > min_span_score)] : [];
}

/**
 * The best spans of all windows, no two of which share a character (greedy non-maximum suppression): what neighbouring
 * windows both see is given once. Of equal scores the earlier, then the shorter span wins. Whether a span is chosen
 * depends on better ones only, so that thresholds can be applied afterwards.
 */
function bestSpans(
  spans: readonly ScoredEvidence[],
  { maxSpans, evidence = PREDICT_ABOVE_NONE }: SpanLimits,
): ScoredEvidence[] {
  const chosen: ScoredEvidence[] = [];
  for (const span of spans.toSorted((a, b) => b.score - a.score || a.start - b.start || a.end - b.end)) {
    if (chosen.length === maxSpans) break;
    if (chosen.every(({ start, end }) => span.end <= start || end <= span.start)) chosen.push(span);
  }
  return givenSpans(chosen, evidence);
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
