/**
 * Where words begin and end in a normalised text, so that a passage can be cut at whole words.
 *
 * A word is a run of letters, digits and marks (with straight apostrophes inside, as in "can't"), one character of a
 * script that is written without spaces, or one other character that is not white space.
 */

const UNSPACED = String.raw`\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}`;
const RUN = String.raw`[[\p{L}\p{N}\p{M}]--[${UNSPACED}]]+`;
const WORDS = new RegExp(String.raw`[${UNSPACED}]\p{M}*|${RUN}(?:'${RUN})*|\S`, "gv");

/** Words of a text as UTF-16 ranges [start, end), in order. */
export function wordRanges(text: string): [start: number, end: number][] {
  return Array.from(text.matchAll(WORDS), ({ 0: word, index }) => [index, index + word.length]);
}
