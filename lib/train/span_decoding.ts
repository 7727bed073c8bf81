/**
 * From start and end logits to one evidence span or none, as in BERT's reader for SQuAD v2 (Devlin et al., 2019): the
 * best span start ≤ end is weighed against the null span at [CLS].
 */
import type { CharacterSpan } from "../data/dataset.ts";

/** Logits of one (post, criterion) over its T real tokens: [CLS], the post, [SEP]. */
export interface SpanLogits {
  /** [≥ T]; what lies behind T (padding) is not read. */
  start: ArrayLike<number>;
  /** [≥ T] */
  end: ArrayLike<number>;
  /** [2T] UTF-16 range of each token in the post. */
  offsets: ArrayLike<number>;
}

/** What was decided, with the scores it was decided by. */
export interface DecodedSpan {
  /** Characters of the post, or null: no evidence. */
  span: CharacterSpan | null;
  /** start + end logit of the best span; -Infinity for a post without tokens. */
  score: number;
  /** start + end logit of [CLS]. */
  nullScore: number;
}

/** The limits of decoding. */
export interface DecodingOptions {
  /** Longest span in tokens. */
  maxTokens: number;
  /** A span is given when score − nullScore > nullThreshold; 0 by default. */
  nullThreshold?: number;
}

/** Decodes one row. Of equal scores the earlier start wins, then the shorter span; null wins over an equal span. */
export function decodeSpan(
  { start, end, offsets }: SpanLogits,
  { maxTokens, nullThreshold = 0 }: DecodingOptions,
): DecodedSpan {
  const lastToken = offsets.length / 2 - 2; // before [SEP]
  const nullScore = start[0]! + end[0]!;
  let score = -Infinity, first = 0, last = 0;
  for (let from = 1; from <= lastToken; from++) {
    for (let to = from; to <= Math.min(lastToken, from + maxTokens - 1); to++) {
      const candidate = start[from]! + end[to]!;
      if (candidate > score) [score, first, last] = [candidate, from, to];
    }
  }
  const span = score - nullScore > nullThreshold ? { start: offsets[2 * first]!, end: offsets[2 * last + 1]! } : null;
  return { span, score, nullScore };
}
