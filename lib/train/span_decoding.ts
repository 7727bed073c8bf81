/**
 * From start and end logits to one evidence span or none, as in BERT's reader for SQuAD v2 (Devlin et al., 2019): the
 * best span start ≤ end is weighed against the null span at [CLS].
 */
import type { CharacterSpan } from "../data/dataset.ts";

/** Logits of one input and criterion over its tokens: [CLS], what stands before the post, its P tokens, [SEP]. */
export interface SpanLogits {
  /** [≥ firstToken + P]; of what surrounds the post, [CLS] alone is read. */
  start: ArrayLike<number>;
  /** [≥ firstToken + P] */
  end: ArrayLike<number>;
  /** Where the post begins. */
  firstToken: number;
  /** [2P] UTF-16 range of each of its tokens. */
  offsets: ArrayLike<number>;
}

/** What was decided, with the scores it was decided by. */
export interface DecodedSpan {
  /** Characters of the post, or null: no evidence. */
  span: CharacterSpan | null;
  /** start + end logit of the best span; -Infinity for an input without tokens of the post. */
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

/** Decodes one input. Of equal scores the earlier start wins, then the shorter span; null wins over an equal span. */
export function decodeSpan(
  { start, end, firstToken, offsets }: SpanLogits,
  { maxTokens, nullThreshold = 0 }: DecodingOptions,
): DecodedSpan {
  const lastToken = firstToken + offsets.length / 2 - 1;
  const nullScore = start[0]! + end[0]!;
  let score = -Infinity, first = 0, last = 0;
  for (let from = firstToken; from <= lastToken; from++) {
    for (let to = from; to <= Math.min(lastToken, from + maxTokens - 1); to++) {
      const candidate = start[from]! + end[to]!;
      if (candidate > score) [score, first, last] = [candidate, from, to];
    }
  }
  const character = (token: number, boundary: 0 | 1) => offsets[2 * (token - firstToken) + boundary]!;
  const span = score - nullScore > nullThreshold ? { start: character(first, 0), end: character(last, 1) } : null;
  return { span, score, nullScore };
}
