/**
 * The passage of a text that is most like a sentence, by edit distance.
 *
 * Sellers, "The theory and computation of evolutionary distances: pattern recognition" (J. Algorithms 1, 1980): the
 * dynamic programme of Levenshtein's distance in which a match may begin and end anywhere in the text. Here it may begin
 * at the start of a word and end at the end of one only, so that the passage is made of whole words. Time is the product
 * of the two lengths, memory the length of the sentence.
 */
import { wordRanges } from "./words.ts";

/** The best passage: UTF-16 range [start, end) of the text, and how alike it is. */
export interface FuzzyMatch {
  start: number;
  end: number;
  /** 1 − distance / code points of the sentence, in (0, 1]. */
  score: number;
}

/** Larger products of the two lengths are not compared: about a second's work. */
const MAX_CELLS = 4e8;

/**
 * Prepares a text for comparisons with many sentences.
 *
 * @returns a function from a sentence to the passage with the smallest Levenshtein distance in code points: of several
 * the one that ends first, and of those the shortest. Null where nothing is alike or the two are too long to compare.
 *
 * @example
 * ```ts
 * import { fuzzyMatcher } from "./fuzzy_match.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(fuzzyMatcher("so i cried a lot, then")("i cry a lot"), { start: 3, end: 16, score: 8 / 11 });
 * ```
 */
export function fuzzyMatcher(text: string): (sentence: string) => FuzzyMatch | null {
  const characters = Array.from(text);
  const codes = Uint32Array.from(characters, (character) => character.codePointAt(0)!);
  /** UTF-16 offset of each code point, and the end. */
  const offsets = new Uint32Array(codes.length + 1);
  characters.forEach((character, i) => offsets[i + 1] = offsets[i]! + character.length);
  const indexOf = new Map(Array.from(offsets, (offset, i) => [offset, i]));
  const startsWord = new Uint8Array(codes.length + 1), endsWord = new Uint8Array(codes.length + 1);
  for (const [start, end] of wordRanges(text)) {
    startsWord[indexOf.get(start)!] = 1;
    endsWord[indexOf.get(end)!] = 1;
  }
  return (sentence) => {
    const pattern = Uint32Array.from(sentence, (character) => character.codePointAt(0)!);
    if (pattern.length === 0 || pattern.length * codes.length > MAX_CELLS) return null;
    const { distance, start, end } = bestPassage(pattern, codes, startsWord, endsWord);
    if (distance >= pattern.length) return null; // no better than nothing at all
    return { start: offsets[start]!, end: offsets[end]!, score: 1 - distance / pattern.length };
  };
}

function bestPassage(pattern: Uint32Array, text: Uint32Array, startsWord: Uint8Array, endsWord: Uint8Array) {
  const m = pattern.length;
  // A cell is one number, distance · step − start: its minimum is the smallest distance and, of those, the latest start.
  const step = text.length + 1;
  // Column j of the programme: cell i is that of the pattern's first i characters and the best passage that ends at j.
  const column = new Float64Array(m + 1).fill(Infinity);
  let best = m * step, end = 0;
  for (let j = 0; j <= text.length; j++) {
    const character = j > 0 ? text[j - 1]! : -1;
    let diagonal = column[0]!; // cell i − 1 of the column before
    let above = startsWord[j] ? -j : diagonal + step; // cell i − 1 of this column
    column[0] = above;
    for (let i = 1; i <= m; i++) {
      const left = column[i]!;
      const replaced = pattern[i - 1] === character ? diagonal : diagonal + step;
      const inserted = (left < above ? left : above) + step;
      above = replaced < inserted ? replaced : inserted;
      column[i] = above;
      diagonal = left;
    }
    if (endsWord[j] && Math.ceil(above / step) < Math.ceil(best / step)) {
      best = above;
      end = j;
    }
  }
  const distance = Math.ceil(best / step);
  return { distance, start: distance * step - best, end };
}
