/**
 * From posts to input rows, in either input format and in windows where posts are long:
 *
 * - `multi_label`: `[CLS] post [SEP]`, one row with a label and an evidence span per criterion
 * - `binary_pairs`: `[CLS] criterion [SEP] post [SEP]`, one row per criterion with one label and one span
 *
 * Each row may be one of several windows of its post; predictions are brought back to posts by lib/train/aggregation.
 */
import type { Example } from "./dataset.ts";
import { type EncodingOptions, type InputFrame, inputFrames, type OffsetTokenizer } from "./input_frame.ts";
import { type TokenRange, windowRanges } from "./windows.ts";

/**
 * Where the evidence of one criterion lies among the tokens of `ids`, [CLS] being token 0.
 *
 * - `evidence`: some lies whole in the row
 * - `none`: the post has no such label; the target is the null span at [CLS]
 * - `elsewhere`: all of it lies in other windows of the post; the target is the null span here
 * - `truncated`: the row has a part of it only, or it lies in what was cut off
 * - `unaligned`: the label is positive but its sentence was not found in the post
 *
 * The last two are not `kept`: no ranges stand for nothing there and the loss gives them weight 0.
 */
export interface TokenSpans {
  /** All evidence that lies whole in the row, in order; no two ranges share a token. */
  ranges: TokenRange[];
  kept: boolean;
  reason: "evidence" | "none" | "elsewhere" | "truncated" | "unaligned";
}

/** One row as the model takes it, with K' outputs: K in `multi_label`, 1 in `binary_pairs`. */
export interface EncodedInput {
  example: Example;
  /** The criterion that is asked about, or null: all. */
  criterion: number | null;
  /** Which of the post's windows this is, from 0. */
  window: number;
  windows: number;
  /** [T] with the special tokens and the criterion's text, T ≤ maxLength. */
  ids: Uint32Array;
  /** The place of the post's first token in `ids`; with a criterion, token types are 0 before it and 1 from it on. */
  firstToken: number;
  /** [2P] UTF-16 range in the post of each of its P tokens in the row, which are `ids` from `firstToken` on. */
  offsets: Uint32Array;
  /** [P] which sentence of the row each of these tokens is in, ascending from 0. */
  sentences: Uint32Array;
  /** [K'] */
  labels: Uint8Array;
  /** [K'] */
  spans: TokenSpans[];
}

/** What became of posts and evidence. */
export interface EncodingCounts {
  posts: number;
  inputs: number;
  /** (post, criterion) by what became of the evidence; `truncated`: no row has it whole, so it is lost. */
  spans: Record<Exclude<TokenSpans["reason"], "elsewhere">, number>;
  /** Posts that were cut off. */
  truncatedPosts: number;
  /** Tokens that were cut off; in `binary_pairs`, those that the criterion with the longest text leaves no room for. */
  truncatedTokens: number;
  /** Posts in more than one window. */
  windowedPosts: number;
  /** Windows of the post that has most. */
  mostWindows: number;
  /** Tokens that the longest row would have with nothing cut off and no windows. */
  longestTokens: number;
}

/** What a tokenizer and Unicode's rules make of a text, of whatever labels, format and length. */
export interface TokenisedText {
  /** [T] ids, without special tokens. */
  readonly ids: Uint32Array;
  /** [2T] UTF-16 range of each token. */
  readonly offsets: Uint32Array;
  /** [T] which sentence of the text each token is in. */
  readonly sentences: Uint32Array;
}

/** A tokenised post with the token ranges of the evidence of each criterion [K]. */
interface TokenisedPost extends TokenisedText {
  example: Example;
  evidence: TokenRange[][];
}

/** Tokenises a text. */
export function tokeniseText(text: string, tokenizer: Pick<OffsetTokenizer, "encode">): TokenisedText {
  const { ids, offsets } = tokenizer.encode(text);
  return { ids, offsets, sentences: sentencesOf(text, offsets) };
}

function tokenisedPost(example: Example, { ids, offsets, sentences }: TokenisedText): TokenisedPost {
  const evidence = example.allEvidence.map((spans) =>
    merged(
      spans.map(({ start, end }) => coveringTokens(offsets, start, end)).filter((range) => range.end > range.start),
    )
  );
  return { example, ids, offsets, sentences, evidence };
}

/** Ranges that share tokens become one: a token begins one span at most. */
function merged(ranges: readonly TokenRange[]): TokenRange[] {
  const apart: TokenRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    const last = apart.at(-1);
    if (last && range.start < last.end) last.end = Math.max(last.end, range.end);
    else apart.push({ ...range });
  }
  return apart;
}

const SENTENCES = new Intl.Segmenter("en", { granularity: "sentence" });

/** The sentence of each token by Unicode's rules (UAX 29); a token belongs to the one in which it starts. */
function sentencesOf(text: string, offsets: Uint32Array): Uint32Array {
  const starts = Array.from(SENTENCES.segment(text), ({ index }) => index);
  let sentence = 0;
  return Uint32Array.from({ length: offsets.length / 2 }, (_, token) => {
    while (sentence + 1 < starts.length && starts[sentence + 1]! <= offsets[2 * token]!) sentence++;
    return sentence;
  });
}

