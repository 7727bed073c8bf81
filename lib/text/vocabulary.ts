/** A small WordPiece vocabulary from a corpus, for models that are trained from nothing. */
import { inputError } from "../support/errors.ts";
import { bertNormalizer } from "./bert_normalizer.ts";
import { forEachWord } from "./bert_pre_tokenizer.ts";
import { BERT_SPECIAL_TOKENS } from "./special_tokens.ts";

/** What `buildWordPieceVocabulary` may be told beside texts and size. */
export interface VocabularyOptions {
  /** Whether the tokenizer will lower the case and strip accents; true unless said otherwise. */
  lowercase?: boolean;
}

/**
 * A vocabulary in id order: the five special tokens, every character seen, each again as "##" piece, then the most
 * frequent words until `size` is reached (or the words run out). No text of the corpus gives an unknown token, except
 * by words of more than 100 characters. Depends on the texts only, not on their order.
 *
 * @param size entries at most
 * @throws an input error when the special tokens and characters alone do not fit
 */
export function buildWordPieceVocabulary(
  texts: Iterable<string>,
  size: number,
  options: VocabularyOptions = {},
): string[] {
  const lowercase = options.lowercase ?? true;
  const normalize = bertNormalizer({ cleanText: true, handleChineseChars: true, stripAccents: lowercase, lowercase });
  const counts = new Map<string, number>();
  for (const original of texts) {
    const { text } = normalize(original);
    forEachWord(text, 0, text.length, (start, end) => {
      const word = text.slice(start, end);
      counts.set(word, (counts.get(word) ?? 0) + 1);
    });
  }
  const characters = [...new Set([...counts.keys()].flatMap((word) => [...word]))].sort(byCodePoints);
  const vocabulary = new Set<string>([
    ...Object.values(BERT_SPECIAL_TOKENS),
    ...characters,
    ...characters.map((character) => `##${character}`),
  ]);
  if (vocabulary.size > size) {
    throw inputError(
      `A vocabulary of ${size} entries cannot hold the 5 special tokens and the ${characters.length} characters of ` +
        `the texts, each in two forms`,
      `Set the vocabulary size to ${vocabulary.size} or more`,
    );
  }
  const words = [...counts].sort(([a, countA], [b, countB]) => countB - countA || byCodePoints(a, b));
  for (const [word] of words) {
    if (vocabulary.size >= size) break;
    vocabulary.add(word);
  }
  return [...vocabulary];
}

/** Code point order, which UTF-16 order is not: surrogates would sort before U+E000 to U+FFFF. */
function byCodePoints(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a.charCodeAt(i) !== b.charCodeAt(i)) {
      // A low surrogate that differs compares as itself; a high one compares as the code point it begins.
      return a.codePointAt(i)! - b.codePointAt(i)!;
    }
  }
  return a.length - b.length;
}
