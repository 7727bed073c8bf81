/**
 * Input format `multi_label`: `[CLS] post [SEP]`, one label per criterion and one evidence span per criterion in tokens.
 */
import type { Example } from "./dataset.ts";

/** The part of a tokenizer (lib/text) that encoding needs. */
export interface OffsetTokenizer {
  readonly clsId: number;
  readonly sepId: number;
  /** Token ids without specials; offsets [2 per token] are UTF-16 ranges [start, end) of the text. */
  encode(text: string): { ids: Uint32Array; offsets: Uint32Array };
}

/**
 * Where the evidence of one criterion lies among the tokens of `ids`, [CLS] being token 0; `end` is inclusive.
 *
 * - `evidence`: there is some, and all of it is there
 * - `none`: the post has no such label; the target is the null span at [CLS]
 * - `truncated`: the evidence was cut off, in part or whole
 * - `unaligned`: the label is positive but its sentence was not found in the post
 *
 * The last two are not `kept`: start = end = 0 stands for nothing there and the loss gives them weight 0.
 */
export interface TokenSpan {
  start: number;
  end: number;
  kept: boolean;
  reason: "evidence" | "none" | "truncated" | "unaligned";
}

/** One post as the model takes it. */
export interface EncodedExample {
  example: Example;
  /** [T] with [CLS] and [SEP], T ≤ maxLength. */
  ids: Uint32Array;
  /** [2T] UTF-16 range of each token; 0, 0 for [CLS] and [SEP]. */
  offsets: Uint32Array;
  /** [K] */
  labels: Uint8Array;
  /** [K] */
  spans: TokenSpan[];
  /** Tokens of the post that did not fit. */
  truncatedTokens: number;
}

/** What truncation and alignment took away. */
export interface EncodingCounts {
  /** Spans by what became of them. */
  spans: Record<TokenSpan["reason"], number>;
  truncatedPosts: number;
  longestTokens: number;
}

/**
 * Encodes one post.
 *
 * @param maxLength Tokens at most, [CLS] and [SEP] included; at least 3
 */
export function encodeExample(example: Example, tokenizer: OffsetTokenizer, maxLength: number): EncodedExample {
  if (!(Number.isInteger(maxLength) && maxLength >= 3)) {
    throw new RangeError(`Expected maxLength to be an integer of at least 3 but found ${maxLength}`);
  }
  const { ids: all, offsets: allOffsets } = tokenizer.encode(example.text);
  const length = Math.min(all.length, maxLength - 2);
  const ids = new Uint32Array(length + 2);
  ids[0] = tokenizer.clsId;
  ids.set(all.subarray(0, length), 1);
  ids[length + 1] = tokenizer.sepId;
  const offsets = new Uint32Array(2 * (length + 2));
  offsets.set(allOffsets.subarray(0, 2 * length), 2);
  const spans = example.evidence.map((evidence, k): TokenSpan => {
    if (!evidence) {
      return { start: 0, end: 0, ...(example.labels[k] ? dropped("unaligned") : { kept: true, reason: "none" }) };
    }
    const [first, last] = coveringTokens(allOffsets, evidence.start, evidence.end);
    if (last < 0) return { start: 0, end: 0, ...dropped("unaligned") };
    if (last >= length) return { start: 0, end: 0, ...dropped("truncated") };
    return { start: first + 1, end: last + 1, kept: true, reason: "evidence" };
  });
  return { example, ids, offsets, labels: example.labels, spans, truncatedTokens: all.length - length };
}

function dropped<Reason extends TokenSpan["reason"]>(reason: Reason): { kept: false; reason: Reason } {
  return { kept: false, reason };
}

/** First and last token that share a character with [start, end), or -1, -1 (the tokenizer dropped those characters). */
function coveringTokens(offsets: Uint32Array, start: number, end: number): [number, number] {
  let first = -1, last = -1;
  for (let token = 0; 2 * token < offsets.length; token++) {
    if (offsets[2 * token]! >= end || offsets[2 * token + 1]! <= start) continue;
    if (first < 0) first = token;
    last = token;
  }
  return [first, last];
}

/** Encodes posts and counts what was lost; see {@link encodeExample}. */
export function encodeExamples(
  examples: readonly Example[],
  tokenizer: OffsetTokenizer,
  maxLength: number,
): { encoded: EncodedExample[]; counts: EncodingCounts } {
  const encoded = examples.map((example) => encodeExample(example, tokenizer, maxLength));
  const counts: EncodingCounts = {
    spans: { evidence: 0, none: 0, truncated: 0, unaligned: 0 },
    truncatedPosts: 0,
    longestTokens: 0,
  };
  for (const { ids, spans, truncatedTokens } of encoded) {
    for (const span of spans) counts.spans[span.reason]++;
    if (truncatedTokens > 0) counts.truncatedPosts++;
    counts.longestTokens = Math.max(counts.longestTokens, ids.length + truncatedTokens);
  }
  return { encoded, counts };
}