/** The tokens that share a character with [start, end); none where the tokenizer dropped those characters. */
function coveringTokens(offsets: Uint32Array, start: number, end: number): TokenRange {
  const range = { start: 0, end: 0 };
  for (let token = 0; 2 * token < offsets.length; token++) {
    if (offsets[2 * token]! >= end || offsets[2 * token + 1]! <= start) continue;
    if (range.end === 0) range.start = token;
    range.end = token + 1;
  }
  return range;
}

const overlaps = (a: TokenRange, b: TokenRange) => a.start < b.end && b.start < a.end;

/** The rows of a post in one frame. */
function encodeInFrame(
  { example, ids, offsets, sentences, evidence }: TokenisedPost,
  { criterion, before, room }: InputFrame,
  { sepId }: OffsetTokenizer,
  { docStride, aggregation }: EncodingOptions,
): EncodedInput[] {
  const asked = criterion === null ? [...example.labels.keys()] : [criterion];
  const windows = windowRanges(ids.length, room, docStride);
  return windows.map((range, window): EncodedInput => {
    const row = new Uint32Array(before.length + range.end - range.start + 1);
    row.set(before);
    row.set(ids.subarray(range.start, range.end), before.length);
    row[row.length - 1] = sepId;
    const label = (k: number) => {
      const positive = example.labels[k]!;
      // Multiple-instance learning: that some window is positive makes the post so, and where it is we know which.
      const known = docStride !== null && aggregation === "max" && evidence[k]!.length > 0;
      return known && !evidence[k]!.some((found) => overlaps(found, range)) ? 0 : positive;
    };
    const span = (k: number): TokenSpans => {
      const target = (reason: TokenSpans["reason"], ranges: TokenRange[] = []) => {
        return { ranges, kept: reason !== "truncated" && reason !== "unaligned", reason };
      };
      if (example.labels[k] === 0) return target("none");
      if (evidence[k]!.length === 0) return target("unaligned");
      const whole = evidence[k]!.filter(({ start, end }) => range.start <= start && end <= range.end);
      const toRow = before.length - range.start;
      if (whole.length > 0) {
        return target("evidence", whole.map(({ start, end }) => ({ start: start + toRow, end: end + toRow })));
      }
      const inPart = evidence[k]!.some((found) => overlaps(found, range));
      return target(inPart || docStride === null ? "truncated" : "elsewhere");
    };
    const firstSentence = sentences[range.start] ?? 0;
    return {
      example,
      criterion,
      window,
      windows: windows.length,
      ids: row,
      firstToken: before.length,
      offsets: offsets.subarray(2 * range.start, 2 * range.end),
      sentences: sentences.slice(range.start, range.end).map((sentence) => sentence - firstSentence),
      labels: Uint8Array.from(asked, label),
      spans: asked.map(span),
    };
  });
}

function noCounts(): EncodingCounts {
  return {
    posts: 0,
    inputs: 0,
    spans: { evidence: 0, none: 0, truncated: 0, unaligned: 0 },
    truncatedPosts: 0,
    truncatedTokens: 0,
    windowedPosts: 0,
    mostWindows: 0,
    longestTokens: 0,
  };
}

/** Adds one post, with the rows of each frame, to the counts. */
function count(counts: EncodingCounts, post: TokenisedPost, frames: InputFrame[], rows: EncodedInput[][]): void {
  counts.posts++;
  const windows = Math.max(...rows.map((one) => one.length));
  counts.inputs += rows.reduce((sum, one) => sum + one.length, 0);
  if (windows > 1) counts.windowedPosts++;
  counts.mostWindows = Math.max(counts.mostWindows, windows);
  const cut = Math.max(...rows.map((one, i) => one.length > 1 ? 0 : post.ids.length - frames[i]!.room));
  if (cut > 0) {
    counts.truncatedPosts++;
    counts.truncatedTokens += cut;
  }
  counts.longestTokens = Math.max(
    counts.longestTokens,
    ...frames.map(({ before }) => before.length + post.ids.length + 1),
  );
  for (const one of rows) {
    one[0]!.spans.forEach((_, output) => {
      const reasons = one.map(({ spans }) => spans[output]!.reason);
      const lost = reasons.find((reason) => reason === "none" || reason === "unaligned") ?? "truncated";
      counts.spans[reasons.includes("evidence") ? "evidence" : lost]++;
    });
  }
}

/**
 * Encodes posts: the rows of each in turn, by criterion and then by window, and the counts of what was lost.
 *
 * @param tokenised texts that have been tokenised before, by this tokenizer
 * @throws inputError when a row has no room for the post or for new tokens in each window, with the numbers
 */
export function encodeExamples(
  examples: readonly Example[],
  tokenizer: OffsetTokenizer,
  options: EncodingOptions,
  tokenised?: ReadonlyMap<string, TokenisedText>,
): { inputs: EncodedInput[]; counts: EncodingCounts } {
  const frames = inputFrames(tokenizer, options);
  const counts = noCounts();
  const inputs = examples.flatMap((example) => {
    const post = tokenisedPost(example, tokenised?.get(example.text) ?? tokeniseText(example.text, tokenizer));
    const rows = frames.map((frame) => encodeInFrame(post, frame, tokenizer, options));
    count(counts, post, frames, rows);
    return rows.flat();
  });
  return { inputs, counts };
}
