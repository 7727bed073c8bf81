/** A BERT tokenizer put together: added tokens, normalizer, pre-tokenizer, WordPiece; offsets carried through. */
import { inputError } from "../support/errors.ts";
import { type AddedToken, addedTokenSplitter } from "./added_tokens.ts";
import { bertNormalizer, type BertNormalizerOptions } from "./bert_normalizer.ts";
import { forEachWord } from "./bert_pre_tokenizer.ts";
import type { Encoding, Piece, Tokenizer } from "./tokenizer.ts";
import { wordPiece } from "./word_piece.ts";
import { tokenizerFiles } from "./word_piece_files.ts";

/** The special tokens of BERT by role. */
export interface SpecialTokens {
  pad: string;
  unk: string;
  cls: string;
  sep: string;
  mask: string;
}

/** The names that BERT gives its special tokens. */
export const BERT_SPECIAL_TOKENS: Readonly<SpecialTokens> = {
  pad: "[PAD]",
  unk: "[UNK]",
  cls: "[CLS]",
  sep: "[SEP]",
  mask: "[MASK]",
};

/** All that decides what a WordPiece tokenizer does. */
export interface WordPieceDefinition {
  vocabulary: ReadonlyMap<string, number>;
  normalizer: BertNormalizerOptions;
  special: SpecialTokens;
  addedTokens: readonly AddedToken[];
  continuingPrefix: string;
  maxCharactersPerWord: number;
}

/** The added-token entry of a special token: found in the original text, nothing stripped. */
export function specialToken(content: string, id: number): AddedToken {
  return { id, content, singleWord: false, lstrip: false, rstrip: false, normalized: false };
}

/**
 * The tokenizer that a definition describes.
 *
 * @param files what `files()` gives back
 * @throws an input error when a special token is in neither the vocabulary nor the added tokens
 */
export function tokenizerFrom(definition: WordPieceDefinition, files: () => Map<string, Uint8Array>): Tokenizer {
  const { vocabulary, special } = definition;
  // As in the library, an added token that the vocabulary knows has the vocabulary's id.
  const addedTokens = definition.addedTokens.map((token) => ({
    ...token,
    id: vocabulary.get(token.content) ?? token.id,
  }));
  const idOf = (token: string, role: string): number => {
    const id = vocabulary.get(token) ?? addedTokens.find((added) => added.content === token)?.id;
    if (id === undefined) {
      throw inputError(
        `The vocabulary has no ${role} token "${token}"`,
        "Check that the vocabulary belongs to a BERT model and names its special tokens in tokenizer_config.json",
      );
    }
    return id;
  };
  const unkId = idOf(special.unk, "unknown");
  const normalize = bertNormalizer(definition.normalizer);
  const cut = wordPiece(vocabulary, { ...definition, unkId });
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

  const encode = (text: string): Encoding => {
    const ids: number[] = [], offsets: number[] = [];
    for (const stretch of splitOriginal(text)) {
      if (stretch.id !== undefined) {
        ids.push(stretch.id);
        offsets.push(stretch.start, stretch.end);
        continue;
      }
      const base = stretch.start;
      const normalized = normalize(text.slice(base, stretch.end));
      const push = (id: number, start: number, end: number) => {
        ids.push(id);
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
    return { ids: Uint32Array.from(ids), offsets: Uint32Array.from(offsets) };
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
    unkId,
    clsId: idOf(special.cls, "classification"),
    sepId: idOf(special.sep, "separator"),
    padId: idOf(special.pad, "padding"),
    maskId: idOf(special.mask, "mask"),
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
    addedTokens: Object.values(BERT_SPECIAL_TOKENS).flatMap((token) =>
      ids.has(token) ? [specialToken(token, ids.get(token)!)] : []
    ),
    continuingPrefix: "##",
    maxCharactersPerWord: 100,
  };
  return tokenizerFrom(definition, () => tokenizerFiles(vocabulary, options.lowercase));
}
