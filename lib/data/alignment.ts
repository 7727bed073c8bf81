/**
 * Finds an evidence sentence in its post: exactly, else after normalising both, else the most similar passage, as a
 * UTF-16 character range.
 *
 * Annotations are copied through editors and CSV tools that change quotes, dashes, spaces, case and the composition of
 * accents. Both sides are mapped to a common form and an index map leads a match back to the original characters.
 * Paraphrases and corrected spellings remain; they are compared in that form by edit distance.
 */
import { type FuzzyMatch, fuzzyMatcher } from "./fuzzy_match.ts";

/** How a sentence was found. */
export type AlignmentStatus = "exact" | "normalised" | "fuzzy" | "not_found";

/** Where a sentence stands in its post: UTF-16 range [start, end), or not at all. */
export type Alignment =
  /** `repeated`: it stands there again further on. */
  | { status: "exact" | "normalised"; start: number; end: number; repeated: boolean }
  /** `score`: see {@link FuzzyMatch}. */
  | { status: "fuzzy"; start: number; end: number; score: number }
  /** `score`: of the most similar passage; null where there is nothing to compare, or too much. */
  | { status: "not_found"; score: number | null };

/** The score that a passage has to reach, unless the configuration says otherwise. */
export const MIN_SCORE = 0.8;

/** A normalised text with, per UTF-16 unit of it, the range of the original it stands for. */
export interface NormalisedText {
  text: string;
  /** Start in the original of what unit i came from. */
  starts: Uint32Array;
  /** End (exclusive) in the original of what unit i came from. */
  ends: Uint32Array;
  /** 1 where unit i is the first of what one original character (with its marks) became, 0 inside of it. */
  first: Uint8Array;
}

const SINGLE_QUOTES = /^[\u0060\u00b4\u02b9\u02bc\u2018-\u201b\u2032\uff07]$/u;
const DOUBLE_QUOTES = /^[\u00ab\u00bb\u201c-\u201f\u2033\u301d-\u301f\uff02]$/u;
const DASH = /^[\p{Dash_Punctuation}\u2212]$/u;
const INVISIBLE = /^\p{Default_Ignorable_Code_Point}+$/u;
/** One character and the combining marks on it. NFKD never moves anything across such a piece. */
const PIECES = /\P{M}\p{M}*|\p{M}+/gu;

/**
 * Maps a text to the form in which sentences are compared: Unicode NFKD, case folded, quotes straight, runs of dashes
 * and of white space reduced to one, invisible characters (soft hyphen, zero width) dropped.
 *
 * NFKD in place of NFKC because composition looks across characters (Hangul), while decomposition works piece by
 * piece, so that the index map is exact; two texts are equal under one if and only if they are under the other.
 */
export function normaliseText(original: string): NormalisedText {
  const parts: string[] = [];
  const starts: number[] = [], ends: number[] = [], first: number[] = [];
  let previous = "";
  for (const match of original.matchAll(PIECES)) {
    const start = match.index, end = start + match[0].length;
    const piece = normalisePiece(match[0]);
    if (piece === "") continue;
    if ((piece === " " || piece === "-") && piece === previous) {
      ends[ends.length - 1] = end; // the run goes on
      continue;
    }
    for (let unit = 0; unit < piece.length; unit++) {
      starts.push(start);
      ends.push(end);
      first.push(unit === 0 ? 1 : 0);
    }
    parts.push(piece);
    previous = piece;
  }
  return {
    text: parts.join(""),
    starts: Uint32Array.from(starts),
    ends: Uint32Array.from(ends),
    first: Uint8Array.from(first),
  };
}

function normalisePiece(piece: string): string {
  if (/^[a-z0-9.,]$/.test(piece)) return piece; // nearly all of a text
  if (/^\s$/u.test(piece)) return " ";
  // Before NFKD, which would turn an acute accent used as a quote into a space and a mark.
  if (SINGLE_QUOTES.test(piece)) return "'";
  if (DOUBLE_QUOTES.test(piece)) return '"';
  if (DASH.test(piece)) return "-";
  if (INVISIBLE.test(piece)) return "";
  const decomposed = piece.normalize("NFKD").toUpperCase().toLowerCase().normalize("NFKD");
  // A space here belongs to a spacing accent such as U+00A8; kept, it would be taken for the end of a word.
  return decomposed.replace(/\p{Default_Ignorable_Code_Point}|\s/gu, "");
}

/**
 * Prepares a post so that many sentences can be looked up in it; the first occurrence wins.
 *
 * @param minScore Least score in (0, 1] of a passage that is taken for the sentence
 *
 * @example
 * ```ts
 * import { sentenceAligner } from "./alignment.ts";
 * import assert from "node:assert/strict";
 * const align = sentenceAligner("Ok.  I can’t\nsleep.");
 * assert.deepEqual(align("I can't sleep."), { status: "normalised", start: 5, end: 19, repeated: false });
 * assert.deepEqual(align("I cant sleep"), { status: "fuzzy", start: 5, end: 18, score: 11 / 12 });
 * ```
 */
export function sentenceAligner(text: string, minScore: number = MIN_SCORE): (sentence: string) => Alignment {
  let normalised: NormalisedText | undefined;
  let match: ((sentence: string) => FuzzyMatch | null) | undefined;
  return (sentence) => {
    const wanted = sentence.trim();
    if (wanted === "") return { status: "not_found", score: null };
    const at = text.indexOf(wanted);
    if (at >= 0) {
      const end = at + wanted.length;
      return { status: "exact", start: at, end, repeated: text.includes(wanted, end) };
    }
    normalised ??= normaliseText(text);
    const form = normaliseText(wanted).text.trim();
    if (form === "") return { status: "not_found", score: null };
    const { starts, ends } = normalised;
    const range = findNormalised(normalised, form);
    if (range) {
      const [first, after] = range;
      const repeated = findNormalised(normalised, form, after) !== null;
      return { status: "normalised", start: starts[first]!, end: ends[after - 1]!, repeated };
    }
    match ??= fuzzyMatcher(normalised.text);
    const passage = match(form);
    if (!passage || passage.score < minScore) return { status: "not_found", score: passage?.score ?? null };
    return { status: "fuzzy", start: starts[passage.start]!, end: ends[passage.end - 1]!, score: passage.score };
  };
}

/**
 * The first occurrence from a place on that begins and ends at whole original characters ("cafe" is not found inside of
 * "café"): a range of the normalised text, or null.
 */
function findNormalised({ text, first }: NormalisedText, wanted: string, from = 0): [number, number] | null {
  for (let at = text.indexOf(wanted, from); at >= 0; at = text.indexOf(wanted, at + 1)) {
    const after = at + wanted.length;
    if (first[at] === 1 && (after === text.length || first[after] === 1)) return [at, after];
  }
  return null;
}
