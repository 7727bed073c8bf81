/** What an augmentation method is: a proposal of edits for each passage. */
import type { RandomStream } from "../../support/rng.ts";
import type { CharacterSpan } from "../dataset.ts";
import type { Edit } from "./edits.ts";
import type { Word } from "./words.ts";
import type { WordNet } from "./wordnet.ts";

/** A segment of evidence that a method may change. */
export interface Passage extends CharacterSpan {
  /** The whole text of the post; only [start, end) of it may change. */
  readonly text: string;
  /** The words of the segment. */
  readonly words: readonly Word[];
  /** Random numbers of this passage alone, so that no other passage has an influence. */
  readonly random: RandomStream;
}

/** A token that may stand at a place, with the model's score. */
export interface TokenCandidate {
  readonly id: number;
  readonly score: number;
}

/** A model's opinion on tokens (`lib/train/token_suggestions.ts`). */
export interface TokenSuggester {
  /** What the candidates are: the masked-LM head's at the position, or neighbours of the token that stands there. */
  readonly source: "masked_lm" | "embedding";
  /** The best `count` candidates for each row, best first; `ids` have the special tokens around them. */
  suggest(
    rows: readonly { readonly ids: Uint32Array; readonly position: number }[],
    count: number,
  ): Promise<TokenCandidate[][]>;
}

/** The part of a tokenizer (lib/text) that `insert` needs. */
export interface PieceTokenizer {
  readonly clsId: number;
  readonly sepId: number;
  readonly maskId: number;
  encode(text: string): { readonly ids: Uint32Array; readonly offsets: Uint32Array };
  piece(id: number): { readonly text: string; readonly startsWord: boolean } | undefined;
}

/** What methods stand on, opened when one asks for it. */
export interface AugmentationServices {
  wordNet(): Promise<WordNet>;
  suggestions(): Promise<{ readonly suggester: TokenSuggester; readonly tokenizer: PieceTokenizer }>;
  /** Each text in other words, in their order. */
  backTranslate(texts: readonly string[]): Promise<readonly string[]>;
}

/** How strongly methods change a passage. */
export interface MethodOptions {
  /** Share of a passage's words that change. */
  readonly wordRate: number;
}

/** One way to change evidence. */
export interface AugmentationMethod {
  /** The edits of each passage: none where it cannot be changed. Every edit lies inside of its passage. */
  propose(
    passages: readonly Passage[],
    services: AugmentationServices,
    options: MethodOptions,
  ): Promise<Edit[][]>;
}

/** Changes up to `count` words, pairs or places of a passage. */
export type WordOperation = (passage: Passage, count: number) => Edit[];

/** The method that does one operation on each passage. */
export function operationMethod(operation: WordOperation): AugmentationMethod {
  return {
    propose: (passages, _services, { wordRate }) =>
      Promise.resolve(passages.map((passage) => operation(passage, changeCount(passage.words.length, wordRate)))),
  };
}

/** How many words of a passage are changed: the share `rate` of them, and at least one (EDA, section 2). */
export function changeCount(words: number, rate: number): number {
  return Math.max(1, Math.round(rate * words));
}
