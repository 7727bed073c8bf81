/** A BERT tokenizer put together: added tokens, normalizer, pre-tokenizer, WordPiece; offsets carried through. */
import { inputError } from "../support/errors.ts";
import { type AddedToken, addedTokenSplitter, withIds } from "./added_tokens.ts";
import { bertNormalizer, type BertNormalizerOptions } from "./bert_normalizer.ts";
import { forEachWord } from "./bert_pre_tokenizer.ts";
import { BERT_SPECIAL_TOKENS, specialIds, specialToken, type SpecialTokens } from "./special_tokens.ts";
import type { Encoding, Piece, Tokenizer } from "./tokenizer.ts";
import { wordPiece } from "./word_piece.ts";
import { tokenizerFiles } from "./word_piece_files.ts";

/** All that decides what a WordPiece tokenizer does. */
export interface WordPieceDefinition {
  vocabulary: ReadonlyMap<string, number>;
  normalizer: BertNormalizerOptions;
  special: SpecialTokens;
  addedTokens: readonly AddedToken[];
  continuingPrefix: string;
  maxCharactersPerWord: number;
}

/**
 * The tokenizer that a definition describes.
 *
 * @param files what `files()` gives back
 * @throws an input error when a special token is in neither the vocabulary nor the added tokens
 */
export function tokenizerFrom(definition: WordPieceDefinition, files: () => Map<string, Uint8Array>): Tokenizer {
  const { vocabulary, special } = definition;
  const addedTokens = withIds(definition.addedTokens, vocabulary);
  const ids = specialIds(special, vocabulary, addedTokens);
  const normalize = bertNormalizer(definition.normalizer);
  const cut = wordPiece(vocabulary, { ...definition, unkId: ids.unkId });
  const splitOriginal = addedTokenSplitter(addedTokens.filter((token) => !token.normalized));
  const splitNormalized = addedTokenSplitter(
    addedTokens.filter((token) => token.normalized).map((token) => ({
      ...token,
      content: normalize(token.content).text,
    })),
  );
  let vocabSize = 0;
  for (const id of vocabulary.values()) vocabSize = Math.max(vocabSize, id + 1);
  for (const { id } of addedTokens) vocabSize = Math.max(vocabSize, id + 1);

  const encode = (original: string): Encoding => {
    const text = original.toWellFormed();
    const tokens: number[] = [], offsets: number[] = [];
    for (const stretch of splitOriginal(text)) {
      if (stretch.id !== undefined) {
        tokens.push(stretch.id);
        offsets.push(stretch.start, stretch.end);
        continue;
      }
      const base = stretch.start;
      const normalized = normalize(text.slice(base, stretch.end));
      const push = (id: number, start: number, end: number) => {
        tokens.push(id);
        offsets.push(base + normalized.starts[start]!, base + normalized.ends[end - 1]!);
      };
      for (const part of splitNormalized(normalized.text)) {
        if (part.id !== undefined) {
          push(part.id, part.start, part.end);
          continue;
        }
        forEachWord(normalized.text, part.start, part.end, (wordStart, wordEnd) => {
          const pieces = cut(normalized.text.slice(wordStart, wordEnd));
          let start = wordStart;
          for (let i = 0; i < pieces.ids.length; i++) {
            const end = wordStart + pieces.ends[i]!;
            push(pieces.ids[i]!, start, end);
            start = end;
          }
        });
      }
    }
    return { ids: Uint32Array.from(tokens), offsets: Uint32Array.from(offsets) };
  };

  const contents = new Map([...vocabulary].map(([token, id]) => [id, token]));
  const added = new Set(addedTokens.map(({ id }) => id));
  const piece = (id: number): Piece | undefined => {
    const token = contents.get(id);
    if (token === undefined || added.has(id) || Object.values(special).includes(token)) return undefined;
    const continues = token.startsWith(definition.continuingPrefix) && token !== definition.continuingPrefix;
    return { text: continues ? token.slice(definition.continuingPrefix.length) : token, startsWord: !continues };
  };

  return {
    vocabSize,
    ...ids,
    pairSeparators: 1,
    piece,
    encode,
    files,
  };
}

/**
 * A BERT tokenizer over a vocabulary in id order, such as `buildWordPieceVocabulary` makes. Its files load in Python's
 * `transformers` as a `BertTokenizer`.
 *
 * @example
 * ```ts
 * import { wordPieceTokenizer } from "./word_piece_tokenizer.ts";
 * import assert from "node:assert/strict";
 * const tokenizer = wordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##able"], { lowercase: true });
 * assert.deepEqual([...tokenizer.encode("Unable").offsets], [0, 2, 2, 6]);
 * ```
 */
export function wordPieceTokenizer(vocabulary: readonly string[], options: { lowercase: boolean }): Tokenizer {
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  if (ids.size !== vocabulary.length) {
    const twice = vocabulary.find((token, id) => ids.get(token) !== id);
    throw inputError(`The vocabulary lists "${twice}" twice`, "Give each token once");
  }
  const definition: WordPieceDefinition = {
    vocabulary: ids,
    normalizer: {
      cleanText: true,
      handleChineseChars: true,
      stripAccents: options.lowercase,
      lowercase: options.lowercase,
    },
    special: BERT_SPECIAL_TOKENS,
    addedTokens: Object.values(BERT_SPECIAL_TOKENS).filter((token) => ids.has(token)).map(specialToken),
    continuingPrefix: "##",
    maxCharactersPerWord: 100,
  };
  return tokenizerFrom(definition, () => tokenizerFiles(vocabulary, options.lowercase));
}
