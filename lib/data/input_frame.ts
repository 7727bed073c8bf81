/** What stands around the post in an input row, and how much room it leaves. */
import { inputError } from "../support/errors.ts";
import type { Criterion } from "./criterion_texts.ts";

/** The part of a tokenizer (lib/text) that encoding needs. */
export interface OffsetTokenizer {
  readonly clsId: number;
  readonly sepId: number;
  /** Separators between the two texts of a pair: 1 for BERT, 2 for RoBERTa. */
  readonly pairSeparators: number;
  /** Token ids without specials; offsets [2 per token] are UTF-16 ranges [start, end) of the text. */
  encode(text: string): { ids: Uint32Array; offsets: Uint32Array };
}

/** How posts are put before the model. */
export const INPUT_FORMATS = {
  multi_label: "The post once, with a label for each criterion",
  binary_pairs: "A criterion's text and the post, with one label; as many rows as criteria",
} as const;

/** How a post's probabilities come from those of its windows. */
export const WINDOW_AGGREGATIONS = {
  max: "Of the window that is surest; a label belongs to the windows that hold its evidence",
  mean: "The mean over the windows; a label belongs to all of them",
} as const;

/** How posts become rows; the names are those of the configuration's `data` keys. */
export interface EncodingOptions {
  readonly format: keyof typeof INPUT_FORMATS;
  /** Tokens of a row at most, special tokens and the criterion's text included. */
  readonly maxLength: number;
  /** Tokens that neighbouring windows of a post share; null cuts long posts off. */
  readonly docStride: number | null;
  /** How the windows' probabilities become the post's, which decides what label a window has to learn. */
  readonly aggregation: keyof typeof WINDOW_AGGREGATIONS;
  /** [K] */
  readonly criteria: readonly Criterion[];
}

/** What surrounds the post in a row: for each criterion in `binary_pairs`, else once. */
export interface InputFrame {
  criterion: number | null;
  /** [CLS], and the criterion's text with its separators. */
  before: Uint32Array;
  /** Tokens of the post that a row has room for. */
  room: number;
}

/**
 * Tokenises the criteria and checks that rows have room for the post.
 *
 * @throws inputError when they have none, or not for new tokens in each window, with the numbers
 */
export function inputFrames(tokenizer: OffsetTokenizer, options: EncodingOptions): InputFrame[] {
  const { clsId, sepId, pairSeparators } = tokenizer;
  const frame = (criterion: number | null, before: number[]) => ({
    criterion,
    before: Uint32Array.from(before),
    room: options.maxLength - before.length - 1,
  });
  const separators = Array.from({ length: pairSeparators }, () => sepId);
  const frames = options.format === "multi_label"
    ? [frame(null, [clsId])]
    : options.criteria.map(({ name, text }, k) => {
      const { ids } = tokenizer.encode(text);
      if (ids.length === 0) {
        throw inputError(
          `The text of the criterion ${name} has no tokens: ${JSON.stringify(text)}`,
          `Set data.criterion_texts.${name}`,
        );
      }
      return frame(k, [clsId, ...ids, ...separators]);
    });
  const longest = frames.reduce((a, b) => b.room < a.room ? b : a);
  checkRoom(longest, tokenizer, options);
  return frames;
}

/** Checks the frame that leaves least room. */
function checkRoom(
  { criterion, before, room }: InputFrame,
  tokenizer: OffsetTokenizer,
  options: EncodingOptions,
): void {
  const { maxLength, docStride } = options;
  const name = criterion === null ? undefined : options.criteria[criterion]!.name;
  const specials = name === undefined ? 2 : 2 + tokenizer.pairSeparators;
  const text = name === undefined ? "" : ` and ${before.length + 1 - specials} of the text of ${name}`;
  const shorter = name === undefined ? "" : `, or shorten data.criterion_texts.${name}`;
  const least = before.length + 2 + (docStride ?? 0);
  if (room < 1) {
    throw inputError(
      `data.max_length ${maxLength} has no room for a post beside ${specials} special tokens${text}`,
      `Set data.max_length to at least ${least}${shorter}`,
    );
  }
  if (docStride !== null && docStride >= room) {
    throw inputError(
      `data.doc_stride is ${docStride} but a window has ${room} tokens of the post: data.max_length ${maxLength} less ` +
        `${specials} special tokens${text}`,
      `Set data.doc_stride to at most ${room - 1} or data.max_length to at least ${least}${shorter}`,
    );
  }
}

/**
 * The least `maxLength` that these options could have.
 *
 * @throws inputError when `maxLength` is less
 */
export function shortestMaxLength(tokenizer: OffsetTokenizer, options: EncodingOptions): number {
  const longest = Math.max(...inputFrames(tokenizer, options).map(({ before }) => before.length));
  return longest + 2 + (options.docStride ?? 0);
}
