/**
 * WordPiece: the longest vocabulary entry that begins the word, then the longest that continues it, and so on.
 * Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2019); Hugging Face's models/wordpiece.
 */
import { rememberWords } from "./word_cache.ts";

/** How a WordPiece vocabulary is read. */
export interface WordPieceOptions {
  /** Stands before every piece that does not begin a word. */
  continuingPrefix: string;
  /** A word with more characters (code points) becomes the unknown token as a whole. */
  maxCharactersPerWord: number;
  unkId: number;
}

/** The pieces of one word. */
export interface Pieces {
  readonly ids: readonly number[];
  /** Where each piece ends, in UTF-16 units of the word; it starts where the one before ends. */
  readonly ends: readonly number[];
}

/** The function that cuts a word into pieces. A word that cannot be cut whole is one unknown token. */
export function wordPiece(
  vocabulary: ReadonlyMap<string, number>,
  options: WordPieceOptions,
): (word: string) => Pieces {
  const { continuingPrefix, maxCharactersPerWord, unkId } = options;
  let longest = 1;
  for (const token of vocabulary.keys()) longest = Math.max(longest, token.length);

  const cut = rememberWords((word: string): Pieces => {
    const unknown = { ids: [unkId], ends: [word.length] };
    if (codePointCount(word) > maxCharactersPerWord) return unknown;
    const ids: number[] = [], ends: number[] = [];
    for (let start = 0; start < word.length;) {
      let end = Math.min(word.length, start + longest);
      let id: number | undefined;
      for (; end > start; end--) {
        const piece = word.slice(start, end);
        id = vocabulary.get(start === 0 ? piece : continuingPrefix + piece);
        if (id !== undefined) break;
      }
      if (id === undefined) return unknown;
      ids.push(id);
      ends.push(end);
      start = end;
    }
    return { ids, ends };
  });

  // Longer words are unknown without a look at their characters: 2 units make one code point at most.
  return (word) => word.length > 2 * maxCharactersPerWord ? { ids: [unkId], ends: [word.length] } : cut(word);
}

function codePointCount(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
